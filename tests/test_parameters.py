"""Every parameter, every wrong type and range: a message that names it and what it got."""

import numpy as np
import pytest
from _models import correlated, small_flow, small_vae
from sklearn.base import clone

from sklearn_exemplar_vae import ExemplarFlow, ExemplarVAE

WRONG = {
    "n_components": [0, -1, 1.5, "auto"],
    "architecture": ["cnn", None, 1],
    "prior": ["normal", None, 1],
    "likelihood": ["poisson", None, 1],
    "hidden_layer_sizes": [0, -3, None, "300", (), (10, 0), (10, -1), (10.5,), ("a",)],
    "image_shape": [1, "square"],
    "n_pseudo_inputs": [0, -1, 1.5, None],
    "n_exemplars": [0, -1, 1.5, "all"],
    "n_neighbors": [0, -1, 1.5, "all"],
    "retrieval": ["faiss", None, 1],
    "leave_one_out": ["yes", None, 2],
    "bandwidth": [0, 0.001, -1.0, "cv", None],
    "kl_warmup": [-1, "none", None],
    "n_importance_samples": [0, -1, 1.5, None],
    "n_bound_samples": [0, -1, 1.5, None],
    "rtol": [-0.1, 1, "auto", None],
    "batch_size": [0, 1, -1, 1.5, None, "all"],
    "learning_rate_init": [0, 0.0, -1e-3, "auto", None],
    "max_iter": [-1, 1.5, None],
    "early_stopping": ["yes", None, 2],
    "validation_fraction": [0, 1, 0.0, 1.0, -0.1, None],
    "n_iter_no_change": [0, -1, 1.5, None],
    "tol": [-1e-3, "auto", None],
    "warm_start": ["yes", None, 2],
    "precision": ["float64", None, 32],
    "device": [None, 0, "tpu-of-the-future", "meta"],
    "verbose": ["yes", -1, None],
    "random_state": ["seed", -1, 1.5],
}


# Of ExemplarFlow alone; those of columns are in test_columns.py.
WRONG_OF_FLOW = {
    "prior": ["normal", "vamp", None, 1],
    "n_transforms": [0, -1, 1.5, None],
    "bounds": ["positive", 3],
    "integer_columns": ["all", 3],
}
CASES = [(small_vae, name, value) for name, values in WRONG.items() for value in values]
CASES += [
    (small_flow, name, value)
    for name, values in (WRONG | WRONG_OF_FLOW).items()
    for value in values
    if name in ExemplarFlow().get_params()
]


def test_every_parameter_is_here():
    assert set(WRONG) == set(ExemplarVAE().get_params())
    assert set(ExemplarFlow().get_params()) < set(WRONG | WRONG_OF_FLOW)


@pytest.mark.parametrize("small, name, value", CASES)
def test_wrong_value_is_named(small, name, value):
    model = small().set_params(**{name: value})
    with pytest.raises((ValueError, TypeError), match=name) as caught:
        model.fit(correlated(30, 3))
    got = value if isinstance(value, str) else repr(value)
    assert str(got) in str(caught.value)
    assert not hasattr(model, "n_features_in_")


def test_more_components_than_columns():
    with pytest.raises(ValueError, match="n_components=4 must be at most n_features=3"):
        small_vae(n_components=4).fit(correlated(30, 3))


@pytest.mark.parametrize("method", ["sample", "sample_like", "kneighbors"])
@pytest.mark.parametrize("count", [0, -1, 1.5, "two"])
def test_counts_are_checked(method, count):
    X = correlated(30, 3)
    model = small_vae(max_iter=0).fit(X)
    arguments = () if method == "sample" else (X,)
    with pytest.raises(ValueError, match="n_neighbors" if method == "kneighbors" else "n_samples"):
        getattr(model, method)(*arguments, count)


@pytest.mark.parametrize("model", [ExemplarVAE(), ExemplarFlow()])
def test_defaults_are_plain_and_clone(model):
    for value in model.get_params().values():
        assert value is None or isinstance(value, (str, int, float, bool, tuple))
    assert clone(model).get_params() == model.get_params()


def test_fit_changes_no_parameter():
    model = small_vae(n_exemplars=7, n_components=2)
    before = model.get_params()
    model.fit(correlated(40, 3))
    assert model.get_params() == before


@pytest.mark.parametrize("sizes", [8, (8,), [8, 4], np.array([8, 4])])
def test_layer_sizes_of_any_kind(sizes):
    assert np.isfinite(small_vae(hidden_layer_sizes=sizes).fit(correlated(40, 3)).score([[0] * 3]))
