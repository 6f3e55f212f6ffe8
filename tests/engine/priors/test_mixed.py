"""The prior of a flow beside the mixture of scipy's normals that it stands for."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, ortho_group

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.minibatch import LeftOut
from sklearn_exemplar_vae.engine.priors.mixed import MixedPrior, NormalBase, NormalPrior

DOUBLE = {"dtype": torch.float64}
MEAN, VARIANCES, BANDWIDTH, SHARE = np.array([1.0, -2.0, 0.5]), np.array([0.3, 1.0, 4.0]), 0.5, 0.3


@pytest.fixture
def axes():
    return ortho_group.rvs(3, random_state=0)


@pytest.fixture
def base(axes):
    base = NormalBase(torch.from_numpy(axes), torch.from_numpy(VARIANCES).log())
    base.mean.data.copy_(torch.from_numpy(MEAN))
    return base


@pytest.fixture
def normal(axes):
    return multivariate_normal(axes @ MEAN, axes @ np.diag(VARIANCES) @ axes.T)


@pytest.fixture
def exemplars():
    codes = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), **DOUBLE)
    return Exemplars(codes, torch.linspace(-1, 1, 9, **DOUBLE))


def codes(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), **DOUBLE)


def kernel_density(points, exemplars, kept):
    """Return the mixture of the kernels that are kept, at each of the points."""
    densities = []
    for point, kept_of_point in zip(points, kept, strict=True):
        centers = exemplars.codes[kept_of_point].numpy()
        weights = exemplars.log_weights[kept_of_point].exp().numpy()
        kernels = [multivariate_normal(c, BANDWIDTH**2 * np.eye(3)).pdf(point) for c in centers]
        densities.append(np.average(kernels, weights=weights))
    return np.array(densities)


@pytest.mark.parametrize("leave_some_out", [False, True])
def test_density_is_that_of_the_kernels_and_the_normal(base, normal, exemplars, leave_some_out):
    points = codes(6, 3)
    excluded = torch.arange(54).reshape(6, 9) % 4 == 0
    left_out = LeftOut(excluded) if leave_some_out else None
    kept = ~excluded if leave_some_out else torch.ones(6, 9, dtype=torch.bool)
    prior = MixedPrior(BANDWIDTH, base, SHARE).double()
    kernels = kernel_density(points.numpy(), exemplars, kept)
    expected = (1 - SHARE) * kernels + SHARE * normal.pdf(points.numpy())
    with torch.no_grad():
        found = prior.log_prob(points, exemplars, left_out).exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_several_codes_of_a_row_have_the_densities_of_each_alone(base, exemplars):
    points, prior = codes(6, 4, 3), MixedPrior(BANDWIDTH, base, SHARE).double()
    together = prior.log_prob(points, exemplars)
    for k in range(4):
        torch.testing.assert_close(together[:, k], prior.log_prob(points[:, k], exemplars))


def test_samples_have_the_moments_of_the_mixture(base, normal, exemplars):
    prior = MixedPrior(BANDWIDTH, base, SHARE).double()
    with torch.no_grad():
        drawn = prior.sample(exemplars, 200_000, torch.Generator().manual_seed(0)).numpy()
    weights, centers = exemplars.log_weights.exp().numpy(), exemplars.codes.numpy()
    means = np.array([np.average(centers, axis=0, weights=weights), normal.mean])
    spread = np.cov(centers.T, aweights=weights, bias=True)
    covariances = np.array([spread + BANDWIDTH**2 * np.eye(3), normal.cov])
    shares = np.array([1 - SHARE, SHARE])
    mean = shares @ means
    seconds = covariances + means[:, :, None] * means[:, None]
    covariance = np.tensordot(shares, seconds, 1) - np.outer(mean, mean)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.04)


def test_the_normal_prior_is_the_normal(base, normal, exemplars):
    prior, points = NormalPrior(base).double(), codes(6, 3)
    with torch.no_grad():
        found = prior.log_prob(points).numpy()
        drawn = prior.sample(exemplars, 200_000, torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(found, normal.logpdf(points.numpy()), atol=1e-5)
    np.testing.assert_allclose(drawn.mean(0), normal.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), normal.cov, atol=0.04)
