"""Retrieval augmented training: the exemplars a batch needs, from one retrieval for all rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..retrieval import ExactRetrieval, build_retrieval
from ..workers import current_workers
from .batches import BatchExemplars, random_batches
from .leave_one_out import log_weights_of_others
from .rows import TrainingRows

# Candidates fetched for each one that should remain: copies of the row, and rows that the draw of M
# exemplars leaves out, are dropped.
OVER_FETCH = 1.5
# Neighbors are fetched anew once codes have moved, on average, by this share of the distance to
# their furthest candidate. Stale ones loosen the bound and never break it.
MAX_DRIFT = 0.1


class Candidates:
    """Every row's nearest eligible exemplars, kept from epoch to epoch (unless they are few).

    The sum over M exemplars keeps those that some row of the batch has among its k nearest, and its
    denominator stays M: terms are dropped, so that the bound stays one (Norouzi et al. 2020,
    section 3.2). All that the batch retrieves is encoded anew, with gradient, and each of its rows
    sums over all of it, which ranks again what was retrieved with older codes.

    Parameters
    ----------
    data : TrainingRows
    n_exemplars : int, M
        Drawn anew for every epoch.
    n_neighbors : int, k
    retrieval : {"auto", "exact", "pynndescent"}
        How nearest rows are found; few exemplars are searched exactly.
    leave_one_out : bool
        Whether a row's own copies are no exemplars of it.
    """

    def __init__(
        self,
        data: TrainingRows,
        n_exemplars: int,
        n_neighbors: int,
        retrieval: str,
        leave_one_out: bool,
    ) -> None:
        self.weights, self.groups, self.leave_one_out = data.weights, data.groups, leave_one_out
        self.n_exemplars, self.n_neighbors, self.retrieval = n_exemplars, n_neighbors, retrieval
        self.workers = current_workers()
        self.nearest = self.codes = None
        self.batch_of_row = torch.zeros(
            len(data.rows), dtype=torch.int32, device=data.weights.device
        )
        self.n_batches = 0

    def growth(self, progress: float) -> int:
        """Return how many first batches make one: retrieval already gives a row many exemplars."""
        return 1

    def start_epoch(
        self, encode: Callable[[], torch.Tensor], n_batches: int, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """Draw exemplars and batches; retrieve anew if the codes (n, d) of ``encode`` moved.

        Where the exemplars are few, finding the nearest of them anew at every epoch takes less.
        """
        codes = encode()
        n_rows = len(codes)
        n_drawn = min(n_rows, self.n_exemplars + 1)  # one more: a row among them leaves itself out
        n_fetched = 1 + math.ceil(OVER_FETCH * self.n_neighbors * n_rows / n_drawn)
        is_of_all = n_fetched <= n_drawn or n_drawn == n_rows
        if is_of_all:
            self._retrieve_if_stale(codes, min(n_rows, n_fetched), generator)
        drawn = torch.randperm(n_rows, generator=generator)[:n_drawn].to(codes.device)
        if not is_of_all:
            n_fetched = min(n_drawn, 1 + math.ceil(OVER_FETCH * self.n_neighbors))
            found = ExactRetrieval(codes[drawn]).query(codes, n_fetched)[1]
            self.nearest = self.workers.broadcast(drawn[found].int())
        self.eligible = torch.zeros(n_rows, dtype=torch.bool, device=codes.device)
        self.eligible[drawn] = True
        weights = torch.where(self.eligible, self.weights, 0.0)
        self.log_totals = log_weights_of_others(weights, self.groups, self.leave_one_out)
        return random_batches(n_rows, n_batches, generator, codes.device)

    def of_batch(self, batch: torch.Tensor) -> BatchExemplars:
        """Return what the rows ``batch`` (n,) see."""
        nearest = self.nearest[batch].long()
        kept = self.eligible[nearest]
        if self.leave_one_out:
            kept &= self.groups[nearest] != self.groups[batch][:, None]
        kept &= kept.cumsum(1) <= self.n_neighbors
        found = nearest[kept].unique()
        self.n_batches += 1
        self.batch_of_row[batch] = self.n_batches
        found = found[self.batch_of_row[found] != self.n_batches]
        seen = torch.cat([batch, found])
        return BatchExemplars(seen, ~self.eligible[seen], self.log_totals[batch])

    def _retrieve_if_stale(self, codes, n_fetched: int, generator) -> None:
        """Find every row's nearest among all, unless those found before will do."""
        is_stale = self.nearest is None or self._drift(codes) > MAX_DRIFT
        if not self.workers.broadcast(torch.tensor(is_stale, device=codes.device)):
            return
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        index = build_retrieval(self.retrieval, codes, n_fetched, seed)
        self.nearest, self.codes = self.workers.broadcast(index.graph(n_fetched).int()), codes
        furthest = codes[self.nearest[:, -1].long()]
        self.reach = torch.linalg.vector_norm(furthest - codes, dim=1).mean()

    def _drift(self, codes) -> float:
        moved = torch.linalg.vector_norm(codes - self.codes, dim=1).mean()
        return (moved / self.reach).item()
