"""From parameters and rows to what the engine is told: small decisions, one function each."""

from __future__ import annotations

import math
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import gen_batches

from ..engine.likelihoods import N_LEVELS
from ..engine.networks.convolutional import REDUCTION
from ..engine.training.loop import Retrieved
from ..utils._rows import ROWS_AT_A_TIME

# Up to this many rows all the others are a row's exemplars at every step.
EXACT_PRIOR_ROWS = 500
# Beyond this many rows batches are made of neighbors in the end, by default: a random batch then
# says too little of a row's nearest. With fewer rows the draw keeps a model from memorizing (chosen
# on wine and power-plant; see "Why the defaults are what they are" in benchmarks/LOG.md).
MAX_ROWS_IN_RANDOM_BATCHES = 20_000
# The share of the epochs before batches are made of neighbors: at a high learning rate batches of
# similar rows teach badly (chosen on MNIST; see benchmarks/LOG.md).
NEIGHBORS_FROM = 0.7
# The share of the epochs before exemplars are retrieved: epochs with retrieval cost more.
RETRIEVAL_FROM = 0.9
# Held-out rows scored at every epoch, at most: more would slow the epoch, not sharpen the choice.
# Each is scored by all exemplars, so with millions of them fewer rows have to do.
MAX_VALIDATION_ROWS = 2_000
MAX_VALIDATION_PAIRS = 5 * 10**7
FEWEST_OF_MILLIONS = 500
# A gain shown on fewer held-out rows is shown by chance too often.
MIN_VALIDATION_ROWS = 10
# Up to this many rows that are no copies of each other, folds judge: a tenth of them takes luck for
# gain (measured on KEEL's small tables; see benchmarks/LOG.md).
MAX_ROWS_IN_FOLDS = 400
N_FOLDS = 5
DEFAULT_BATCH_SIZE = 250
# A network that starts from nothing needs thousands of steps; with few rows these are many epochs
# of small batches (chosen on MNIST and scikit-learn's digits; see benchmarks/LOG.md).
STEPS_FROM_NOTHING, FEWEST_ROWS_A_STEP = 50, 25
# The weight decay of a network that starts from nothing (chosen on 10 000 rows of MNIST; see
# benchmarks/LOG.md). A network that starts from a density estimate has less need of it: its last
# layers start at zero, and held-out rows stop it.
WEIGHT_DECAY = 0.1
DEFAULT_MAX_COMPONENTS = 40


def check_layer_sizes(hidden_layer_sizes) -> tuple[int, ...]:
    """Return the sizes as a tuple; raise a ValueError unless they are positive integers."""
    sizes = tuple(np.atleast_1d(hidden_layer_sizes).tolist())
    if not sizes or not all(isinstance(size, Integral) and size > 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be one or more positive integers, got {hidden_layer_sizes!r}."
        )
    return sizes


def check_image_shape(
    image_shape, architecture: str, n_features: int
) -> tuple[int, int, int] | None:
    """Return channels, height and width of a row; None for a network that does not ask.

    Raises
    ------
    ValueError
        If they are not three positive integers, or do not suit the columns or the network.
    """
    if architecture != "conv":
        return None
    if image_shape is None:
        raise ValueError(
            "architecture='conv' needs image_shape=(channels, height, width), got None."
        )
    shape = tuple(np.atleast_1d(image_shape).tolist())
    if len(shape) != 3 or not all(isinstance(n, Integral) and n > 0 for n in shape):
        raise ValueError(
            f"image_shape must be three positive integers, channels, height and width, got "
            f"{image_shape!r}."
        )
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} has {math.prod(shape)} values, but X has {n_features} "
            "columns."
        )
    if shape[1] % REDUCTION or shape[2] % REDUCTION:
        raise ValueError(
            f"image_shape={image_shape!r} must have a height and a width divisible by {REDUCTION}."
        )
    return shape


