"""Training that keeps the best weights: held-out rows, divergence, interruption."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

from ..importance.estimate import ImportanceSampling
from ..scoring import log_density
from ..workers import current_workers
from .loop import Schedule, train
from .refit import exemplars_of, refit_bandwidth, refit_bandwidth_without_held_out_rows
from .rows import TrainingRows

# Samples a held-out row is scored with at every epoch: enough to rank epochs by.
VALIDATION_SAMPLES = 16
# A gain over the baseline must be this many of its standard errors above zero. One would not do:
# the epoch compared is the luckiest of many.
STANDARD_ERRORS = 2
# Samples that judge a gain over the baseline, as many as `score_samples` takes by default: a gain
# that those do not show is none to the user. Rows share their noise, whose error no number of rows
# brings down; it is known from repeating all with other noise.
JUDGING_SAMPLES = 32
JUDGING_REPEATS = 5


class Initialization(NamedTuple):
    """The model that training starts from, and the density to beat."""

    model: torch.nn.Module  # untrained, or the one to train on; changed in place
    baseline: torch.nn.Module | None  # needs no training, and is kept unless it is beaten


class Fitted(NamedTuple):
    """What a training ends with."""

    model: torch.nn.Module
    history: History
    held_out: torch.Tensor | None  # (n,), scores of the rows that judge, by training rows alone


class Stopping(NamedTuple):
    """The held-out rows, and when they end the training."""

    rows: torch.Tensor  # (n, D), none a copy of a training row or of another, in random order
    weights: torch.Tensor  # (n,)
    patience: int  # epochs without an improvement
    tolerance: float  # nats a row that count as an improvement
    seed: int


class History(NamedTuple):
    """The course of a training; without held-out rows there are no validation scores."""

    bounds: list[float]
    validation_scores: list[float]
    best_validation_score: float | None
    converged: bool


def fit(
    initial: Initialization,
    data: TrainingRows,
    schedule: Schedule,
    stopping: Stopping | None,
    generator: torch.Generator,
    report: Callable[[int, float, float | None], None],
) -> Fitted:
    """Train the model of ``initial`` in place; return a model of its best weights, and a history.

    With ``stopping`` the best weights have the highest mean held-out log-density, by at least the
    tolerance over the best before. The start, if it is a baseline, and another baseline are kept
    unless the gain over them is above `STANDARD_ERRORS` of its own standard errors: what training
    cannot show on held-out rows is not taken. Without ``stopping`` the best weights are the last
    that were finite. An interrupted or diverged training ends with the best weights so far, the
    start's included where there is a baseline.

    Raises
    ------
    FloatingPointError
        If training diverged before there were weights to keep.
    """
    model, baseline = initial
    workers = current_workers()
    workers.broadcast_model(model)
    start = best = None if baseline is None else copy.deepcopy(model)
    if baseline is model:
        baseline = start
    best_mean, since_best = -math.inf, 0
    converged = stopping is None or schedule.n_epochs == 0
    bounds, validation_scores = [], []
    sees_all = schedule.n_exemplars >= len(data.rows) - 1
    if stopping is not None and baseline is not None:
        best_mean = held_out_mean(start, data, stopping)
        validation_scores.append(best_mean)
    try:
        for epoch in train(model, data, schedule, generator):
            mean, sound = None, math.isfinite(epoch.bound)
            if sound and stopping is None:  # held-out scores would tell
                candidate = copy.deepcopy(epoch.model)
                sound = is_sound(candidate, data, schedule)
            elif sound:
                candidate = settled(epoch.model, data, schedule, stopping)
                mean = held_out_mean(candidate, data, stopping)
                sound = math.isfinite(mean)
            if not sound:
                _warn_of_divergence(epoch.number, best)
                converged = True
                break
            bounds.append(epoch.bound)
            if stopping is None:
                best = candidate
                report(epoch.number, epoch.bound, None)
                continue
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
            best_mean = held_out_mean(best, data, stopping)
    if stopping is not None and baseline is not None:
        if best is not start and not is_surely_better(best, start, data, stopping):
            best, best_mean = start, validation_scores[0]
        if baseline is not start and not is_surely_better(best, baseline, data, stopping):
            best = baseline
            best_mean = held_out_mean(baseline, data, stopping)
    if stopping is None and bounds and not sees_all:
        refit_bandwidth_without_held_out_rows(best, data, generator.initial_seed())
    workers.broadcast_model(best)
    if stopping is None:
        return Fitted(best, History(bounds, validation_scores, None, converged), None)
    sampling = ImportanceSampling(JUDGING_SAMPLES, stopping.seed)
    held_out = held_out_scores(best, data, stopping, sampling)
    return Fitted(best, History(bounds, validation_scores, best_mean, converged), held_out)


def settled(model, data: TrainingRows, schedule: Schedule, stopping: Stopping):
    """Return a copy of a model in training, of the bandwidth that is best for all exemplars."""
    model = copy.deepcopy(model)
    if schedule.n_exemplars < len(data.rows) - 1:
        exemplars = exemplars_of(model, data)
        refit_bandwidth(model, exemplars, stopping.rows, stopping.weights, stopping.seed)
    return model


def is_sound(model, data: TrainingRows, schedule: Schedule) -> bool:
    """Return whether ``model`` can score training rows: a bound is of the weights before it."""
    data = TrainingRows(*(tensor[: schedule.batch_size] for tensor in data))
    scores = log_density(model, data.rows, exemplars_of(model, data), ImportanceSampling(1, 0))
    return bool(torch.isfinite(scores).all())


def held_out_scores(
    model, data: TrainingRows, stopping: Stopping, sampling: ImportanceSampling
) -> torch.Tensor:
    """Return the log-density (n,) of the held-out rows, the training rows being exemplars."""
    exemplars = exemplars_of(model, data)
    return current_workers().broadcast(log_density(model, stopping.rows, exemplars, sampling))


def held_out_mean(model, data: TrainingRows, stopping: Stopping) -> float:
    """Return the mean of `held_out_scores` that epochs are ranked by."""
    sampling = ImportanceSampling(VALIDATION_SAMPLES, stopping.seed)
    return weighted_mean(held_out_scores(model, data, stopping, sampling), stopping.weights)


def weighted_mean(scores: torch.Tensor, weights: torch.Tensor) -> float:
    """Return the mean of ``scores`` (n,)."""
    return ((scores * weights).sum() / weights.sum()).item()


def is_surely_better(model, baseline, data: TrainingRows, stopping: Stopping) -> bool:
    """Return whether ``model`` scores held-out rows higher than ``baseline``, not by chance."""
    gains = judging_scores(model, data, stopping) - judging_scores(baseline, data, stopping)
    return is_surely_positive(gains, stopping.weights)


def judging_scores(model, data: TrainingRows, stopping: Stopping) -> torch.Tensor:
    """Return scores (R, n) of the held-out rows: exact ones once, estimates several times."""
    n_repeats = 1 if model.is_exact else JUDGING_REPEATS
    samplings = [
        ImportanceSampling(JUDGING_SAMPLES, stopping.seed + 1 + repeat)
        for repeat in range(n_repeats)
    ]
    return torch.stack([held_out_scores(model, data, stopping, s) for s in samplings])


def is_surely_positive(gains: torch.Tensor, weights: torch.Tensor) -> bool:
    """Return whether the mean of ``gains`` (R, n) is `STANDARD_ERRORS` of its own above zero.

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


def _warn_of_divergence(epoch: int, best) -> None:
    """Warn that training diverged, or raise where no weights are left to keep."""
    reason = (
        f"Training diverged in epoch {epoch}: the loss is no longer finite. A lower "
        "learning_rate_init, or clipping extreme values, may help."
    )
    if best is None:
        raise FloatingPointError(reason)
    warnings.warn(f"{reason} The best weights before that are kept.", stacklevel=3)
