"""Every combination of network, prior and likelihood, two levels of codes, and convolutions."""

import itertools
import pickle

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.density._defaults import held_out_rows
from tests._models import small_vae, two_moons

ARCHITECTURES = ("mlp", "hierarchical", "conv")
PRIORS = ("exemplar", "vamp", "gaussian")
IMAGE = (1, 4, 4)


def make_rows(likelihood, n_rows=80, n_columns=16):
    random = np.random.default_rng(0)
    if likelihood == "bernoulli":
        return (random.uniform(size=(n_rows, n_columns)) < 0.3).astype(float)
    if likelihood == "logistic":
        return random.integers(0, 256, size=(n_rows, n_columns)).astype(float)
    return random.normal(size=(n_rows, n_columns)) * 3 + 7


def make_model(architecture, prior="exemplar", **parameters):
    shape = {"image_shape": IMAGE} if architecture == "conv" else {}
    defaults = {
        "n_components": 3,
        "hidden_layer_sizes": (8, 8),
        "n_pseudo_inputs": 10,
        "max_iter": 2,
    }
    return small_vae(architecture=architecture, prior=prior, **(defaults | shape | parameters))


@pytest.mark.parametrize(
    "architecture, prior, likelihood",
    list(itertools.product(ARCHITECTURES, PRIORS, ("gaussian", "bernoulli", "logistic"))),
)
def test_every_combination_has_the_whole_surface(architecture, prior, likelihood):
    X = make_rows(likelihood)
    model = make_model(architecture, prior, likelihood=likelihood).fit(X)
    scores = model.score_samples(X)
    assert scores.shape == (80,) and np.isfinite(scores).all()
    np.testing.assert_allclose(model.score_samples(X[:1]), scores[:1], rtol=1e-10)
    near = model.sample_like(X[:2], 4, random_state=0)
    samples = model.sample(5, random_state=0)
    codes = model.transform(X)
    assert samples.shape == (5, 16) and near.shape == (2, 4, 16)
    assert codes.shape == (80, 3) and model.inverse_transform(codes).shape == X.shape
    assert model.kneighbors(X[:2], 3)[1].shape == (2, 3)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.score_samples(X), scores)
    if likelihood != "gaussian":
        assert set(np.unique(samples)) <= set(range(2 if likelihood == "bernoulli" else 256))


@pytest.mark.parametrize("prior", PRIORS)
def test_probabilities_of_all_binary_rows_add_up_to_one(prior):
    everything = np.array(list(itertools.product([0.0, 1.0], repeat=7)))
    X = everything[np.random.default_rng(0).integers(128, size=60)]
    model = make_model("mlp", prior, max_iter=10, n_importance_samples=2048).fit(X)
    assert np.exp(model.score_samples(everything)).sum() == pytest.approx(1, abs=0.03)


def test_probabilities_of_all_levels_add_up_to_one():
    X = np.random.default_rng(0).choice([3, 40, 41, 200, 255], size=(60, 1)).astype(float)
    model = make_model("mlp", likelihood="logistic", n_components=1, n_importance_samples=2048)
    levels = np.arange(256.0)[:, None]
    assert np.exp(model.fit(X).score_samples(levels)).sum() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("architecture", ["hierarchical", "conv"])
def test_training_improves_two_levels(architecture):
    random = np.random.default_rng(0)
    places = random.uniform(size=(5, 16)) < 0.4
    X = places[random.integers(5, size=300)] ^ (random.uniform(size=(300, 16)) < 0.02)
    X, X_new = X[:200].astype(float), X[200:].astype(float)
    parameters = {"hidden_layer_sizes": (16, 16), "max_iter": 30, "batch_size": 50, "kl_warmup": 10}
    model = make_model(architecture, **parameters, learning_rate_init=1e-2, early_stopping=False)
    scores = model.fit(X).score_samples(X_new)
    independent = (X_new * np.log(X.mean(0)) + (1 - X_new) * np.log(1 - X.mean(0))).sum(1).mean()
    assert scores.mean() > independent + 3, (scores.mean(), independent)


@pytest.mark.parametrize(
    "shape, message",
    [
        (None, "needs image_shape"),
        ((8, 8), "three positive integers"),
        ((1, 8, -8), "three positive integers"),
        ((1, 8, 9), "72 values, but X has 64 columns"),
        ((1, 2, 32), "divisible by 4"),
    ],
)
def test_image_shapes_that_are_none(shape, message):
    X = make_rows("bernoulli", n_columns=64)
    with pytest.raises(ValueError, match=message):
        small_vae(architecture="conv", image_shape=shape).fit(X)
    small_vae(image_shape=shape, n_components=3).fit(X)  # another network does not ask


@pytest.mark.parametrize("wrong", [-1.0, 256.0, 0.5])
def test_gray_levels_are_checked(wrong):
    X = make_rows("logistic")
    model = make_model("mlp", likelihood="logistic").fit(X)
    X[3, 4] = wrong
    for method in (model.score_samples, model.fit):
        with pytest.raises(ValueError, match="integers from 0 to 255"):
            method(X)


def test_pseudo_inputs_start_as_training_rows_of_positive_weight():
    X = make_rows("gaussian")
    weights = np.ones(80)
    weights[:40] = 1e-6  # not none, and next to never drawn
    model = make_model("mlp", "vamp", max_iter=0, validation_fraction=0.4, n_pseudo_inputs=20)
    pseudo_inputs = model.fit(X, sample_weight=weights)._model.prior.rows().detach().cpu().numpy()
    rows = model._scaling.transform(X)
    distances = np.abs(rows[:, None] - pseudo_inputs).max(2)
    chosen = distances.argmin(0)
    assert distances.min(0).max() < 1e-5 and len(set(chosen)) == 20 and chosen.min() >= 40
    splitter = torch.Generator().manual_seed(model._split_seed)
    held_out = held_out_rows(np.arange(80), 0.4, splitter)
    assert held_out[40:].sum() > 5 and not held_out[chosen].any()


def test_there_are_no_more_pseudo_inputs_than_rows():
    model = small_vae(prior="vamp", early_stopping=False).fit(two_moons(60))
    assert len(model._model.prior.rows()) == 60


def test_samples_look_like_the_rows_of_fit():
    gray = np.random.default_rng(0).random((60, 4))
    model = small_vae(likelihood="bernoulli").fit(gray)
    samples = model.sample(50, random_state=0)
    assert ((samples > 0) & (samples < 1)).all()
    model.set_params(warm_start=True).fit((gray > 0.5).astype(float))
    assert set(np.unique(model.sample(50, random_state=0))) == {0.0, 1.0}


def test_warm_start_knows_pseudo_inputs():
    X = make_rows("bernoulli")
    model = make_model("hierarchical", "vamp", warm_start=True).fit(X)
    model.fit(X)
    with pytest.raises(ValueError, match="n_pseudo_inputs=10"):
        model.set_params(n_pseudo_inputs=11).fit(X)


@pytest.mark.parametrize("architecture, n_bound_samples", [("mlp", 1), ("hierarchical", 3)])
def test_bfloat16_trains(architecture, n_bound_samples):
    X = (np.random.default_rng(0).random((100, 8)) < 0.3).astype(np.float32)
    settings = {"architecture": architecture, "n_bound_samples": n_bound_samples}
    precise, coarse = (
        small_vae(precision=precision, **settings).fit(X) for precision in ("float32", "bfloat16")
    )
    assert np.isfinite(coarse.score_samples(X)).all()
    assert precise.loss_curve_ != coarse.loss_curve_
    np.testing.assert_allclose(precise.loss_curve_, coarse.loss_curve_, rtol=0.02)
