"""Two levels of codes, convolutions, and every combination of network, prior and likelihood."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from _models import small_vae, two_moons

from sklearn_exemplar_vae._plan import held_out_rows
from sklearn_exemplar_vae.engine.importance import importance_noise
from sklearn_exemplar_vae.engine.model import build_model
from sklearn_exemplar_vae.engine.networks import convolutional
from sklearn_exemplar_vae.engine.networks.convolutional import ConvolutionalNetwork
from sklearn_exemplar_vae.engine.networks.hierarchical import HierarchicalNetwork
from sklearn_exemplar_vae.engine.priors import Exemplars, normal_log_prob
from sklearn_exemplar_vae.engine.scoring import encode, log_density

ARCHITECTURES = ("mlp", "hierarchical", "conv")
PRIORS = ("exemplar", "vamp", "gaussian")
IMAGE = (1, 8, 8)


@pytest.fixture(autouse=True)
def few_channels(monkeypatch):
    """Convolutions that train in a moment."""

    def thinner(layers):
        return tuple((4, size, stride) for _, size, stride in layers)

    for name in ("UPPER_LAYERS", "LOWER_LAYERS", "DECODER_LAYERS"):
        monkeypatch.setattr(convolutional, name, thinner(getattr(convolutional, name)))


def make_rows(likelihood, n_rows=80, n_columns=64):
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
    assert samples.shape == (5, 64) and near.shape == (2, 4, 64)
    assert codes.shape == (80, 3) and model.inverse_transform(codes).shape == X.shape
    assert model.kneighbors(X[:2], 3)[1].shape == (2, 3)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.score_samples(X), scores)
    if likelihood != "gaussian":
        assert set(np.unique(samples)) <= set(range(2 if likelihood == "bernoulli" else 256))


def two_level_model(n_features, prior, likelihood):
    """Of the engine, untrained, each q so close to its p that some samples do."""
    generator = torch.Generator().manual_seed(0)
    model = build_model(
        n_features,
        2,
        architecture="hierarchical",
        hidden_layer_sizes=(8, 8),
        prior=prior,
        likelihood=likelihood,
        binary=True,
        start=None,
        row_mean=torch.full((n_features,), 0.4),
        generator=generator,
        pseudo_inputs=torch.rand(10, n_features, generator=generator),
    )
    for head in ("encoder_head", "lower_posterior_head", "lower_prior_head"):
        for layer in getattr(model.network, head).children():
            layer.weight.data.mul_(0.1)
    return model.double()


def total_density(model, rows, exemplar_rows):
    """The sum of the densities of ``rows``."""
    rows, exemplar_rows = torch.from_numpy(rows), torch.from_numpy(exemplar_rows)
    codes = encode(model, exemplar_rows)
    exemplars = Exemplars(codes, torch.zeros(len(codes), dtype=torch.float64))
    noise = importance_noise(1024, model.network.n_noise, 0)
    return log_density(model, rows, exemplars, noise).exp().sum().item()


@pytest.mark.parametrize("prior", PRIORS)
def test_probabilities_of_two_levels_add_up_to_one(prior):
    everything = np.array(list(itertools.product([0.0, 1.0], repeat=7)))
    chosen = everything[np.random.default_rng(0).integers(128, size=60)]
    model = two_level_model(7, prior, "bernoulli")
    assert total_density(model, everything, chosen) == pytest.approx(1, abs=0.03)


def test_density_of_two_levels_integrates_to_one():
    side = np.linspace(-9, 9, 91)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    model = two_level_model(2, "exemplar", "gaussian")
    integral = total_density(model, grid, two_moons(50)) * (side[1] - side[0]) ** 2
    assert integral == pytest.approx(1, abs=0.03)


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


@pytest.mark.parametrize("architecture, prior", list(itertools.product(ARCHITECTURES, PRIORS)))
def test_bound_of_several_samples_is_the_mean_of_their_weights(architecture, prior):
    model = make_model(architecture, prior, likelihood="bernoulli", device="cpu")
    model.fit(make_rows("bernoulli"))
    model, generator = model._model, torch.Generator().manual_seed(0)
    rows = torch.from_numpy(make_rows("bernoulli", 20)).float()
    noise = torch.randn(6, 4, model.n_noise, generator=generator)
    log_weights = torch.linspace(-1, 1, 20)
    excluded = torch.rand(6, 20, generator=generator) < 0.5
    log_totals = torch.linspace(2, 4, 6)
    of_exemplars = (log_weights, excluded, log_totals, 0.7)
    with torch.no_grad():
        several = model.training_bound(rows, noise, *of_exemplars)
        single = [model.training_bound(rows, noise[:, [k]], *of_exemplars) for k in range(4)]
    expected = torch.logsumexp(torch.stack(single), 0) - np.log(4)
    torch.testing.assert_close(several, expected, rtol=1e-5, atol=1e-4)


def test_two_levels_explain_rows_by_their_own_bound():
    generator = torch.Generator().manual_seed(0)
    network = HierarchicalNetwork(
        6, 2, hidden_layer_sizes=(5, 4), output_bias=None, generator=generator
    )
    codes = torch.randn(3, 4, 2, generator=generator)
    rows, noise = torch.randn(3, 1, 6, generator=generator), torch.randn(4, 2, generator=generator)
    outputs, log_ratio = network.explain(codes, rows, noise)
    for row, sample in itertools.product(range(3), range(4)):
        code = codes[row, sample][None]
        mean, log_variance = network.lower_posterior(rows[row], code)
        lower = mean + torch.exp(0.5 * log_variance) * noise[sample]
        log_p = normal_log_prob(lower, *network.lower_prior(code))
        log_q = normal_log_prob(lower, mean, log_variance)
        torch.testing.assert_close(log_ratio[row, sample], (log_p - log_q)[0])
        torch.testing.assert_close(outputs[row, sample], network.render(lower, code)[0])


def test_convolutions_see_where_a_pixel_is_and_all_channels():
    generator = torch.Generator().manual_seed(0)
    network = ConvolutionalNetwork(
        2 * 8 * 12,
        3,
        image_shape=(2, 8, 12),
        hidden_layer_sizes=(8, 8),
        output_bias=torch.arange(192.0),
        generator=generator,
    )
    rows = torch.randn(5, 192, generator=generator)
    codes, _ = network.encode(rows)
    assert codes.shape == (5, 3) and network.decode(codes).shape == (5, 192)
    for pixel in (0, 95, 96, 191):
        changed = rows.clone()
        changed[:, pixel] += 1
        assert (network.encode(changed)[0] - codes).abs().max() > 1e-6
    assert torch.corrcoef(torch.stack([network.decode(codes)[0], torch.arange(192.0)]))[0, 1] > 0.9


@pytest.mark.parametrize("architecture", ["hierarchical", "conv"])
def test_training_improves_two_levels(architecture):
    random = np.random.default_rng(0)
    places = random.uniform(size=(5, 64)) < 0.4
    X = places[random.integers(5, size=400)] ^ (random.uniform(size=(400, 64)) < 0.05)
    X, X_new = X[:300].astype(float), X[300:].astype(float)
    parameters = {"max_iter": 60, "batch_size": 50, "learning_rate_init": 1e-2}
    model = make_model(architecture, **parameters, early_stopping=False).fit(X)
    independent = -(X.mean(0) * np.log(X.mean(0)) + (1 - X.mean(0)) * np.log(1 - X.mean(0))).sum()
    assert model.score_samples(X_new).mean() > -independent + 5


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
    X = make_rows("bernoulli")
    with pytest.raises(ValueError, match=message):
        small_vae(architecture="conv", image_shape=shape).fit(X)
    small_vae(image_shape=shape, n_components=3).fit(X)  # another network does not ask


@pytest.mark.parametrize("wrong", [-1.0, 256.0, 0.5])
def test_grey_levels_are_checked(wrong):
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
    groups = np.arange(80)
    splitter = torch.Generator().manual_seed(model._split_seed)
    held_out = held_out_rows(groups, 0.4, splitter)
    assert not held_out[chosen].any()


def test_there_are_no_more_pseudo_inputs_than_rows():
    model = small_vae(prior="vamp", early_stopping=False).fit(two_moons(60))
    assert len(model._model.prior.rows()) == 60


def test_samples_look_like_the_rows_of_fit():
    grey = np.random.default_rng(0).random((60, 4))
    model = small_vae(likelihood="bernoulli").fit(grey)
    samples = model.sample(50, random_state=0)
    assert ((samples > 0) & (samples < 1)).all()
    model.set_params(warm_start=True).fit((grey > 0.5).astype(float))
    assert set(np.unique(model.sample(50, random_state=0))) == {0.0, 1.0}


def test_warm_start_knows_pseudo_inputs():
    X = make_rows("bernoulli")
    model = make_model("hierarchical", "vamp", warm_start=True).fit(X)
    model.fit(X)
    with pytest.raises(ValueError, match="n_pseudo_inputs=10"):
        model.set_params(n_pseudo_inputs=11).fit(X)
