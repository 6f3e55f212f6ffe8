"""ExemplarFlow: every claim of its mathematics beside something that must agree with it."""

import numpy as np
import pytest
from scipy.special import logsumexp

from sklearn_exemplar_vae import ExemplarFlow
from tests._kernel_density import kernel_density_scores
from tests._models import correlated, small_flow, small_vae, two_moons
from tests.density._normals import assert_is_a_normal_of_the_rows

# ----------------------------------------------------- the start is a density that one knows


@pytest.mark.parametrize("n_columns", [1, 2, 5, 30])
@pytest.mark.parametrize("bandwidth", [0.1, 0.5, 1.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_identity_is_kernel_density(n_columns, bandwidth, weighted):
    X, queries = np.split(correlated(150, n_columns), [100])
    weights = np.random.default_rng(1).uniform(0.1, 3, 100) if weighted else None
    model = small_flow(prior="exemplar", bandwidth=bandwidth, max_iter=0)
    model.fit(X, sample_weight=weights)
    expected = kernel_density_scores(X, queries, bandwidth, weights)
    np.testing.assert_allclose(model.score_samples(queries), expected, rtol=1e-6)


@pytest.mark.parametrize("bandwidth", [0.001, 0.01])
def test_narrow_kernels_are_kernel_density(bandwidth):
    X = np.random.default_rng(0).normal(size=(100, 2))
    model = small_flow(prior="exemplar", bandwidth=bandwidth, max_iter=0).fit(X)
    expected = kernel_density_scores(X, X, bandwidth)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-3)


def test_the_gaussian_prior_starts_at_the_normal_distribution_of_the_rows():
    X = correlated(200, 4)
    scores = small_flow(prior="gaussian", max_iter=0).fit(X).score_samples(X)
    assert_is_a_normal_of_the_rows(scores, X)


def test_normal_rows_start_at_a_normal_and_moons_at_kernels():
    X = correlated(400, 6)
    near_normal = small_flow(max_iter=0).fit(X)
    two = small_flow(max_iter=0).fit(two_moons(400))
    assert near_normal.normal_weight_ > 0.8 and two.normal_weight_ < 0.2
    best = max(kernel_density_scores(X[:300], X[300:], h).mean() for h in np.geomspace(0.1, 2, 20))
    assert small_flow(max_iter=0).fit(X[:300]).score_samples(X[300:]).mean() > best + 1


def test_given_bandwidths_get_the_best_share():
    X = two_moons(400)
    shares = [small_flow(max_iter=0, bandwidth=h).fit(X).normal_weight_ for h in (0.1, 2.0)]
    assert shares[0] < 0.1 and shares[1] > 0.9


@pytest.mark.parametrize("n_copies", [3, 30])
def test_copies_start_as_one_row_of_their_weight(n_copies):
    X = correlated(100, 3)
    once = small_flow(max_iter=0).fit(X, sample_weight=np.full(100, n_copies))
    again = small_flow(max_iter=0).fit(np.tile(X, (n_copies, 1)))
    assert again.bandwidth_ == pytest.approx(once.bandwidth_, rel=1e-3)
    assert again.normal_weight_ == pytest.approx(once.normal_weight_, rel=1e-3)


@pytest.mark.parametrize("make", [small_flow, small_vae])
def test_long_tables_of_few_values_have_a_start(make):
    X = np.random.default_rng(0).poisson(5, (3000, 1)).astype(float)
    model = make(max_iter=0).fit(X)
    scores = model.score_samples([[5.0], [30.0]])
    assert np.isfinite(scores).all() and scores[0] > scores[1] + 5


@pytest.mark.parametrize("scale", [1e-50, 1e39])
def test_the_scale_of_weights_does_not_matter(scale):
    X = two_moons(200)
    scores = small_flow().fit(X).score_samples(X)
    scaled = small_flow().fit(X, sample_weight=np.full(200, scale)).score_samples(X)
    np.testing.assert_allclose(scaled, scores, atol=1e-4)


# ----------------------------------------------------------------------- training


class LeftOut:
    """The density of rows that do not see some exemplars, from a fitted flow's public surface.

    The normal's part of the density is what remains of `score_samples` without the kernels' part.
    """

    def __init__(self, model, X, sample_weight=None):
        self.log_weights = np.zeros(len(X)) if sample_weight is None else np.log(sample_weight)
        codes, step = model.transform(X), 1e-5
        derivatives = [
            (model.transform(X + move) - model.transform(X - move)) / (2 * step)
            for move in step * np.eye(2)
        ]
        self.log_det = np.linalg.slogdet(np.stack(derivatives, -1))[1]
        self.squares = ((codes[:, None] - codes[None]) ** 2).sum(-1)
        self.kernel_weight = 1 - model.normal_weight_
        kernels = self.kernels(model.bandwidth_, np.zeros((len(X), len(X)), bool))
        self.normal = np.exp(model.score_samples(X) - self.log_det) - kernels

    def kernels(self, bandwidth, is_unseen):
        """Return the kernels' part of the density of codes, without exemplars ``is_unseen``."""
        log_weights = np.where(is_unseen, -np.inf, self.log_weights)
        log_sums = logsumexp(log_weights - self.squares / (2 * bandwidth**2), axis=1)
        means = np.exp(log_sums - logsumexp(log_weights, axis=1)) / (2 * np.pi * bandwidth**2)
        return self.kernel_weight * means

    def log_density(self, bandwidth, is_unseen):
        """Return the log-density of rows, kernels of this ``bandwidth``."""
        return np.log(self.kernels(bandwidth, is_unseen) + self.normal) + self.log_det


def test_the_loss_is_the_density_left_out_by_brute_force():
    X = two_moons(30)
    X[1] = X[0]  # a copy: the two are left out together
    groups = np.r_[0, 0, 2:30]
    sees_all = {"n_exemplars": None, "batch_size": 30, "early_stopping": False}
    model = small_flow(**sees_all, max_iter=10, warm_start=True).fit(X)
    expected = LeftOut(model, X).log_density(model.bandwidth_, groups[:, None] == groups)
    model.set_params(max_iter=1, learning_rate_init=1e-9).fit(X)  # a step that leads nowhere
    assert model.loss_curve_ == pytest.approx([-expected.mean()], abs=1e-5)


def test_the_bandwidth_is_refitted_to_the_best_of_a_grid():
    X, weights = two_moons(60), np.ones(60)
    weights[0] = 30.0
    few = {"n_exemplars": 5, "early_stopping": False, "bandwidth": 0.25}
    model = small_flow(**few).fit(X, sample_weight=weights)
    left_out = LeftOut(model, X, weights)

    def total(bandwidth):
        return weights @ left_out.log_density(bandwidth, np.eye(60, dtype=bool))

    grid = np.geomspace(0.09, 0.48, 60)
    best = max(grid, key=total)
    assert grid[0] < best < grid[-1]
    assert total(model.bandwidth_) > total(best) - 0.05


def test_training_beats_its_start_on_curved_rows():
    rng = np.random.default_rng(0)
    # Not of normal x: of so few held-out rows the furthest would decide alone.
    x = rng.uniform(-2, 2, 2000)
    X = np.column_stack([x, x**2 + 0.1 * rng.normal(size=2000)])
    train, test = X[:1500], X[1500:]
    start = ExemplarFlow(max_iter=0, random_state=0).fit(train).score_samples(test)
    model = ExemplarFlow(random_state=0).fit(train)
    gains = model.score_samples(test) - start
    assert gains.mean() > 3 * gains.std() / np.sqrt(len(gains))
    assert model.best_validation_score_ > model.validation_scores_[0]


def test_too_few_rows_to_judge_keep_the_start():
    X = two_moons(15)
    model, start = small_flow().fit(X), small_flow(max_iter=0).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), start.score_samples(X))


