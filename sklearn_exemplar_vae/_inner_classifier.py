"""What `AugmentedClassifier` has to know of the classifier inside it."""

from __future__ import annotations

from inspect import signature

from sklearn.base import is_classifier


def check_classifier(estimator) -> None:
    """Raise a ValueError if it is none, or holds out rows whose partners it is trained on."""
    if not is_classifier(estimator):
        raise ValueError(f"estimator must be a classifier, got {estimator!r}.")
    parameters = estimator.get_params()
    for name, value in parameters.items():
        part, _, own_name = name.rpartition("__")  # of a pipeline, say; a density may hold rows out
        if not is_classifier(parameters.get(part, estimator)):
            continue
        stops_by_flag = own_name == "early_stopping" and value is True
        # Where there is no such flag beside it, the number is the switch.
        flag = name.removesuffix(own_name) + "early_stopping"
        is_switch = own_name == "n_iter_no_change" and flag not in parameters
        harmless = False if stops_by_flag else None
        if stops_by_flag or (is_switch and value is not None):
            raise ValueError(
                f"{type(estimator).__name__} has {name}={value!r}: it would stop by rows whose "
                f"synthetic partners it is trained on. Use {own_name}={harmless}."
            )


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
