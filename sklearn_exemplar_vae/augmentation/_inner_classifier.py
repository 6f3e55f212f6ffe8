"""What `AugmentedClassifier` has to know of the classifier inside it."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature

import numpy as np
from sklearn.base import is_classifier


def check_classifier(estimator) -> None:
    """Raise a ValueError for no classifier, or one that would hold out partners' exemplars."""
    if not is_classifier(estimator):
        raise ValueError(f"estimator must be a classifier, got {estimator!r}.")
    parameters = dict(stopping_parameters(estimator))
    for name, value in parameters.items():
        own_name = name.rpartition("__")[2]
        # Where there is no flag beside it, the number is the switch.
        flag = name.removesuffix(own_name) + "early_stopping"
        if name == flag:
            is_on, harmless = isinstance(value, (bool, np.bool_)) and value, False
        else:
            is_on, harmless = flag not in parameters and value is not None, None
        if is_on:
            raise ValueError(
                f"{type(estimator).__name__} has {name}={value!r}: it would stop by rows whose "
                f"synthetic partners it is trained on. Use {own_name}={harmless}."
            )


def stopping_parameters(estimator) -> Iterator[tuple[str, object]]:
    """Yield names and values of the parameters that make a classifier hold rows out."""
    parameters = estimator.get_params()
    for name, value in parameters.items():
        part, _, own_name = name.rpartition("__")
        if own_name not in ("early_stopping", "n_iter_no_change"):
            continue
        if is_classifier(parameters.get(part, estimator)):  # a density may hold rows out
            yield name, value


def without_holding_out(estimator):
    """Switch early stopping off where it was left to the classifier; return ``estimator``."""
    for name, value in stopping_parameters(estimator):
        if isinstance(value, str):
            estimator.set_params(**{name: False})
    return estimator


def fit_method(classifier) -> str:
    """Return the name of the method that gets rows: ``partial_fit`` if it can be called."""
    is_balanced = any(
        name.rpartition("__")[2] == "class_weight" and isinstance(value, str)
        for name, value in classifier.get_params().items()
    )
    in_passes = hasattr(classifier, "partial_fit") and not is_balanced
    return "partial_fit" if in_passes else "fit"


def takes_weights(classifier) -> bool:
    """Return whether that method takes ``sample_weight``."""
    return "sample_weight" in signature(getattr(classifier, fit_method(classifier))).parameters
