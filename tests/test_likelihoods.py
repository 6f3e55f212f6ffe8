"""Grey levels: the discretised logistic against sums and draws."""

import pytest
import torch

from sklearn_exemplar_vae.engine.likelihoods import N_LEVELS, LogisticLikelihood

LEVELS = torch.arange(N_LEVELS, dtype=torch.float64)[:, None] / (N_LEVELS - 1)


def logistic(scale):
    return LogisticLikelihood(1, scale).double()


@pytest.mark.parametrize("scale", [1e-3, 0.02, 0.5, 10.0])
@pytest.mark.parametrize("centre", [-3.0, 0.0, 0.3, 0.999, 1.7])
def test_masses_are_differences_of_the_distribution_function(scale, centre):
    likelihood = logistic(scale)
    outputs = torch.full((1,), centre, dtype=torch.float64)
    log_masses = likelihood.log_prob(outputs, LEVELS)
    edges = (LEVELS[:-1, 0] + 0.5 / (N_LEVELS - 1) - centre) / likelihood.scale
    below = torch.cat([torch.zeros(1), torch.sigmoid(edges), torch.ones(1)])
    expected = below.diff()
    shown = expected > 1e-9  # differences of doubles say nothing of less
    torch.testing.assert_close(log_masses[shown].exp(), expected[shown], rtol=1e-5, atol=1e-12)
    assert torch.isfinite(log_masses).all()
    assert log_masses.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_samples_have_the_masses():
    likelihood, generator = logistic(0.01), torch.Generator().manual_seed(0)
    outputs = torch.full((100_000, 1), 0.02, dtype=torch.float64)
    samples = likelihood.sample(outputs, generator)
    counts = torch.bincount((samples[:, 0] * (N_LEVELS - 1)).round().long(), minlength=N_LEVELS)
    masses = likelihood.log_prob(outputs[:1], LEVELS).exp()
    deviation = (masses * (1 - masses) / 100_000).sqrt()
    assert ((counts / 100_000 - masses).abs() < 5 * deviation + 1e-5).all()


def test_gradients_are_finite_far_away():
    likelihood = logistic(1e-3)
    outputs = torch.tensor([[50.0], [-50.0]], dtype=torch.float64, requires_grad=True)
    likelihood.log_prob(outputs, torch.tensor([[0.0], [0.5]], dtype=torch.float64)).sum().backward()
    assert torch.isfinite(outputs.grad).all() and (outputs.grad != 0).all()
