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
# Samples that judge a gain over the floor, as many as `score_samples` takes by default: a gain that
# those do not show is none to the user. Rows share their noise, whose error no number of rows
# brings down; it is known from repeating all with other noise.
JUDGING_SAMPLES = 32
JUDGING_REPEATS = 5


class Stopping(NamedTuple):
    """When held-out rows end the training."""

    rows: torch.Tensor  # (n, D), none a copy of a training row or of another, in random order
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
    best_mean, since_best = -math.inf, 0
    converged = stopping is None or schedule.n_epochs == 0
    bounds, validation_scores = [], []
    if stopping is not None and floor is not None:
        best_mean = held_out_mean(start, exemplars_of(start, data), stopping)
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
            mean = held_out_mean(candidate, exemplars, stopping)
            if not math.isfinite(mean):
                _diverged(epoch.number, best)
                converged = True
                break
            bounds.append(epoch.bound)
            validation_scores.append(mean)
            report(epoch.number, epoch.bound, mean)
            if best is None or mean > best_mean + stopping.tolerance:
                best, best_mean, since_best = candidate, mean, 0
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
            best_mean = held_out_mean(best, exemplars_of(best, data), stopping)
    if stopping is not None and floor is not None:
        if best is not start and not surely_better(best, start, data, stopping):
            best, best_mean = start, validation_scores[0]
        if floor is not start and not surely_better(best, floor, data, stopping):
            best, best_mean = floor, held_out_mean(floor, exemplars_of(floor, data), stopping)
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


def held_out_scores(
    model, exemplars: Exemplars, stopping: Stopping, n_samples: int, seed: int
) -> torch.Tensor:
    """Log-density (n,) of the held-out rows with the training rows as exemplars."""
    noise = importance_noise(n_samples, model.n_noise, seed)
    return current_workers().agree(log_density(model, stopping.rows, exemplars, noise))


def held_out_mean(model, exemplars: Exemplars, stopping: Stopping) -> float:
    """The mean of `held_out_scores` that epochs are ranked by."""
    scores = held_out_scores(model, exemplars, stopping, VALIDATION_SAMPLES, stopping.seed)
    return ((scores * stopping.weights).sum() / stopping.weights.sum()).item()


def surely_better(model, floor, data: TrainingRows, stopping: Stopping) -> bool:
    """Whether the held-out log-density of ``model`` is above that of ``floor``, and not by chance.

    Of two exact densities one comparison is enough.
    """
    n_repeats = JUDGING_REPEATS if model.n_noise or floor.n_noise else 1

    def scores(model) -> torch.Tensor:
        exemplars = exemplars_of(model, data)
        seeds = range(stopping.seed + 1, stopping.seed + 1 + n_repeats)
        return torch.stack(
            [held_out_scores(model, exemplars, stopping, JUDGING_SAMPLES, seed) for seed in seeds]
        )

    return is_sure(scores(model) - scores(floor), stopping.weights)


def is_sure(gains: torch.Tensor, weights: torch.Tensor) -> bool:
    """Whether the mean of ``gains`` (R, n) is `STANDARD_ERRORS` of its own above zero.

    Rows err independently; what is common to the rows of a repeat errs with it.
    """
    shares = weights / weights.sum()
    repeat_means = gains @ shares
    mean = repeat_means.mean()
    correction = 1 - (shares**2).sum()  # (n - 1) / n for equal weights
    variance = ((shares * (gains.mean(0) - mean)) ** 2).sum() / correction
    if len(gains) > 1:
        variance = variance + repeat_means.var() / len(gains)
    return bool(mean > STANDARD_ERRORS * variance.sqrt())


def _diverged(epoch: int, best) -> None:
    reason = (
        f"Training diverged in epoch {epoch}: the loss is no longer finite. A lower "
        "learning_rate_init, or clipping extreme values, may help."
    )
    if best is None:
        raise FloatingPointError(reason)
    warnings.warn(f"{reason} The best weights before that are kept.", stacklevel=3)
