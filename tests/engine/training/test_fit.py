"""Which weights a training keeps, and how sure it is of a gain."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp

from sklearn_exemplar_vae.engine.model import ExemplarModel
from sklearn_exemplar_vae.engine.training.fit import (
    JUDGING_REPEATS,
    Initialization,
    Stopping,
    fit,
    is_surely_positive,
)
from sklearn_exemplar_vae.engine.training.loop import Schedule, train
from sklearn_exemplar_vae.engine.training.objectives import VariationalSchedule
from sklearn_exemplar_vae.engine.training.rows import TrainingRows
from tests._models import generator
from tests.engine._models import untrained_model

# One step an epoch.
SCHEDULE = Schedule(5, 60, 1e-2, 59, True, VariationalSchedule(kl_warmup=0))


def training_rows():
    rows = torch.randn(60, 3, generator=generator())
    return TrainingRows(rows, torch.ones(60), torch.arange(60))


def stopping(seed=1):
    rows = torch.randn(20, 3, generator=generator(1))
    return Stopping(rows, torch.ones(20), patience=5, tolerance=0.0, seed=seed)


def fitted(model, stopping, baseline=None):
    initial = Initialization(model, baseline)
    return fit(initial, training_rows(), SCHEDULE, stopping, generator(), lambda *epoch: None)


class AccidentalModel(ExemplarModel):
    """A model that meets with an accident at a step of its training."""

    def __init__(self, accident, step):
        model = untrained_model()
        super().__init__(model.network, model.likelihood, model.prior)
        self.accident, self.steps_until = accident, step

    def training_bound(self, minibatch, draws, kl_weight=1.0):
        self.steps_until -= 1
        bound = super().training_bound(minibatch, draws, kl_weight)
        return self.accident(bound) if self.steps_until == 0 else bound


def interrupt(bound):
    raise KeyboardInterrupt


def diverge(bound):
    return math.nan * bound


@pytest.mark.parametrize("stopping", [None, stopping()])
@pytest.mark.parametrize(
    "accident, message", [(interrupt, "interrupted"), (diverge, "diverged in epoch 3")]
)
def test_accidents_keep_the_best_weights(accident, message, stopping):
    with pytest.warns(UserWarning, match=message):
        model, history, held_out = fitted(AccidentalModel(accident, step=3), stopping)
    assert history.converged
    assert len(history.bounds) == 2
    assert (held_out is None) == (stopping is None)
    if stopping is not None:
        assert history.best_validation_score == history.validation_scores[1]
        assert held_out.mean().item() == pytest.approx(history.validation_scores[1], abs=0.1)
    epochs = train(untrained_model(), training_rows(), SCHEDULE, generator())
    expected = next(copy.deepcopy(epoch.model) for epoch in epochs if epoch.number == 2)
    for kept, parameter in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(kept, parameter)


@pytest.mark.parametrize("stopping", [None, stopping()])
@pytest.mark.parametrize(
    "accident, error", [(interrupt, KeyboardInterrupt), (diverge, FloatingPointError)]
)
def test_accidents_before_there_are_weights_are_errors(accident, error, stopping):
    with pytest.raises(error):
        fitted(AccidentalModel(accident, step=1), stopping)


class Seeds(list):
    """A list that the copies of a model share."""

    def __deepcopy__(self, memo):
        return self


class RecordingModel(ExemplarModel):
    """A model that keeps the seeds of the noise it is scored with."""

    def __init__(self):
        model = untrained_model()
        super().__init__(model.network, model.likelihood, model.prior)
        self.seeds = Seeds()

    def scorer(self, exemplars, sampling):
        self.seeds.append(sampling.seed)
        return super().scorer(exemplars, sampling)


def test_gains_are_judged_by_other_noise_than_epochs_are_ranked_by():
    """The luckiest of many epochs owes some of its luck to the noise it was chosen by."""
    model = RecordingModel()
    _, history, _ = fitted(model, stopping(seed=7), baseline=model)
    assert len(history.validation_scores) == 6
    n_judging = 2 * JUDGING_REPEATS  # of the trained model and of the start
    *ranking, last = model.seeds  # which says how good the model kept is
    ranking, judging = ranking[:-n_judging], ranking[-n_judging:]
    assert ranking == 6 * [7] and last == 7
    assert len(set(judging)) == JUDGING_REPEATS and min(judging) > 7
    assert judging[:JUDGING_REPEATS] == judging[JUDGING_REPEATS:]


def test_a_sure_gain_is_a_t_statistic_above_two():
    rng, weights = np.random.default_rng(0), torch.ones(20).double()
    for _ in range(200):
        gains = torch.from_numpy(rng.normal(rng.uniform(0, 0.8), 1, (1, 20)))
        expected = ttest_1samp(gains[0], 0).statistic > 2
        assert is_surely_positive(gains, weights) == expected


def test_a_gain_that_all_rows_share_is_as_sure_as_its_repeats():
    """However many rows there are, of an error in common there are as many as repeats."""
    rng, weights = np.random.default_rng(0), torch.ones(500).double()
    found = []
    for _ in range(200):
        repeats = torch.from_numpy(rng.normal(rng.uniform(0, 2), 1, (5, 1)))
        expected = ttest_1samp(repeats[:, 0], 0).statistic > 2
        assert is_surely_positive(repeats.expand(5, 500), weights) == expected
        found.append(expected)
    assert 20 < sum(found) < 180
