"""Maps of bounded columns: inverses, slopes, and the rows that become normal under them."""

import numpy as np
import pytest
from scipy.stats import expon, kstest, logistic, lognorm, uniform

from sklearn_exemplar_vae.density import _bounds
from tests._models import small_flow

DISTANCES = np.array([1e-300, 1e-12, 0.3, 1.0, 30.0, 1e8, 1e300])


def test_distances_come_back_from_the_line():
    line = _bounds.distance_to_line(DISTANCES)
    np.testing.assert_allclose(_bounds.line_to_distance(line), DISTANCES, rtol=1e-12)
    # A logarithm near the bound, linear far from it.
    np.testing.assert_allclose(line[:2], np.log(DISTANCES[:2]), rtol=1e-12)
    np.testing.assert_allclose(line[-2:], DISTANCES[-2:], rtol=1e-12)


def test_shares_come_back_from_either_end():
    below = np.array([1e-300, 1e-9, 0.2, 0.5])
    line = _bounds.share_to_line(below, 1 - below)
    np.testing.assert_allclose(_bounds.line_to_share(line), below, rtol=1e-9)
    np.testing.assert_allclose(_bounds.share_to_line(1 - below, below), -line, rtol=1e-12)


def test_slopes_are_derivatives():
    distances, step = np.geomspace(1e-3, 50, 40), 1e-6
    slope = np.diff(
        [_bounds.distance_to_line(distances + sign * step * distances) for sign in (-1, 1)], axis=0
    )[0] / (2 * step * distances)
    np.testing.assert_allclose(_bounds.log_slope_of_distance(distances), np.log(slope), atol=1e-7)
    shares = np.linspace(0.01, 0.99, 40)
    moved = [_bounds.share_to_line(shares + s, 1 - shares - s) for s in (-step, step)]
    slope = (moved[1] - moved[0]) / (2 * step)
    line = _bounds.share_to_line(shares, 1 - shares)
    np.testing.assert_allclose(_bounds.log_slope_of_share(line), np.log(slope), atol=1e-6)


def test_exponential_rows_become_logistic_and_uniform_rows_normal():
    line = _bounds.distance_to_line(expon.rvs(size=5000, random_state=0))
    assert kstest(line, logistic.cdf).pvalue > 0.01
    shares = uniform.rvs(size=5000, random_state=0)
    assert kstest(_bounds.share_to_line(shares, 1 - shares), "norm").pvalue > 0.01


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_unit_is_near_the_mean_of_exponential_rows_and_far_beyond_for_lognormal_ones(scale):
    weights = np.ones(2000)
    rows = scale * expon.rvs(size=2000, random_state=0)
    assert 0.2 < _bounds.best_unit(rows, weights) / rows.mean() < 5
    rows = scale * lognorm.rvs(1.5, size=2000, random_state=0)
    assert _bounds.best_unit(rows, weights) / rows.mean() > 10


def test_weights_count_in_the_unit():
    rows = np.concatenate([expon.rvs(size=500, random_state=0), np.full(500, 1e3)])
    weights = np.repeat([1.0, 0.0], 500)
    expected = _bounds.best_unit(rows[:500], weights[:500])
    assert _bounds.best_unit(rows, weights) == pytest.approx(expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_samples_of_exponential_rows_have_their_moments_and_tail(sign):
    X = sign * expon.rvs(size=(500, 1), random_state=0)
    bounds = [(0, None) if sign > 0 else (None, 0)]
    samples = sign * small_flow(bounds=bounds, max_iter=30).fit(X).sample(20_000, random_state=0)
    assert samples.min() > 0
    assert samples.mean() == pytest.approx(1, abs=0.15)
    assert samples.std() == pytest.approx(1, abs=0.2)
    assert 5 < np.quantile(samples, 0.999) < 9.5  # 6.9; of 500 rows the largest may be 5 to 9
    assert (samples > 10).mean() < 5e-4  # 4.5e-5


def test_uniform_rows_have_a_flat_density():
    X = uniform.rvs(size=(500, 1), random_state=2)
    model = small_flow(bounds=[(0, 1)], max_iter=30).fit(X)
    density = np.exp(model.score_samples(np.linspace(0.01, 0.99, 500)[:, None]))
    assert density.min() > 0.8
    assert density.max() < 1.45  # sampling error near the ends; 5.3 by logarithms of two


def test_lognormal_rows_keep_their_heavy_tail():
    X, X_test = np.split(lognorm.rvs(1.5, size=(2500, 1), random_state=0), [500])
    scores = small_flow(bounds=[(0, None)]).fit(X).score_samples(X_test)
    assert scores.mean() > lognorm(1.5).logpdf(X_test).mean() - 0.05
