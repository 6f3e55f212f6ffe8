"""Columns with bounds, columns of integers, and columns that have no density."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_exemplar_vae.density._column_checks import points_of_unit
from tests._models import correlated, small_flow, small_vae
from tests.density._columns import BOUNDS, counts, positive

# ------------------------------------------------------------------------------- bounds


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
def test_wrong_bounds_are_named(bounds, message):
    model = small_flow(bounds=bounds)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(positive())
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("method", ["transform", "sample_like", "kneighbors", "extend_exemplars"])
def test_rows_that_cannot_be_have_no_code(method):
    model = small_flow(bounds=BOUNDS, max_iter=1).fit(positive())
    with pytest.raises(ValueError, match="strictly inside its bounds .* column 1, got 1.5"):
        getattr(model, method)([[1.0, 1.5]])


# ----------------------------------------------------------------------------- integers


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


def test_points_of_a_unit_are_spread_evenly_inside_it():
    np.testing.assert_allclose(np.sort(points_of_unit(4, 1)[:, 0]), [-0.375, -0.125, 0.125, 0.375])
    points = points_of_unit(16, 5)
    assert (abs(points) < 0.5).all() and len(np.unique(points, axis=0)) == 16
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-12)


def test_noise_leaves_the_rows_of_the_caller_alone():
    X = counts()
    before = X.copy()
    one = small_flow(integer_columns=[0]).fit(X)
    np.testing.assert_array_equal(X, before)
    two = small_flow(integer_columns=[0]).fit(X)
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))


def test_copies_are_left_out_together_whatever_their_noise():
    """Rows given four times must not make the kernel narrow: their noise differs, they do not."""
    X = np.column_stack([np.random.default_rng(0).normal(size=150), counts(150)[:, 0]])
    once, often = (
        small_flow(prior="exemplar", integer_columns=[1], max_iter=0).fit(rows)
        for rows in (X, np.repeat(X, 4, axis=0))
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


def test_integers_without_room_between_them_are_named():
    X = np.random.default_rng(0).integers(2**50, 2**51, (50, 2)).astype(float)
    with pytest.raises(ValueError, match="integer_columns has column 1, in which X has"):
        small_flow(integer_columns=[1]).fit(X)


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
def test_wrong_integer_columns_are_named(integer_columns, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small_flow(integer_columns=integer_columns).fit(counts())


def test_bounds_of_integers_are_integers():
    with pytest.raises(ValueError, match="bounds of column 0 must be integers.*got 0.2"):
        small_flow(integer_columns=[0], bounds={0: (0.2, None)}).fit(counts())


def test_bounds_of_integers_include_them():
    with pytest.raises(ValueError, match=r"within its bounds \[0, 4\] in column 0, got"):
        small_flow(integer_columns=[0], bounds={0: (0, 4)}).fit(counts())


def test_integers_have_to_be_in_memory(tmp_path):
    X = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=(500, 2))
    X[:] = counts()
    with pytest.raises(ValueError, match="in memory, got a numpy.memmap"):
        small_flow(integer_columns=[0]).fit(X)
    assert np.isfinite(small_flow(bounds={0: (-1, None)}).fit(X).score(X))
    # A copy of them is in memory, although numpy gives it the class of a memmap.
    assert np.isfinite(small_flow(integer_columns=[0]).fit(X.copy()).score(X.copy()))


# ------------------------------------------------------------- columns without a density


def test_a_constant_column_of_integers_is_certain():
    X = np.column_stack([np.full(500, 7.0), counts()[:, 1]])
    model = small_flow(integer_columns=[0]).fit(X)
    alone = small_flow().fit(X[:, 1:])
    assert abs(model.score(X) - alone.score(X[:, 1:])) < 0.3 * len(X)
    assert (model.sample(100, random_state=0)[:, 0] == 7).mean() > 0.8


def test_equal_columns_of_integers_have_a_density():
    X = np.repeat(counts()[:, :1], 2, axis=1)
    assert np.isfinite(small_flow(integer_columns=[0, 1]).fit(X).score(X))


@pytest.mark.parametrize("make", [small_vae, small_flow])
@pytest.mark.parametrize("value", [1e155, 1e160, 1e300])
def test_columns_whose_variance_overflows_are_named(make, value):
    X = correlated(100, 3)
    X[5, 1] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such a column is no function of others
        with pytest.raises(ValueError, match="X is so large in column 1 that"):
            make().fit(X)
        with pytest.raises(ValueError, match="X is so large in column 'b' that"):
            make().fit(pd.DataFrame(X, columns=["a", "b", "c"]))
