"""ExemplarFlow: every claim of its mathematics beside something that must agree with it."""

import numpy as np
import pytest
import torch
from _models import correlated, folds_of, small_flow, small_vae, two_moons
from scipy.stats import multivariate_normal
from sklearn.neighbors import KernelDensity
from test_oracles import kernel_density_scores

from sklearn_exemplar_vae import ExemplarFlow
from sklearn_exemplar_vae.engine.bandwidth import best_bandwidth
from sklearn_exemplar_vae.engine.flow_start import (
    best_mixture,
    flow_start,
    normal_log_density,
)
from sklearn_exemplar_vae.engine.kde_start import left_out_folds, log_density_along_axes
from sklearn_exemplar_vae.engine.mixed import MixedPrior, NormalBase
from sklearn_exemplar_vae.engine.priors import Exemplars


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


def test_the_gaussian_prior_starts_at_the_normal_distribution_of_the_rows():
    X = correlated(200, 4)
    scores = small_flow(prior="gaussian", max_iter=0).fit(X).score_samples(X)
    expected = multivariate_normal(X.mean(0), np.cov(X.T, bias=True)).logpdf(X)
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("prior", ["mixed", "exemplar", "gaussian"])
@pytest.mark.parametrize("max_iter", [0, 40])
def test_density_integrates_to_one_in_the_plane(prior, max_iter):
    X = two_moons(400) * [1.0, 50.0]
    model = small_flow(prior=prior, max_iter=max_iter, early_stopping=False).fit(X)
    x, y = np.linspace(-4, 5, 301), np.linspace(-200, 230, 301)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.score_samples(grid)).reshape(301, 301)
    assert abs(np.trapezoid(np.trapezoid(density, y), x) - 1) < 0.005


def test_training_bound_is_the_density_left_out_by_brute_force():
    X = torch.from_numpy(two_moons(30))
    model = small_flow(max_iter=10, early_stopping=False, device="cpu")
    model = model.fit(X.numpy())._model.double()
    groups = torch.arange(30)
    groups[1] = 0  # said to be a copy of the first
    excluded = groups[:, None] == groups[None]
    noise, log_weights = torch.empty(30, 0), torch.zeros(30).double()
    bound = model.training_bound(X, noise, log_weights, excluded, None, 1.0)
    codes, log_det = (part.detach() for part in model.network(X))
    prior, base = model.prior, model.prior.base
    share, s = prior.share.item(), prior.log_bandwidth.exp().item()
    for i in range(30):
        others = [n for n in range(30) if groups[n] != groups[i]]
        kernels = [multivariate_normal(codes[n], s**2 * np.eye(2)).pdf(codes[i]) for n in others]
        axes = base.axes.numpy()
        covariance = axes @ np.diag(base.log_variances.exp().detach()) @ axes.T
        normal = multivariate_normal(axes @ base.mean.detach().numpy(), covariance)
        density = (1 - share) * np.mean(kernels) + share * normal.pdf(codes[i])
        assert bound[i].item() == pytest.approx(np.log(density) + log_det[i].item(), abs=1e-6)


def test_a_row_alone_scores_as_in_a_batch():
    X = two_moons(300)
    for dtype in (np.float64, np.float32):
        rows = X.astype(dtype)
        model = small_flow().fit(rows)
        together = model.score_samples(rows)
        alone = np.concatenate([model.score_samples(row[None]) for row in rows])
        np.testing.assert_allclose(alone, together, atol=1e-5)
        assert together.dtype == dtype


def test_log_density_of_samples_is_minus_the_entropy():
    """Samples and scores must be of one density: E_p[log p] by both, against an integral."""
    model = small_flow(max_iter=30, early_stopping=False).fit(two_moons(300))
    by_samples = model.score_samples(model.sample(20_000, random_state=0))
    axis = np.linspace(-4, 5, 301)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    log_density = model.score_samples(grid)
    by_integral = (np.exp(log_density) * log_density).sum() * (axis[1] - axis[0]) ** 2
    error = by_samples.std() / np.sqrt(len(by_samples))
    assert abs(by_samples.mean() - by_integral) < 4 * error + 0.005


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


def test_extended_exemplars_are_a_kernel_density_of_all_rows():
    X = correlated(120, 3)
    half = small_flow(prior="exemplar", max_iter=0, bandwidth=0.5).fit(X[:60])
    half.extend_exemplars(X[60:])
    mean, scale = X[:60].mean(0), X[:60].std(0)
    kde = KernelDensity(bandwidth=0.5, leaf_size=120).fit((X - mean) / scale)
    expected = kde.score_samples((X - mean) / scale) - np.log(scale).sum()
    np.testing.assert_allclose(half.score_samples(X), expected, rtol=1e-6)


@pytest.mark.parametrize("prior", ["mixed", "exemplar"])
def test_sums_over_cells_are_within_their_tolerance(prior):
    X = two_moons(3000)
    model = small_flow(prior=prior, max_iter=2).fit(X)
    exact = model.score_samples(X[:200])
    for rtol in (0.3, 0.01, 1e-6):
        scores = model.set_params(rtol=rtol).score_samples(X[:200])
        assert (scores < exact + 1e-9).all() and (scores > exact + np.log1p(-rtol) - 1e-6).all()


