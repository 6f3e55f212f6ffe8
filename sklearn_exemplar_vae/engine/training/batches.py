"""An epoch's batches, and the exemplars that each batch's rows see.

There are three sources of both: random batches with exemplars drawn (here), random batches with
each row's nearest exemplars (`candidates`), and batches of neighbors (`neighborhoods`). Each
answers three questions: ``growth``, how many first batches make one; ``start_epoch``, the batches;
``of_batch``, what their rows see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from .leave_one_out import draw_others

# (share of the epochs, batch size in first batch sizes) where the exemplars are the minibatch. Few
# suffice while the codes take shape and teach too wide a bandwidth in the end; by then the learning
# rate is low enough for fewer, larger steps, which cost what the smaller ones did.
BATCH_GROWTH = ((0.0, 1), (0.6, 2), (0.85, 4))


class BatchExemplars(NamedTuple):
    """The exemplars of a batch's rows; the batch itself comes first."""

    seen: torch.Tensor  # (m,), rows to encode
    absent: torch.Tensor | None  # (m,), boolean: in the batch and not among the exemplars
    log_totals: torch.Tensor | None  # (n,), log-weight of all exemplars of a row, seen or not


class RandomExemplars:
    """Random batches; a row's exemplars are its batch, and what that lacks to M others, drawn.

    Parameters
    ----------
    n_rows : int
    n_exemplars : int, M
    device : torch.device of the rows
    grows : bool
        Whether the exemplars are the minibatch, which then grows along the way.
    """

    def __init__(
        self, n_rows: int, n_exemplars: int, device: torch.device, grows: bool = False
    ) -> None:
        self.n_rows, self.n_exemplars = n_rows, n_exemplars
        self.device, self.grows = device, grows

    def growth(self, progress: float) -> int:
        """Return how many first batches make one at ``progress``."""
        if not self.grows:
            return 1
        return max(factor for share, factor in BATCH_GROWTH if progress >= share)

    def start_epoch(
        self, encode: Callable[[], torch.Tensor], n_batches: int, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """Return batches of row numbers, whatever the codes that ``encode`` would give."""
        self.generator = generator
        return random_batches(self.n_rows, n_batches, generator, self.device)

    def of_batch(self, batch: torch.Tensor) -> BatchExemplars:
        """Return what the rows ``batch`` (n,) see, all of which counts."""
        others = draw_others(batch, self.n_rows, self.n_exemplars, self.generator)
        return BatchExemplars(torch.cat([batch, others]), absent=None, log_totals=None)


def random_batches(n_rows: int, n_batches: int, generator, device) -> list[torch.Tensor]:
    """Return rows in random order, in batches of one size, to a row.

    A last batch of three would be a draw of two exemplars.
    """
    order = torch.randperm(n_rows, generator=generator).to(device)
    return list(order.tensor_split(n_batches))
