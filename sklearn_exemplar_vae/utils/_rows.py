"""Rows on their way into a model: read in parts, from memory or a file, by one process or many."""

from __future__ import annotations

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.utils import gen_batches
from sklearn.utils.parallel import Parallel, delayed

from .._sklearn_compat import check_sample_weight

FLOAT_DTYPES = (np.float64, np.float32)
# Rows that are scaled, moved to the device and back at a time.
ROWS_AT_A_TIME = 8192


def is_stored(X) -> bool:
    """Return whether X stays in a file: a `numpy.memmap`, unless joblib made it of an array.

    A copy of a memmap has its class too, but no mode.
    """
    if not isinstance(X, np.memmap) or X.mode is None:
        return False
    return "joblib_memmapping_folder" not in str(X.filename)


def input_dtypes(X):
    """Return what `validate_data` converts X to: floats; what is in a file stays as it is there."""
    return "numeric" if is_stored(X) else FLOAT_DTYPES


def float_dtype(X: np.ndarray) -> np.dtype:
    """Return the dtype of arithmetic on X: single precision where that holds all its values."""
    return np.dtype(np.float32 if np.can_cast(X.dtype, np.float32) else np.float64)


def torch_dtype(dtype) -> torch.dtype:
    """Return torch's name of a float dtype."""
    return torch.float32 if dtype == np.float32 else torch.float64


def check_weights(sample_weight, X) -> np.ndarray:
    """Return the weights (n,), float64.

    Raises
    ------
    ValueError
        If one is negative or all are zero.
    """
    weights = check_sample_weight(sample_weight, X, dtype=np.float64)
    if np.any(weights < 0):
        raise ValueError(
            f"sample_weight must not be negative, got a smallest value of {weights.min()}."
        )
    if not np.any(weights > 0):
        raise ValueError("sample_weight is zero for every row, so there is no exemplar.")
    return weights


def over_rows(function, X: np.ndarray) -> list:
    """Return ``function`` of parts of X, in order.

    `joblib.parallel_config` says how many processes, on how many machines, share the work; without
    it this one does it all.
    """
    size = min(ROWS_AT_A_TIME, -(-len(X) // effective_n_jobs(None)))
    return Parallel()(delayed(function)(X[part]) for part in gen_batches(len(X), size))


def over_draws(function, n_samples: int, generator: torch.Generator) -> list:
    """Return ``function(size, seed)`` of parts of the draws; the same for any number of jobs."""
    sizes = [part.stop - part.start for part in gen_batches(n_samples, ROWS_AT_A_TIME)]
    seeds = torch.randint(2**31 - 1, (len(sizes),), generator=generator, device=generator.device)
    pairs = zip(sizes, seeds.tolist(), strict=True)
    return Parallel()(delayed(function)(size, seed) for size, seed in pairs)


def column_means(X: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted means of columns, (D,), read a part of the rows at a time."""
    sums = sum(weights[part] @ X[part] for part in gen_batches(len(X), ROWS_AT_A_TIME))
    return sums / weights.sum()
