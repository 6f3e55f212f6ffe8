"""Columns brought to one scale: bounds, Jacobians, integers, and the way back."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import expon

from sklearn_exemplar_vae.density._scaling import ColumnScaling, column_statistics
from tests._models import correlated, small_flow, small_vae
from tests.density._columns import BOUNDS, counts, positive

# ------------------------------------------------------------------------------- scales


def test_scales_are_standard_deviations():
    X, weights = correlated(300, 3), np.random.default_rng(1).uniform(0.1, 3, 300)
    mean, scale = column_statistics(X, weights)
    np.testing.assert_allclose(mean, np.average(X, axis=0, weights=weights))
    variances = np.cov(X.T, aweights=weights, bias=True).diagonal()
    np.testing.assert_allclose(scale, np.sqrt(variances))


@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_few_values_do_not_decide_a_scale(is_weighted):
    """The quartiles do: those of `numpy.quantile`, with rows as often as they weigh."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=301), rng.standard_cauchy(301) ** 3, np.zeros(301)])
    X[:9, 2] = 1e6  # where more than half of the values are one there are no quartiles
    counts = rng.integers(1, 5, 301) if is_weighted else np.ones(301, int)
    _, scale = column_statistics(X, counts / 7)
    repeated = np.repeat(X, counts, axis=0)
    low, high = np.quantile(repeated, [0.25, 0.75], axis=0, method="inverted_cdf")
    assert repeated[:, 1].std() > 100 * scale[1]
    expected = [repeated[:, 0].std(), 3 * (high - low)[1] / 1.349, repeated[:, 2].std()]
    np.testing.assert_allclose(scale, expected, rtol=1e-9)


def test_columns_with_a_few_far_values_integrate_to_one():
    rng = np.random.default_rng(0)
    X = np.append(rng.normal(size=200), [1e4, -3e5])[:, None]
    model = small_flow(background="auto").fit(X)
    assert model._scaling.scale < 10
    angles = (np.arange(100_000) + 0.5) / 100_000 * np.pi - np.pi / 2
    densities = np.exp(model.score_samples(2 * np.tan(angles)[:, None]))
    total = (densities * 2 / np.cos(angles) ** 2).mean() * np.pi
    assert total == pytest.approx(1, abs=0.02)
    assert model.score_samples([[0.0]]) > -1.5


# ------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "bounds, grid",
    [
        ([(0, None)], np.geomspace(1e-6, 200, 20_001)),
        ([(-np.inf, 0)], -np.geomspace(200, 1e-6, 20_001)),
        ([(0, 40)], 40 / (1 + np.exp(-np.linspace(-18, 18, 20_001)))),
    ],
)
@pytest.mark.parametrize("max_iter", [0, 20])
def test_density_integrates_to_one_between_its_bounds(bounds, grid, max_iter):
    X = np.random.default_rng(0).gamma(1.2, 3.0, (300, 1)) * (1 if bounds[0][0] == 0 else -1)
    model = small_flow(bounds=bounds, max_iter=max_iter, early_stopping=False).fit(X)
    density = np.exp(model.score_samples(grid[:, None]))
    assert abs(np.trapezoid(density, grid) - 1) < 0.005


def test_the_jacobian_is_the_derivative():
    X = np.random.default_rng(0).uniform(0.1, 0.9, (50, 3))
    low, high = np.array([0, -np.inf, 0]), np.array([np.inf, 1, 1])
    scaling = ColumnScaling.fitted(X, np.ones(50), low, high, np.zeros(3, bool))
    step = 1e-6
    derivative = (scaling.transform(X + step) - scaling.transform(X - step)) / (2 * step)
    np.testing.assert_allclose(scaling.log_jacobian(X), np.log(derivative).sum(1), atol=1e-6)
    np.testing.assert_allclose(scaling.inverse_transform(scaling.transform(X)), X, rtol=1e-12)
    np.testing.assert_allclose(scaling.transform(X).mean(0), 0, atol=1e-12)


def test_bounds_beat_none_where_rows_pile_up_at_one():
    X = expon.rvs(size=(600, 1), random_state=0)
    train, test = X[:400], X[400:]
    free = small_flow(max_iter=0).fit(train).score_samples(test)
    bounded = small_flow(max_iter=0, bounds=[(0, None)]).fit(train).score_samples(test)
    assert bounded.mean() > free.mean() + 0.05


def test_no_density_is_beyond_a_bound():
    model = small_flow(bounds=[(0, None)]).fit(expon.rvs(size=(400, 1), random_state=0))
    assert (model.sample(2000, random_state=0) > 0).all()
    assert (model.score_samples([[-1.0], [0.0]]) == -np.inf).all()
    assert np.isfinite(model.score_samples([[1e-12]])).all()


def test_bounds_by_name_position_and_list_are_the_same():
    frame = pd.DataFrame(positive(), columns=["a", "b"])
    by_list = small_flow(bounds=BOUNDS).fit(frame).score_samples(frame)
    for bounds in ({"a": (0, None), "b": [0, 1]}, {1: (0, 1), 0: (0, np.inf)}):
        scores = small_flow(bounds=bounds).fit(frame).score_samples(frame)
        np.testing.assert_array_equal(scores, by_list)


def test_means_of_curves_are_in_the_units_of_x():
    X = positive()
    model = small_flow(bounds=BOUNDS).fit(X)
    # The mean Jacobian of the rows held out belongs to their scores, one for all to nothing.
    assert abs(model.validation_scores_[0] - model.score(X) / len(X)) < 0.5
    assert abs(model.loss_curve_[-1] + model.score(X) / len(X)) < 0.5


@pytest.mark.parametrize("low", [0.0, 100.0, 0.1])
def test_samples_in_single_precision_are_inside_too(low):
    X = np.random.default_rng(0).lognormal(-8, 3, (500, 1))
    X = np.clip(low + X, np.nextafter(np.float32(low), np.float32(9e9)), None).astype(np.float32)
    X = X[X[:, 0].astype(float) > low]
    model = small_flow(bounds=[(low, None)], max_iter=1).fit(X)
    samples = model.sample(2000, random_state=0)
    assert samples.dtype == np.float32
    assert np.isfinite(model.score_samples(samples)).all()
    assert np.isfinite(model.transform(model.sample_like(samples[:50])[:, 0])).all()


# ------------------------------------------------------------------------------- scales


@pytest.mark.parametrize("scale", [1e12, 1e-12, 1.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extreme_scales_add_their_log_jacobian(scale, dtype):
    X = correlated(60, 2)
    scaled = (X * [scale, 1.0]).astype(dtype)
    expected = small_vae().fit(X.astype(dtype)).score_samples(X.astype(dtype)) - np.log(scale)
    scores = small_vae().fit(scaled).score_samples(scaled)
    assert scores.dtype == dtype
    np.testing.assert_allclose(scores, expected, atol=1e-3 if dtype == np.float32 else 1e-6)


# ----------------------------------------------------------------------------- integers


def test_samples_of_integer_columns_are_integers():
    X = counts()
    model = small_flow(integer_columns=[True, False], bounds={0: (0, None)}).fit(X)
    for samples in (
        model.sample(500, random_state=0),
        model.sample_like(X[:20], 5)[:, 0],
        model.sample_like(X[:20], 5, noise=False)[:, 0],
    ):
        assert (samples[:, 0] == np.rint(samples[:, 0])).all() and (samples[:, 0] >= 0).all()
        assert (samples[:, 1] != np.rint(samples[:, 1])).all()
    model.extend_exemplars(X)
    assert np.isfinite(model.score_samples(X)).all() and model.n_exemplars_ == 1000
