"""The classes of rows."""

from __future__ import annotations

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d


def check_labels_are_there(y) -> None:
    """Raise a ValueError if one is missing.

    Scikit-learn's own checks find that of numbers only; sorting strings and None fails obscurely.
    """
    if y is None:  # scikit-learn has the words
        return
    # numpy would make strings of the missing ones in a list.
    labels = np.array(y, dtype=object) if isinstance(y, (list, tuple)) else np.asarray(y)
    if labels.dtype != object or labels.size == 0:
        return
    for index, label in np.ndenumerate(labels):
        if is_missing(label):
            raise ValueError(f"Input y contains {label!r} in row {index[0]}: it needs a class.")


def is_missing(label) -> bool:
    """Return whether a label is None, NaN or pandas' NA."""
    try:
        return label is None or bool(label != label)
    except TypeError:  # pandas' NA does not even say whether it is itself
        return True
    except ValueError:  # a row of y, where rows differ in length
        return False


def check_labels(y, warn: bool = False, may_be_one_hot: bool = False) -> np.ndarray:
    """Return a label for every row, (n,).

    Parameters
    ----------
    y : array-like
    warn : bool
        Whether a single column of labels gets a DataConversionWarning.
    may_be_one_hot : bool
        Whether columns of zeros and ones are taken for the classes' encoding.

    Raises
    ------
    ValueError
        If y is continuous, has several columns, lacks labels or has rows of several classes.
    """
    check_labels_are_there(y)
    check_classification_targets(y)
    if not may_be_one_hot or type_of_target(y) != "multilabel-indicator":
        return column_or_1d(y, warn=warn)
    encoded = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
    if np.any(encoded.sum(1) > 1):
        raise ValueError("Multilabel and multioutput targets are not supported.")
    return encoded.argmax(1)
