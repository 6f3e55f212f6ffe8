"""Training judged by folds: what is left out, what is kept, and for how long all rows train."""

import math

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.flow import FlowModel
from sklearn_exemplar_vae.engine.training.fit import Initialization
from sklearn_exemplar_vae.engine.training.folds import fit_by_folds, train_folds, widen_by_folds
from tests._models import generator
from tests.engine.training._folds import (
    ALWAYS_BETTER,
    FEW_EXEMPLARS,
    FOLD,
    JUDGES_IN_TURN,
    NEVER_BETTER,
    SCHEDULE,
    WEIGHTS,
    all_rows,
    assert_equal_weights,
    curve,
    differs,
    fitted,
    flow,
    fold_of,
    folds_of,
    kernel_density_of_other_folds,
    silent,
    trained_on_all,
)

# ------------------------------------------------------------------ which rows are left out


def test_every_row_is_scored_by_a_start_that_has_not_seen_it():
    untrained = SCHEDULE._replace(n_epochs=0)
    kept, history, left_out = fitted(folds_of(curve(), untrained), flow(curve()), untrained)
    expected = kernel_density_of_other_folds(curve())
    np.testing.assert_allclose(left_out, expected, atol=1e-4)
    mean = np.average(expected, weights=WEIGHTS[JUDGES_IN_TURN])
    assert history.validation_scores == [history.best_validation_score] == pytest.approx([mean])
    assert history.bounds == [] and history.converged
    assert_equal_weights(kept, flow(curve()))


def test_a_fold_learns_nothing_from_the_rows_it_judges():
    """Another row there is another score and not another model."""
    rows, moved = curve(), curve()
    moved[FOLD == 0] += 5
    one, two = (train_folds(folds_of(r, tolerance=ALWAYS_BETTER), 0, silent) for r in (rows, moved))
    assert one.best_epoch == two.best_epoch == SCHEDULE.n_epochs
    assert_equal_weights(one.best[0], two.best[0])
    assert all(differs(*models) for models in list(zip(one.best, two.best, strict=True))[1:])
    assert two.scores[-1] < one.scores[-1] - 1


# ---------------------------------------------------------------------------- what is kept


def test_a_gain_trains_all_rows_for_as_long_as_the_folds():
    model = flow(curve())
    kept, history, left_out = fitted(folds_of(curve()), model)
    scores = history.validation_scores
    best_epoch = int(np.argmax(scores))
    assert best_epoch > 0 and history.best_validation_score == scores[best_epoch]
    assert len(scores) == len(history.bounds) + 1
    mean = np.average(left_out, weights=WEIGHTS[JUDGES_IN_TURN])
    assert mean == pytest.approx(scores[best_epoch], abs=1e-5)
    # All rows see all others in the folds too, where a bandwidth that is learned stays as it is.
    assert_equal_weights(kept, trained_on_all(best_epoch))


def test_training_that_does_not_help_keeps_the_start():
    model, before = flow(curve()), flow(curve())
    kept, history, left_out = fitted(folds_of(curve(), tolerance=NEVER_BETTER), model)
    assert_equal_weights(kept, before)
    assert_equal_weights(model, before)  # which is not trained at all
    assert len(history.bounds) == 3 and history.converged  # its patience
    assert len(history.validation_scores) == 4
    assert history.best_validation_score == history.validation_scores[0]
    np.testing.assert_allclose(left_out, kernel_density_of_other_folds(curve()), atol=1e-4)


def test_a_baseline_that_training_does_not_beat_is_kept():
    """Of a far better bandwidth than what is trained."""
    schedule, rows = SCHEDULE._replace(n_epochs=1), curve()
    folds = [
        fold._replace(initial=Initialization(fold.initial.model, flow(fold.data.rows, 0.15)))
        for fold in folds_of(rows, schedule)
    ]
    baseline = flow(rows, 0.15)
    initial = Initialization(flow(rows), baseline)
    kept, history, _ = fit_by_folds(folds, initial, all_rows(), schedule, generator(), silent)
    assert kept is baseline
    assert history.best_validation_score > max(history.validation_scores)


def test_a_seed_decides_the_training():
    one, two = (fitted(folds_of(curve()), flow(curve())) for _ in range(2))
    assert one.history == two.history and torch.equal(one.held_out, two.held_out)
    assert not differs(one.model, two.model)


def test_the_trainings_of_folds_leave_the_model_of_all_rows_alone():
    model, before, seen = flow(curve()), flow(curve()), []

    def report(epoch, bound, score):
        seen.append(differs(model, before))

    fitted(folds_of(curve()), model, report=report)
    assert len(seen) == SCHEDULE.n_epochs and not any(seen)
    assert differs(model, before)  # trained in place in the end


# ------------------------------------------------------------------------------- accidents


