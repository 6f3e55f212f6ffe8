"""What training maximizes: the bound, the weight of its parts, the rows that it is of."""

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.minibatch import LeftOut, Minibatch
from sklearn_exemplar_vae.engine.model import Draws, ExemplarModel
from sklearn_exemplar_vae.engine.training.objectives import (
    Moment,
    VariationalObjective,
    VariationalSchedule,
)
from tests._models import generator
from tests.engine._models import untrained_model

CPU = torch.device("cpu")
LAST_OF_FOUR = Moment(n_epochs=4, epoch=3, batch=0, n_batches=1, growth=1)


def minibatch_of(rows, n_own, log_weights, excluded=None):
    left_out = LeftOut(excluded, None)
    return Minibatch(rows, n_own, n_own, log_weights, left_out, lambda codes: codes)


@pytest.mark.parametrize("n_draws", [1, 4])
@pytest.mark.parametrize("prior", ["exemplar", "gaussian"])
def test_bound_beside_its_parts(prior, n_draws):
    """log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), the logarithm of the last two weighed by 0.3."""
    model = untrained_model(prior=prior).double()
    rows = torch.randn(12, 3, dtype=torch.float64, generator=generator(1))
    excluded = torch.eye(12, dtype=torch.bool)[:5]
    log_weights = torch.linspace(-1, 1, 12, dtype=torch.float64)
    schedule = VariationalSchedule(kl_warmup=4 / 0.3, n_bound_samples=n_draws)
    objective = VariationalObjective(model, schedule, generator(2), CPU)
    bound = objective(minibatch_of(rows, 5, log_weights, excluded), LAST_OF_FOUR)

    noise = torch.randn(5, n_draws, 3, generator=generator(2))
    mean, log_variance = model.network.encode(rows)
    scale = model.likelihood.variance.sqrt()
    for i in range(5):
        posterior = torch.distributions.Normal(mean[i], torch.exp(0.5 * log_variance[i]))
        weights = []
        for k in range(n_draws):
            code = mean[i] + posterior.stddev * noise[i, k]
            decoder = torch.distributions.Normal(model.network.decode(code[None])[0], scale)
            if prior == "gaussian":
                log_p = torch.distributions.Normal(0, 1).log_prob(code).sum()
            else:
                kept = ~excluded[i]
                kernel = torch.distributions.Normal(mean[kept], model.prior.log_bandwidth.exp())
                shares = torch.softmax(log_weights[kept], 0)
                log_p = torch.log((shares * kernel.log_prob(code).sum(1).exp()).sum())
            log_ratio = log_p - posterior.log_prob(code).sum()
            weights.append((decoder.log_prob(rows[i]).sum() + 0.3 * log_ratio).exp())
        torch.testing.assert_close(bound[i], torch.stack(weights).mean().log())


def test_the_divergence_gains_weight_step_by_step():
    schedule = VariationalSchedule(kl_warmup=2)
    moments = [Moment(4, epoch, batch, 4, 1) for epoch in range(4) for batch in range(4)]
    found = [schedule.kl_weight(moment) for moment in moments]
    np.testing.assert_allclose(found, [*np.arange(1, 9) / 8, *[1] * 8])
    assert VariationalSchedule(kl_warmup=0).kl_weight(moments[0]) == 1


class RecordingModel(ExemplarModel):
    """A model that keeps what it is asked for a bound of."""

    def training_bound(self, minibatch, draws, kl_weight=1.0):
        vars(self).setdefault("seen", []).append((minibatch.rows, draws))
        return super().training_bound(minibatch, draws, kl_weight)


def seen_by_a_model(rows, n_visits):
    model = untrained_model(rows.shape[1], likelihood="bernoulli")
    model = RecordingModel(model.network, model.likelihood, model.prior)
    objective = VariationalObjective(model, VariationalSchedule(0), generator(0), CPU)
    for _ in range(n_visits):
        objective(minibatch_of(rows, 4, torch.zeros(len(rows))), LAST_OF_FOUR)
    return model.seen


def test_gray_rows_are_drawn_at_every_visit_and_exemplars_are_not():
    gray = torch.rand(30, 6, generator=generator(0))
    one, two = seen_by_a_model(gray, n_visits=2)
    for rows, draws in (one, two):
        assert torch.equal(rows, gray)
        assert draws.observed.shape == (4, 6)
        assert set(draws.observed.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(one[1].observed, two[1].observed)


def test_binary_rows_are_observed_as_they_are():
    model = untrained_model(likelihood="bernoulli", is_binary=True)
    assert model.draw_observed(torch.ones(4, 3), generator(0)) is None


@pytest.mark.parametrize(
    "architecture, prior",
    [("mlp", "exemplar"), ("hierarchical", "exemplar"), ("mlp", "gaussian")],
)
def test_bound_of_drawn_rows_is_that_of_rows_beside_their_exemplars(architecture, prior):
    """Drawn rows that are no exemplars, put ahead of those that are."""
    model = untrained_model(prior=prior, likelihood="bernoulli", architecture=architecture).double()
    gray = torch.rand(9, 3, dtype=torch.float64, generator=generator(1))
    drawn = model.draw_observed(gray[:4], generator(2))
    noise = torch.randn(4, 2, model.n_noise, dtype=torch.float64, generator=generator(3))
    log_weights = torch.linspace(-1, 1, 9, dtype=torch.float64)
    excluded = torch.eye(9, dtype=torch.bool)[:4]
    bound = model.training_bound(
        minibatch_of(gray, 4, log_weights, excluded), Draws(noise, drawn), 0.7
    )
    beside = minibatch_of(
        torch.cat([drawn, gray]),
        4,
        torch.cat([torch.zeros(4, dtype=torch.float64), log_weights]),
        torch.cat([torch.ones(4, 4, dtype=torch.bool), excluded], 1),
    )
    torch.testing.assert_close(bound, model.training_bound(beside, Draws(noise), 0.7))
