"""Bad or extreme input: a clear error or a correct answer."""

import copy

import numpy as np
import pandas as pd
import pytest
from _models import correlated, small_flow, small_vae
from scipy import sparse
from sklearn.neighbors import KernelDensity

METHODS = ["fit", "score_samples", "transform", "sample_like", "kneighbors", "extend_exemplars"]


@pytest.fixture(scope="module")
def model():
    return small_vae().fit(correlated(40, 3))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "rows, message",
    [
        ([[1.0, np.nan, 0.0]] * 3, "NaN"),
        ([[1.0, np.inf, 0.0]] * 3, "infinity"),
        (sparse.csr_matrix(np.eye(3)), "[Ss]parse"),
        (np.empty((0, 3)), "0 sample"),
        (np.ones(3), "1D array"),
        ([[1, 2j, 3]] * 3, "[Cc]omplex"),
        ([["a", "b", "c"]] * 3, "could not convert|Unable to convert|numeric"),
    ],
)
def test_unusable_rows(model, method, rows, message):
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(small_vae() if method == "fit" else model, method)(rows)


@pytest.mark.parametrize("method", METHODS[1:])
def test_wrong_width(model, method):
    with pytest.raises(ValueError, match="X has 2 features, but ExemplarVAE is expecting 3"):
        getattr(model, method)(np.ones((5, 2)))


def test_wrong_width_of_codes(model):
    with pytest.raises(ValueError, match="n_components_=3"):
        model.inverse_transform(np.ones((5, 2)))


def test_one_row():
    with pytest.raises(ValueError, match="1 sample"):
        small_vae().fit([[1.0, 2.0]])


@pytest.mark.parametrize("n_rows", [2, 3, 4, 5])
def test_very_few_rows(n_rows):
    X = correlated(n_rows, 3)
    model = small_vae().fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert model.sample(4).shape == (4, 3)


@pytest.mark.parametrize(
    "weights, message",
    [
        ([-1.0] + [1.0] * 39, "sample_weight must not be negative"),
        ([0.0] * 40, "[Ss]ample.weights? .*zero"),
        ([1.0] * 39, "sample_weight.shape"),
        ([np.nan] * 40, "NaN"),
    ],
)
def test_bad_weights(weights, message):
    model = small_vae()
    with pytest.raises(ValueError, match=message):
        model.fit(correlated(40, 3), sample_weight=weights)
    assert not hasattr(model, "n_features_in_")


def test_failed_fit_leaves_the_fitted_model(model):
    X = correlated(40, 3)
    before = model.score_samples(X)
    with pytest.raises(ValueError):
        model.fit(X[:, :2], sample_weight=np.zeros(40))
    np.testing.assert_array_equal(model.score_samples(X), before)


def test_constant_column():
    X = correlated(60, 3)
    X[:, 1] = 7.0
    model = small_vae().fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    np.testing.assert_allclose(model.sample(50, random_state=0)[:, 1], 7.0, atol=0.1)
    # Away from the constant is less likely than on it.
    away = X + [0, 1, 0]
    assert (model.score_samples(away) < model.score_samples(X)).all()


def test_all_rows_equal():
    X = np.full((30, 2), 3.0)
    model = small_vae().fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert model.score([[3.0, 3.0]]) > model.score([[30.0, 3.0]])


def test_duplicates_do_not_defeat_leave_one_out():
    X = correlated(60, 2)
    once, twice = small_vae(max_iter=0).fit(X), small_vae(max_iter=0).fit(np.repeat(X, 2, axis=0))
    # Left-out copies would let the bandwidth shrink to nothing.
    assert twice.bandwidth_ > 0.7 * once.bandwidth_


