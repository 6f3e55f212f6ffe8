"""How many rows a class gets: imbalanced-learn's ``sampling_strategy``, in its words."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

STRATEGIES = ("minority", "not minority", "not majority", "all", "auto")


def rows_to_add(sampling_strategy, labels: np.ndarray) -> dict:
    """Return the number of new rows of each class that grows, classes in order.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable
        A name evens out the classes it names. A float, for two classes, is the minority's size
        over the majority's. A dict holds sizes by class; a callable makes one of the labels.
    labels : ndarray of shape (n,)

    Raises
    ------
    ValueError
        If there is one class, or the strategy asks for what over-sampling cannot do.
    """
    classes, counts = np.unique(labels, return_counts=True)
    sizes = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    if len(sizes) < 2:
        raise ValueError(
            f"The target 'y' needs to have more than 1 class. Got {len(sizes)} class instead."
        )
    rarest, *_, largest = sorted(sizes, key=sizes.get)
    if callable(sampling_strategy):
        sampling_strategy = sampling_strategy(labels)
        if not isinstance(sampling_strategy, dict):
            raise ValueError(
                "A callable sampling_strategy must return a dict of sizes by class, got "
                f"{sampling_strategy!r}."
            )
    if isinstance(sampling_strategy, dict):
        return _by_sizes(sampling_strategy, sizes)
    if isinstance(sampling_strategy, Real):
        if len(sizes) > 2:
            raise ValueError(
                f"sampling_strategy={sampling_strategy} is a float, which is for two classes, but "
                f"y has {len(sizes)}. Use a dict."
            )
        added = int(sampling_strategy * sizes[largest]) - sizes[rarest]
        if added <= 0:
            raise ValueError(
                f"sampling_strategy={sampling_strategy} adds no row to class {rarest!r}, which has "
                f"{sizes[rarest]} beside {sizes[largest]} of {largest!r}. Use a larger ratio."
            )
        return {rarest: added}
    chosen = {
        "minority": [rarest],
        "not minority": [label for label in sizes if label != rarest],
        "not majority": [label for label in sizes if label != largest],
        "auto": [label for label in sizes if label != largest],
        "all": list(sizes),
    }[sampling_strategy]
    return {label: sizes[largest] - sizes[label] for label in chosen}


def _by_sizes(wanted: dict, sizes: dict) -> dict:
    """Return the rows to add to reach the sizes ``wanted`` from the present ``sizes``."""
    unknown = [label for label in wanted if label not in sizes]
    if unknown:
        raise ValueError(f"sampling_strategy names classes that y does not have: {unknown}.")
    for label, size in wanted.items():
        if not isinstance(size, Integral):
            raise ValueError(
                f"sampling_strategy must hold whole numbers of rows, got {size!r} for class "
                f"{label!r}."
            )
        if size < sizes[label]:
            raise ValueError(
                f"sampling_strategy asks for {size} rows of class {label!r}, which has "
                f"{sizes[label]}: over-sampling only adds rows."
            )
    return {label: wanted[label] - sizes[label] for label in sorted(wanted)}
