"""The bandwidth for all exemplars, where training saw some of them at a step."""

from __future__ import annotations

import math

import torch

from ..importance.proposals import Exemplars
from ..initialization.bandwidth import best_bandwidth
from ..scoring import encode
from .leave_one_out import own_exemplars
from .rows import TrainingRows

# Rows that choose a bandwidth: its likelihood is flat, more would not move it.
MAX_BANDWIDTH_ROWS = 250
# Distances from them to exemplars, kept for the search: 2^26 are 256 MiB, thrice on their way.
MAX_BANDWIDTH_DISTANCES = 2**26


def max_bandwidth_rows(n_exemplars: int) -> int:
    """Return how many rows choose a bandwidth."""
    return min(MAX_BANDWIDTH_ROWS, MAX_BANDWIDTH_DISTANCES // n_exemplars + 1)


def exemplars_of(model, data: TrainingRows) -> Exemplars:
    """Return the training rows as exemplars."""
    return Exemplars(encode(model, data.rows), data.weights.log())


@torch.no_grad()
def refit_bandwidth(model, exemplars: Exemplars, rows, weights, seed: int, excluded=None) -> None:
    """Set the bandwidth, learned with M exemplars at a step, to the best for all of them.

    It is the best for ``rows`` as training sees them: drawn, where training draws rows.
    """
    if not model.prior.needs_exemplars:
        return
    n_rows = max_bandwidth_rows(len(exemplars.codes))
    rows, weights = rows[:n_rows], weights[:n_rows]
    codes = model.draw_codes(rows, seed)
    model.prior.log_bandwidth.fill_(
        math.log(best_bandwidth(codes, weights, exemplars, model.prior, excluded))
    )


def refit_bandwidth_without_held_out_rows(model, data: TrainingRows, seed: int) -> None:
    """Refit the bandwidth by training rows, each without itself and its copies."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(data.rows), generator=generator)
    chosen = chosen[: max_bandwidth_rows(len(data.rows))].to(data.rows.device)
    excluded = own_exemplars(data.groups[chosen], data.groups)
    chosen, excluded = chosen[~excluded.all(1)], excluded[~excluded.all(1)]
    if len(chosen) == 0:  # all rows are copies of one
        return
    rows, weights = data.rows[chosen], data.weights[chosen]
    refit_bandwidth(model, exemplars_of(model, data), rows, weights, seed, excluded)
