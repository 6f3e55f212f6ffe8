"""Weights act as repetition does, in distribution: the fit is stochastic."""

from functools import partial

import numpy as np
import pytest
from _models import small_flow, small_vae, two_moons


def log_density_curve(model, grid):
    return np.exp(model.score_samples(grid[:, None]))


@pytest.mark.parametrize(
    "make",
    [partial(small_vae, n_importance_samples=64), partial(small_flow, early_stopping=False)],
)
def test_weights_are_repetition_statistically(make):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(-2, 0.5, (150, 1)), rng.normal(2, 1.0, (150, 1))])
    weights = np.repeat([3, 1], 150)
    grid = np.linspace(-8, 9, 500)
    step = grid[1] - grid[0]

    def mean_curve(X, sample_weight=None):
        fits = [
            make(random_state=seed, max_iter=15).fit(X, sample_weight=sample_weight)
            for seed in range(5)
        ]
        return np.mean([log_density_curve(fit, grid) for fit in fits], axis=0)

    weighted = mean_curve(X, weights)
    repeated = mean_curve(np.repeat(X, weights, axis=0))
    unweighted = mean_curve(X)
    difference = np.abs(weighted - repeated).sum() * step
    assert difference < 0.05 < 0.3 < np.abs(weighted - unweighted).sum() * step
    assert abs(weighted[grid < 0].sum() * step - 0.75) < 0.03


def test_rows_of_next_to_no_weight_hardly_count():
    """With weight on one moon alone, the other is still an exemplar."""
    X = two_moons(300)
    upper = X[:, 1] > 0.3
    weights = np.where(upper, 1.0, 1e-6)
    model = small_vae(max_iter=20).fit(X, sample_weight=weights)
    assert model.score_samples(X[upper]).mean() > model.score_samples(X[~upper]).mean() + 3
    assert (model.sample(500, random_state=0)[:, 1] > 0).mean() > 0.9


def test_only_the_proportions_of_weights_count():
    X = two_moons(100)
    weights = np.random.default_rng(0).uniform(0.5, 2, 100)
    one = small_vae().fit(X, sample_weight=weights).score_samples(X)
    many = small_vae().fit(X, sample_weight=1024 * weights).score_samples(X)
    np.testing.assert_allclose(one, many, rtol=1e-5)
