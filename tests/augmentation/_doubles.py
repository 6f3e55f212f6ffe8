"""Stand-ins for density and classifier that make every redraw visible, and tables for them."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

SHIFT = 0.25


class Shifted(BaseEstimator):
    """A density that redraws a row as that row and a quarter: every redraw shows."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None):
        self.rows_, self.weights_ = np.array(X), sample_weight
        return self

    def sample_like(self, X, n_samples=1, random_state=None, *, noise=True):
        near = np.repeat(np.asarray(X, dtype=float)[:, None], n_samples, 1)
        return near + SHIFT + np.random.RandomState(random_state).uniform(0, 0.01, near.shape)


class ClassMean(Shifted):
    """A density that redraws every row as the mean of the rows it was fitted to."""

    def sample_like(self, X, n_samples=1, random_state=None, *, noise=True):
        return np.broadcast_to(self.rows_.mean(0), (len(X), n_samples, X.shape[1]))


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that keeps the rows, labels and weights of every pass."""

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


class RecorderAtOnce(Recorder):
    """A recorder without ``partial_fit``."""

    partial_fit = property()

    def fit(self, X, y, sample_weight=None):
        return Recorder.partial_fit(self, X, y, np.unique(y), sample_weight)


class UnweightedRecorder(Recorder):
    """A recorder whose ``partial_fit`` takes no weights."""

    def partial_fit(self, X, y, classes=None):
        return super().partial_fit(X, y, classes)


class UnweightedRecorderAtOnce(RecorderAtOnce):
    """A recorder without ``partial_fit`` whose ``fit`` takes no weights."""

    def fit(self, X, y):
        return super().fit(X, y)


def is_real(rows):
    """Return which of the rows are whole numbers, as `whole_rows` are until they are redrawn."""
    return (rows == np.floor(rows)).all(1)


def whole_rows(n_rows=60, n_columns=3):
    """Return rows of distinct whole numbers, which identify a row also when it is redrawn."""
    X = np.arange(n_rows * n_columns, dtype=float).reshape(n_rows, n_columns)
    return X, np.arange(n_rows) % 3


def mixed_frame(n_rows=40):
    """Return a frame with columns of many dtypes and an index that runs backwards."""
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
