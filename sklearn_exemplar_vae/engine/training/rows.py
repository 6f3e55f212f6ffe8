"""What a model is trained on: rows in memory, or read from a file as they are asked for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch


class StoredRows:
    """Standardized float32 rows of an array that is larger than memory, such as a `numpy.memmap`.

    Indexing by a slice or by a tensor of row numbers reads those rows and no others; indexing by a
    boolean mask selects rows and reads none.

    Parameters
    ----------
    array : ndarray of shape (N, D), of any real dtype
    transform : callable
        Turns rows as they are stored into what the model takes.
    device : torch.device
    chosen : ndarray of shape (n,) or None
        The rows to keep; None for all.
    """

    def __init__(self, array, transform, device, chosen=None) -> None:
        self.array, self.transform, self.device = array, transform, device
        self.chosen = np.arange(len(array)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: slice | torch.Tensor) -> torch.Tensor | StoredRows:
        is_slice = isinstance(index, slice)
        chosen = self.chosen[index if is_slice else index.cpu().numpy()]
        if not is_slice and index.dtype == torch.bool:
            return StoredRows(self.array, self.transform, self.device, chosen)
        rows = self.transform(self.array[chosen])
        return torch.from_numpy(rows.astype(np.float32)).to(self.device)


class TrainingRows(NamedTuple):
    """Rows, weights and which rows are copies of each other."""

    rows: torch.Tensor | StoredRows  # (n, D), float32
    weights: torch.Tensor  # (n,), positive
    groups: torch.Tensor  # (n,), int64, equal for exact duplicates

    def select(self, mask: torch.Tensor) -> TrainingRows:
        """Return the rows where boolean ``mask`` (n,) holds."""
        return TrainingRows(self.rows[mask], self.weights[mask], self.groups[mask])