@pytest.mark.parametrize("scale", [1e12, 1e-12, 1.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extreme_scales(scale, dtype):
    X = correlated(60, 2)
    scaled = (X * [scale, 1.0]).astype(dtype)
    expected = small_vae().fit(X.astype(dtype)).score_samples(X.astype(dtype)) - np.log(scale)
    scores = small_vae().fit(scaled).score_samples(scaled)
    assert scores.dtype == dtype
    np.testing.assert_allclose(scores, expected, atol=1e-3 if dtype == np.float32 else 1e-6)


def test_integers_objects_and_lists():
    X = np.random.default_rng(0).integers(0, 50, (40, 3))
    expected = small_vae().fit(X.astype(float)).score_samples(X.astype(float))
    for rows in (X, X.astype(object), X.tolist()):
        np.testing.assert_array_equal(small_vae().fit(rows).score_samples(rows), expected)


def test_scott_accepts_lists():
    """`KernelDensity` does not (scikit-learn #29443)."""
    X = correlated(40, 3)
    model = small_vae(bandwidth="scott", max_iter=0).fit(X.tolist())
    assert np.isfinite(model.score(X.tolist()))


def test_values_outside_the_unit_interval():
    X = np.random.default_rng(0).random((30, 4))
    with pytest.raises(ValueError, match=r"likelihood='bernoulli' needs values in \[0, 1\]"):
        small_vae(likelihood="bernoulli").fit(2 * X)
    model = small_vae(likelihood="bernoulli").fit(X)
    with pytest.raises(ValueError, match="bernoulli"):
        model.score_samples(X - 1)


def test_auto_likelihood():
    rng = np.random.default_rng(0)
    binary = rng.integers(0, 2, (30, 4))
    samples = small_vae().fit(binary).sample(20, random_state=0)
    assert set(np.unique(samples)) <= {0.0, 1.0}
    # A constant table of zeros says nothing of its kind; grey values are continuous.
    for X in (np.zeros((30, 4)), rng.random((30, 4))):
        assert small_vae().fit(X).likelihood_ == "gaussian"


def test_one_column_works_as_kernel_density():
    X = np.random.default_rng(0).normal(size=(100, 1))
    model = small_vae(bandwidth=0.3, max_iter=0).fit(X)
    scaled = X / X.std()
    expected = KernelDensity(bandwidth=0.3).fit(scaled).score_samples(scaled) - np.log(X.std())
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_reversed_views(likelihood):
    """torch takes no negative strides."""
    X = np.random.default_rng(0).random((40, 4))
    model = small_vae(likelihood=likelihood).fit(X[:, ::-1])
    forward = model.score_samples(np.ascontiguousarray(X[::-1, ::-1]))
    np.testing.assert_array_equal(model.score_samples(X[::-1, ::-1]), forward)
    codes = model.transform(X)
    assert np.isfinite(model.inverse_transform(codes[::-1])).all()


def test_weights_too_small_to_count():
    X = correlated(60, 3)
    weights = np.where(np.arange(60) < 30, 1.0, 1e-60)
    model = small_vae(n_exemplars=5).fit(X, sample_weight=weights)
    assert model.n_exemplars_ == 30
    assert np.isfinite(model.score_samples(X[:30])).all()


@pytest.mark.parametrize("bandwidth", [0.002, 0.003, 0.01])
def test_narrow_kernels_are_kernel_density(bandwidth):
    X = np.random.default_rng(0).normal(size=(100, 2))
    scaled = (X - X.mean(0)) / X.std(0)
    kde = KernelDensity(bandwidth=bandwidth, leaf_size=100).fit(scaled)
    expected = kde.score_samples(scaled) - np.log(X.std(0)).sum()
    model = small_vae(bandwidth=bandwidth, max_iter=0).fit(X)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-3)


def test_number_of_samples_changed_after_fit(model):
    changed = copy.deepcopy(model).set_params(n_importance_samples=0)
    with pytest.raises(ValueError, match="n_importance_samples"):
        changed.score_samples(correlated(5, 3))


@pytest.mark.parametrize("make", [small_vae, small_flow])
@pytest.mark.parametrize("value", [1e15, -1e20, np.finfo(np.float32).max])
def test_rows_beyond_single_precision_s_squares_are_unlikely(make, value):
    model = make().fit(correlated(100, 3).astype(np.float32))
    scores = model.score_samples(np.float32([[value, 0, 0], [0, 0, 0]]))
    assert scores[0] < -1e6 and np.isfinite(scores[1])


@pytest.mark.parametrize("make", [small_vae, small_flow])
@pytest.mark.parametrize("rtol", [0, 0.01])
def test_rows_beyond_double_precision_s_squares_are_unlikely(make, rtol):
    model = make(rtol=rtol).fit(correlated(100, 3))
    scores = model.score_samples([[1e160, 0, 0], [0, -1e300, 0], [0, 0, 0]])
    assert (scores[:2] < -1e100).all() and np.isfinite(scores[2])


@pytest.mark.parametrize("make", [small_vae, small_flow])
@pytest.mark.parametrize("value", [1e155, 1e160, 1e300])
def test_columns_whose_variance_overflows_are_named(make, value):
    X = correlated(100, 3)
    X[5, 1] = value
    with pytest.raises(ValueError, match="X is so large in column 1 that"):
        make().fit(X)
    with pytest.raises(ValueError, match="X is so large in column 'b' that"):
        make().fit(pd.DataFrame(X, columns=["a", "b", "c"]))
