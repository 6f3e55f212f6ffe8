"""A density that was copied, pickled, mapped from a file or sent to a process is the same."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from tests._models import small_flow, small_vae


def test_equal_models_have_equal_hashes(model, X):
    """By them joblib's memory knows that it has done with one what it did with the other."""
    assert joblib.hash(model) == joblib.hash(copy.deepcopy(model))
    assert joblib.hash(model) == joblib.hash(clone(model).fit(X))
    assert joblib.hash(model) != joblib.hash(clone(model).set_params(random_state=1).fit(X))


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
def test_a_round_trip_changes_nothing(model, X, round_trip, tmp_path):
    other = round_trip(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(other.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(other.sample(3, random_state=0), model.sample(3, random_state=0))
    np.testing.assert_array_equal(other.kneighbors(X, 2)[1], model.kneighbors(X, 2)[1])


def test_a_model_that_was_asked_before_is_pickled_as_one_that_was_not(model, X):
    before = pickle.dumps(clone(model).fit(X))
    asked = clone(model).fit(X)
    asked.kneighbors(X)
    asked.set_params(rtol=0.01).score_samples(X)
    assert pickle.dumps(asked.set_params(rtol=0.0)) == before


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


@pytest.mark.parametrize("make", [small_vae, small_flow])
def test_processes_fit_and_score_as_one_process_does(make, X):
    """Processes are sent a density that has a model, and in fit no exemplars yet."""
    alone = make().fit(X)
    expected = alone.score_samples(X)
    with joblib.parallel_config(n_jobs=2):
        shared = make().fit(X)
        np.testing.assert_allclose(alone.score_samples(X), expected, rtol=1e-6)
        np.testing.assert_allclose(shared.score_samples(X), expected, rtol=1e-6)
    np.testing.assert_allclose(shared.score_samples(X), expected, rtol=1e-6)
    np.testing.assert_allclose(shared.transform(X), alone.transform(X), rtol=1e-6)
    np.testing.assert_allclose(shared.loss_curve_, alone.loss_curve_, rtol=1e-6)
