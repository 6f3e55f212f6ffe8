"""Every parameter, every wrong type and range: a message that names it and what it got."""

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_exemplar_vae import ExemplarFlow, ExemplarVAE
from tests._models import correlated, small_flow, small_vae

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
    "bandwidth": [0, -1.0, "cv", None],
    "kl_warmup": [-1, "none", None],
    "n_importance_samples": [0, -1, 1.5, None],
    "n_bound_samples": [0, -1, 1.5, None],
    "max_gaussians": [-1, 1.5, "auto", None],
    "background": [-0.1, 1, "none", None],
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
# The decoder has noise, so the kernel of ExemplarVAE cannot be narrower.
WRONG_OF_VAE = {"bandwidth": [0.001]}
# Of ExemplarFlow alone; density/test_column_checks.py has more of the last two.
WRONG_OF_FLOW = {
    "prior": ["normal", "vamp", None, 1],
    "n_transforms": [0, -1, 1.5, None],
    "bounds": ["positive", 3],
    "integer_columns": ["all", 3],
}
CASES = [
    (make, name, value)
    for make, wrong in [
        (small_vae, WRONG),
        (small_vae, WRONG_OF_VAE),
        (small_flow, {name: WRONG[name] for name in WRONG if name in ExemplarFlow().get_params()}),
        (small_flow, WRONG_OF_FLOW),
    ]
    for name, values in wrong.items()
    for value in values
]


def test_every_parameter_is_here():
    assert set(WRONG) == set(ExemplarVAE().get_params())
    assert set(ExemplarFlow().get_params()) < set(WRONG | WRONG_OF_FLOW)


@pytest.mark.parametrize("make, name, value", CASES)
def test_wrong_value_is_named(make, name, value):
    model = make().set_params(**{name: value})
    with pytest.raises((ValueError, TypeError), match=name) as caught:
        model.fit(correlated(30, 3))
    got = value if isinstance(value, str) else repr(value)
    assert str(got) in str(caught.value)
    assert not hasattr(model, "n_features_in_")


def test_more_components_than_columns():
    with pytest.raises(ValueError, match="n_components=4 must be at most n_features=3"):
        small_vae(n_components=4).fit(correlated(30, 3))


def test_cuda_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda'.*no CUDA"):
        small_vae(device="cuda").fit(correlated(30, 3))


def test_a_cuda_device_beyond_the_last_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match="device='cuda:7'.*only 1"):
        small_vae(device="cuda:7").fit(correlated(30, 3))


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
