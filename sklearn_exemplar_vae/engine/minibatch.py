"""What a model is told of a training step: rows, and the exemplars each of them sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from .importance.proposals import Exemplars


class LeftOut(NamedTuple):
    """The exemplars that a row does not see, and the divisor of its sum."""

    excluded: torch.Tensor | None  # boolean (n, M)
    log_totals: torch.Tensor | None = None  # (n,), see `log_mixture_density`

    def repeat(self, n_times: int) -> LeftOut:
        """Return the same for rows that stand ``n_times`` each."""
        return LeftOut(
            *(None if part is None else part.repeat_interleave(n_times, 0) for part in self)
        )


class Minibatch(NamedTuple):
    """One process's part of a training step."""

    rows: torch.Tensor  # (m, D), all of them exemplars; its own rows come first
    n_own: int  # rows whose density is asked for
    n_batch: int  # those of all processes together
    log_weights: torch.Tensor  # (M,), of the exemplars of all processes
    left_out: LeftOut  # for the rows of its own
    gather: Callable[[torch.Tensor], torch.Tensor]  # makes of the codes of rows those of all M

    def exemplars(self, codes: torch.Tensor) -> Exemplars:
        """Return all processes' exemplars, given the ``codes`` (m, d) of this one's rows."""
        return Exemplars(self.gather(codes), self.log_weights)
