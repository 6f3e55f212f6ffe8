"""Densities that stand beside a model, beside scipy's and scikit-learn's, and as integrals."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import ndtri
from scipy.stats import bernoulli, halfcauchy, multivariate_t, norm, uniform
from sklearn.mixture import GaussianMixture

from sklearn_exemplar_vae.engine.components import (
    BinaryFrequencies,
    BoundedTail,
    Independent,
    LevelFrequencies,
    NormalMixture,
    StudentTail,
)
from sklearn_exemplar_vae.engine.likelihoods import N_LEVELS
from tests._models import correlated, generator, standardized

# -------------------------------------------------------------------------- Student t


def random_tail(n_features):
    """Return a tail and its place and scale."""
    rng = np.random.default_rng(n_features)
    root = rng.normal(size=(n_features, 2 * n_features))
    mean, covariance = rng.normal(size=n_features), root @ root.T / (2 * n_features)
    return StudentTail(torch.from_numpy(mean), torch.from_numpy(covariance)), mean, covariance


@pytest.mark.parametrize("n_features", [1, 2, 5, 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tail_is_a_student_t_of_one_degree_of_freedom(n_features, dtype):
    tail, mean, covariance = random_tail(n_features)
    rng = np.random.default_rng(0)
    rows = mean + rng.normal(size=(100, n_features)) * np.geomspace(1e-3, 1e6, 100)[:, None]
    found = tail.to(dtype).log_prob(torch.from_numpy(rows).to(dtype))
    assert found.dtype == tail.dtype == dtype
    expected = multivariate_t(mean, covariance, df=1).logpdf(rows)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=2e-5)


def test_tail_integrates_to_one_on_the_line():
    tail, _, _ = random_tail(1)
    angles = (np.arange(4000) + 0.5) / 4000 * np.pi - np.pi / 2
    densities = tail.double().log_prob(torch.from_numpy(np.tan(angles)[:, None])).exp().numpy()
    assert (densities / np.cos(angles) ** 2).mean() * np.pi == pytest.approx(1, abs=1e-5)


def test_tail_integrates_to_one_in_the_plane():
    """In polar coordinates, of which the radius is a tangent."""
    tail, mean, _ = random_tail(2)
    middles = (np.arange(500) + 0.5) / 500
    slopes, directions = np.meshgrid(middles * np.pi / 2, middles * 2 * np.pi)
    slopes, directions = slopes.ravel(), directions.ravel()
    radii = np.tan(slopes)
    rows = mean + radii[:, None] * np.column_stack([np.cos(directions), np.sin(directions)])
    densities = tail.double().log_prob(torch.from_numpy(rows)).exp().numpy()
    total = (densities * radii / np.cos(slopes) ** 2).mean() * np.pi / 2 * 2 * np.pi
    assert total == pytest.approx(1, abs=1e-4)


def test_a_diagonal_is_the_matrix_that_has_it():
    variances = torch.tensor([0.3, 1.0, 7.0], dtype=torch.float64)
    mean = torch.tensor([1.0, 0.0, -2.0], dtype=torch.float64)
    rows = 5 * torch.randn(40, 3, generator=generator())
    full = StudentTail(mean, variances.diag())
    torch.testing.assert_close(StudentTail(mean, variances).log_prob(rows), full.log_prob(rows))


@pytest.mark.parametrize("dtype, furthest", [(torch.float32, 1e15), (torch.float64, 1e150)])
@pytest.mark.parametrize("is_diagonal", [False, True])
def test_far_rows_are_unlikely_by_the_logarithm_of_their_distance(dtype, furthest, is_diagonal):
    tail, mean, covariance = random_tail(3)
    if is_diagonal:
        tail = StudentTail(torch.from_numpy(mean), torch.from_numpy(covariance.diagonal().copy()))
    directions = torch.randn(20, 3, generator=generator(), dtype=dtype)
    directions[:3] = torch.eye(3)
    near, far = (tail.to(dtype).log_prob(c * furthest * directions) for c in (0.1, 1))
    assert torch.isfinite(near).all() and torch.isfinite(far).all()
    torch.testing.assert_close(near - far, torch.full_like(far, 4 * np.log(10)), rtol=0, atol=1e-3)


# ---------------------------------------------------------------------- bounded columns

MEAN, SCALE, SPREAD = 0.7, 1.9, 2.5


def bounded_tail(side, dtype=torch.float64) -> BoundedTail:
    parts = [torch.tensor([part], dtype=torch.float64) for part in (MEAN, SCALE, side, SPREAD)]
    return BoundedTail(*parts).to(dtype)


def log_density_of(tail, distances, side):
    """Return log-densities of distances from the one bound, or of places between zero and one."""
    if side == 0:
        line = ndtri(distances)
        log_slope = -norm.logpdf(line)
    else:
        line = side * np.log(np.expm1(distances))
        log_slope = -np.log(-np.expm1(-distances))
    rows = torch.from_numpy((line - MEAN) / SCALE).to(tail.dtype)[:, None]
    return tail.log_prob(rows).double().numpy() + log_slope - np.log(SCALE)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_off_one_bound_a_tail_is_half_a_cauchy_distribution(side, dtype):
    distances = np.geomspace(1e-12, 500, 200)
    found = log_density_of(bounded_tail(side, dtype), distances, side)
    np.testing.assert_allclose(found, halfcauchy.logpdf(distances, scale=SPREAD), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_between_two_bounds_a_tail_is_uniform(dtype):
    places = np.r_[1e-300, 1e-12, np.linspace(0, 1, 102)[1:-1], 1 - 1e-12]
    found = log_density_of(bounded_tail(0, dtype), places, side=0)
    np.testing.assert_allclose(found, uniform.logpdf(places), atol=1e-3)


@pytest.mark.parametrize("side", [1, -1, 0])
def test_a_bounded_tail_integrates_to_one(side):
    places = (np.arange(4000) + 0.5) / 4000
    distances = places if side == 0 else np.tan(np.pi / 2 * places)
    densities = np.exp(log_density_of(bounded_tail(side), distances[places < 0.998], side))
    if side != 0:
        densities *= np.pi / 2 / np.cos(np.pi / 2 * places[places < 0.998]) ** 2
    assert densities.sum() / 4000 == pytest.approx(1, abs=0.005)


def test_bounded_columns_are_independent():
    sides, rows = [1.0, -1.0, 0.0], torch.randn(50, 3, generator=generator()).double()
    parts = [torch.full((3,), part).double() for part in (MEAN, SCALE)]
    spread = torch.full((3,), SPREAD)
    tail = BoundedTail(*parts, torch.tensor(sides), spread).double()
    expected = sum(
        bounded_tail(side).log_prob(rows[:, [column]]) for column, side in enumerate(sides)
    )
    torch.testing.assert_close(tail.log_prob(rows), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_groups_of_columns_are_independent(dtype):
    rows = torch.randn(50, 4, generator=generator(), dtype=dtype)
    others, single, flat = random_tail(2)[0], random_tail(1)[0], bounded_tail(0)
    groups = [([3, 0], others), ([2], single), ([1], flat)]
    density = Independent([(torch.tensor(columns), part) for columns, part in groups]).to(dtype)
    assert density.dtype == dtype
    expected = sum(part.to(dtype).log_prob(rows[:, columns]) for columns, part in groups)
    torch.testing.assert_close(density.log_prob(rows), expected)


# ---------------------------------------------------------------------------- normals


def fitted_normals():
    """Return scikit-learn's mixture of normal distributions, and ours with its parameters."""
    rows = np.concatenate([correlated(200, 3, seed) for seed in range(3)])
    theirs = GaussianMixture(3, random_state=0).fit(rows)
    parameters = theirs.weights_, theirs.means_, theirs.precisions_cholesky_
    return theirs, NormalMixture(*(torch.from_numpy(array) for array in parameters)), rows


