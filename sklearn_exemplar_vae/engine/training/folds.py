"""Training judged by folds: of few rows a tenth held out says too little.

Every fold's model is trained beside the others and scores the rows that it has not seen. The epoch
that is best for all rows is how long the model of all rows is trained, if that is a gain at all.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

from ..importance.estimate import ImportanceSampling
from ..workers import current_workers
from .fit import (
    JUDGING_SAMPLES,
    VALIDATION_SAMPLES,
    Fitted,
    History,
    Initialization,
    Stopping,
    held_out_scores,
    is_sound,
    is_surely_positive,
    judging_scores,
    settled,
    weighted_mean,
)
from .loop import Schedule, train
from .refit import refit_bandwidth_without_held_out_rows
from .rows import TrainingRows


class Fold(NamedTuple):
    """Rows to train on and the rows that judge it."""

    initial: Initialization  # with a baseline
    data: TrainingRows
    schedule: Schedule
    stopping: Stopping


def fit_by_folds(
    folds: list[Fold],
    initial: Initialization,
    data: TrainingRows,
    schedule: Schedule,
    generator: torch.Generator,
    report: Callable[[int, float, float | None], None],
) -> Fitted:
    """Train the model of ``initial`` in place on all rows, for as long as the folds gain by it.

    Parameters
    ----------
    folds : list of Fold
        Their patience and tolerance are those of the first.
    initial, data, schedule : of all rows; see `fit`
    generator : torch.Generator, on the CPU
    report : callable, takes the epoch, the mean bound and the left-out score
    """
    current_workers().broadcast_model(initial.model)
    start = copy.deepcopy(initial.model)
    baseline = start if initial.baseline is initial.model else initial.baseline
    trial = train_folds(folds, generator.initial_seed(), report)
    weights = torch.cat([fold.stopping.weights for fold in folds])
    models, kept, n_epochs, score = trial.starts, start, 0, trial.scores[0]
    if trial.best_epoch and is_gain(folds, trial.best, trial.starts, weights):
        models, n_epochs, score = trial.best, trial.best_epoch, trial.scores[trial.best_epoch]
    if baseline is not start:
        baselines = [fold.initial.baseline for fold in folds]
        if not is_gain(folds, models, baselines, weights):
            models, kept, n_epochs = baselines, baseline, 0
            score = left_out_mean(folds, baselines, weights)
    if n_epochs:
        kept = train_for(n_epochs, initial.model, data, schedule, generator)
        sees_some = schedule.n_exemplars < len(data.rows) - 1  # and the bandwidth was refitted
        if kept is not None and sees_some and kept.prior.needs_exemplars:
            widen_by_folds(kept, models, folds, generator.initial_seed())
        if kept is None:
            models, kept, score = trial.starts, start, trial.scores[0]
    current_workers().broadcast_model(kept)
    sampling = ImportanceSampling(JUDGING_SAMPLES, folds[0].stopping.seed)
    left_out = torch.cat(
        [
            held_out_scores(model, fold.data, fold.stopping, sampling)
            for model, fold in zip(models, folds, strict=True)
        ]
    )
    history = History(trial.bounds, trial.scores, score, trial.converged)
    return Fitted(kept, history, left_out)


class Trial(NamedTuple):
    """The course of the folds' trainings."""

    starts: list[torch.nn.Module]
    best: list[torch.nn.Module]  # of the best epoch
    best_epoch: int  # 0 is the start
    bounds: list[float]
    scores: list[float]  # of all left-out rows, at the start and after every epoch
    converged: bool


