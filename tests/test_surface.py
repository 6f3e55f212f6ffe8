"""The public surface as a user meets it: pipelines, searches, frames, persistence, retrieval."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from _models import correlated, small_flow, small_vae, two_moons
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KernelDensity, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sklearn_exemplar_vae.engine import chunks
from sklearn_exemplar_vae.engine.retrieval import ApproximateRetrieval


@pytest.fixture(scope="module")
def X():
    return correlated(120, 4)


@pytest.fixture(scope="module", params=["vae", "flow"])
def model(request, X):
    return (small_vae(n_components=2) if request.param == "vae" else small_flow()).fit(X)


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_code_that_does_without_gradients_fits_the_same(model, X, without_gradients):
    with without_gradients():
        there = clone(model).fit(X)
        np.testing.assert_array_equal(there.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(there.fit(X).score_samples(X), model.score_samples(X))


def test_score_is_the_total_as_that_of_kernel_density_is(model, X):
    assert isinstance(model.score(X), float)
    assert model.score(X) == pytest.approx(model.score_samples(X).sum())


def test_scores_do_not_depend_on_company_or_order(model, X):
    scores = model.score_samples(X)
    one_by_one = np.concatenate([model.score_samples(row[None]) for row in X])
    np.testing.assert_allclose(one_by_one, scores, rtol=1e-9)
    np.testing.assert_allclose(model.score_samples(X[::-1])[::-1], scores, rtol=1e-9)


def test_chunks_change_nothing(model, X, monkeypatch):
    """Scores in pieces of a few numbers, so memory is bounded by the piece, not by n."""
    expected = model.score_samples(X)
    monkeypatch.setattr(chunks, "CHUNK_NUMBERS", 2000)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-9)


def test_chunks_are_bounded_whatever_the_number_of_rows():
    for n_rows in (10, 10**6, 10**9):
        first = next(chunks.row_chunks(n_rows, 5000))
        assert (first.stop - first.start) * 5000 <= chunks.CHUNK_NUMBERS


def test_sample(model):
    assert model.sample().shape == (1, 4)
    np.testing.assert_array_equal(model.sample(5, random_state=1), model.sample(5, random_state=1))
    assert not np.array_equal(model.sample(5, random_state=1), model.sample(5, random_state=2))
    many = model.sample(10_000, random_state=0)  # more than one piece
    assert len(np.unique(many, axis=0)) == 10_000


def test_equal_models_have_equal_hashes(model, X):
    """By which joblib's memory knows that it has done with one what it did with the other."""
    assert joblib.hash(model) == joblib.hash(copy.deepcopy(model))
    assert joblib.hash(model) == joblib.hash(clone(model).fit(X))
    assert joblib.hash(model) != joblib.hash(clone(model).set_params(random_state=1).fit(X))


def test_transform_and_back(X):
    model = small_vae().fit(X)
    codes = model.transform(X)
    assert codes.shape == (120, 4)
    np.testing.assert_allclose(model.inverse_transform(codes), X, atol=0.2 * X.std())


def test_kneighbors_are_nearest_codes(model, X):
    codes = model.transform(X)
    distances, indices = model.kneighbors(X, 4)
    expected = NearestNeighbors(n_neighbors=4).fit(codes).kneighbors(codes)
    np.testing.assert_allclose(distances, expected[0], atol=1e-9)
    np.testing.assert_array_equal(indices, expected[1])
    # Without queries every exemplar is left out of its own neighbours.
    assert not (
        model.kneighbors(n_neighbors=1, return_distance=False)[:, 0] == np.arange(120)
    ).any()
    with pytest.raises(ValueError, match="n_neighbors"):
        model.kneighbors(X, 121)


