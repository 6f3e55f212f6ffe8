"""Which exemplars a row may see in training: not itself, nor an exact copy of itself."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def duplicate_groups(rows: np.ndarray) -> np.ndarray:
    """Return for every row the index of the first row equal to it, (n,).

    Rows are told apart by a 128-bit digest, so that memory stays at tens of bytes a row.
    """
    digests = np.empty((len(rows), 2), dtype=np.uint64)
    for index, row in enumerate(rows):
        row = np.ascontiguousarray(row) + row.dtype.type(0)  # -0.0 becomes 0.0, which it equals
        digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        digests[index] = np.frombuffer(digest, dtype=np.uint64)
    order = np.lexsort(digests.T)  # stable: the first of equal rows stays first
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = (digests[order[1:]] != digests[order[:-1]]).any(1)
    groups = np.empty(len(rows), dtype=np.int64)
    groups[order] = order[is_new][np.cumsum(is_new) - 1]
    return groups


def own_exemplars(row_groups: torch.Tensor, exemplar_groups: torch.Tensor) -> torch.Tensor:
    """Return a mask (n, M) of the exemplars that are the row itself or an exact copy of it."""
    return row_groups[:, None] == exemplar_groups[None, :]


def log_weights_of_others(
    weights: torch.Tensor, groups: torch.Tensor, leave_one_out: bool
) -> torch.Tensor:
    """Return the log sum of ``weights`` (n,) without a row's own and its copies', (n,)."""
    _, groups = torch.unique(groups, return_inverse=True)
    weights = weights.double()
    others = weights.sum()
    if leave_one_out:
        by_group = weights.new_zeros(int(groups.max()) + 1).index_add_(0, groups, weights)
        heaviest = by_group.argmax()
        # A difference would round away the little that is left beside nearly all of the weight.
        without_heaviest = by_group.index_fill(0, heaviest, 0.0).sum()
        others = torch.where(groups == heaviest, without_heaviest, others - by_group[groups])
    others = others.clamp_min(torch.finfo(torch.float32).tiny)
    return others.log().float().expand(len(weights))


def draw_others(
    batch: torch.Tensor, n_rows: int, n_exemplars: int, generator: torch.Generator
) -> torch.Tensor:
    """Return the indices of the exemplars a step draws beyond its own batch.

    A uniform minibatch is itself a uniform draw, so its rows serve as each other's exemplars at no
    cost: every center is encoded anyway and gets its gradient (but gray rows are encoded twice, as
    drawn and as they are). Only what is missing to ``n_exemplars`` others for every row is drawn,
    without replacement, from the rest.

    Parameters
    ----------
    batch : int64 tensor of shape (B,)
        Where B is above ``n_exemplars + 1``, nothing is drawn and a row sees B - 1.
    n_rows : int
    n_exemplars : int, M
        Others a row sees; at most ``n_rows - 1``.
    generator : torch.Generator, on the CPU.
    """
    n_missing = n_exemplars + 1 - len(batch)
    if n_missing <= 0:
        return batch.new_empty(0)
    candidates = torch.ones(n_rows, dtype=torch.bool, device=batch.device)
    candidates[batch] = False
    candidates = candidates.nonzero()[:, 0]
    if n_missing < len(candidates):
        drawn = torch.randperm(len(candidates), generator=generator)[:n_missing]
        candidates = candidates[drawn.to(batch.device)]
    return candidates
