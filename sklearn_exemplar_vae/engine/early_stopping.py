"""Training that keeps the best weights: held-out rows, divergence, interruption."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

from .importance import importance_noise
from .model import ExemplarModel
from .priors import Exemplars
from .refit import exemplars_of, refit_bandwidth, refit_bandwidth_without_held_out_rows
from .scoring import log_density
from .training import Schedule, train
from .training_rows import TrainingRows
from .workers import current_workers

# Samples a held-out row is scored with at every epoch: enough to rank epochs by.
VALIDATION_SAMPLES = 16
# By how many of its standard errors a gain over the floor must be above zero. One would not do: the
# epoch compared is the luckiest of many.
STANDARD_ERRORS = 2


class Stopping(NamedTuple):
    """When held-out rows end the training."""

    rows: torch.Tensor  # (n, D), none a copy of a training row, in random order
    weights: torch.Tensor  # (n,)
    patience: int  # epochs without an improvement
    tolerance: float  # nats a row that count as an improvement
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
    floor: ExemplarModel | None,
    generator: torch.Generator,
    report: Callable[[int, float, float | None], None],
) -> tuple[ExemplarModel, History]:
    """Train ``model`` in place; a model of its best weights, and what happened.

    With ``stopping`` the best are those of the highest mean held-out log-density, by at least the
    tolerance over the best before. A density estimate that needs no training, often the untrained
    ``model`` itself, is a ``floor``: it is taken instead, and before it the start, unless the gain
    over it is above `STANDARD_ERRORS` of its own standard errors, because what training cannot show
    on the held-out rows is not taken.
    Without ``stopping`` the best are the last that were finite. An interrupted or diverged training
    ends with the best weights so far, the start's included where there is a floor.

    Raises
    ------
    FloatingPointError
        If training diverged before there were weights to keep.
    """
    workers = current_workers()
    workers.agree_on_model(model)
    start = best = None if floor is None else copy.deepcopy(model)
    if floor is model:
        floor = start
    best_scores, best_mean, since_best = None, -math.inf, 0
    converged = stopping is None or schedule.n_epochs == 0
    bounds, validation_scores = [], []
    if stopping is not None and floor is not None:
        start_scores = best_scores = held_out_scores(start, exemplars_of(start, data), stopping)
        best_mean = weighted_mean(best_scores, stopping.weights)
        validation_scores.append(best_mean)
    try:
        for epoch in train(model, data, schedule, generator):
            candidate = copy.deepcopy(epoch.model)
            sound = math.isfinite(epoch.bound)
            if sound and stopping is None:  # held-out scores would tell
                sound = is_sound(candidate, data, schedule)
            if not sound:
                _diverged(epoch.number, best)
                converged = True
                break
            if stopping is None:
                bounds.append(epoch.bound)
                best = candidate
                report(epoch.number, epoch.bound, None)
                continue
            exemplars = exemplars_of(candidate, data)
            if schedule.n_exemplars < len(data.rows) - 1:
                rows, weights = stopping.rows, stopping.weights
                refit_bandwidth(candidate, exemplars, rows, weights, None, stopping.seed)
            scores = held_out_scores(candidate, exemplars, stopping)
            mean = weighted_mean(scores, stopping.weights)
            if not math.isfinite(mean):
                _diverged(epoch.number, best)
                converged = True
                break
            bounds.append(epoch.bound)
            validation_scores.append(mean)
            report(epoch.number, epoch.bound, mean)
            if best is None or mean > best_mean + stopping.tolerance:
                best, best_scores, best_mean, since_best = candidate, scores, mean, 0
                continue
            since_best += 1
            if since_best >= stopping.patience:
                converged = True
                break
    except KeyboardInterrupt:
        if best is None:
            raise
        warnings.warn(
            "Training interrupted by the user; the best weights so far are kept.", stacklevel=2
        )
        converged = True
    if best is None:  # no epoch, and nothing to fall back on
        best = model
        if stopping is not None:
            best_scores = held_out_scores(best, exemplars_of(best, data), stopping)
            best_mean = weighted_mean(best_scores, stopping.weights)
    if stopping is not None and floor is not None:
        if not surely_better(best_scores, start_scores, stopping.weights):
            best, best_scores, best_mean = start, start_scores, validation_scores[0]
        if floor is not start:
            floor_scores = held_out_scores(floor, exemplars_of(floor, data), stopping)
            if not surely_better(best_scores, floor_scores, stopping.weights):
                best, best_mean = floor, weighted_mean(floor_scores, stopping.weights)
    elif floor is not None and not bounds:
        best = floor
    if stopping is None and bounds and schedule.n_exemplars < len(data.rows) - 1:
        refit_bandwidth_without_held_out_rows(best, data, generator.initial_seed())
    workers.agree_on_model(best)
    best_score = None if stopping is None else best_mean
    return best, History(bounds, validation_scores, best_score, converged)


def is_sound(model: ExemplarModel, data: TrainingRows, schedule: Schedule) -> bool:
    """Whether ``model`` can score training rows: an epoch's bound is of the weights before it."""
    data = TrainingRows(*(tensor[: schedule.batch_size] for tensor in data))
    exemplars = exemplars_of(model, data)
    noise = importance_noise(1, model.n_noise, 0)
    return bool(torch.isfinite(log_density(model, data.rows, exemplars, noise)).all())


def held_out_scores(model, exemplars: Exemplars, stopping: Stopping) -> torch.Tensor:
    """Log-density (n,) of the held-out rows with the training rows as exemplars."""
    noise = importance_noise(VALIDATION_SAMPLES, model.n_noise, stopping.seed)
    return current_workers().agree(log_density(model, stopping.rows, exemplars, noise))


def surely_better(scores, floor_scores, weights) -> bool:
    """Whether the mean gain of ``scores`` over ``floor_scores``, row by row, is above chance."""
    gains = scores - floor_scores
    shares = weights / weights.sum()
    mean = (shares * gains).sum()
    correction = 1 - (shares**2).sum()  # (n - 1) / n for equal weights
    standard_error = (((shares * (gains - mean)) ** 2).sum() / correction).sqrt()
    return bool(mean > STANDARD_ERRORS * standard_error)


def weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> float:
    return ((values * weights).sum() / weights.sum()).item()


def _diverged(epoch: int, best) -> None:
    reason = (
        f"Training diverged in epoch {epoch}: the loss is no longer finite. A lower "
        "learning_rate_init, or clipping extreme values, may help."
    )
    if best is None:
        raise FloatingPointError(reason)
    warnings.warn(f"{reason} The best weights before that are kept.", stacklevel=3)
