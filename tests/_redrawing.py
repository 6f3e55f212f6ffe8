"""Stand-ins for density and classifier by which every redraw shows, and tables for them."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

SHIFT = 0.25


class Shifted(BaseEstimator):
    """A density whose rows near a row are that row and a quarter: every redraw shows."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None):
        self.rows_, self.weights_ = np.array(X), sample_weight
        return self

    def sample_like(self, X, n_samples=1, random_state=None, *, noise=True):
        near = np.repeat(np.asarray(X, dtype=float)[:, None], n_samples, 1)
        return near + SHIFT + np.random.RandomState(random_state).uniform(0, 0.01, near.shape)


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that keeps what it is given."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self.classes_ = classes
        calls = getattr(self, "calls_", [])
        self.calls_ = [*calls, (np.array(X), np.array(y), np.array(sample_weight))]
        return self

    def fit(self, X, y, sample_weight=None):
        return self.partial_fit(X, y, np.unique(y), sample_weight)

    def predict(self, X):
        self.asked_ = np.array(X)
        return np.repeat(self.classes_[:1], len(X))


def whole_rows(n_rows=60, n_columns=3):
    """Rows of distinct whole numbers, so that a row and what was redrawn from it are known."""
    X = np.arange(n_rows * n_columns, dtype=float).reshape(n_rows, n_columns)
    return X, np.arange(n_rows) % 3


def mixed_frame(n_rows=40):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "length": rng.normal(size=n_rows).astype(np.float32),
            "count": rng.integers(0, 5, n_rows),
            "maybe": pd.array(rng.integers(0, 5, n_rows), dtype="Int64"),
            "large": 2**60 + np.arange(n_rows),
            "flag": rng.integers(0, 2, n_rows).astype(bool),
            "kind": pd.Categorical(rng.choice(["a", "b"], n_rows)),
            "name": [f"row {number}" for number in range(n_rows)],
        },
        index=np.arange(n_rows)[::-1],
    )
