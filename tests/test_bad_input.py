"""Bad or unusual input to any density: a clear error or a correct answer."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from tests._models import correlated, small_flow, small_vae

METHODS = ["fit", "score_samples", "transform", "sample_like", "kneighbors", "extend_exemplars"]
DENSITIES = [small_vae, small_flow]


@pytest.fixture(scope="module", params=DENSITIES)
def model(request):
    return request.param().fit(correlated(40, 3))


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
        getattr(clone(model) if method == "fit" else model, method)(rows)


@pytest.mark.parametrize("method", METHODS[1:])
def test_wrong_width(model, method):
    with pytest.raises(ValueError, match="X has 2 features, but Exemplar.* is expecting 3"):
        getattr(model, method)(np.ones((5, 2)))


def test_wrong_width_of_codes(model):
    with pytest.raises(ValueError, match="n_components_=3"):
        model.inverse_transform(np.ones((5, 2)))


@pytest.mark.parametrize("make", DENSITIES)
def test_one_row(make):
    with pytest.raises(ValueError, match="1 sample"):
        make().fit([[1.0, 2.0]])


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("n_rows", [2, 3, 4, 5])
def test_very_few_rows(make, n_rows):
    X = correlated(n_rows, 3)
    model = make().fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert model.sample(4).shape == (4, 3)


@pytest.mark.parametrize(
    "weights, message",
    [
        ([-1.0] + [1.0] * 39, "sample_weight must not be negative"),
        ([0.0] * 40, "[Ss]ample.weights? .*zero"),
        ([1.0] * 39, "sample_weight.shape"),
        ([np.nan] * 40, "NaN"),
        ([1.0] + [0.0] * 39, "sample_weight must be positive.*for at least two"),
    ],
)
@pytest.mark.parametrize("make", DENSITIES)
def test_bad_weights(make, weights, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        model.fit(correlated(40, 3), sample_weight=weights)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("make", DENSITIES)
def test_integers_objects_and_lists(make):
    X = np.random.default_rng(0).integers(0, 50, (40, 3))
    expected = make().fit(X.astype(float)).score_samples(X.astype(float))
    for rows in (X, X.astype(object), X.tolist()):
        np.testing.assert_array_equal(make().fit(rows).score_samples(rows), expected)


@pytest.mark.parametrize("make", DENSITIES)
def test_scott_accepts_lists(make):
    """`KernelDensity` does not (scikit-learn #29443)."""
    X = correlated(40, 3).tolist()
    assert np.isfinite(make(bandwidth="scott", max_iter=0).fit(X).score(X))


@pytest.mark.parametrize("model", [small_vae(), small_vae(likelihood="bernoulli"), small_flow()])
def test_reversed_views(model):
    """torch takes no negative strides."""
    X = np.random.default_rng(0).random((40, 4))
    model.fit(X[:, ::-1])
    forward = model.score_samples(np.ascontiguousarray(X[::-1, ::-1]))
    np.testing.assert_array_equal(model.score_samples(X[::-1, ::-1]), forward)
    codes = model.transform(X)
    assert np.isfinite(model.inverse_transform(codes[::-1])).all()
