"""An epoch's batches, and the exemplars that each batch's rows see.

Three sources of both: random batches with exemplars drawn (here), random batches with each row's
nearest exemplars (`candidates`), and batches of neighbours (`neighborhoods`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from .leave_one_out import draw_others


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
    """

    def __init__(self, n_rows: int, n_exemplars: int, device: torch.device) -> None:
        self.n_rows, self.n_exemplars, self.device = n_rows, n_exemplars, device

    def start_epoch(
        self, encode: Callable[[], torch.Tensor], n_batches: int, generator: torch.Generator
    ) -> list[torch.Tensor]:
        """Batches of row numbers; the rows' codes, which ``encode`` would give, do not matter."""
        self.generator = generator
        return random_batches(self.n_rows, n_batches, generator, self.device)

    def of_batch(self, batch: torch.Tensor) -> BatchExemplars:
        """What the rows ``batch`` (n,) see, all of which counts."""
        others = draw_others(batch, self.n_rows, self.n_exemplars, self.generator)
        return BatchExemplars(torch.cat([batch, others]), absent=None, log_totals=None)


def random_batches(n_rows: int, n_batches: int, generator, device) -> list[torch.Tensor]:
    """Rows in random order, in batches of one size, to a row.

    A last batch of three would be a draw of two exemplars.
    """
    order = torch.randperm(n_rows, generator=generator).to(device)
    return list(order.tensor_split(n_batches))
