"""The classes of rows."""

from __future__ import annotations

import numpy as np
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d


def check_labels_are_there(y) -> None:
    """Raise a ValueError if one is missing.

    Scikit-learn's own checks find that of numbers only; sorting strings and None fails obscurely.
    """
    labels = np.asarray(y)
    if y is None or labels.dtype != object:  # without any, scikit-learn has the words
        return
    for row, label in enumerate(labels.ravel()):
        if label is None or is_scalar_nan(label) or is_pandas_na(label):
            raise ValueError(f"Input y contains {label!r} in row {row}; every row needs a class.")


def check_labels(y, warn: bool = False) -> np.ndarray:
    """A label for every row, (n,).

    Raises
    ------
    ValueError
        If y is continuous, has several columns, or lacks labels.
    """
    check_labels_are_there(y)
    check_classification_targets(y)
    return column_or_1d(y, warn=warn)
