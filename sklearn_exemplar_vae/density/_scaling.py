"""How columns are brought to one scale, back, and what that adds to a log-density."""

from __future__ import annotations

import math

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from ..engine.likelihoods import N_LEVELS
from ..utils._rows import ROWS_AT_A_TIME, float_dtype
from ._bounds import (
    best_unit,
    distance_to_line,
    line_to_distance,
    line_to_share,
    log_slope_of_distance,
    log_slope_of_share,
    share_to_line,
)
from ._column_checks import is_constant

# Rows that choose the unit of a bounded column, at most.
MAX_UNIT_ROWS = 2**16
# Values whose quartiles are taken, at most.
MAX_QUARTILE_VALUES = 2**20
# A standard deviation this many times what a normal column of the same quartiles has is that of a
# few values: the others would all be near zero, closer than the narrowest kernel.
HEAVIEST_TAIL = 3
QUARTILES_OF_NORMAL = 1.349  # how far apart they are, in standard deviations


class Unscaled:
    """Rows as they are: zeros and ones, or probabilities."""

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return rows as the model takes them."""
        return X

    def inverse_transform(self, rows: np.ndarray, is_drawn: bool = True) -> np.ndarray:
        """Return rows in the units of X; ``is_drawn`` unless they are means."""
        return rows

    def brought_inside(self, X: np.ndarray) -> np.ndarray:
        """Return X, moved inside the bounds that rounding has moved it to."""
        return X

    def log_jacobian(self, X: np.ndarray) -> float | np.ndarray:
        """Return log |d scaled / d X|, one or (n,); probabilities need none."""
        return 0.0


class GrayLevels(Unscaled):
    """Gray levels to [0, 1]; their scores are probabilities."""

    def transform(self, X):
        return X / (N_LEVELS - 1)

    def inverse_transform(self, rows, is_drawn=True):
        levels = rows * (N_LEVELS - 1)
        return np.rint(levels) if is_drawn else levels


class Standardized(Unscaled):
    """Columns of mean 0 and standard deviation 1, or less where few values would decide it.

    Parameters
    ----------
    mean, scale : ndarrays of shape (D,)
    """

    def __init__(self, mean: np.ndarray, scale: np.ndarray) -> None:
        self.mean, self.scale = mean, scale

    @classmethod
    def fitted(cls, X: np.ndarray, weights: np.ndarray) -> Standardized:
        """Return the scaling of weighted rows."""
        return cls(*column_statistics(X, weights))

    def transform(self, X):
        return (X - self.mean) / self.scale

    def inverse_transform(self, rows, is_drawn=True):
        return rows * self.scale + self.mean

    def log_jacobian(self, X):
        return -float(np.log(self.scale).sum())


class ColumnScaling(Standardized):
    """Bounded columns mapped to the whole line, all standardized, samples of integers rounded.

    See `_bounds` for the maps.

    Parameters
    ----------
    mean, scale : ndarrays of shape (D,), of the columns on the line
    low, high : ndarrays of shape (D,), infinite where there is no bound
    is_integer : boolean ndarray of shape (D,)
    unit : ndarray of shape (D,)
        The distance from a single bound at which a logarithm goes over into a line.
    """

    def __init__(self, mean, scale, low, high, is_integer, unit) -> None:
        super().__init__(mean, scale)
        self.low, self.high, self.is_integer, self.unit = low, high, is_integer, unit
        self.has_low, self.has_high = np.isfinite(low), np.isfinite(high)
        self.is_bounded = self.has_low | self.has_high

    @classmethod
    def fitted(cls, X, weights, low, high, is_integer) -> ColumnScaling:
        """Return the scaling of weighted rows."""
        n_features, chosen = len(low), slice(None, None, -(-len(X) // MAX_UNIT_ROWS))
        unit, X_chosen, weights_chosen = np.ones(n_features), X[chosen], weights[chosen]
        for column in np.flatnonzero(np.isfinite(low) != np.isfinite(high)):
            end = low[column] if np.isfinite(low[column]) else high[column]
            distances = np.abs(X_chosen[:, column].astype(np.float64) - end)
            unit[column] = best_unit(distances, weights_chosen)
        on_the_line = cls(np.zeros(n_features), np.ones(n_features), low, high, is_integer, unit)
        statistics = column_statistics(X, weights, on_the_line.transform)
        return cls(*statistics, low, high, is_integer, unit)

    def transform(self, X):
        line = np.array(X, dtype=np.float64)
        for column in np.flatnonzero(self.is_bounded):
            line[:, column] = self._to_line(line[:, column], column)
        return super().transform(line)

    def inverse_transform(self, rows, is_drawn=True):
        X = super().inverse_transform(rows)
        for column in np.flatnonzero(self.is_bounded):
            low, high, line = self.low[column], self.high[column], X[:, column]
            if self.has_low[column] and self.has_high[column]:
                # From the nearer end, where the place between the bounds loses no digits.
                span = (high - low) * line_to_share(-np.abs(line))
                X[:, column] = np.where(line < 0, low + span, high - span)
            elif self.has_low[column]:
                X[:, column] = low + self.unit[column] * line_to_distance(line)
            else:
                X[:, column] = high - self.unit[column] * line_to_distance(-line)
        if is_drawn:
            X[:, self.is_integer] = np.rint(X[:, self.is_integer]) + 0.0  # no -0.0
        return X

    def brought_inside(self, X):
        for column in np.flatnonzero(self.is_bounded):
            ends = X.dtype.type([self.low[column], self.high[column]])
            inside = np.nextafter(ends, X.dtype.type([math.inf, -math.inf]))
            # The bound itself, rounded to the dtype of X, may already be inside.
            smallest = ends[0] if ends[0] > self.low[column] else inside[0]
            largest = ends[1] if ends[1] < self.high[column] else inside[1]
            X[:, column] = np.clip(X[:, column], smallest, largest)
        return X

    def log_jacobian(self, X):
        """Return one number without bounds, else (n,), minus infinity for a row outside them."""
        if not self.is_bounded.any():
            return super().log_jacobian(X)
        log_jacobian = np.full(len(X), super().log_jacobian(X))
        X, is_inside = np.asarray(X, dtype=np.float64), self.contains(X)
        for column in np.flatnonzero(self.is_bounded):
            log_jacobian[is_inside] += self._log_slope(X[is_inside, column], column)
        log_jacobian[~is_inside] = -math.inf
        return log_jacobian

    def contains(self, X: np.ndarray) -> np.ndarray:
        """Return a mask (n,) of the rows strictly inside all bounds."""
        return ((X > self.low) & (X < self.high)).all(1)

    def _to_line(self, values: np.ndarray, column: int) -> np.ndarray:
        low, high, unit = self.low[column], self.high[column], self.unit[column]
        if not self.has_high[column]:
            return distance_to_line((values - low) / unit)
        if not self.has_low[column]:
            return -distance_to_line((high - values) / unit)
        return share_to_line((values - low) / (high - low), (high - values) / (high - low))

    def _log_slope(self, values: np.ndarray, column: int) -> np.ndarray:
        low, high, unit = self.low[column], self.high[column], self.unit[column]
        if not self.has_high[column]:
            return log_slope_of_distance((values - low) / unit) - math.log(unit)
        if not self.has_low[column]:
            return log_slope_of_distance((high - values) / unit) - math.log(unit)
        return log_slope_of_share(self._to_line(values, column)) - math.log(high - low)


def column_statistics(X: np.ndarray, weights: np.ndarray, transform=None):
    """Return weighted means and scales of columns after ``transform``, a part at a time."""
    # Weights of mean one: the scaler takes their sum for the number of rows it judges rounding by.
    scaler, weights = StandardScaler(), weights / weights.mean()
    for part in gen_batches(len(X), ROWS_AT_A_TIME):
        rows = X[part].astype(float_dtype(X), copy=False)
        if transform is not None:
            rows = transform(rows)
        with np.errstate(over="ignore", invalid="ignore"):  # see `check_scales_are_finite`
            scaler.partial_fit(rows, sample_weight=weights[part])
    # Where the variance overflows, a StandardScaler believes that the column is constant.
    scale = np.where(np.isfinite(scaler.var_), scaler.scale_, np.inf)
    chosen = slice(None, None, -(-X.size // MAX_QUARTILE_VALUES))
    rows = X[chosen].astype(float_dtype(X), copy=False)
    spread = quartile_distance(rows if transform is None else transform(rows), weights[chosen])
    widest = HEAVIEST_TAIL * spread / QUARTILES_OF_NORMAL
    is_heavy = (widest > 0) & (widest < scale) & np.isfinite(scale)
    first = X[:1].astype(np.float64) if transform is None else transform(X[:1])
    mean = np.where(is_constant(X), first[0], scaler.mean_)  # exactly: a sum would be rounded
    return mean, np.where(is_heavy, widest, scale)


def quartile_distance(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the distance of the weighted quartiles of every column of ``rows`` (n, D)."""
    order = rows.argsort(0)
    shares = np.cumsum(weights[order], 0)
    shares /= shares[-1]
    ranks = [(shares >= quartile).argmax(0) for quartile in (0.25, 0.75)]
    low, high = (
        np.take_along_axis(rows, np.take_along_axis(order, rank[None], 0), 0)[0] for rank in ranks
    )
    return high - low


def mean_log_jacobian(scaling: Unscaled, X: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted mean of `log_jacobian`, read a part of the rows at a time."""
    total = 0.0
    for part in gen_batches(len(X), ROWS_AT_A_TIME):
        log_jacobian = scaling.log_jacobian(X[part])
        if np.ndim(log_jacobian) == 0:  # the same for all rows
            return log_jacobian
        total += weights[part] @ log_jacobian
    return float(total / weights.sum())
