"""The background of a density, fitted to its rows; see `engine.mixture` for what it is."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils import gen_batches

from ..engine.components import (
    BinaryFrequencies,
    BoundedTail,
    Component,
    Independent,
    LevelFrequencies,
    StudentTail,
)
from ..engine.initialization.covariance import fit_covariance
from ..engine.initialization.left_out import student_tail
from ..engine.likelihoods import N_LEVELS
from ..utils._rows import ROWS_AT_A_TIME, column_means
from ._bounds import line_to_distance
from ._scaling import ColumnScaling

# Values that a tail's covariance is estimated from, at most, and rows a column at least.
MAX_TAIL_VALUES, MIN_ROWS_A_COLUMN = 2**20, 4
# Beyond this many columns the covariance is a diagonal: it would be large and slow to invert.
MAX_COLUMNS = 1000


def background_share(background: float | str, n_distinct: int) -> float:
    """Return the share of the background: by the rule of succession, unless it is given."""
    return 1 / (n_distinct + 1) if background == "auto" else float(background)


def tail_rows(weights: np.ndarray, n_features: int) -> np.ndarray:
    """Return the positions of rows of positive ``weights`` (n,), all or some of many."""
    chosen = np.flatnonzero(weights)
    n_rows = max(MAX_TAIL_VALUES // n_features, MIN_ROWS_A_COLUMN * n_features)
    return chosen[:: -(-len(chosen) // n_rows)]


def fit_student_tail(rows: np.ndarray, weights: np.ndarray) -> StudentTail:
    """Return the tail around scaled ``rows`` (n, D), float64; a constant column has scale one."""
    mean = weights @ rows / weights.sum()
    centered = rows - mean
    mean = torch.from_numpy(mean)
    if rows.shape[1] > MAX_COLUMNS:
        variances = torch.from_numpy(weights @ centered**2 / weights.sum())
        is_constant = variances <= torch.finfo(torch.float32).eps
        return StudentTail(mean, variances.masked_fill(is_constant, 1.0))
    covariance = fit_covariance(torch.from_numpy(centered), torch.from_numpy(weights))
    return student_tail(mean, covariance)


def fit_bounded_tail(rows: np.ndarray, weights: np.ndarray, scaling: ColumnScaling) -> Component:
    """Return the tail around scaled ``rows`` (n, D) of which some columns have bounds.

    These are apart: on the line the others' tail would rise without end towards a bound.
    """
    bounded = np.flatnonzero(scaling.is_bounded)
    mean, scale = scaling.mean[bounded], scaling.scale[bounded]
    side = scaling.has_low[bounded] * 1.0 - scaling.has_high[bounded]
    distances = line_to_distance(side * (rows[:, bounded] * scale + mean))
    spread = weights @ distances / weights.sum()
    tail = BoundedTail(*(torch.from_numpy(part) for part in (mean, scale, side, spread)))
    parts = [(torch.from_numpy(bounded), tail)]
    others = np.flatnonzero(~scaling.is_bounded)
    if len(others):
        parts.append((torch.from_numpy(others), fit_student_tail(rows[:, others], weights)))
    return Independent(parts)


def fit_binary_frequencies(X: np.ndarray, weights: np.ndarray) -> BinaryFrequencies:
    """Return smoothed frequencies of ones, (count + 1/2) / (n + 1), of the columns of X."""
    n_rows = np.count_nonzero(weights)
    counts = n_rows * column_means(X, weights)
    return BinaryFrequencies(torch.from_numpy((counts + 0.5) / (n_rows + 1)))


def fit_level_frequencies(X: np.ndarray, weights: np.ndarray) -> LevelFrequencies:
    """Return smoothed frequencies of levels, (count + 1/2) / (n + N_LEVELS / 2), by column."""
    n_rows, n_features = np.count_nonzero(weights), X.shape[1]
    counts, weights = np.zeros((n_features, N_LEVELS)), n_rows * weights / weights.sum()
    for part in gen_batches(len(X), ROWS_AT_A_TIME):
        levels = np.asarray(X[part]).astype(np.int64)
        columns = np.broadcast_to(np.arange(n_features), levels.shape)
        np.add.at(counts, (columns, levels), weights[part][:, None])
    frequencies = (counts + 0.5) / (n_rows + 0.5 * N_LEVELS)
    return LevelFrequencies(torch.from_numpy(frequencies))
