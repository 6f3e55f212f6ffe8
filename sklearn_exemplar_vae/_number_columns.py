"""The columns of a table that hold numbers: what a density learns of it and may redraw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data


def is_frame(X) -> bool:
    """Whether X is a pandas DataFrame, without importing pandas."""
    return hasattr(X, "iloc") and hasattr(X, "dtypes")


def check_table(estimator, X, reset: bool):
    """X as it came if a DataFrame, else as an array of numbers; its width and names checked."""
    if not is_frame(X):
        return validate_data(estimator, X, dtype="numeric", reset=reset)
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    if len(X) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}).")
    return X


class NumberColumns(NamedTuple):
    """Where the numbers are, and what values those without fractions had.

    Columns of integers are rounded after a redraw and kept in the range they had; columns of
    booleans, categories and strings are no numbers and stay what they are in the exemplar.
    """

    positions: np.ndarray  # (k,), of the columns of X
    is_integer: np.ndarray  # boolean (k,)
    low: np.ndarray  # (k,)
    high: np.ndarray  # (k,)

    @classmethod
    def of(cls, X) -> NumberColumns:
        """Those of X, an array or DataFrame of at least one row.

        Raises
        ------
        ValueError
            If there are none.
        """
        if is_frame(X):
            kinds = [dtype.kind for dtype in X.dtypes]
        else:
            kinds = [X.dtype.kind] * X.shape[1]
        positions = np.flatnonzero([kind in "iuf" for kind in kinds])
        if len(positions) == 0:
            raise ValueError(
                "X has no column of numbers, so there is nothing to learn a density of."
            )
        is_integer = np.array([kinds[position] != "f" for position in positions])
        numbers = cls(positions, is_integer, None, None).take(X)
        return cls(positions, is_integer, numbers.min(0), numbers.max(0))

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
        # In one order of memory: another would round differently, and training widens that.
        return check_array(X, dtype="numeric", order="C", input_name="X")

    def put(self, X, rows: np.ndarray, numbers: np.ndarray):
        """A copy of X in whose ``rows`` these columns are ``numbers`` (len(rows), k)."""
        numbers = np.where(self.is_integer, np.rint(numbers), numbers)
        numbers = np.where(self.is_integer, np.clip(numbers, self.low, self.high), numbers)
        if not is_frame(X):
            X = X.copy()
            X[rows] = numbers.astype(X.dtype)
            return X
        X = X.copy()
        for position, values in zip(self.positions, numbers.T, strict=True):
            column = X.iloc[:, position]
            filled = np.array(column.to_numpy())  # in its own dtype: large integers stay exact
            filled[rows] = values
            filled = type(column)(filled, index=column.index, name=column.name)
            X.isetitem(position, filled.astype(column.dtype))
        return X
