"""ExemplarVAE: every mathematical claim beside something that must agree with it."""

import numpy as np
import pytest

from sklearn_exemplar_vae import ExemplarVAE
from tests._kernel_density import kernel_density_scores
from tests._models import correlated, small_vae, two_moons
from tests.density._normals import assert_is_a_normal_of_the_rows

# ------------------------------------------------- the untrained model is an estimate one knows


@pytest.mark.parametrize("n_columns", [1, 2, 5, 30])
@pytest.mark.parametrize("bandwidth", [0.1, 0.5, 1.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_identity_maps_are_kernel_density(n_columns, bandwidth, weighted):
    X, queries = np.split(correlated(150, n_columns), [100])
    weights = np.random.default_rng(1).uniform(0.1, 3, 100) if weighted else None
    model = small_vae(bandwidth=bandwidth, max_iter=0).fit(X, sample_weight=weights)
    expected = kernel_density_scores(X, queries, bandwidth, weights)
    np.testing.assert_allclose(model.score_samples(queries), expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("parameters", [{}, {"n_components": 2}, {"prior": "gaussian"}])
def test_the_scores_of_a_start_take_one_sample(parameters):
    X = correlated(80, 3)
    for max_iter, is_exact in ((0, True), (5, False)):
        model = small_vae(max_iter=max_iter, early_stopping=False, **parameters).fit(X)
        one, many = (model.set_params(n_importance_samples=n).score_samples(X) for n in (1, 32))
        assert np.array_equal(one, many) == is_exact


@pytest.mark.parametrize("bandwidth", [0.002, 0.003, 0.01])
def test_narrow_kernels_are_kernel_density(bandwidth):
    X = np.random.default_rng(0).normal(size=(100, 2))
    model = small_vae(bandwidth=bandwidth, max_iter=0).fit(X)
    expected = kernel_density_scores(X, X, bandwidth)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-3)


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_rules_of_thumb_are_kernel_density_s(rule):
    X = correlated(80, 3)
    model = small_vae(bandwidth=rule, max_iter=0).fit(X)
    expected = kernel_density_scores(X, X, rule)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-4)


def test_untrained_with_a_gaussian_prior_it_is_a_normal_distribution():
    """The untrained model with a N(0, I) prior is probabilistic PCA, here of all components."""
    X = correlated(400, 3)
    model = small_vae(prior="gaussian", max_iter=0, n_importance_samples=64).fit(X)
    assert_is_a_normal_of_the_rows(model.score_samples(X), X)


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


# ------------------------------------------------------------------- scores are of a density


@pytest.mark.parametrize("max_iter", [0, 60])
def test_density_integrates_to_one_on_a_line(max_iter):
    X = np.random.default_rng(0).gamma(2.0, 3.0, (300, 1))
    model = small_vae(max_iter=max_iter, early_stopping=False, n_importance_samples=256).fit(X)
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
        n_importance_samples=256,
    ).fit(X)
    x, y = np.linspace(-3, 4, 141), np.linspace(-120, 150, 141)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.score_samples(grid)).reshape(141, 141)
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


# ------------------------------------------------------------------------ units and weights


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


def test_zero_weight_is_absence():
    X = correlated(90, 3)
    weights = np.ones(90)
    weights[::3] = 0
    with_zeros = small_vae().fit(X, sample_weight=weights)
    without = small_vae().fit(X[weights > 0])
    np.testing.assert_allclose(with_zeros.score_samples(X), without.score_samples(X), rtol=1e-9)
    assert with_zeros.n_exemplars_ == 60
    assert not set(with_zeros.kneighbors(X, 3)[1].ravel()) & set(range(0, 90, 3))


def test_weights_too_small_to_count_are_absence():
    X = correlated(60, 3)
    weights = np.where(np.arange(60) < 30, 1.0, 1e-60)
    model = small_vae(n_exemplars=5).fit(X, sample_weight=weights)
    assert model.n_exemplars_ == 30
    assert np.isfinite(model.score_samples(X[:30])).all()


def test_copies_do_not_defeat_leave_one_out():
    X = correlated(60, 2)
    once, twice = small_vae(max_iter=0).fit(X), small_vae(max_iter=0).fit(np.repeat(X, 2, axis=0))
    # Left-out copies would let the bandwidth shrink to nothing.
    assert twice.bandwidth_ > 0.7 * once.bandwidth_


# ----------------------------------------------------------------------- kinds of columns


def test_a_constant_column_is_sampled_as_it_is():
    X = correlated(60, 3)
    X[:, 1] = 7.0
    model = small_vae().fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    np.testing.assert_allclose(model.sample(50, random_state=0)[:, 1], 7.0, atol=0.1)
    # Away from the constant is less likely than on it.
    away = X + [0, 1, 0]
    assert (model.score_samples(away) < model.score_samples(X)).all()


def test_all_rows_may_be_equal():
    X = np.full((30, 2), 3.0)
    model = small_vae().fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert model.score([[3.0, 3.0]]) > model.score([[30.0, 3.0]])


def test_bernoulli_values_are_in_the_unit_interval():
    X = np.random.default_rng(0).random((30, 4))
    with pytest.raises(ValueError, match=r"likelihood='bernoulli' needs values in \[0, 1\]"):
        small_vae(likelihood="bernoulli").fit(2 * X)
    model = small_vae(likelihood="bernoulli").fit(X)
    with pytest.raises(ValueError, match="bernoulli"):
        model.score_samples(X - 1)


def test_only_zeros_and_ones_are_bernoulli_by_themselves():
    rng = np.random.default_rng(0)
    binary = small_vae().fit(rng.integers(0, 2, (30, 4)))
    assert binary.likelihood_ == "bernoulli"
    assert set(np.unique(binary.sample(20, random_state=0))) <= {0.0, 1.0}
    # A constant table of zeros says nothing of its kind; gray values are continuous.
    for X in (np.zeros((30, 4)), rng.random((30, 4))):
        assert small_vae().fit(X).likelihood_ == "gaussian"
