"""Training that keeps the best weights: held-out rows, divergence, interruption."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

from .bandwidth import best_bandwidth
from .leave_one_out import own_exemplars
from .model import ExemplarModel
from .priors import Exemplars
from .scoring import ImportanceNoise, encode, log_density
from .training import Schedule, TrainingRows, train

# Samples a held-out row is scored with at every epoch: enough to rank epochs by.
VALIDATION_SAMPLES = 10
# Rows that choose a bandwidth: its likelihood is flat, more would not move it.
MAX_BANDWIDTH_ROWS = 500


class Stopping(NamedTuple):
    """When held-out rows end the training."""

    rows: torch.Tensor  # (n, D), none a copy of a training row
    weights: torch.Tensor  # (n,)
    patience: int  # epochs without an improvement
    tolerance: float  # nats a row that count as an improvement
    keep_start: bool  # whether the untrained model is a candidate: it is where it is a KDE
    seed: int


class History(NamedTuple):
    """What happened, epoch by epoch; without held-out rows there are no validation scores."""

    bounds: list[float]
    validation_scores: list[float]
    best_validation_score: float | None
    converged: bool


def fit(
    model: ExemplarModel,
    data: TrainingRows,
    schedule: Schedule,
    stopping: Stopping | None,
    generator: torch.Generator,
    report: Callable[[int, float, float | None], None],
) -> History:
    """Train ``model`` and leave its best weights in it.

    With ``stopping`` the best are those of the highest held-out log-density, and an epoch is better
    only if the mean gain over the best so far is above both the tolerance and its own standard
    error: what training cannot show on the held-out rows is not taken. Without, the best are the
    last that were finite. An interrupted or diverged training ends with the best weights so far.

    Raises
    ------
    FloatingPointError
        If training diverged before there were weights to keep.
    """
    best, best_scores, since_best = None, None, 0
    converged = stopping is None
    bounds, validation_scores = [], []
    if stopping is not None and stopping.keep_start:
        best = copy.deepcopy(model)
        best_scores = held_out_scores(best, exemplars_of(best, data), stopping)
        validation_scores.append(weighted_mean(best_scores, stopping.weights))
    try:
        for epoch in train(model, data, schedule, generator):
            if not math.isfinite(epoch.bound):
                _diverged(epoch.number, best)
                break
            bounds.append(epoch.bound)
            candidate = copy.deepcopy(epoch.model)
            if stopping is None:
                best = candidate
                report(epoch.number, epoch.bound, None)
                continue
            exemplars = exemplars_of(candidate, data)
            if schedule.n_exemplars < len(data.rows) - 1:
                rows, weights = stopping.rows, stopping.weights
                refit_bandwidth(candidate, exemplars, rows, weights, None, stopping.seed)
            scores = held_out_scores(candidate, exemplars, stopping)
            validation_scores.append(weighted_mean(scores, stopping.weights))
            report(epoch.number, epoch.bound, validation_scores[-1])
            if improves(scores, best_scores, stopping):
                best, best_scores, since_best = candidate, scores, 0
                continue
            since_best += 1
            if since_best >= stopping.patience:
                converged = True
                break
    except KeyboardInterrupt:
        if best is None:
            raise
        warnings.warn("Training interrupted by the user; the best weights so far are kept.")
        converged = True
    if best is not None:
        model.load_state_dict(best.state_dict())
    if stopping is None and schedule.n_exemplars < len(data.rows) - 1:
        refit_bandwidth_without_held_out_rows(model, data, generator.initial_seed())
    best_score = None if best_scores is None else weighted_mean(best_scores, stopping.weights)
    return History(bounds, validation_scores, best_score, converged)


def exemplars_of(model: ExemplarModel, data: TrainingRows) -> Exemplars:
    """The training rows as exemplars."""
    return Exemplars(encode(model, data.rows), data.weights.log())


def held_out_scores(model, exemplars: Exemplars, stopping: Stopping) -> torch.Tensor:
    """Log-density (n,) of the held-out rows with the training rows as exemplars."""
    noise = ImportanceNoise(VALIDATION_SAMPLES, exemplars.codes.shape[1], stopping.seed)
    return log_density(model, stopping.rows, exemplars, noise)


@torch.no_grad()
def refit_bandwidth(model, exemplars: Exemplars, rows, weights, excluded, seed: int) -> None:
    """Set the prior's bandwidth, learned with M exemplars at a step, to the best for all of them."""
    if not model.prior.needs_exemplars:
        return
    rows, weights = rows[:MAX_BANDWIDTH_ROWS], weights[:MAX_BANDWIDTH_ROWS]
    mean, log_variance = model.network.encode(rows)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed)).to(mean)
    codes = mean + torch.exp(0.5 * log_variance) * noise
    log_bandwidth = model.prior.log_bandwidth
    best = best_bandwidth(codes, weights, exemplars, log_bandwidth.exp().item(), excluded)
    log_bandwidth.fill_(math.log(best))


def refit_bandwidth_without_held_out_rows(model, data: TrainingRows, seed: int) -> None:
    """`refit_bandwidth` by training rows, each without itself and its copies."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(data.rows), generator=generator)[:MAX_BANDWIDTH_ROWS]
    chosen = chosen.to(data.rows.device)
    excluded = own_exemplars(data.groups[chosen], data.groups)
    chosen, excluded = chosen[~excluded.all(1)], excluded[~excluded.all(1)]
    rows, weights = data.rows[chosen], data.weights[chosen]
    refit_bandwidth(model, exemplars_of(model, data), rows, weights, excluded, seed)


def improves(scores, best_scores, stopping: Stopping) -> bool:
    """Whether ``scores`` beat ``best_scores`` by more than tolerance and chance."""
    if not torch.isfinite(scores).all():
        return False
    if best_scores is None:
        return True
    if len(scores) < 2:
        return False
    gains = scores - best_scores
    shares = stopping.weights / stopping.weights.sum()
    mean = (shares * gains).sum()
    standard_error = ((shares * (gains - mean)) ** 2).sum().sqrt()
    return bool(mean > max(stopping.tolerance, standard_error.item()))


def weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> float:
    return ((values * weights).sum() / weights.sum()).item()


def _diverged(epoch: int, best) -> None:
    reason = (
        f"Training diverged in epoch {epoch}: the loss is no longer finite. A lower "
        "learning_rate_init, or clipping extreme values, may help."
    )
    if best is None:
        raise FloatingPointError(reason)
    warnings.warn(f"{reason} The best weights before that are kept.")
