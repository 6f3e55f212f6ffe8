"""Scores, codes, neighbors and exemplars of a fitted density, whichever it is."""

import copy
import sys
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors

from sklearn_exemplar_vae import ExemplarVAE
from tests._kernel_density import kernel_density_scores
from tests._models import correlated, small_flow, small_vae, two_moons

# Untrained, these are a kernel density estimate.
KERNEL_DENSITIES = [
    partial(small_vae, max_iter=0),
    partial(small_flow, prior="exemplar", max_iter=0),
]


# ------------------------------------------------------------------- scores


def test_score_is_the_total_as_that_of_kernel_density_is(model, X):
    assert isinstance(model.score(X), float)
    assert model.score(X) == pytest.approx(model.score_samples(X).sum())


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-9), (np.float32, 2e-6)])
def test_scores_do_not_depend_on_company_or_order(X, model, dtype, tolerance):
    model, rows = clone(model).fit(X.astype(dtype)), X.astype(dtype)
    scores = model.score_samples(rows)
    assert scores.dtype == dtype
    one_by_one = np.concatenate([model.score_samples(row[None]) for row in rows])
    np.testing.assert_allclose(one_by_one, scores, rtol=tolerance)
    np.testing.assert_allclose(model.score_samples(rows[::-1])[::-1], scores, rtol=tolerance)


