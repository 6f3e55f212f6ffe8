"""What `AugmentedClassifier` has to know of the classifier inside it."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature

import numpy as np
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator


def check_classifier(estimator) -> None:
    """Raise a ValueError if it is none, or holds out rows whose partners it is trained on."""
    if not is_classifier(estimator):
        raise ValueError(f"estimator must be a classifier, got {estimator!r}.")
    parameters = dict(classifier_parameters(estimator))
    for name, value in parameters.items():
        own_name = name.rpartition("__")[2]
        stops_by_flag = own_name == "early_stopping" and isinstance(value, (bool, np.bool_))
        stops_by_flag = stops_by_flag and bool(value)
        # Where there is no such flag beside it, the number is the switch.
        flag = name.removesuffix(own_name) + "early_stopping"
        is_switch = own_name == "n_iter_no_change" and flag not in parameters
        harmless = False if stops_by_flag else None
        if stops_by_flag or (is_switch and value is not None):
            raise ValueError(
                f"{type(estimator).__name__} has {name}={value!r}: it would stop by rows whose "
                f"synthetic partners it is trained on. Use {own_name}={harmless}."
            )


def classifier_parameters(estimator) -> Iterator[tuple[str, object]]:
    """Names and values of its parameters and its parts', but for those of parts that are no
    classifiers, such as a density, which may hold rows out, or that are frozen.
    """
    parameters = estimator.get_params()
    for name, value in parameters.items():
        parts = name.split("__")[:-1]
        owners = [estimator]
        owners += [parameters.get("__".join(parts[: n + 1])) for n in range(len(parts))]
        is_frozen = any(isinstance(owner, FrozenEstimator) for owner in owners)
        if is_classifier(owners[-1]) and not is_frozen:
            yield name, value


def without_holding_out(estimator):
    """``estimator`` with early stopping switched off where it was left to the classifier."""
    for name, value in classifier_parameters(estimator):
        if name.rpartition("__")[2] == "early_stopping" and isinstance(value, str):
            estimator.set_params(**{name: False})
    return estimator


def fit_method(classifier) -> str:
    """The method that is given rows: the one that can be given them anew at every pass, if any."""
    is_balanced = any(
        name.rpartition("__")[2] == "class_weight" and isinstance(value, str)
        for name, value in classifier.get_params().items()
    )
    in_passes = hasattr(classifier, "partial_fit") and not is_balanced
    return "partial_fit" if in_passes else "fit"


def takes_weights(classifier) -> bool:
    return "sample_weight" in signature(getattr(classifier, fit_method(classifier))).parameters
