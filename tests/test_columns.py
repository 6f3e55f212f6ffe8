"""Columns with bounds, of integers, and such as have no density."""

import numpy as np
import pandas as pd
import pytest
from _models import correlated, small_flow, small_vae
from scipy.stats import expon

from sklearn_exemplar_vae._columns import ColumnScaling, dequantised, points_of_unit


def positive(n_rows=400):
    rng = np.random.default_rng(0)
    return np.column_stack([rng.gamma(1.5, 2.0, n_rows), rng.beta(0.8, 2.0, n_rows)])


BOUNDS = [(0, None), (0, 1)]


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


def test_jacobian_is_the_derivative():
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
    # And no density is on the other side.
    bounded = small_flow(bounds=[(0, None)]).fit(train)
    assert (bounded.sample(2000, random_state=0) > 0).all()
    assert (bounded.score_samples([[-1.0], [0.0]]) == -np.inf).all()
    assert np.isfinite(bounded.score_samples([[1e-12]])).all()


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


@pytest.mark.parametrize(
    "bounds, message",
    [
        ([(0, None)], "pair for each of the 2 columns"),
        ([(0, None), (1, 0)], r"low < high, got \(1, 0\)"),
        ([(0, None), (0, 0)], "low < high"),
        ([(0, None), (0, np.nan)], "low < high"),
        ([(0, None), (0,)], r"pairs \(low, high\), got \(0,\)"),
        ([(0, None), 3], r"pairs \(low, high\), got 3"),
        ([(0, None), ("0", "1")], "numbers or None"),
        ({"c": (0, 1)}, "the column 'c', which X does not have"),
        ({2: (0, 1)}, "position from 0 to 1, got 2"),
        ({0: (0, 1), -1: (0, 1)}, "position from 0 to 1, got -1"),
        (np.array(3.0), "bounds"),
        ({0: (1, None)}, r"strictly inside its bounds \(1, inf\) in column 0"),
        (pd.DataFrame({"low": [0, 0], "high": [9, 1]}), "or a dict, got a DataFrame"),
        ("positive", "bounds"),
        (3, "bounds"),
    ],
)
def test_wrong_bounds(bounds, message):
    model = small_flow(bounds=bounds)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(positive())
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("method", ["transform", "sample_like", "kneighbors", "extend_exemplars"])
def test_rows_that_cannot_be_have_no_code(method):
    model = small_flow(bounds=BOUNDS, max_iter=1).fit(positive())
    with pytest.raises(ValueError, match="strictly inside its bounds .* column 1, got 1.5"):
        getattr(model, method)([[1.0, 1.5]])


def counts(n_rows=500):
    rng = np.random.default_rng(0)
    rate = rng.gamma(2.0, 2.0, n_rows)
    return np.column_stack([rng.poisson(rate), rate + rng.normal(scale=0.3, size=n_rows)])


@pytest.mark.parametrize("bounds", [None, {0: (0, None)}, {0: (0, 60)}])
def test_probabilities_of_integers_sum_to_one(bounds):
    X = counts()[:, :1]
    model = small_flow(integer_columns=[0], bounds=bounds, max_iter=20).fit(X)
    probabilities = np.exp(model.score_samples(np.arange(-20, 120)[:, None]))
    assert abs(probabilities.sum() - 1) < 0.005
    frequencies = np.bincount(X[:, 0].astype(int), minlength=120)[:8] / len(X)
    np.testing.assert_allclose(probabilities[20:28], frequencies, atol=0.05)
    if bounds is not None:
        assert probabilities[:20].sum() == 0  # zero is a value, minus one is not


def test_probabilities_of_two_columns_of_integers_sum_to_one():
    X = np.random.default_rng(0).poisson([2.0, 5.0], size=(400, 2))
    bounds = [(0, None), (0, 20)]
    model = small_flow(integer_columns=[0, 1], bounds=bounds, max_iter=20).fit(X)
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(21)), axis=-1).reshape(-1, 2)
    probabilities = np.exp(model.score_samples(grid))
    assert abs(probabilities.sum() - 1) < 0.1
    is_mode = (grid == [2, 5]).all(1)
    assert probabilities[is_mode] == pytest.approx((X == [2, 5]).all(1).mean(), abs=0.04)


def test_points_of_a_unit():
    np.testing.assert_allclose(np.sort(points_of_unit(4, 1)[:, 0]), [-0.375, -0.125, 0.125, 0.375])
    points = points_of_unit(16, 5)
    assert (abs(points) < 0.5).all() and len(np.unique(points, axis=0)) == 16
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-12)


def test_copies_are_left_out_together_whatever_their_noise():
    """Rows given four times must not make the kernel narrow: their noise differs, they do not."""
    X = np.column_stack([np.random.default_rng(0).normal(size=150), counts(150)[:, 0]])
    once = small_flow(prior="exemplar", integer_columns=[1], max_iter=0).fit(X)
    often = small_flow(prior="exemplar", integer_columns=[1], max_iter=0).fit(
        np.repeat(X, 4, axis=0)
    )
    assert often.bandwidth_ > 0.7 * once.bandwidth_