def test_warm_start_goes_on_and_refuses_another_model():
    X = two_moons(300)
    model = small_flow(warm_start=True, max_iter=3, early_stopping=False).fit(X)
    scores, start = model.score_samples(X), small_flow(max_iter=0).fit(X).score_samples(X)
    model.set_params(max_iter=0).fit(X)  # goes on for no epoch
    np.testing.assert_allclose(model.score_samples(X), scores, rtol=1e-6)
    assert abs(scores - start).max() > 0.01
    with pytest.raises(ValueError, match="n_transforms"):
        model.set_params(n_transforms=1).fit(X)


# ------------------------------------------------------------- scores, codes and samples


@pytest.mark.parametrize("prior", ["mixed", "exemplar", "gaussian"])
@pytest.mark.parametrize("max_iter", [0, 40])
def test_density_integrates_to_one_in_the_plane(prior, max_iter):
    X = two_moons(400) * [1.0, 50.0]
    model = small_flow(prior=prior, max_iter=max_iter, early_stopping=False).fit(X)
    x, y = np.linspace(-4, 5, 301), np.linspace(-200, 230, 301)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.score_samples(grid)).reshape(301, 301)
    assert abs(np.trapezoid(np.trapezoid(density, y), x) - 1) < 0.005


@pytest.mark.parametrize("prior", ["mixed", "exemplar", "gaussian"])
def test_transform_is_undone_by_its_inverse(prior):
    X = correlated(200, 5)
    model = small_flow(prior=prior, max_iter=20, early_stopping=False).fit(X)
    codes = model.transform(X)
    assert codes.shape == X.shape
    np.testing.assert_allclose(model.inverse_transform(codes), X, atol=1e-5 * X.std())


def test_samples_near_a_row_have_codes_near_its_own():
    X = two_moons(300)
    model = small_flow(max_iter=20, early_stopping=False).fit(X)
    samples = model.sample_like(X[:3], 5000, random_state=0)
    codes, own = model.transform(samples.reshape(-1, 2)).reshape(3, 5000, 2), model.transform(X[:3])
    np.testing.assert_allclose(codes.mean(1), own, atol=0.1 * model.bandwidth_)
    np.testing.assert_allclose(codes.std(1), model.bandwidth_, rtol=0.05)


def test_the_gaussian_prior_has_nothing_near_a_row():
    X = two_moons(100)
    model = small_flow(prior="gaussian", max_iter=1).fit(X)
    assert not hasattr(model, "bandwidth_") and not hasattr(model, "normal_weight_")
    with pytest.raises(ValueError, match="prior='gaussian'"):
        model.sample_like(X)


def test_the_share_of_the_normal_is_its_share_of_samples():
    rng = np.random.default_rng(0)
    clumps = np.repeat(rng.normal(size=(10, 5)), 10, axis=0) + 0.02 * rng.normal(size=(100, 5))
    X = np.concatenate([clumps, rng.normal(size=(200, 5))])
    model = small_flow(bandwidth=0.03, max_iter=0).fit(X)
    samples = model.sample(20_000, random_state=0)
    # In five columns next to no draw from the normal is that near to an exemplar.
    is_normal = model.kneighbors(samples, 1)[0][:, 0] > 6 * model.bandwidth_
    assert 0.6 < model.normal_weight_ < 0.8
    assert abs(is_normal.mean() - model.normal_weight_) < 0.015
