"""Minibatches of neighbors: a row's nearest exemplars cost little where they are in its batch.

Hardly a member of a random minibatch is near another, and a prior over it is a poor stand-in for
the one over all rows: the bandwidth learned is too wide, and codes are pulled towards what is far
from them. A batch of small neighborhoods of codes contains the exemplars that matter to a row, at
the price of a random batch. On top comes one more encoding of all rows an epoch, to know who is
near whom.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..workers import current_workers
from .batches import BatchExemplars
from .leave_one_out import log_weights_of_others
from .rows import TrainingRows

# Codes of a neighborhood, at most: with more, a batch of a thousand rows has too few neighborhoods
# to be like the data.
MAX_NEIGHBORS = 125
# Neighborhoods of a batch, at least.
MIN_NEIGHBORHOODS = 4
# Rounds of 2-means that choose where a set of codes is cut: it need not be the best place.
N_ROUNDS = 2
# How many first batches make one: a batch of neighborhoods takes more rows to be like the data.
NEIGHBORHOODS_GROWTH = 2


class Neighborhoods:
    """Batches that put neighbors together, drawn anew for every epoch.

    A row's sum is over its batch, and its denominator the weight of all the other rows: terms are
    dropped, so that the bound on its log-density stays one.

    Parameters
    ----------
    data : TrainingRows
    leave_one_out : bool
        Whether a row's own copies are no exemplars of it.
    """

    def __init__(self, data: TrainingRows, leave_one_out: bool) -> None:
        self.log_totals = log_weights_of_others(data.weights, data.groups, leave_one_out)

    def growth(self, progress: float) -> int:
        """Return how many first batches make one."""
        return NEIGHBORHOODS_GROWTH

    def start_epoch(
        self, encode: Callable[[], torch.Tensor], n_batches: int, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """Return batches of row numbers, from the codes (n, d) that ``encode`` gives."""
        codes = encode()
        size = len(codes) // n_batches // MIN_NEIGHBORHOODS
        cells = split_into_neighborhoods(codes, min(max(2, size), MAX_NEIGHBORS), generator)
        order = torch.randperm(len(cells), generator=generator).tolist()
        # Batches of one size, to a row, though that cuts a neighborhood here and there.
        return list(torch.cat([cells[i] for i in order]).tensor_split(n_batches))

    def of_batch(self, batch: torch.Tensor) -> BatchExemplars:
        """Return what the rows ``batch`` (n,) see: each other."""
        return BatchExemplars(batch, absent=None, log_totals=self.log_totals[batch])


def split_into_neighborhoods(
    codes: torch.Tensor, size: int, generator: torch.Generator
) -> list[torch.Tensor]:
    """Return indices of neighboring ``codes`` (n, d), in 2^k nearly equal sets up to ``size``.

    A set is cut into halves across the line between two means of it, and each half again: log2(n)
    passes over the codes, all sets of a pass at once. To halve evenly some codes stand twice in a
    set until the end.
    """
    n_codes = len(codes)
    n_cuts = max(0, math.ceil(math.log2(n_codes / size)))
    order = torch.randperm(n_codes, generator=generator).to(codes.device)
    order = torch.cat([order, order[: -n_codes % 2**n_cuts]])
    places = torch.arange(len(order), device=codes.device)[None]
    for _ in range(n_cuts):
        ranks = projections(codes[order[places]], generator).argsort(1)
        places = places.gather(1, ranks).view(2 * len(places), -1)
    places = current_workers().broadcast(places.contiguous())
    return [order[cell[cell < n_codes]] for cell in places]


def projections(sets: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the codes (c, m, d) of c sets along the line between two means of each, (c, m)."""
    pair = torch.randperm(sets.shape[1], generator=generator)[:2]
    direction = sets[:, pair[0]] - sets[:, pair[1]]
    for round_ in range(N_ROUNDS + 1):
        projected = (sets @ direction[:, :, None])[:, :, 0]
        if round_ == N_ROUNDS:
            return projected
        signs = torch.where(projected > projected.median(1, keepdim=True).values, 1.0, -1.0)
        direction = (signs.to(sets)[:, None] @ sets)[:, 0]