def test_parameters_of_methods_may_change_after_fit(X):
    model = small_vae(retrieval="pynndescent").fit(X)
    assert isinstance(model._retrieval(), ApproximateRetrieval)
    exact = clone(model).set_params(retrieval="exact").fit(X)
    model.set_params(retrieval="exact")
    np.testing.assert_array_equal(model.kneighbors(X, 4)[1], exact.kneighbors(X, 4)[1])
    for name, value in {"rtol": 2, "n_importance_samples": 0}.items():
        with pytest.raises(ValueError, match=name):
            clone(model).fit(X).set_params(**{name: value}).score_samples(X)
    with pytest.raises(ValueError, match="retrieval"):
        model.set_params(retrieval="pynndecent").kneighbors(X)


def test_copies_are_neighbours_of_each_other_and_never_of_themselves():
    X = np.repeat(np.arange(12.0).reshape(6, 2), 20, axis=0)
    distances, indices = small_vae(max_iter=0).fit(X).kneighbors(n_neighbors=19)
    assert not (indices == np.arange(120)[:, None]).any()
    np.testing.assert_array_equal(indices // 20, np.repeat(np.arange(6), 20)[:, None].repeat(19, 1))
    np.testing.assert_allclose(distances, 0, atol=1e-12)


def test_extend_exemplars_is_learning_without_training(X):
    half = clone(small_vae(max_iter=0, bandwidth=0.5)).fit(X[:60])
    before = half.score_samples(X[60:])
    assert half.extend_exemplars(X[60:]) is half
    assert half.n_exemplars_ == 120
    assert half.score_samples(X[60:]).mean() > before.mean() + 0.1
    np.testing.assert_array_equal(half.kneighbors(X[60:], 1)[1][:, 0], np.arange(60, 120))
    # The density is that of a kernel density estimate with all rows, in the first half's units.
    mean, scale = X[:60].mean(0), X[:60].std(0)
    kde = KernelDensity(bandwidth=0.5, leaf_size=120).fit((X - mean) / scale)
    expected = kde.score_samples((X - mean) / scale) - np.log(scale).sum()
    np.testing.assert_allclose(half.score_samples(X), expected, atol=1e-4)


@pytest.mark.parametrize("value", [1e5, 1e30, 1e200])
@pytest.mark.parametrize("make", [small_vae, small_flow])
@pytest.mark.parametrize("fitted", [np.float32, np.float64])
def test_an_exemplar_far_off_leaves_the_others_what_they_are(X, make, value, fitted):
    model = make(prior="exemplar", max_iter=0).fit(X.astype(fitted))
    before = model.score_samples(X)
    model.extend_exemplars(np.full((1, X.shape[1]), value))
    expected = before - np.log1p(1 / len(X))  # but for its share of the mixture
    for scored in (np.float32, np.float64):
        np.testing.assert_allclose(model.score_samples(X.astype(scored)), expected, atol=1e-3)
    distances, _ = model.kneighbors(np.full((1, X.shape[1]), value), 2)
    assert np.isfinite(distances).all() and np.isfinite(model.sample(20)).all()


def test_rows_near_a_row_beyond_single_precision(X):
    samples = small_vae(max_iter=0).fit(X).sample_like(np.full((1, X.shape[1]), 1e200), 2)
    assert np.isfinite(samples).all()


def test_an_extension_that_fails_leaves_no_trace(X, monkeypatch):
    model = small_vae(max_iter=0).fit(X[:60])
    with monkeypatch.context() as patch:
        patch.setattr(type(model), "_encode", lambda self, X: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.extend_exemplars(X[60:])
    model.extend_exemplars(X[60:])
    np.testing.assert_array_equal(model.kneighbors(X[60:], 1)[1][:, 0], np.arange(60, 120))


def test_rows_of_several_extensions_keep_their_numbers(X):
    model = small_vae(max_iter=0).fit(X[:40])
    for part in (X[40:80], X[80:]):
        model.extend_exemplars(part, sample_weight=np.arange(40.0))  # the first of each is none
    assert model.n_exemplars_ == 118
    np.testing.assert_array_equal(model.kneighbors(X[81:], 1)[1][:, 0], np.arange(81, 120))


@pytest.mark.parametrize(
    "density", [small_vae(max_iter=2), small_flow(prior="exemplar", max_iter=2)]
)
def test_grid_search_over_a_density(X, density):
    search = GridSearchCV(density, {"bandwidth": [0.2, 1.0, 3.0]}, cv=3).fit(X)
    assert search.best_params_["bandwidth"] in (0.2, 1.0)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_ahead_of_a_classifier():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(small_vae(n_components=2), LogisticRegression())
    assert cross_val_score(pipeline, X, y).mean() > 0.8
    grid = {"exemplarvae__n_components": [1, 2]}
    assert GridSearchCV(pipeline, grid, cv=2).fit(X, y).best_score_ > 0.8


def test_behind_a_scaler():
    X = np.random.default_rng(0).random((60, 5))
    pipeline = make_pipeline(MinMaxScaler(), small_vae(likelihood="bernoulli")).fit(X)
    assert np.isfinite(pipeline.score(X))


def test_frames(X):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = small_vae(n_components=2).fit(frame)
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    assert list(model.get_feature_names_out()) == ["exemplarvae0", "exemplarvae1"]
    codes = model.set_output(transform="pandas").transform(frame)
    assert list(codes.columns) == ["exemplarvae0", "exemplarvae1"]
    with pytest.raises(ValueError, match="feature names"):
        model.score_samples(frame[["b", "a", "c", "d"]])


@pytest.mark.parametrize(
    "round_trip",
    [
        lambda model, path: pickle.loads(pickle.dumps(model)),
        lambda model, path: (joblib.dump(model, path), joblib.load(path))[1],
        lambda model, path: (joblib.dump(model, path), joblib.load(path, mmap_mode="r"))[1],
        lambda model, path: copy.deepcopy(model),
        lambda model, path: copy.copy(model),
    ],
    ids=["pickle", "joblib", "mapped", "deepcopy", "copy"],
)
def test_persistence(model, X, round_trip, tmp_path):
    other = round_trip(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(other.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(other.sample(3, random_state=0), model.sample(3, random_state=0))
    np.testing.assert_array_equal(other.kneighbors(X, 2)[1], model.kneighbors(X, 2)[1])


def test_fitted_on_cuda_loads_on_cpu(model, X, monkeypatch):
    """The state is written from the CPU; a device that is not there becomes the CPU."""
    elsewhere = copy.copy(model)
    elsewhere.device_ = "cuda:0"
    before = dict(vars(elsewhere))
    state = elsewhere.__getstate__()
    assert vars(elsewhere) == before  # the model that is written stays where it is
    assert all(isinstance(array, np.ndarray) for array in state["_exemplars"])
    assert {p.device.type for p in state["_model"].parameters()} == {"meta"}
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    loaded = type(model).__new__(type(model))
    loaded.__setstate__(state)
    assert loaded.device_ == "cpu"
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))


def test_cuda_that_is_not_there(monkeypatch, X):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda'.*no CUDA"):
        small_vae(device="cuda").fit(X)


def test_cuda_device_beyond_the_last(monkeypatch, X):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match="device='cuda:7'.*only 1"):
        small_vae(device="cuda:7").fit(X)


def test_neighbours_with_frames_as_output(model, X):
    import warnings

    framed = copy.deepcopy(model).set_output(transform="pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(framed.kneighbors(X, 2)[1], model.kneighbors(X, 2)[1])


def test_float32_stays_float32():
    X = two_moons(60).astype(np.float32)
    model = small_vae().fit(X)
    for array in (model.score_samples(X), model.transform(X), model.sample(3)):
        assert array.dtype == np.float32
    assert model.inverse_transform(model.transform(X)).dtype == np.float32
    np.testing.assert_allclose(
        model.score_samples(X), model.score_samples(X.astype(np.float64)), atol=1e-3
    )


def test_import_brings_no_numba():
    import subprocess
    import sys

    code = (
        "import sys, sklearn_exemplar_vae; print([m for m in ('numba', 'pynndescent', 'matplotlib')"
    )
    code += " if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_means_near_rows_are_what_draws_are_spread_around():
    X = np.random.default_rng(0).normal(size=(60, 3)) @ np.diag([1.0, 5.0, 0.2])
    # Linear, so that means of draws are known; fewer codes than columns, so that there is noise.
    model = small_vae(n_components=1, max_iter=0).fit(X)
    noisy = model.sample_like(X[:2], 20_000, random_state=0)
    means = model.sample_like(X[:2], 20_000, random_state=1, noise=False)
    expected = model.inverse_transform(model.transform(X[:2]))
    error = noisy.std(1) / np.sqrt(20_000)
    assert (abs(noisy.mean(1) - expected) < 5 * error).all()
    assert (abs(means.mean(1) - expected) < 5 * error).all()
    # The decoder's noise is what a draw has more.
    noise = model._model.likelihood.variance.detach().cpu().numpy() * model._scaling.scale**2
    np.testing.assert_allclose((noisy.var(1) - means.var(1)) / noise, 1, atol=0.1)


def test_means_near_grey_images_are_no_draws():
    X = np.random.default_rng(0).integers(0, 256, (40, 6))
    model = small_vae(likelihood="logistic").fit(X)
    draws = model.sample_like(X[:5], 3, random_state=0)
    means = model.sample_like(X[:5], 3, random_state=0, noise=False)
    assert (draws == np.rint(draws)).all() and (means != np.rint(means)).any()


@pytest.mark.parametrize("architecture", ["mlp", "hierarchical"])
def test_a_row_moves_as_the_decoder_does_and_keeps_its_residual(architecture):
    X = np.random.default_rng(0).normal(size=(60, 3)) @ np.diag([1.0, 5.0, 0.2])
    model = small_vae(n_components=1, architecture=architecture).fit(X)
    means = model.sample_like(X[:9], 50, random_state=0, noise=False)
    residual = (X - model.inverse_transform(model.transform(X)))[:9, None]
    assert abs(residual).mean() > 0.1
    moved = model.sample_like(X[:9], 50, random_state=0, noise="residual")
    np.testing.assert_allclose(moved - means, np.broadcast_to(residual, means.shape), atol=1e-4)
    moved = model.sample_like(X[:9], 50, random_state=0, noise="random_residual")
    # One share for a whole row, uniform in [0, 1].
    shares = ((moved - means) * residual).sum(-1) / (residual**2).sum(-1)
    np.testing.assert_allclose(moved - means, shares[..., None] * residual, atol=1e-4)
    assert abs(shares.mean() - 1 / 2) < 0.05 and abs(shares.var() - 1 / 12) < 0.02
    assert shares.min() > -0.01 and shares.max() < 1.01


@pytest.mark.parametrize("likelihood, scale", [("bernoulli", 1), ("logistic", 255)])
def test_moved_images_stay_images(likelihood, scale):
    X = np.random.default_rng(0).integers(0, 256, (40, 6)) / 255 * scale
    X = np.rint(X) if scale > 1 else X
    model = small_vae(likelihood=likelihood).fit(X)
    means = model.sample_like(X, 3, random_state=0, noise=False)
    expected = means + (X - model.inverse_transform(model.transform(X)))[:, None]
    assert (expected < 0).any() and (expected > scale).any()
    moved = model.sample_like(X, 3, random_state=0, noise="residual")
    np.testing.assert_allclose(moved, expected.clip(0, scale), atol=1e-4 * scale)


def test_kinds_of_noise_that_there_are():
    model = small_vae().fit(np.random.default_rng(0).normal(size=(60, 3)))
    for noise in ("auto", "some", 1):
        with pytest.raises(ValueError, match="'noise'.*random_residual"):
            model.sample_like(np.zeros((1, 3)), noise=noise)
