"""Every mathematical claim beside something that must agree with it."""

import numpy as np
import pytest
from _models import correlated, small_vae, two_moons
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae import ExemplarVAE


def kernel_density_scores(X, queries, bandwidth, sample_weight=None):
    """`KernelDensity` on standardised columns, in the units of X.

    With one leaf: its tree sums lose up to hundreds of nats in many dimensions.
    """
    mean = np.average(X, axis=0, weights=sample_weight)
    scale = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=sample_weight))
    estimator = KernelDensity(bandwidth=bandwidth, leaf_size=len(X))
    estimator.fit((X - mean) / scale, sample_weight=sample_weight)
    return estimator.score_samples((queries - mean) / scale) - np.log(scale).sum()


@pytest.mark.parametrize("n_columns", [1, 2, 5, 30])
@pytest.mark.parametrize("bandwidth", [0.1, 0.5, 1.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_identity_maps_are_kernel_density(n_columns, bandwidth, weighted):
    X, queries = np.split(correlated(150, n_columns), [100])
    weights = np.random.default_rng(1).uniform(0.1, 3, 100) if weighted else None
    model = small_vae(bandwidth=bandwidth, max_iter=0).fit(X, sample_weight=weights)
    expected = kernel_density_scores(X, queries, bandwidth, weights)
    np.testing.assert_allclose(model.score_samples(queries), expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_rules_of_thumb_are_kernel_density_s(rule):
    X = correlated(80, 3)
    model = small_vae(bandwidth=rule, max_iter=0).fit(X)
    expected = kernel_density_scores(X, X, rule)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-4)


def test_zero_weight_is_absence():
    X = correlated(90, 3)
    weights = np.ones(90)
    weights[::3] = 0
    with_zeros = small_vae().fit(X, sample_weight=weights)
    without = small_vae().fit(X[weights > 0])
    np.testing.assert_allclose(with_zeros.score_samples(X), without.score_samples(X), rtol=1e-9)
    assert with_zeros.n_exemplars_ == 60
    assert not set(with_zeros.kneighbors(X, 3)[1].ravel()) & set(range(0, 90, 3))


@pytest.mark.parametrize("parameters", [{"max_iter": 0}, {"max_iter": 60}])
def test_density_integrates_to_one_on_a_line(parameters):
    X = np.random.default_rng(0).gamma(2.0, 3.0, (300, 1))
    model = small_vae(**parameters, early_stopping=False, n_importance_samples=256).fit(X)
    grid = np.linspace(-20, 60, 4001)
    density = np.exp(model.score_samples(grid[:, None]))
    assert abs(np.trapezoid(density, grid) - 1) < 0.02


@pytest.mark.parametrize("prior", ["exemplar", "gaussian"])
@pytest.mark.parametrize("n_components", [1, 2])
def test_density_integrates_to_one_in_the_plane(prior, n_components):
    X = two_moons(400) * [1.0, 50.0]
    model = small_vae(
        prior=prior,
        n_components=n_components,
        max_iter=60,
        early_stopping=False,
        n_importance_samples=512,
    ).fit(X)
    x, y = np.linspace(-3, 4, 181), np.linspace(-120, 150, 181)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.score_samples(grid)).reshape(181, 181)
    assert abs(np.trapezoid(np.trapezoid(density, y), x) - 1) < 0.02


def test_binary_probabilities_sum_to_one():
    rng = np.random.default_rng(0)
    X = (rng.random((300, 6)) < [0.1, 0.5, 0.9, 0.3, 0.7, 0.5]).astype(float)
    X[:, 5] = X[:, 1]
    model = small_vae(max_iter=30, early_stopping=False, n_importance_samples=2000).fit(X)
    every = np.array(np.meshgrid(*[[0.0, 1.0]] * 6)).reshape(6, -1).T
    assert abs(np.exp(model.score_samples(every)).sum() - 1) < 0.02


def test_bound_rises_with_the_number_of_samples():
    """log 1/S sum w is a lower bound in expectation, tighter with S (Burda et al. 2016)."""
    X = two_moons(300)
    # One code for two columns: the posterior has more than one peak, the proposal is far from it.
    model = small_vae(n_components=1, max_iter=60, early_stopping=False).fit(X)
    seeds, means = range(20), []
    for n_samples in (1, 4, 16, 256):
        model.n_importance_samples = n_samples
        scores = []
        for model._score_seed in seeds:
            scores.append(model.score_samples(X).mean())
        means.append(np.mean(scores))
    assert means[0] < means[1] < means[2] < means[3]


@pytest.mark.parametrize("max_iter, factor", [(0, 2.0), (0, -1000.0), (5, 2.0), (5, 1e-3)])
def test_scaling_a_column_shifts_by_the_log_jacobian(max_iter, factor):
    X = correlated(80, 3)
    scaled = X * [1.0, factor, 1.0]
    before = small_vae(max_iter=max_iter, bandwidth=0.5).fit(X).score_samples(X)
    after = small_vae(max_iter=max_iter, bandwidth=0.5).fit(scaled).score_samples(scaled)
    # Trained networks see a mirrored column as another, so that one stays untrained.
    np.testing.assert_allclose(after, before - np.log(abs(factor)), atol=1e-6)


def test_moving_a_column_changes_nothing():
    X = correlated(80, 3)
    before = small_vae().fit(X).score_samples(X)
    after = small_vae().fit(X + [0, 1000, 0]).score_samples(X + [0, 1000, 0])
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_samples_have_the_moments_of_the_data():
    X = two_moons(1000) * [1.0, 50.0]
    model = small_vae(hidden_layer_sizes=(64,), max_iter=40).fit(X)
    samples = model.sample(20_000, random_state=0)
    scale = X.std(0)
    np.testing.assert_allclose(samples.mean(0) / scale, X.mean(0) / scale, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(samples.T), np.corrcoef(X.T), atol=0.05)
    # A kernel density is wider than its data by the kernel.
    ratio = samples.std(0) / scale
    assert (ratio > 0.97).all() and (ratio < 1.15).all()


def test_mean_log_density_of_samples_is_minus_the_entropy():
    """Samples and scores must be of one density: E_p[log p] by both, against an integral."""
    X = two_moons(300)
    model = small_vae(max_iter=30, early_stopping=False, n_importance_samples=256).fit(X)
    samples = model.sample(4000, random_state=0)
    by_samples = model.score_samples(samples)
    axis = np.linspace(-3, 4, 161)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    log_density = model.score_samples(grid)
    by_integral = (np.exp(log_density) * log_density).sum() * (axis[1] - axis[0]) ** 2
    error = by_samples.std() / np.sqrt(len(samples))
    assert abs(by_samples.mean() - by_integral) < 4 * error + 0.01


def test_sample_like_stays_near_its_row():
    X = two_moons(300)
    model = small_vae(max_iter=0).fit(X)
    samples = model.sample_like(X[:5], 2000, random_state=0)
    scale = X.std(0)
    np.testing.assert_allclose(samples.mean(1) / scale, X[:5] / scale, atol=0.05)
    assert (samples.std(1) / scale < 0.5).all()


def test_never_below_kernel_density_where_columns_are_correlated():
    X = correlated(300, 6)
    train, test = X[:200], X[200:]
    best = max(kernel_density_scores(train, test, h).mean() for h in np.geomspace(0.05, 2, 30))
    assert ExemplarVAE(random_state=0, max_iter=20).fit(train).score_samples(test).mean() > best


@pytest.mark.parametrize("prior", ["exemplar", "gaussian"])
@pytest.mark.parametrize("n_rows", [15, 30, 60])
def test_more_columns_than_rows_leave_new_rows_a_density(prior, n_rows):
    """Rows span no more axes than there are; what new rows have beyond them is allowed for."""
    X = correlated(n_rows + 100, 200)
    train, test = X[:n_rows], X[n_rows:]
    best = max(kernel_density_scores(train, test, h).mean() for h in np.geomspace(0.1, 2, 30))
    model = ExemplarVAE(prior=prior, random_state=0, max_iter=5)
    assert model.fit(train).score_samples(test).mean() > best


def test_principal_component_start_of_the_gaussian_prior_is_a_gaussian():
    """The untrained model with a N(0, I) prior is probabilistic PCA, here of all components."""
    X = correlated(400, 3)
    model = small_vae(prior="gaussian", max_iter=0, n_importance_samples=64).fit(X)
    centred = X - X.mean(0)
    covariance = np.cov(centred.T, bias=True)
    squares = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    expected = -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-3)