def test_chunks_change_nothing(model, X, monkeypatch):
    """Score in pieces of a few numbers, so memory is bounded by the piece, not by n."""
    expected = model.score_samples(X)
    monkeypatch.setattr("sklearn_exemplar_vae.engine.chunks.CHUNK_FLOATS", 2000)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-9)


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_code_that_does_without_gradients_fits_the_same(model, X, without_gradients):
    with without_gradients():
        there = clone(model).fit(X)
        np.testing.assert_array_equal(there.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(there.fit(X).score_samples(X), model.score_samples(X))


@pytest.mark.parametrize("prior", ["mixed", "exemplar"])
def test_sums_over_cells_are_within_their_tolerance(prior):
    X = two_moons(3000)
    model = small_flow(prior=prior, max_iter=2).fit(X)
    exact = model.score_samples(X[:200])
    for rtol in (0.3, 0.01, 1e-6):
        scores = model.set_params(rtol=rtol).score_samples(X[:200])
        assert (scores < exact + 1e-9).all() and (scores > exact + np.log1p(-rtol) - 1e-6).all()


def test_float32_stays_float32():
    X = two_moons(60).astype(np.float32)
    model = small_vae().fit(X)
    for array in (model.score_samples(X), model.transform(X), model.sample(3)):
        assert array.dtype == np.float32
    assert model.inverse_transform(model.transform(X)).dtype == np.float32
    np.testing.assert_allclose(
        model.score_samples(X), model.score_samples(X.astype(np.float64)), atol=1e-3
    )


@pytest.mark.parametrize("name, value", [("rtol", 2), ("n_importance_samples", 0)])
def test_parameters_of_scores_are_checked_where_they_are_changed_after_fit(X, name, value):
    model = small_vae(max_iter=0).fit(X).set_params(**{name: value})
    with pytest.raises(ValueError, match=name):
        model.score_samples(X)


@pytest.mark.parametrize("make", [small_vae, small_flow])
@pytest.mark.parametrize("value", [1e15, -1e20, np.finfo(np.float32).max])
def test_rows_whose_squares_overflow_single_precision_are_unlikely(make, value):
    model = make().fit(correlated(100, 3).astype(np.float32))
    scores = model.score_samples(np.float32([[value, 0, 0], [0, 0, 0]]))
    assert scores[0] < -1e6 and np.isfinite(scores[1])


@pytest.mark.parametrize("make", [small_vae, small_flow])
@pytest.mark.parametrize("rtol", [0, 0.01])
def test_rows_whose_squares_overflow_double_precision_are_unlikely(make, rtol):
    model = make(rtol=rtol).fit(correlated(100, 3))
    scores = model.score_samples([[1e160, 0, 0], [0, -1e300, 0], [0, 0, 0]])
    assert (scores[:2] < -1e100).all() and np.isfinite(scores[2])


# -------------------------------------------------------------------- codes


def test_codes_decode_to_their_rows(X):
    model = small_vae().fit(X)
    codes = model.transform(X)
    assert codes.shape == (120, 4)
    np.testing.assert_allclose(model.inverse_transform(codes), X, atol=0.2 * X.std())


# ---------------------------------------------------------------- neighbors


def test_kneighbors_are_nearest_codes(model, X):
    codes = model.transform(X)
    distances, indices = model.kneighbors(X, 4)
    expected = NearestNeighbors(n_neighbors=4).fit(codes).kneighbors(codes)
    np.testing.assert_allclose(distances, expected[0], atol=1e-9)
    np.testing.assert_array_equal(indices, expected[1])
    # Without queries every exemplar is left out of its own neighbors.
    nearest = model.kneighbors(n_neighbors=1, return_distance=False)[:, 0]
    assert not (nearest == np.arange(120)).any()


def test_there_are_no_more_neighbors_than_exemplars(model, X):
    with pytest.raises(ValueError, match="n_neighbors=121"):
        model.kneighbors(X, 121)
    with pytest.raises(ValueError, match="n_neighbors=120"):
        model.kneighbors(n_neighbors=120)


def test_copies_are_neighbors_of_each_other_and_never_of_themselves():
    X = np.repeat(np.arange(12.0).reshape(6, 2), 20, axis=0)
    distances, indices = small_vae(max_iter=0).fit(X).kneighbors(n_neighbors=19)
    assert not (indices == np.arange(120)[:, None]).any()
    np.testing.assert_array_equal(indices // 20, np.repeat(np.arange(6), 20)[:, None].repeat(19, 1))
    np.testing.assert_allclose(distances, 0, atol=1e-12)


def test_neighbors_with_frames_as_output(model, X):
    framed = copy.deepcopy(model).set_output(transform="pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(framed.kneighbors(X, 2)[1], model.kneighbors(X, 2)[1])


class FindsTheFirst:
    """A stand-in for pynndescent's index: it takes the first rows for the nearest."""

    def __init__(self, codes, n_neighbors, random_state):
        self.n_codes = len(codes)

    def query(self, queries, k):
        return np.tile(np.arange(k), (len(queries), 1)), np.zeros((len(queries), k))


def test_retrieval_may_be_changed_after_fit(X, monkeypatch):
    stand_in = SimpleNamespace(NNDescent=FindsTheFirst)  # compiling the real one takes seconds
    monkeypatch.setitem(sys.modules, "pynndescent", stand_in)
    model = small_vae(max_iter=0, retrieval="pynndescent").fit(X)
    codes = model.transform(X)
    nearest = NearestNeighbors(n_neighbors=3).fit(codes).kneighbors(codes, return_distance=False)
    for retrieval, expected in [("pynndescent", [[0, 1, 2]] * 120), ("exact", nearest)] * 2:
        model.set_params(retrieval=retrieval)
        indices = model.kneighbors(X, 3, return_distance=False)
        expected = np.sort(expected, axis=1)
        np.testing.assert_array_equal(np.sort(indices, axis=1), expected)
    with pytest.raises(ValueError, match="retrieval"):
        model.set_params(retrieval="pynndecent").kneighbors(X)


# --------------------------------------------------------- extended exemplars


@pytest.mark.parametrize("make, atol", [(KERNEL_DENSITIES[0], 1e-4), (KERNEL_DENSITIES[1], 0)])
def test_an_extended_density_is_the_kernel_density_of_all_rows(make, atol, X):
    mirrored = 2 * X.mean(0) - X  # of the same mean and scale, so the units stay those of fit
    both = np.concatenate([X, mirrored])
    model = make(bandwidth=0.5).fit(X)
    before = model.score_samples(mirrored)
    assert model.extend_exemplars(mirrored) is model
    assert model.n_exemplars_ == 240
    assert model.score_samples(mirrored).mean() > before.mean() + 0.1
    np.testing.assert_array_equal(model.kneighbors(mirrored, 1)[1][:, 0], np.arange(120, 240))
    expected = kernel_density_scores(both, both, 0.5)
    np.testing.assert_allclose(model.score_samples(both), expected, rtol=1e-6, atol=atol)


@pytest.mark.parametrize("value", [1e5, 1e30, 1e200])
@pytest.mark.parametrize("make", KERNEL_DENSITIES)
@pytest.mark.parametrize("fitted", [np.float32, np.float64])
def test_an_exemplar_far_off_leaves_the_others_what_they_are(X, make, value, fitted):
    model = make().fit(X.astype(fitted))
    before = model.score_samples(X)
    model.extend_exemplars(np.full((1, X.shape[1]), value))
    expected = before - np.log1p(1 / len(X))  # but for its share of the mixture
    for scored in (np.float32, np.float64):
        np.testing.assert_allclose(model.score_samples(X.astype(scored)), expected, atol=1e-3)
    distances, _ = model.kneighbors(np.full((1, X.shape[1]), value), 2)
    assert np.isfinite(distances).all() and np.isfinite(model.sample(20)).all()


class FailsToEncode(ExemplarVAE):
    """An ExemplarVAE that runs out of memory when it is told to."""

    has_memory = True

    def _encode(self, X):
        if not self.has_memory:
            raise MemoryError
        return super()._encode(X)


def test_an_extension_that_fails_leaves_no_trace(X):
    model = FailsToEncode(max_iter=0, random_state=0).fit(X[:60])
    model.has_memory = False
    with pytest.raises(MemoryError):
        model.extend_exemplars(X[60:])
    model.has_memory = True
    model.extend_exemplars(X[60:])
    assert model.n_exemplars_ == 120
    np.testing.assert_array_equal(model.kneighbors(X[60:], 1)[1][:, 0], np.arange(60, 120))


def test_rows_of_several_extensions_keep_their_numbers(X):
    model = small_vae(max_iter=0).fit(X[:40])
    for part in (X[40:80], X[80:]):
        model.extend_exemplars(part, sample_weight=np.arange(40.0))  # the first of each is none
    assert model.n_exemplars_ == 118
    np.testing.assert_array_equal(model.kneighbors(X[81:], 1)[1][:, 0], np.arange(81, 120))