def choose_n_components(
    n_components: int | None, n_rows: int, n_features: int, has_kernel: bool
) -> int:
    """Return the columns of a code; raise a ValueError where principal components would run out.

    Training starts from them where it starts from a density estimate (``has_kernel``).
    """
    if n_components is None:
        if n_features <= DEFAULT_MAX_COMPONENTS:
            return n_features
        return min(DEFAULT_MAX_COMPONENTS, max(1, n_rows // 2))
    if has_kernel and n_components > n_features:
        raise ValueError(
            f"n_components={n_components} must be at most n_features={n_features} for continuous "
            "data, where training starts from principal components."
        )
    return n_components


def choose_batch_size(batch_size: int | str, n_rows: int, has_kernel: bool) -> int:
    """Return the rows of a step; fewer where training does not start from a density estimate."""
    if batch_size != "auto":
        return batch_size
    if has_kernel:
        return DEFAULT_BATCH_SIZE
    return min(DEFAULT_BATCH_SIZE, max(FEWEST_ROWS_A_STEP, n_rows // STEPS_FROM_NOTHING))


def holds_only_zeros_and_ones(X: np.ndarray) -> bool:
    """Return whether X is binary; a constant X is not, it says nothing of its kind."""
    parts = gen_batches(len(X), ROWS_AT_A_TIME)
    return all(np.isin(X[part], (0, 1)).all() for part in parts) and X.min() < X.max()


def check_unit_interval(X: np.ndarray) -> None:
    """Raise a ValueError if a value could not be the probability of a one."""
    if X.min() < 0 or X.max() > 1:
        raise ValueError(
            "likelihood='bernoulli' needs values in [0, 1], got values from "
            f"{X.min()} to {X.max()}."
        )


def check_gray_levels(X: np.ndarray) -> None:
    """Raise a ValueError if a value is not one of the levels."""
    for part in gen_batches(len(X), ROWS_AT_A_TIME):
        rows = X[part]
        wrong = rows[(rows < 0) | (rows >= N_LEVELS) | (rows != np.round(rows))]
        if len(wrong):
            raise ValueError(
                f"likelihood='logistic' needs integers from 0 to {N_LEVELS - 1}, got {wrong[0]}."
            )


def held_out_rows(
    groups: np.ndarray, fraction: float, generator: torch.Generator
) -> np.ndarray | None:
    """Return a mask (n,) of the rows to hold out, copies of a row together; None if too few.

    It is a ``fraction`` of the rows, within `MIN_VALIDATION_ROWS` and `MAX_VALIDATION_ROWS` rows
    that are no copies of each other: copies tell nothing new. To have the fewest, up to half of all
    rows may be held out.
    """
    n_rows = len(groups)
    affordable = max(MAX_VALIDATION_PAIRS // n_rows, FEWEST_OF_MILLIONS)
    wanted = max(MIN_VALIDATION_ROWS, math.ceil(fraction * n_rows))
    wanted = min(wanted, n_rows - MIN_VALIDATION_ROWS)
    _, group_of_row, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = torch.randperm(len(counts), generator=generator).numpy()
    order = order[counts[order] <= wanted]
    n_taken = max(MIN_VALIDATION_ROWS, np.count_nonzero(counts[order].cumsum() <= wanted))
    taken = order[: min(n_taken, MAX_VALIDATION_ROWS, affordable)]
    is_too_much = counts[taken].sum() > max(wanted, n_rows // 2)
    if len(taken) < MIN_VALIDATION_ROWS or is_too_much or len(counts) - len(taken) < 2:
        return None
    return np.isin(group_of_row, taken)


def fold_of_rows(groups: np.ndarray, generator: torch.Generator) -> np.ndarray | None:
    """Return the numbers (n,) of the folds that rows judge, copies together.

    None if there are too few rows, or too many for folds.
    """
    _, group_of_row = np.unique(groups, return_inverse=True)
    n_groups = group_of_row.max() + 1
    if not 2 * MIN_VALIDATION_ROWS <= n_groups <= MAX_ROWS_IN_FOLDS:
        return None
    order = torch.randperm(n_groups, generator=generator).numpy()
    return (order % N_FOLDS)[group_of_row]


class ExemplarPlan(NamedTuple):
    """Which exemplars a row sees in training; see `Schedule`."""

    batch_size: int
    n_exemplars: int
    in_batch: bool
    neighbors_from: float
    retrieved: Retrieved | None


def plan_exemplars(
    n_rows: int,
    batch_size: int,
    n_exemplars: int | str | None,
    n_neighbors: int | str | None,
    retrieval: str,
) -> ExemplarPlan:
    """Return the plan for parameters and a number of training rows.

    Raises
    ------
    ValueError
        If more neighbors are asked for than exemplars.
    """
    is_few = isinstance(n_exemplars, Integral) and isinstance(n_neighbors, Integral)
    if is_few and n_neighbors > n_exemplars:
        raise ValueError(
            f"n_neighbors={n_neighbors} must be at most n_exemplars={n_exemplars}, among which the "
            "neighbors are."
        )
    batch_size = min(batch_size, n_rows)
    if n_exemplars == "auto":
        n_exemplars = None if n_rows <= EXACT_PRIOR_ROWS else "batch"
    in_batch = n_exemplars == "batch"
    if in_batch:
        n_seen = n_rows // math.ceil(n_rows / max(1, batch_size)) - 1
    else:
        n_seen = n_rows - 1 if n_exemplars is None else min(n_exemplars, n_rows - 1)
        batch_size = min(batch_size, n_seen + 1)
    retrieved, neighbors_from = None, 1.0
    if n_neighbors == "auto" and in_batch and n_rows > MAX_ROWS_IN_RANDOM_BATCHES:
        neighbors_from = NEIGHBORS_FROM
    elif isinstance(n_neighbors, Integral):
        neighbors_from = RETRIEVAL_FROM if in_batch else 0.0
        retrieved = Retrieved(n_rows // 2 if in_batch else n_seen, n_neighbors, retrieval)
    return ExemplarPlan(batch_size, n_seen, in_batch, neighbors_from, retrieved)
