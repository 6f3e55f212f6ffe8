"""Log-likelihoods beside torch.distributions, sums over all values, and draws."""

import pytest
import torch

from sklearn_exemplar_vae.engine.likelihoods import (
    LIKELIHOODS,
    N_LEVELS,
    SCALE_FLOOR,
    BernoulliLikelihood,
    GaussianLikelihood,
    LogisticLikelihood,
    RowSummary,
    draw_binary,
)
from tests._models import generator

DOUBLE = {"dtype": torch.float64}
LEVELS = torch.arange(N_LEVELS, **DOUBLE)[:, None] / (N_LEVELS - 1)


def logistic(scale):
    return LogisticLikelihood(1, scale).double()


# ---------------------------------------------------------------- all likelihoods


@pytest.mark.parametrize("name", ["bernoulli", "logistic"])
def test_an_untrained_decoder_outputs_the_means_of_the_columns(name):
    mean = torch.tensor([0.1, 0.5, 0.99])
    likelihood = LIKELIHOODS[name].untrained(RowSummary(mean, True))
    torch.testing.assert_close(likelihood.mean(likelihood.initial_outputs(mean)), mean)


# ---------------------------------------------------------------- gaussian


def test_gaussian_is_a_normal_of_its_noise_in_every_column():
    likelihood = GaussianLikelihood.untrained(RowSummary(torch.zeros(3), False, 0.25)).double()
    outputs, rows = torch.randn(2, 6, 3, generator=generator(), **DOUBLE)
    expected = torch.distributions.Normal(outputs, 0.5).log_prob(rows).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(outputs, rows), expected, rtol=1e-5, atol=1e-5)
    drawn = likelihood.sample(outputs[:1].expand(100_000, -1), generator()) - outputs[:1]
    torch.testing.assert_close(drawn.mean(0), torch.zeros(3, **DOUBLE), atol=0.01, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.full((3,), 0.5, **DOUBLE), atol=0.01, rtol=0)


def test_the_density_of_a_row_met_exactly_stays_bounded():
    likelihood, row = GaussianLikelihood(3), torch.zeros(1, 3)
    likelihood.log_excess_variance.data.fill_(-1000)
    highest = torch.distributions.Normal(0, SCALE_FLOOR).log_prob(row).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(row, row), highest)


# ---------------------------------------------------------------- bernoulli


def test_bernoulli_is_a_product_of_probabilities_and_a_cross_entropy_between():
    likelihood = BernoulliLikelihood(binary=True)
    outputs = 3 * torch.randn(6, 4, generator=generator(), **DOUBLE)
    rows = torch.randint(2, (6, 4), generator=generator()).double()
    expected = torch.distributions.Bernoulli(logits=outputs).log_prob(rows).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(outputs, rows), expected)
    gray, p = torch.rand(6, 4, generator=generator(), **DOUBLE), torch.sigmoid(outputs)
    expected = (gray * p.log() + (1 - gray) * (1 - p).log()).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(outputs, gray), expected)


def test_binary_draws_have_the_probabilities_given():
    probabilities = torch.tensor([0.0, 1.0, 0.25, 0.9, 1e-3]).expand(50_001, 5)
    drawn = draw_binary(probabilities, generator())
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn[:, 0] == 0).all() and (drawn[:, 1] == 1).all()
    deviation = (probabilities[0] * (1 - probabilities[0]) / 50_001).sqrt()
    assert ((drawn.mean(0) - probabilities[0]).abs() <= 5 * deviation).all()
    assert torch.equal(draw_binary(drawn, torch.Generator()), drawn)


# ---------------------------------------------------------------- logistic


@pytest.mark.parametrize("scale", [1e-3, 0.02, 0.5, 10.0])
@pytest.mark.parametrize("center", [-3.0, 0.0, 0.3, 0.999, 1.7])
def test_masses_are_differences_of_the_distribution_function(scale, center):
    likelihood = logistic(scale)
    outputs = torch.full((1,), center, **DOUBLE)
    log_masses = likelihood.log_prob(outputs, LEVELS)
    edges = (LEVELS[:-1, 0] + 0.5 / (N_LEVELS - 1) - center) / likelihood.scale
    below = torch.cat([torch.zeros(1), torch.sigmoid(edges), torch.ones(1)])
    expected = below.diff()
    shown = expected > 1e-9  # differences of doubles say nothing of less
    torch.testing.assert_close(log_masses[shown].exp(), expected[shown], rtol=1e-5, atol=1e-12)
    assert torch.isfinite(log_masses).all()
    assert log_masses.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_samples_have_the_masses():
    likelihood = logistic(0.01)
    outputs = torch.full((100_000, 1), 0.02, **DOUBLE)
    samples = likelihood.sample(outputs, generator())
    counts = torch.bincount((samples[:, 0] * (N_LEVELS - 1)).round().long(), minlength=N_LEVELS)
    masses = likelihood.log_prob(outputs[:1], LEVELS).exp()
    deviation = (masses * (1 - masses) / 100_000).sqrt()
    assert ((counts / 100_000 - masses).abs() < 5 * deviation + 1e-5).all()


def test_gradients_are_finite_far_away():
    likelihood = logistic(1e-3)
    outputs = torch.tensor([[50.0], [-50.0]], **DOUBLE, requires_grad=True)
    likelihood.log_prob(outputs, torch.tensor([[0.0], [0.5]], **DOUBLE)).sum().backward()
    assert torch.isfinite(outputs.grad).all() and (outputs.grad != 0).all()