def test_normals_are_those_of_scikit_learn():
    theirs, ours, rows = fitted_normals()
    found = ours.log_prob(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(found, theirs.score_samples(rows), rtol=1e-9)


def test_samples_of_normals_have_their_moments():
    theirs, ours, _ = fitted_normals()
    samples = ours.sample(200_000, generator()).numpy()
    mean = theirs.weights_ @ theirs.means_
    offsets = theirs.means_ - mean
    squares = theirs.covariances_ + offsets[:, :, None] * offsets[:, None]
    covariance = np.tensordot(theirs.weights_, squares, 1)
    scale = np.sqrt(covariance.diagonal())
    np.testing.assert_allclose(samples.mean(0) / scale, mean / scale, atol=0.015)
    found = np.cov(samples.T) / np.outer(scale, scale)
    np.testing.assert_allclose(found, covariance / np.outer(scale, scale), atol=0.02)


def test_no_samples_of_normals_have_all_columns():
    assert fitted_normals()[1].sample(0, generator()).shape == (0, 3)


def test_a_single_normal_is_a_mixture_too():
    rows = standardized(correlated(100, 4))
    mean, covariance = rows.mean(0), rows.T.cov()
    whitening = torch.linalg.cholesky(covariance).inverse().T
    ours = NormalMixture(torch.ones(1), mean[None], whitening[None])
    theirs = torch.distributions.MultivariateNormal(mean, covariance)
    torch.testing.assert_close(ours.log_prob(rows), theirs.log_prob(rows))


# ------------------------------------------------------------------------ frequencies


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_of_all_binary_rows_sum_to_one(dtype):
    p = torch.tensor([1e-4, 0.1, 0.5, 0.7, 0.99], dtype=torch.float64)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)), dtype=dtype)
    found = BinaryFrequencies(p).to(dtype).log_prob(every).double()
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-5)
    expected = bernoulli(p.numpy()).logpmf(every.numpy()).sum(1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_gray_rows_have_the_cross_entropy():
    p = torch.tensor([0.1, 0.5, 0.7])
    rows = torch.rand(10, 3, generator=generator())
    expected = (rows * p.log() + (1 - rows) * (1 - p).log()).sum(1)
    torch.testing.assert_close(BinaryFrequencies(p).log_prob(rows), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_of_all_levels_sum_to_one(dtype):
    p = torch.rand(1, N_LEVELS, generator=generator(), dtype=torch.float64) + 0.01
    p /= p.sum(1, keepdim=True)
    levels = torch.arange(N_LEVELS, dtype=dtype)[:, None] / (N_LEVELS - 1)
    found = LevelFrequencies(p).to(dtype).log_prob(levels).double()
    torch.testing.assert_close(found.exp(), p[0], rtol=1e-5, atol=0)
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_probabilities_of_two_columns_of_levels_are_products():
    p = torch.rand(2, N_LEVELS, generator=generator(), dtype=torch.float64) + 0.01
    p /= p.sum(1, keepdim=True)
    every = torch.cartesian_prod(*[torch.arange(N_LEVELS) / (N_LEVELS - 1)] * 2)
    found = LevelFrequencies(p).log_prob(every).double().exp()
    torch.testing.assert_close(found, torch.outer(*p).flatten(), rtol=1e-5, atol=0)
    assert found.sum().item() == pytest.approx(1, abs=1e-5)
