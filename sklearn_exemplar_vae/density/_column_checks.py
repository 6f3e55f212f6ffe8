"""Checks of columns: bounds and integers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import gen_batches

from ..utils._rows import ROWS_AT_A_TIME

# Beyond it a double has fewer than 256 values in a unit, to spread an integer over.
LARGEST_INTEGER = 2.0**44


def check_bounds(
    bounds, names: np.ndarray | None, n_features: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper bounds of columns, (D,) each, infinite where there is none.

    Raises
    ------
    ValueError
        If they are not pairs, one a column, or given by position or name.
    """
    if bounds is None:
        bounds = {}
    if isinstance(bounds, Mapping):
        columns = column_positions(bounds, names, n_features, "bounds")
        pairs = dict(zip(columns, bounds.values(), strict=True))
    else:
        if hasattr(bounds, "iloc"):  # whose index may be in another order than the columns of X
            raise ValueError(
                f"bounds must be a list of pairs (low, high) or a dict, got a "
                f"{type(bounds).__name__}."
            )
        if isinstance(bounds, np.ndarray) and bounds.ndim == 0:
            raise ValueError(f"bounds must be pairs (low, high), got {bounds!r}.")
        if len(bounds) != n_features:
            raise ValueError(
                f"bounds must have a pair for each of the {n_features} columns, or be a dict of "
                f"some, got {len(bounds)} of them."
            )
        pairs = dict(enumerate(bounds))
    low, high = np.full(n_features, -math.inf), np.full(n_features, math.inf)
    for column, pair in pairs.items():
        if pair is None:
            continue
        if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
            raise ValueError(f"bounds must be pairs (low, high), got {pair!r}.")
        if not all(end is None or isinstance(end, Real) for end in pair):
            raise ValueError(f"bounds must be numbers or None, got {pair!r}.")
        low[column] = -math.inf if pair[0] is None else pair[0]
        high[column] = math.inf if pair[1] is None else pair[1]
        if not low[column] < high[column]:
            raise ValueError(f"bounds must be pairs (low, high) with low < high, got {pair!r}.")
    return low, high


def check_integer_columns(integer_columns, names, n_features: int) -> np.ndarray:
    """Return a mask (D,) from positions, names or a mask, or raise a ValueError."""
    chosen = np.zeros(n_features, dtype=bool)
    if integer_columns is None:
        return chosen
    given = list(np.atleast_1d(np.asarray(integer_columns, dtype=object)))
    if given and all(isinstance(value, (bool, np.bool_)) for value in given):
        if len(given) != n_features:
            raise ValueError(
                f"integer_columns as a mask must have {n_features} values, got {len(given)}."
            )
        return np.array(given, dtype=bool)
    chosen[column_positions(given, names, n_features, "integer_columns")] = True
    return chosen


def column_positions(keys, names, n_features: int, parameter: str) -> list[int]:
    """Return the positions of columns given by position or name, each once."""
    columns = [column_position(key, names, n_features, parameter) for key in keys]
    for key, column in zip(keys, columns, strict=True):
        if columns.count(column) > 1:
            raise ValueError(f"{parameter} gives {key!r} more than once: {list(keys)!r}.")
    return columns


def check_integer_bounds(low, high, is_integer: np.ndarray, names) -> None:
    """Raise a ValueError unless the bounds of integer columns are integers."""
    for column in np.flatnonzero(is_integer):
        for end in (low[column], high[column]):
            if np.isfinite(end) and end != np.rint(end):
                raise ValueError(
                    f"bounds of {column_name(column, names)} must be integers, as its values are, "
                    f"got {end:g}."
                )


def column_position(key, names: np.ndarray | None, n_features: int, parameter: str) -> int:
    """Return the position of a column given by position or name."""
    if isinstance(key, str):
        found = [] if names is None else np.flatnonzero(names == key)
        if len(found) == 0:
            raise ValueError(f"{parameter} names the column {key!r}, which X does not have.")
        return int(found[0])
    if not isinstance(key, Integral) or isinstance(key, bool) or not 0 <= key < n_features:
        raise ValueError(
            f"{parameter} must give columns by name or by position from 0 to {n_features - 1}, "
            f"got {key!r}."
        )
    return int(key)


def points_of_unit(n_points: int, n_columns: int) -> np.ndarray:
    """Return points (n_points, n_columns) spread evenly over the unit around zero.

    They are Sobol points, for one column and a power of two the midpoints of equal parts.
    """
    points = torch.quasirandom.SobolEngine(n_columns).draw(n_points, dtype=torch.float64).numpy()
    return points + 0.5 / n_points - 0.5


def check_integers(X: np.ndarray, is_integer: np.ndarray, names) -> None:
    """Raise a ValueError, which names the column, if one that should be integer is not.

    Or if it is so large that a double has too few values between it and the next.
    """
    for column in np.flatnonzero(is_integer):
        values = X[:, column]
        largest = np.abs(values).max()
        if largest > LARGEST_INTEGER:
            raise ValueError(
                f"integer_columns has {column_name(column, names)}, in which X has {largest:g}: "
                f"integers may be at most {LARGEST_INTEGER:g}. Leave the column out of "
                "integer_columns."
            )
        wrong = values[values != np.rint(values)]
        if len(wrong):
            raise ValueError(
                f"integer_columns has {column_name(column, names)}, in which X has {wrong[0]}."
            )


def check_inside(X, low: np.ndarray, high: np.ndarray, is_integer: np.ndarray, names) -> None:
    """Raise a ValueError, which names the column, unless all values are strictly inside.

    The bounds of an integer column are half a unit beyond those that its values may have.
    """
    for part in gen_batches(len(X), ROWS_AT_A_TIME):
        is_outside = (X[part] <= low) | (X[part] >= high)
        if is_outside.any():
            row, column = np.argwhere(is_outside)[0]
            inside = f"strictly inside its bounds ({low[column]:g}, {high[column]:g})"
            if is_integer[column]:
                inside = f"within its bounds [{low[column] + 0.5:g}, {high[column] - 0.5:g}]"
            raise ValueError(
                f"X must be {inside} in {column_name(column, names)}, got {X[part][row, column]}."
            )


def is_constant(X: np.ndarray) -> np.ndarray:
    """Return which columns have one value, boolean (D,), read a part of the rows at a time."""
    constant = np.ones(X.shape[1], dtype=bool)
    for part in gen_batches(len(X), ROWS_AT_A_TIME):
        constant &= (np.asarray(X[part]) == X[0]).all(0)
    return constant


def check_scales_are_finite(scale: np.ndarray, names) -> None:
    """Raise a ValueError, which names the column, if a standard deviation (D,) is not."""
    overflows = np.flatnonzero(~np.isfinite(scale))
    if len(overflows):
        raise ValueError(
            f"X is so large in {column_name(overflows[0], names)} that the variance overflows; "
            "scale the column down."
        )


def column_name(column: int, names) -> str:
    """Return how an error names a column."""
    return f"column {column}" if names is None else f"column {names[column]!r}"
