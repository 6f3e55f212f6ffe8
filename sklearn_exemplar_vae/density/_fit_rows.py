"""The rows of a fit: checked, weighted, and divided into rows to train on and rows that judge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

# The rows that choose where training starts hold at most this many floats, 256 MiB in double
# precision; and there are at most this many, whose distances from a hundred of them are as much.
INITIALIZATION_FLOATS = 2**25
INITIALIZATION_ROWS = 2**18
# Weights below this share of the largest would be zero in single precision.
NEGLIGIBLE_WEIGHT = 1e-30


class Split(NamedTuple):
    """Rows to train on, and the rows that judge it."""

    trained: np.ndarray  # boolean (N,)
    judges: np.ndarray  # (n,), positions in random order, of no two copies
    weights: np.ndarray  # (n,), of the judges and their copies together


class FitRows(NamedTuple):
    """The rows of a fit, as every step of it takes them."""

    X: np.ndarray  # (n, D), rows of positive weight; what is in a file stays there
    weights: np.ndarray  # (n,), positive
    groups: np.ndarray  # (n,), int64, equal for copies, which are no exemplars of each other
    split: np.ndarray | None  # int64 (n,), the division that a row judges; None if none does
    in_file: bool  # whether X stays in a file

    @property
    def relative_weights(self) -> np.ndarray:
        """Weights of mean one, so that a step size means the same for all scales of weights."""
        return self.weights / self.weights.mean()

    @property
    def trained_weights(self) -> np.ndarray:
        """Weights that are zero for rows held out; in folds every row is trained on in the end."""
        if self.split is None or self.n_splits > 1:
            return self.weights
        return np.where(self.split == 0, 0.0, self.weights)

    @property
    def n_splits(self) -> int:
        """How many times rows are divided into those to train on and those that judge."""
        return 0 if self.split is None else int(self.split.max()) + 1

    def splits(self, generator: torch.Generator) -> list[Split]:
        """Return the divisions; the first rows of a judge's choose the bandwidth."""
        splits = []
        for number in range(self.n_splits):
            held_out = np.flatnonzero(self.split == number)
            _, first, group_of_row = np.unique(
                self.groups[held_out], return_index=True, return_inverse=True
            )
            weights = np.bincount(group_of_row, weights=self.relative_weights[held_out])
            order = torch.randperm(len(first), generator=generator).numpy()
            splits.append(Split(self.split != number, held_out[first][order], weights[order]))
        return splits

    def trained_on(self, split: Split) -> FitRows:
        """Return the rows that a fold's model is trained on."""
        rows = (part[split.trained] for part in (self.X, self.weights, self.groups, self.split))
        return FitRows(*rows, self.in_file)


def rows_with_weight(weights: np.ndarray) -> np.ndarray:
    """Return the indices of rows whose ``weights`` (n,) are not negligible.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    kept = np.flatnonzero(weights > NEGLIGIBLE_WEIGHT * weights.max())
    if len(kept) < 2:
        raise ValueError(
            f"sample_weight must be positive, and above {NEGLIGIBLE_WEIGHT} of the "
            "largest, for at least two rows; it is for one."
        )
    return kept


def rows_to_initialize_from(X: np.ndarray, generator: torch.Generator) -> np.ndarray | slice:
    """Return which rows choose where training starts: all, or as many as can be afforded."""
    n_rows = min(INITIALIZATION_ROWS, max(1000, INITIALIZATION_FLOATS // X.shape[1]))
    if n_rows >= len(X):
        return slice(None)
    return np.sort(torch.randperm(len(X), generator=generator)[:n_rows].numpy())