class AccidentalFlow(FlowModel):
    """A flow that meets with an accident at a step of its training."""

    def __init__(self, rows, accident, step):
        model = flow(rows)
        super().__init__(model.network, model.prior)
        self.accident, self.steps_until = accident, step

    def log_density(self, minibatch):
        self.steps_until -= 1
        log_density = super().log_density(minibatch)
        return self.accident(log_density) if self.steps_until == 0 else log_density


def interrupt(log_density):
    raise KeyboardInterrupt


def diverge(log_density):
    return math.nan * log_density


def with_an_accident(accident, step):
    """Return folds of which the third meets with an accident in that step."""
    rows = curve()
    unlucky = fold_of(
        rows, 2, SCHEDULE, 0.0, make=lambda kept: AccidentalFlow(kept, accident, step)
    )
    return [unlucky if number == 2 else fold for number, fold in enumerate(folds_of(rows))]


@pytest.mark.parametrize("step", [1, 3])
def test_an_interrupted_training_keeps_the_start(step):
    model, before = flow(curve()), flow(curve())
    with pytest.warns(UserWarning, match="interrupted"):
        kept, history, left_out = fitted(with_an_accident(interrupt, step), model)
    assert_equal_weights(kept, before)
    assert history.converged and len(history.bounds) == step - 1
    assert len(history.validation_scores) == step
    assert history.best_validation_score == history.validation_scores[0]
    np.testing.assert_allclose(left_out, kernel_density_of_other_folds(curve()), atol=1e-4)


@pytest.mark.parametrize("step", [1, 3])
def test_a_fold_that_diverges_ends_the_training_at_the_best_epoch_before(step):
    with pytest.warns(UserWarning, match=f"diverged in epoch {step}"):
        kept, history, left_out = fitted(with_an_accident(diverge, step), flow(curve()))
    assert history.converged and len(history.bounds) == step - 1
    expected = flow(curve()) if step == 1 else trained_on_all(step - 1)
    assert_equal_weights(kept, expected)
    assert torch.isfinite(left_out).all()


@pytest.mark.parametrize("accident, match", [(interrupt, "interrupted"), (diverge, "diverged")])
def test_an_accident_of_the_last_training_keeps_the_start(accident, match):
    model = AccidentalFlow(curve(), accident, step=1)
    try:
        with pytest.warns(UserWarning, match=match):
            kept, history, left_out = fitted(folds_of(curve()), model)
    except KeyboardInterrupt:  # which would end all tests
        pytest.fail("The interrupt is not caught.")
    assert_equal_weights(kept, flow(curve()))
    assert history.best_validation_score == history.validation_scores[0]
    np.testing.assert_allclose(left_out, kernel_density_of_other_folds(curve()), atol=1e-4)


# ------------------------------------------------------------------------------- bandwidth


def left_out_bandwidth(rows, weights):
    """Return the bandwidth under which weighted rows are likeliest, each by the others."""
    rows, weights, scores = rows.double().numpy(), weights.numpy(), []
    grid = np.geomspace(0.05, 1.5, 150)
    squares = ((rows[:, None] - rows) ** 2).sum(2)
    for bandwidth in grid:
        kernels = np.exp(-0.5 * squares / bandwidth**2) * weights
        np.fill_diagonal(kernels, 0)
        densities = kernels.sum(1) / (weights.sum() - weights) / (2 * np.pi * bandwidth**2)
        scores.append(weights @ np.log(densities))
    return grid[np.argmax(scores)]


def test_a_bandwidth_is_widened_by_the_mean_ratio_of_the_folds():
    rows, bandwidths = curve(), [0.2, 0.3, 0.4, 0.3, 0.25]
    folds, model = folds_of(rows), flow(rows, 0.7)
    fold_models = [
        flow(fold.data.rows, bandwidth) for fold, bandwidth in zip(folds, bandwidths, strict=True)
    ]
    widen_by_folds(model, fold_models, folds, seed=0)
    ratios = [
        bandwidth / left_out_bandwidth(*fold.data[:2])
        for fold, bandwidth in zip(folds, bandwidths, strict=True)
    ]
    expected = 0.7 * np.exp(np.mean(np.log(ratios)))
    assert model.prior.log_bandwidth.exp().item() == pytest.approx(expected, rel=0.05)
    found = [fold_model.prior.log_bandwidth.exp().item() for fold_model in fold_models]
    assert found == pytest.approx(bandwidths)


def test_a_bandwidth_learned_with_few_exemplars_is_narrowed_for_all():
    kept, history, _ = fitted(folds_of(curve(), FEW_EXEMPLARS), flow(curve()), FEW_EXEMPLARS)
    assert history.best_validation_score > history.validation_scores[0]
    learned = trained_on_all(int(np.argmax(history.validation_scores)), FEW_EXEMPLARS)
    bandwidth = kept.prior.log_bandwidth.exp().item()
    assert bandwidth < 0.9 * learned.prior.log_bandwidth.exp().item()