@pytest.mark.parametrize("n_copies", [3, 30])
def test_copies_start_as_one_row_of_their_weight(n_copies):
    rows, weights, groups, _ = folds_of()
    copies = rows.repeat(n_copies, 1), weights.repeat(n_copies), groups.repeat(n_copies)
    once, again = (
        flow_start(*table, "mixed", "loo", len(table[0]), torch.Generator().manual_seed(0))
        for table in ((rows, n_copies * weights, groups), copies)
    )
    assert again.bandwidth == pytest.approx(once.bandwidth, rel=1e-3)
    assert again.share == pytest.approx(once.share, rel=1e-3)


@pytest.mark.parametrize("make", [small_flow, small_vae])
def test_long_tables_of_few_values_have_a_start(make):
    X = np.random.default_rng(0).poisson(5, (3000, 1)).astype(float)
    model = make(max_iter=0).fit(X)
    scores = model.score_samples([[5.0], [30.0]])
    assert np.isfinite(scores).all() and scores[0] > scores[1] + 5


def test_start_s_densities_are_those_of_scipy_and_scikit_learn():
    fold = next(left_out_folds(*folds_of()))
    kde = KernelDensity(bandwidth=0.4, leaf_size=200).fit(fold.others)
    expected = kde.score_samples(fold.queries)
    scores = log_density_along_axes(fold, torch.full((3,), 0.4**2))
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    others = fold.others.double().numpy()
    covariance = others.T @ others / len(others)  # around zero, the mean of all rows
    expected = multivariate_normal(np.zeros(3), covariance).logpdf(fold.queries)
    np.testing.assert_allclose(normal_log_density(fold), expected, atol=1e-3)
    # A kernel as wide and of the shape of the data, at one exemplar at zero, is that normal.
    alone = fold._replace(others=torch.zeros(1, 3), log_weights=torch.zeros(1))
    np.testing.assert_allclose(
        log_density_along_axes(alone, alone.axes.variances), normal_log_density(fold), atol=1e-3
    )


def test_best_mixture_is_the_best_of_a_grid():
    rng = np.random.default_rng(0)
    kernels, normal = torch.from_numpy(rng.normal(size=(2, 400)))
    weights = torch.from_numpy(rng.uniform(0.5, 2, 400))
    scores, share = best_mixture(kernels, normal + 0.2, weights)
    grid = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)[:, None]
    on_grid = torch.logaddexp(torch.log1p(-grid) + kernels, grid.log() + normal + 0.2) @ weights
    assert abs(share - grid[on_grid.argmax()].item()) < 0.02
    assert (scores @ weights).item() > on_grid.max().item() - 0.01


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


@pytest.mark.parametrize("scale", [1e-50, 1e39])
def test_the_scale_of_weights_does_not_matter(scale):
    X = two_moons(200)
    scores = small_flow().fit(X).score_samples(X)
    scaled = small_flow().fit(X, sample_weight=np.full(200, scale)).score_samples(X)
    np.testing.assert_allclose(scaled, scores, atol=1e-4)


def test_bandwidth_refitted_by_left_out_rows_is_the_best_of_a_grid():
    rows, weights, groups, generator = folds_of(60)
    start = flow_start(rows, weights, groups, "mixed", "loo", 60, generator)
    prior = MixedPrior(0.4, NormalBase(start.axes, start.log_variances), 0.3)
    codes = rows.float()
    log_weights = torch.zeros(60)
    log_weights[0] = 3.5  # of most of the weight
    exemplars, excluded = Exemplars(codes, log_weights), torch.eye(60, dtype=torch.bool)
    best = best_bandwidth(codes, torch.ones(60), exemplars, prior, excluded)

    def left_out(bandwidth):
        prior.log_bandwidth.data.fill_(np.log(bandwidth))
        return prior.log_prob(codes, exemplars, excluded).sum().item()

    assert left_out(best) > max(left_out(s) for s in np.geomspace(0.14, 0.79, 60)) - 0.05


def test_mixed_prior_at_several_codes_a_row():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(6, 4, 2, generator=generator)
    exemplars = Exemplars(torch.randn(9, 2, generator=generator), torch.linspace(-1, 1, 9))
    prior = MixedPrior(0.5, NormalBase(torch.eye(2), torch.zeros(2)), 0.3)
    together = prior.log_prob(codes, exemplars)
    for k in range(4):
        torch.testing.assert_close(together[:, k], prior.log_prob(codes[:, k], exemplars))


def test_share_of_the_normal_is_the_share_of_samples():
    rows, weights, groups, generator = folds_of()
    start = flow_start(rows, weights, groups, "mixed", "loo", len(rows), generator)
    base = NormalBase(start.axes, start.log_variances)
    base.mean.data += 100.0
    prior = MixedPrior(0.1, base, 0.3)
    exemplars = Exemplars(torch.zeros(10, 3), torch.zeros(10))
    codes = prior.sample(exemplars, 20_000, torch.Generator().manual_seed(0))
    assert abs((codes.abs().amax(1) > 10).float().mean().item() - 0.3) < 0.015


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
    model = small_flow().fit(X)
    np.testing.assert_array_equal(
        model.score_samples(X), small_flow(max_iter=0).fit(X).score_samples(X)
    )


def test_warm_start_goes_on_and_refuses_another_model():
    X = two_moons(300)
    model = small_flow(warm_start=True, max_iter=3, early_stopping=False).fit(X)
    scores, start = model.score_samples(X), small_flow(max_iter=0).fit(X).score_samples(X)
    model.set_params(max_iter=0).fit(X)  # goes on for no epoch
    np.testing.assert_allclose(model.score_samples(X), scores, rtol=1e-6)
    assert abs(scores - start).max() > 0.01
    with pytest.raises(ValueError, match="n_transforms"):
        model.set_params(n_transforms=1).fit(X)
