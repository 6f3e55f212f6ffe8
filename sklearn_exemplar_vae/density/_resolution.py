"""The resolution of columns: values that repeat get noise, without which they have no density.

A column of measurements rounded to 0.1 is a set of point masses: the narrower its kernels, the
higher the likelihood, without end. Its values become draws from the unit around them, a tenth wide
(Theis et al. 2016). A single value that many rows have, a zero among measurements, is an atom and
gets noise of a hundredth of the column's standard deviation: the rows keep their share of the
density. A constant gets noise one unit wide, as `StandardScaler` takes its scale to be one; samples
get the constant back.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ._column_checks import is_constant

# Values that are read, at most.
MAX_VALUES_READ = 2**23
# A column repeats its values if it has fewer different ones than this share of its rows.
DISTINCT_SHARE = 0.9
# Values are on a grid if this share of their gaps are multiples of the smallest, to a tolerance.
GRID_SHARE, GRID_TOLERANCE = 0.95, 0.01
# Values nearer than this share of the column's range are one value, which arithmetic has rounded.
SAME_VALUE = 1e-9
# A value is an atom if at least this share of the rows has it, and at least this many.
ATOM_SHARE, MIN_ATOM_ROWS = 0.05, 5
ATOM_WIDTH = 0.01  # in standard deviations


class Atom(NamedTuple):
    """A value that many rows have in a column whose other values do not repeat."""

    column: int
    value: float
    share: float  # of the rows
    width: float  # of the noise


class Resolution(NamedTuple):
    """The noise that values get, a column at a time."""

    step: np.ndarray  # (D,), the gap between neighboring values; zero where values do not repeat
    constant: np.ndarray  # (D,), the value of a column that has no other, else NaN
    atoms: tuple[Atom, ...] = ()

    def spreads_all_of(self, X: np.ndarray) -> np.ndarray:
        """Return the rows of X that get noise in every column, boolean (n,)."""
        is_spread = np.ones(len(X), dtype=bool)
        for column in np.flatnonzero(self.step == 0):
            atoms = [atom.value for atom in self.atoms if atom.column == column]
            if not atoms:
                return np.zeros(len(X), dtype=bool)
            is_spread &= np.isin(X[:, column], atoms)
        return is_spread

    def dequantized(self, X: np.ndarray, low: np.ndarray, high: np.ndarray, seed: int):
        """Return a copy of X with noise, strictly between ``low`` and ``high`` (D,)."""
        X, rng = X.copy(), np.random.default_rng(seed)
        for column in np.flatnonzero(self.step):
            ends = low[column], high[column]
            X[:, column] = spread(X[:, column], self.step[column], *ends, rng)
        for column, value, _, width in self.atoms:
            rows = X[:, column] == value
            X[rows, column] = spread(X[rows, column], width, low[column], high[column], rng)
        return X

    def with_constants(self, X: np.ndarray) -> np.ndarray:
        """Return X, in which columns that were constant are so again."""
        columns = np.flatnonzero(~np.isnan(self.constant))
        X[:, columns] = self.constant[columns]
        return X

    @property
    def is_none(self) -> bool:
        """Whether no value gets noise."""
        return not self.atoms and not self.step.any()


def no_noise(n_features: int) -> Resolution:
    """Return the resolution of columns whose values do not repeat."""
    return Resolution(np.zeros(n_features), np.full(n_features, np.nan))


def spread(values: np.ndarray, width: float, low: float, high: float, rng) -> np.ndarray:
    """Return a uniform draw from the interval around each of ``values`` (n,), inside the bounds."""
    first = np.maximum(values - 0.5 * width, low).astype(values.dtype)
    last = np.minimum(values + 0.5 * width, high).astype(values.dtype)
    drawn = (first + rng.uniform(size=len(values)) * (last - first)).astype(values.dtype)
    # The ends may be bounds, which are no values.
    first, last = np.nextafter(first, math.inf), np.nextafter(last, -math.inf)
    return np.where(first < last, np.clip(drawn, first, last), values)  # large ones have no room


def read_resolution(X: np.ndarray, groups: np.ndarray, is_integer: np.ndarray) -> Resolution:
    """Return the resolution of the columns of X, with a step of one where they are integers.

    Copies of a row count as one, by ``groups`` (n,), for they repeat the values of all its columns.
    """
    rows = rows_to_read(X, groups)
    step, atoms = is_integer.astype(float), []
    constant = np.where(is_constant(X) & ~is_integer, X[0].astype(np.float64), np.nan)
    for column in np.flatnonzero(~is_integer):
        values = X[rows, column].astype(np.float64)
        distinct, counts = np.unique(values, return_counts=True)
        if len(distinct) < 2:
            continue
        if len(distinct) < DISTINCT_SHARE * len(values):
            step[column] = grid_step(distinct)
        is_atom = counts >= max(MIN_ATOM_ROWS, ATOM_SHARE * len(values))
        if step[column] == 0 and is_atom.any():
            width = ATOM_WIDTH * values.std()
            atoms += [
                Atom(int(column), value, count / len(values), width)
                for value, count in zip(distinct[is_atom], counts[is_atom], strict=True)
            ]
    is_varying = np.isnan(constant)
    unit = common_unit(step[is_varying & ~is_integer])
    if unit > 0:
        step[~is_integer] = unit
    else:
        step[~is_varying] = 1.0
    return Resolution(step, constant, tuple(atoms))


def common_unit(steps: np.ndarray) -> float:
    """Return the smallest of ``steps`` if all are multiples of it, else zero.

    Then a table is one of integers, of which a column may have few, far from each other.
    """
    if len(steps) == 0 or steps.min() == 0:
        return 0.0
    multiples = steps / steps.min()
    is_multiple = np.abs(multiples - np.rint(multiples)) < GRID_TOLERANCE
    return float(steps.min()) if is_multiple.all() else 0.0


def rows_to_read(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the positions of rows that tell which values repeat, one of the copies of a row.

    All copies tell it where no more than one column varies, and those of a row that has many copies
    where most rows have none: atoms that several columns share.
    """
    rows, limit = np.arange(len(X)), max(1000, MAX_VALUES_READ // X.shape[1])
    if np.count_nonzero(~is_constant(X)) > 1:
        _, first, copies = np.unique(groups, return_index=True, return_counts=True)
        is_atom = copies >= max(MIN_ATOM_ROWS, ATOM_SHARE * len(X))
        is_atom &= np.median(copies) == 1
        rows = np.union1d(first, np.flatnonzero(np.isin(groups, groups[first[is_atom]])))
    return rows[:: -(-len(rows) // limit)]


def grid_step(distinct: np.ndarray) -> float:
    """Return the smallest gap of ascending values if all are multiples of it, else zero."""
    with np.errstate(over="ignore"):  # see `check_scales_are_finite`
        gaps = np.diff(distinct)
    if not np.isfinite(gaps).all():
        return 0.0
    gaps = gaps[gaps > SAME_VALUE * (distinct[-1] - distinct[0])]
    multiples = gaps / gaps.min()
    is_multiple = np.abs(multiples - np.rint(multiples)) < GRID_TOLERANCE
    return float(gaps.min()) if is_multiple.mean() >= GRID_SHARE else 0.0
