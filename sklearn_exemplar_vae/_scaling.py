"""How columns are brought to one scale, back, and what that adds to a log-density."""

from __future__ import annotations

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from ._rows import ROWS_AT_A_TIME, float_dtype
from .engine.likelihoods import N_LEVELS


class Unscaled:
    """Rows as they are: zeros and ones, or probabilities."""

    def transform(self, X: np.ndarray) -> np.ndarray:
        return X

    def inverse_transform(self, rows: np.ndarray, is_drawn: bool = True) -> np.ndarray:
        """Rows in the units of X; ``is_drawn`` unless they are means."""
        return rows

    def brought_inside(self, X: np.ndarray) -> np.ndarray:
        """Rows that rounding has not put where rows cannot be."""
        return X

    def log_jacobian(self, X: np.ndarray) -> float | np.ndarray:
        """log |d scaled / d X|, one or (n,): masses need none."""
        return 0.0


class GreyLevels(Unscaled):
    """Grey levels to [0, 1]; their scores are probabilities."""

    def transform(self, X):
        return X / (N_LEVELS - 1)

    def inverse_transform(self, rows, is_drawn=True):
        levels = rows * (N_LEVELS - 1)
        return np.rint(levels) if is_drawn else levels


class Standardised(Unscaled):
    """Columns of mean 0 and standard deviation 1.

    Parameters
    ----------
    mean, scale : ndarrays of shape (D,)
    """

    def __init__(self, mean: np.ndarray, scale: np.ndarray) -> None:
        self.mean, self.scale = mean, scale

    @classmethod
    def fitted(cls, X: np.ndarray, weights: np.ndarray) -> Standardised:
        """Of rows with weights."""
        return cls(*column_statistics(X, weights))

    def transform(self, X):
        return (X - self.mean) / self.scale

    def inverse_transform(self, rows, is_drawn=True):
        return rows * self.scale + self.mean

    def log_jacobian(self, X):
        return -float(np.log(self.scale).sum())


def column_statistics(X: np.ndarray, weights: np.ndarray, transform=None):
    """Weighted means and scales of columns, after ``transform``; a part of the rows at a time."""
    # Of mean one: the scaler takes the weights' sum for the number of rows it judges rounding by.
    scaler, weights = StandardScaler(), weights / weights.mean()
    for part in gen_batches(len(X), ROWS_AT_A_TIME):
        rows = X[part].astype(float_dtype(X), copy=False)
        if transform is not None:
            rows = transform(rows)
        with np.errstate(over="ignore", invalid="ignore"):  # see `check_scales_are_finite`
            scaler.partial_fit(rows, sample_weight=weights[part])
    # Where the variance overflows, a StandardScaler believes that the column is constant.
    return scaler.mean_, np.where(np.isfinite(scaler.var_), scaler.scale_, np.inf)


def mean_log_jacobian(scaling: Unscaled, X: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of `log_jacobian`, a part of the rows at a time."""
    total = 0.0
    for part in gen_batches(len(X), ROWS_AT_A_TIME):
        log_jacobian = scaling.log_jacobian(X[part])
        if np.ndim(log_jacobian) == 0:  # the same for all rows
            return log_jacobian
        total += weights[part] @ log_jacobian
    return float(total / weights.sum())
