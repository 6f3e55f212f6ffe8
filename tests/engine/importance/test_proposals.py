"""Proposals beside the integrals that they estimate."""

import math

import pytest
import torch

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.priors import ExemplarPrior, GaussianPrior

DOUBLE = {"dtype": torch.float64}


@pytest.mark.parametrize("prior", [ExemplarPrior(0.5), GaussianPrior()])
def test_proposal_is_unbiased(prior):
    """E_q~[p(z) / q~(z)] = 1, whatever the posterior the encoder claims."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(8, 3, generator=generator, **DOUBLE)
    centers = torch.randn(11, 3, generator=generator, **DOUBLE) + 0.5
    weights = torch.rand(11, generator=generator, **DOUBLE) + 0.1
    exemplars = Exemplars(centers, weights.log())
    proposal = prior.double().proposal(codes, torch.full_like(codes, -0.5), exemplars)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(200_000, 3, generator=generator, **DOUBLE)
    uniforms = torch.rand(200_000, generator=generator, **DOUBLE)
    drawn = proposal.draw(noise, uniforms)
    # p(x | z) proportional to a wide normal at the origin, whose integral under p(z) is known.
    log_likelihood = -0.5 * (drawn**2).sum(-1) / 4
    estimate = (log_likelihood + proposal.log_ratio(drawn)).exp().mean(1)
    if isinstance(prior, GaussianPrior):
        expected = (1 + 1 / 4) ** -1.5
    else:
        variance = 0.25 + 4
        terms = torch.exp(-0.5 * (centers**2).sum(1) / variance) * (4 / variance) ** 1.5
        expected = ((weights * terms).sum() / weights.sum()).item()
    assert (estimate.log() - math.log(expected)).abs().max() < 0.1


@pytest.mark.parametrize("log_variance", [-3.0, 0.5])
def test_evidence_is_the_integral_of_the_prior_over_what_the_posterior_says(log_variance):
    """On a grid; a posterior wider than the kernel says nothing."""
    codes, weights = torch.tensor([[-1.0], [0.2], [2.0]], **DOUBLE), torch.tensor([1.0, 3.0, 2.0])
    exemplars = Exemplars(codes, weights.double().log())
    mean = torch.tensor([[0.5]], **DOUBLE)
    prior = ExemplarPrior(0.4).double()
    proposal = prior.proposal(mean, torch.full_like(mean, log_variance), exemplars)
    grid = torch.linspace(-6, 6, 20_001, **DOUBLE)[:, None]
    precision = max(math.exp(-log_variance) - 1 / 0.4**2, 0)
    log_terms = prior.log_prob(grid, exemplars) - 0.5 * precision * (grid - mean)[:, 0] ** 2
    expected = torch.logsumexp(log_terms, 0) + math.log(12 / 20_000)
    assert proposal.log_evidence.item() == pytest.approx(expected.item(), abs=1e-6)
