"""A Gaussian mixture beside a model: how it is found, beside scikit-learn and grid searches."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from sklearn_exemplar_vae.density import _stacking
from sklearn_exemplar_vae.density._stacking import (
    LeftOut,
    as_component,
    fit_normals,
    resampled,
    search_stack,
    stacked_share,
)
from tests._models import correlated, standardized


def clusters(n_rows, n_clusters=2, n_columns=4, seed=0):
    """Return standardized rows of well separated normal distributions."""
    places = 6 * np.random.default_rng(9).normal(size=(n_clusters, n_columns))
    rng = np.random.default_rng(seed)
    return (places[rng.integers(0, n_clusters, n_rows)] + rng.normal(size=(n_rows, n_columns))) / 6


# --------------------------------------------------------------------------------- share


def penalized(share, log_model, log_normals, weights):
    """Return the log-likelihood of shares (m,) and one count of a row, half of it each."""
    mixed = np.logaddexp(
        log_model[:, None] + np.log1p(-share), log_normals[:, None] + np.log(share)
    )
    return weights / weights.mean() @ mixed + 0.5 * (np.log(share) + np.log1p(-share))


@pytest.mark.parametrize("n_rows", [20, 300])
@pytest.mark.parametrize("advantage", [-1.0, -0.2, 0.0, 0.5, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_share_is_the_best_of_a_grid(n_rows, advantage, weighted):
    rng = np.random.default_rng(0)
    log_model, log_normals = rng.normal(size=(2, n_rows)) - 3
    log_normals += advantage
    weights = rng.uniform(0.1, 3, n_rows) if weighted else np.ones(n_rows)
    share, gain = stacked_share(log_model, log_normals, weights)
    grid = np.linspace(0, 1, 20_001)[1:-1]
    likelihoods = penalized(grid, log_model, log_normals, weights)
    assert share == pytest.approx(grid[likelihoods.argmax()], abs=0.02)
    found = penalized(np.array([share]), log_model, log_normals, weights)[0]
    assert found > likelihoods.max() - 0.02
    mixed = np.log((1 - share) * np.exp(log_model) + share * np.exp(log_normals))
    assert gain == pytest.approx(np.average(mixed - log_model, weights=weights))


@pytest.mark.parametrize("worst", [-1e5, -np.inf])
def test_rows_that_normals_do_not_have_are_the_model_s(worst):
    log_model, log_normals = np.zeros(50), np.r_[np.full(49, 1.0), worst]
    share, gain = stacked_share(log_model, log_normals, np.ones(50))
    assert 0.9 < share < 1 and np.isfinite(gain) and gain > 0.5


# -------------------------------------------------------------------------------- search


def left_out(X, n_judges=100):
    return [LeftOut(X[n_judges:], X[:n_judges])]


def searched(X, log_model, sizes=(1, 2, 4, 8)):
    return search_stack(left_out(X), log_model, lambda x: x, np.ones(100), sizes, seed=0)


@pytest.mark.parametrize("n_clusters", [1, 2, 4])
def test_as_many_normals_are_found_as_there_are_clusters(n_clusters):
    X = clusters(1500, n_clusters)
    mixture, share = searched(X, np.full(100, -5.0))
    assert len(mixture.means_) == n_clusters and share > 0.9
    expected = GaussianMixture(n_clusters, reg_covar=1e-5, random_state=0).fit(X[100:])
    assert mixture.score(X[:100]) == pytest.approx(expected.score(X[:100]), abs=0.01)


def test_no_more_sizes_are_tried_after_two_that_gain_nothing():
    tried, X = [], clusters(3000, 1)

    def listen():
        for size in (1, 2, 4, 8, 16):
            tried.append(size)
            yield size

    mixture, _ = searched(X, np.full(100, -5.0), listen())
    assert len(mixture.means_) == 1 and tried == [1, 2, 4]


def test_a_model_that_is_better_everywhere_has_nothing_beside_it():
    X = clusters(500)
    best = GaussianMixture(2, random_state=0).fit(X).score_samples(X[:100])
    assert searched(X, best + 0.5) is None
    assert searched(X, best - 0.5) is not None


def test_folds_have_normals_of_their_own():
    """Rows that a fold trains on are not those of another; all their judges count."""
    X, far = clusters(600), clusters(600) + 50
    parts = [LeftOut(X[100:], X[:100]), LeftOut(far[100:], far[:100])]
    log_model = np.full(200, -5.0)
    _, share = search_stack(parts, log_model, lambda x: x, np.ones(200), [2], seed=0)
    assert share > 0.9
    parts = [LeftOut(X[100:], X[:100]), LeftOut(X[100:], far[:100])]
    _, share = search_stack(parts, log_model, lambda x: x, np.ones(200), [2], seed=0)
    assert share == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("size, n_rows, is_enough", [(2, 14, True), (2, 13, False), (8, 55, False)])
def test_normals_need_rows(size, n_rows, is_enough):
    assert (fit_normals(clusters(n_rows), size, 0) is not None) == is_enough


def test_too_few_rows_have_no_normals():
    X = clusters(106)  # of which six are trained on
    assert searched(X, np.full(100, -50.0)) is None


def test_normals_go_on_from_a_start():
    X = clusters(400, 3)
    start = fit_normals(X[:200], 3, 0)
    mixture = fit_normals(X, 3, 1, start)
    by_start, by_found = (np.argsort(part.means_[:, 0]) for part in (start, mixture))
    np.testing.assert_array_equal(by_start, by_found)  # and in its order
    np.testing.assert_allclose(mixture.means_, start.means_, atol=0.1)
    assert mixture.score(X) > start.score(X)


def test_many_rows_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr(_stacking, "MAX_SEARCH_ROWS", 150)
    X = clusters(400)
    expected = GaussianMixture(2, reg_covar=1e-5, random_state=0).fit(X[::3])
    assert fit_normals(X, 2, 0).score(X) == pytest.approx(expected.score(X))


def test_columns_that_others_determine_have_a_density():
    X = np.repeat(clusters(200), 2, axis=1)
    assert np.isfinite(fit_normals(X, 2, 0).score_samples(X)).all()


# ---------------------------------------------------------------------------- component


@pytest.mark.parametrize("size", [1, 3])
def test_a_component_is_the_density_of_scikit_learn(size):
    X = standardized(correlated(300, 4)).numpy()
    mixture = GaussianMixture(size, random_state=0).fit(X)
    found = as_component(mixture).log_prob(torch.from_numpy(X))
    np.testing.assert_allclose(found, mixture.score_samples(X), rtol=1e-9)


# ----------------------------------------------------------------------------- weights


@pytest.mark.parametrize("weight", [1.0, 0.1, 3e-20])
def test_rows_of_equal_weight_are_all_there_in_their_order(weight):
    np.testing.assert_array_equal(resampled(np.full(1000, weight), 4), np.arange(1000))


def test_rows_are_there_as_often_as_they_weigh():
    weights = np.random.default_rng(0).uniform(0, 5, 1000)
    weights[::7] = 0
    counts = np.bincount(resampled(weights, 4), minlength=1000)
    expected = np.count_nonzero(weights) * weights / weights.sum()
    assert np.abs(counts - expected).max() <= 1 and (counts[::7] == 0).all()


def test_a_pattern_in_the_order_of_weights_does_not_matter():
    found = resampled(np.tile([3.0, 1.0], 500), 4)
    assert abs(np.mean(found % 2 == 0) - 0.75) < 0.05


def test_as_many_rows_are_there_as_can_be_afforded(monkeypatch):
    monkeypatch.setattr(_stacking, "MAX_FIT_VALUES", 400)
    found = resampled(np.ones(1000), 4)
    assert len(np.unique(found)) == 100