def test_what_is_no_integer_has_no_probability():
    model = small_flow(integer_columns=[0], bounds={0: (0, None)}).fit(counts()[:, :1])
    scores = model.score_samples([[-0.3], [2.5], [-1.0], [3.0]])
    assert (scores[:3] == -np.inf).all() and np.isfinite(scores[3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_integers_keep_their_unit(dtype):
    X = np.random.default_rng(0).integers(0, 65536, (300, 1)).astype(dtype)
    X[:20] = 65535
    model = small_flow(integer_columns=[0], bounds={0: (0, 65535)}, max_iter=2).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    samples = model.sample(2000, random_state=0)
    assert samples.min() >= 0 and samples.max() <= 65535


@pytest.mark.parametrize("value", [0, 2**20, 2**40, -(2**40), 2**44 - 1])
def test_noise_on_integers_stays_off_the_ends_of_their_unit(value):
    X = dequantised(np.full((200_000, 1), float(value)), np.array([True]), seed=0)
    assert (np.abs(X - value) < 0.5).all() and len(np.unique(X)) > 200
    assert abs((X - value).mean()) < 2e-3


def test_integers_without_room_between_them_are_named():
    X = np.random.default_rng(0).integers(2**50, 2**51, (50, 2)).astype(float)
    with pytest.raises(ValueError, match="integer_columns has column 1, in which X has"):
        small_flow(integer_columns=[1]).fit(X)


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


def test_equal_columns_of_integers_are_no_error():
    X = np.repeat(counts()[:, :1], 2, axis=1)
    assert np.isfinite(small_flow(integer_columns=[0, 1]).fit(X).score(X))


def test_one_weight_alone_is_named():
    for make in (small_flow, small_vae):
        with pytest.raises(ValueError, match="sample_weight must be positive.*for at least two"):
            make().fit(positive(), sample_weight=np.eye(400)[0])


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


def test_dequantising_leaves_the_rows_of_the_caller_alone():
    X = counts()
    before = X.copy()
    one = small_flow(integer_columns=[0]).fit(X)
    np.testing.assert_array_equal(X, before)
    two = small_flow(integer_columns=[0]).fit(X)
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))


@pytest.mark.parametrize(
    "integer_columns, message",
    [
        ([1], "column 1, in which X has"),
        ([2], "position from 0 to 1, got 2"),
        ([0, 0, 1], "integer_columns gives 0 more than once"),
        ([True], "as a mask must have 2 values, got 1"),
        (["count"], "the column 'count', which X does not have"),
        ([0.5], "position from 0 to 1, got 0.5"),
        ("all", "integer_columns"),
    ],
)
def test_wrong_integer_columns(integer_columns, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small_flow(integer_columns=integer_columns).fit(counts())


def test_bounds_of_integers_are_integers():
    with pytest.raises(ValueError, match="bounds of column 0 must be integers.*got 0.2"):
        small_flow(integer_columns=[0], bounds={0: (0.2, None)}).fit(counts())


def test_integers_have_to_be_in_memory(tmp_path):
    X = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=(500, 2))
    X[:] = counts()
    with pytest.raises(ValueError, match="in memory, got a numpy.memmap"):
        small_flow(integer_columns=[0]).fit(X)
    assert np.isfinite(small_flow(bounds={0: (-1, None)}).fit(X).score(X))


def test_integers_copied_from_a_file_are_in_memory(tmp_path):
    X = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=(500, 2))
    X[:] = counts()
    assert np.isfinite(small_flow(integer_columns=[0]).fit(X.copy()).score(X.copy()))


def test_a_constant_column_of_integers_is_certain():
    X = np.column_stack([np.full(500, 7.0), counts()[:, 1]])
    model = small_flow(integer_columns=[0]).fit(X)
    alone = small_flow().fit(X[:, 1:])
    assert abs(model.score(X) - alone.score(X[:, 1:])) < 0.3 * len(X)
    assert (model.sample(100, random_state=0)[:, 0] == 7).mean() > 0.8


def test_bounds_of_integers_include_them():
    X = counts()
    with pytest.raises(ValueError, match=r"within its bounds \[0, 4\] in column 0, got"):
        small_flow(integer_columns=[0], bounds={0: (0, 4)}).fit(X)


@pytest.mark.parametrize("value", [0.0, -7.5])
def test_constant_columns_are_named(value):
    frame = pd.DataFrame(correlated(50, 3), columns=["a", "b", "c"])
    frame["b"] = value
    with pytest.raises(ValueError, match="constant in column 'b'"):
        small_flow().fit(frame)
    with pytest.raises(ValueError, match="constant in column 1"):
        small_flow().fit(frame.to_numpy())


def test_copied_columns_are_named():
    X = correlated(50, 4)
    X[:, 3] = X[:, 1]
    X[0, [1, 3]] = 0.0, -0.0
    with pytest.raises(ValueError, match="column 3 of X is a copy of column 1"):
        small_flow().fit(X)
