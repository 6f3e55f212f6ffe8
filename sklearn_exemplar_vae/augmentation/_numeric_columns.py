"""The columns of a table that hold numbers: what a density learns of it and may redraw."""

from __future__ import annotations

from numbers import Number
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data


def is_frame(X) -> bool:
    """Whether X is a pandas DataFrame, without importing pandas."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def check_table(estimator, X, reset: bool):
    """X as it came if a DataFrame, else as an array of numbers; its width and names checked."""
    if not is_frame(X):
        X = validate_data(estimator, X, dtype="numeric", reset=reset)
        return as_numbers(X) if X.dtype.kind == "O" else X
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    if len(X) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}).")
    return X


class NumericColumns(NamedTuple):
    """Where the numbers are, and what values those without fractions had.

    Columns of integers are rounded after a redraw and kept in the range they had; columns of
    booleans, categories and strings are no numbers and stay what they are in the exemplar.
    """

    positions: np.ndarray  # (k,), of the columns of X
    ranges: list[tuple | None]  # of each the least and largest integer, None where it has fractions

    @classmethod
    def of(cls, X) -> NumericColumns:
        """Those of X, an array or DataFrame of at least one row.

        Raises
        ------
        ValueError
            If there are none, or a column is of complex numbers or of numbers as objects.
        """
        if is_frame(X):
            check_no_number_is_hidden(X)
            kinds = [dtype.kind for dtype in X.dtypes]
        else:
            kinds = [X.dtype.kind] * X.shape[1]
        positions = np.flatnonzero([kind in "iuf" for kind in kinds])
        if len(positions) == 0:
            raise ValueError(
                "X has no column of numbers, which booleans, categories and strings are not, so "
                "there is nothing to learn a density of."
            )
        cls(positions, []).take(X)  # raises where a value is missing
        ranges = []
        for position in positions:
            column = X.iloc[:, position] if is_frame(X) else X[:, position]
            is_integer = kinds[position] != "f"
            ranges.append((int(column.min()), int(column.max())) if is_integer else None)
        return cls(positions, ranges)

    @property
    def are_integers(self) -> bool:
        return None not in self.ranges

    def take(self, X) -> np.ndarray:
        """These columns of X, (n, k).

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
        """``numbers`` (n, k) in a DataFrame with these columns' names where X is one."""
        return type(X)(numbers, columns=X.columns[self.positions]) if is_frame(X) else numbers

    def put(self, X, rows: np.ndarray, numbers: np.ndarray):
        """X, whose ``rows`` now have ``numbers`` (len(rows), k) in these columns."""
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
                dtype = getattr(column.dtype, "subtype", column.dtype)  # of sparse integers
                dtype = getattr(dtype, "numpy_dtype", dtype)  # of nullable ones
                values = rounded(values, *limits, dtype)
            filled[rows] = values
            filled = type(column)(filled, index=column.index, name=column.name)
            X.isetitem(position, filled.astype(column.dtype))
        return X


def as_numbers(X: np.ndarray) -> np.ndarray:
    """Objects that scikit-learn left as such: of polars, or a list with None, or large integers.

    Raises
    ------
    ValueError
        If they are no numbers, or some are missing.
    """
    try:
        X = X.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"X holds what is no number: {error}. Tables other than pandas' become arrays of "
            "numbers: encode such columns, or pass a pandas DataFrame."
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
    """The nearest integers of ``dtype`` in [low, high], which a float may be unable to name."""
    top = float(high)
    if top > high:  # and maybe above all that the dtype holds
        top = np.nextafter(top, 0)
    integers = np.clip(np.rint(values), low, top).astype(dtype)
    return np.clip(integers, dtype.type(low), dtype.type(high))
