"""The standard normal prior beside torch.distributions."""

import torch

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.priors.gaussian import GaussianPrior

DOUBLE = {"dtype": torch.float64}


def test_density_and_draws_are_those_of_a_standard_normal():
    prior, generator = GaussianPrior(), torch.Generator().manual_seed(0)
    codes = torch.randn(5, 4, 3, generator=generator, **DOUBLE)
    expected = torch.distributions.Normal(0, 1).log_prob(codes).sum(-1)
    torch.testing.assert_close(prior.log_prob(codes), expected)
    exemplars = prior.centers(None, Exemplars(codes[0], codes[0, :, 0]))
    drawn = prior.sample(exemplars, 100_000, generator)
    assert drawn.dtype == torch.float64 and drawn.shape == (100_000, 3)
    torch.testing.assert_close(drawn.mean(0), torch.zeros(3, **DOUBLE), atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), torch.eye(3, **DOUBLE), atol=0.02, rtol=0)


def test_codes_near_a_row_are_draws_of_its_posterior():
    mean, log_variance = torch.tensor([1.0, -2.0], **DOUBLE), torch.tensor([-1.0, 1.0], **DOUBLE)
    near = GaussianPrior().sample_near(
        mean.expand(100_000, 2), log_variance, torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(near.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(near.var(0), log_variance.exp(), atol=0, rtol=0.02)
