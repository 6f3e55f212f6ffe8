"""The columns of a table that hold numbers: what a density learns of it and may redraw."""

from __future__ import annotations

from numbers import Number
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data


def is_frame(X) -> bool:
    """Return whether X is a pandas DataFrame, without importing pandas."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def check_table(estimator, X, reset: bool):
    """Return X as it came if a DataFrame, else as an array of numbers; check width and names."""
    if not is_frame(X):
        X = validate_data(estimator, X, dtype="numeric", reset=reset)
        return as_numbers(X) if X.dtype.kind == "O" else X
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    if len(X) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}).")
    return X


class NumericColumns(NamedTuple):
    """The positions of the numbers in a table, and the ranges of those that are integers.

    Columns of integers are rounded after a redraw and kept in their range; columns of booleans,
    categories and strings are no numbers and keep the exemplar's value.
    """

    positions: np.ndarray  # (k,), of the columns of X
    ranges: list[tuple | None]  # the least and largest integer; None for a column of floats

    @classmethod
    def of(cls, X) -> NumericColumns:
        """Return those of X, an array or DataFrame of at least one row.

        Raises
        ------
        ValueError
            If there are none, or a column is of complex numbers or of numbers as objects.
        """
        if is_frame(X):
            check_no_number_is_hidden(X)
        kinds = column_kinds(X)
        positions = np.flatnonzero([kind in "iuf" for kind in kinds])
        if len(positions) == 0:
            raise ValueError(
                "X has no column of numbers, which booleans, categories and strings are not, so "
                "there is nothing to learn a density of."
            )
        cls(positions, []).take(X)  # raises where a value is missing
        ranges = [
            None if kinds[position] == "f" else range_of(column_of(X, position))
            for position in positions
        ]
        return cls(positions, ranges)

    def widened(self, X, rows: np.ndarray) -> NumericColumns:
        """Return these columns for another table, in ranges that its ``rows`` are in too.

        Raises
        ------
        ValueError
            If a column has changed between integers, floats and what is neither.
        """
        kinds, ranges = column_kinds(X), []
        for position, limits in zip(self.positions, self.ranges, strict=True):
            wanted = "f" if limits is None else "iu"
            column = column_of(X, position)
            if kinds[position] not in wanted:
                name = X.columns[position] if is_frame(X) else int(position)
                raise ValueError(
                    f"X has dtype {column.dtype} in column {name!r}, in which fit had "
                    f"{'floats' if limits is None else 'integers'}. Convert it with astype."
                )
            if limits is not None:
                low, high = range_of(column.iloc[rows] if is_frame(X) else column[rows])
                limits = min(low, limits[0]), max(high, limits[1])
            ranges.append(limits)
        return self._replace(ranges=ranges)

    @property
    def are_integers(self) -> bool:
        """Whether all columns are integers."""
        return None not in self.ranges

    def take(self, X) -> np.ndarray:
        """Return these columns of X, (n, k).

        Raises
        ------
        ValueError
            If a value is missing or infinite.
        """
        if is_frame(X):
            X = X.iloc[:, self.positions]
            is_single = all(dtype == np.float32 for dtype in X.dtypes)
            X = X.to_numpy(np.float32 if is_single else np.float64, na_value=np.nan)
        return check_array(X, dtype="numeric", input_name="X")

    def named(self, numbers: np.ndarray, X):
        """Return ``numbers`` (n, k), in a DataFrame with these columns' names if X is one."""
        return type(X)(numbers, columns=X.columns[self.positions]) if is_frame(X) else numbers

    def put(self, X, rows: np.ndarray, numbers: np.ndarray):
        """Write ``numbers`` (len(rows), k) into these columns of the ``rows`` of X; return X."""
        if not is_frame(X) and X.dtype.kind == "f":
            X[rows] = numbers
            return X
        for position, limits, values in zip(self.positions, self.ranges, numbers.T, strict=True):
            if not is_frame(X):
                X[rows, position] = rounded(values, *limits, X.dtype)
                continue
            column = X.iloc[:, position]
            filled = np.array(column.to_numpy())  # in its own dtype: large integers stay exact
            if limits is not None:
                dtype = getattr(column.dtype, "subtype", column.dtype)  # sparse integers
                dtype = getattr(dtype, "numpy_dtype", dtype)  # nullable ones
                values = rounded(values, *limits, dtype)
            filled[rows] = values
            filled = type(column)(filled, index=column.index, name=column.name)
            X.isetitem(position, filled.astype(column.dtype))
        return X


def column_kinds(X) -> list[str]:
    """Return the kind of the dtype of every column."""
    return [dtype.kind for dtype in X.dtypes] if is_frame(X) else [X.dtype.kind] * X.shape[1]


def column_of(X, position: int):
    """Return a column of X: an array, or a Series."""
    return X.iloc[:, position] if is_frame(X) else X[:, position]


def range_of(column) -> tuple[int, int]:
    """Return the least and largest integer of a column."""
    return int(column.min()), int(column.max())


def as_numbers(X: np.ndarray) -> np.ndarray:
    """Return numbers that scikit-learn left as objects: from polars, None, or large integers.

    Raises
    ------
    ValueError
        If they are no numbers, or some are missing.
    """
    try:
        X = X.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"X has a value that is no number: {error}. Tables other than pandas' become arrays "
            "of numbers: encode the column, or pass a pandas DataFrame."
        ) from error
    return check_array(X, input_name="X")


def check_no_number_is_hidden(X) -> None:
    """Raise a ValueError if a column of the DataFrame X holds numbers that would be overlooked."""
    for position, (name, dtype) in enumerate(X.dtypes.items()):
        if dtype.kind == "c":
            raise ValueError(f"Complex data not supported: X has it in column {name!r}.")
        if dtype.kind != "O" or hasattr(dtype, "categories"):
            continue
        values = X.iloc[:, position].dropna()
        if len(values) and all(
            isinstance(value, Number) and not isinstance(value, bool) for value in values
        ):
            raise ValueError(
                f"Column {name!r} of X holds numbers as objects. Convert it, by astype(float), or "
                "to a category if it is to stay as it is."
            )


def rounded(values: np.ndarray, low: int, high: int, dtype) -> np.ndarray:
    """Return the nearest integers of ``dtype`` in [low, high], ends that a float may not hold."""
    top = float(high)
    if top > high:  # and maybe above all that the dtype holds
        top = np.nextafter(top, 0)
    integers = np.clip(np.rint(values), low, top).astype(dtype)
    return np.clip(integers, dtype.type(low), dtype.type(high))