def train_folds(folds: list[Fold], seed: int, report) -> Trial:
    """Train every fold's model, side by side, until the left-out rows gain no more."""
    patience, tolerance = folds[0].stopping.patience, folds[0].stopping.tolerance
    weights = torch.cat([fold.stopping.weights for fold in folds])
    for fold in folds:
        current_workers().broadcast_model(fold.initial.model)
    starts = [copy.deepcopy(fold.initial.model) for fold in folds]
    best, best_epoch, bounds, converged = starts, 0, [], folds[0].schedule.n_epochs == 0
    scores = [left_out_mean(folds, starts, weights)]
    best_score = scores[0]
    trainings = [
        train(fold.initial.model, fold.data, fold.schedule, fold_generator(seed, index))
        for index, fold in enumerate(folds)
    ]
    try:
        for epochs in zip(*trainings, strict=True):
            models = [
                settled(epoch.model, *fold[1:]) for epoch, fold in zip(epochs, folds, strict=True)
            ]
            bound = math.fsum(epoch.bound for epoch in epochs) / len(folds)
            score = left_out_mean(folds, models, weights) if math.isfinite(bound) else math.nan
            if not math.isfinite(score):
                warn_of_divergence_in_folds(epochs[0].number)
                converged = True
                break
            bounds.append(bound)
            scores.append(score)
            report(epochs[0].number, bound, score)
            if score > best_score + tolerance:
                best, best_epoch, best_score = models, epochs[0].number, score
            elif epochs[0].number - best_epoch >= patience:
                converged = True
                break
    except KeyboardInterrupt:
        warn_of_interruption()
        best, best_epoch, converged = starts, 0, True
    return Trial(starts, best, best_epoch, bounds, scores, converged)


def fold_generator(seed: int, index: int) -> torch.Generator:
    """Return the generator of a fold's training."""
    return torch.Generator().manual_seed(seed + 1 + index)


def left_out_mean(folds: list[Fold], models, weights: torch.Tensor) -> float:
    """Return the mean score of all left-out rows that epochs are ranked by."""
    scores = []
    for fold, model in zip(folds, models, strict=True):
        sampling = ImportanceSampling(VALIDATION_SAMPLES, fold.stopping.seed)
        scores.append(held_out_scores(model, fold.data, fold.stopping, sampling))
    return weighted_mean(torch.cat(scores), weights)


def is_gain(folds: list[Fold], models, baselines, weights: torch.Tensor) -> bool:
    """Return whether ``models`` score the left-out rows higher, not by chance."""
    gains = [
        judging_scores(model, fold.data, fold.stopping)
        - judging_scores(baseline, fold.data, fold.stopping)
        for fold, model, baseline in zip(folds, models, baselines, strict=True)
    ]
    return is_surely_positive(torch.cat(gains, 1), weights)


def train_for(n_epochs: int, model, data: TrainingRows, schedule: Schedule, generator):
    """Return the model after ``n_epochs``, or None, with a warning, after an accident."""
    try:
        for epoch in train(model, data, schedule, generator):
            if not math.isfinite(epoch.bound):
                warn_of_divergence_in_folds(epoch.number)
                return None
            if epoch.number == n_epochs:
                break
    except KeyboardInterrupt:
        warn_of_interruption()
        return None
    trained = copy.deepcopy(epoch.model)
    if not is_sound(trained, data, schedule):
        warn_of_divergence_in_folds(n_epochs)
        return None
    if schedule.n_exemplars < len(data.rows) - 1:
        refit_bandwidth_without_held_out_rows(trained, data, generator.initial_seed())
    return trained


@torch.no_grad()
def widen_by_folds(model, fold_models, folds: list[Fold], seed: int) -> None:
    """Widen a bandwidth, refitted by training rows, as left-out rows have widened the folds'.

    Training rows lie nearer to each other's codes than new rows do.
    """
    log_ratios = []
    for fold, fold_model in zip(folds, fold_models, strict=True):
        by_trained = copy.deepcopy(fold_model)
        refit_bandwidth_without_held_out_rows(by_trained, fold.data, seed)
        log_ratios.append(fold_model.prior.log_bandwidth - by_trained.prior.log_bandwidth)
    model.prior.log_bandwidth += torch.stack(log_ratios).mean()


def warn_of_divergence_in_folds(epoch: int) -> None:
    """Warn that a training diverged."""
    warnings.warn(
        f"Training diverged in epoch {epoch}: the loss is no longer finite. It goes no further "
        "than the best epoch before; a lower learning_rate_init, or clipping extreme values, may "
        "help.",
        stacklevel=3,
    )


def warn_of_interruption() -> None:
    """Warn that a training was interrupted before there was a model to keep."""
    warnings.warn(
        "Training interrupted by the user before it was judged; the density estimate that it "
        "starts from is kept.",
        stacklevel=3,
    )
