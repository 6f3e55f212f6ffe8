"""What a fit does over its epochs: objective, schedule, batches, bandwidth."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from _models import small_vae, torch_model, two_moons

from sklearn_exemplar_vae import _exemplar_vae
from sklearn_exemplar_vae.engine import scoring, training
from sklearn_exemplar_vae.engine.bandwidth import best_bandwidth
from sklearn_exemplar_vae.engine.importance import importance_noise
from sklearn_exemplar_vae.engine.likelihoods import draw_binary
from sklearn_exemplar_vae.engine.model import ExemplarModel
from sklearn_exemplar_vae.engine.nearest_prior import NearestExemplarPrior
from sklearn_exemplar_vae.engine.priors import ExemplarPrior, Exemplars
from sklearn_exemplar_vae.engine.refit import (
    refit_bandwidth,
    refit_bandwidth_without_held_out_rows,
)
from sklearn_exemplar_vae.engine.training import (
    FINAL_LEARNING_RATE,
    Schedule,
    cosine_decay,
    train,
)
from sklearn_exemplar_vae.engine.training_rows import TrainingRows


@pytest.mark.parametrize("n_draws", [1, 4])
@pytest.mark.parametrize("prior", ["exemplar", "gaussian"])
def test_training_bound_beside_its_parts(prior, n_draws):
    """log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), the logarithm of the last two weighed by 0.3."""
    model = torch_model(prior=prior).double()
    rows = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    excluded = torch.eye(12, dtype=torch.bool)[:5]
    log_weights = torch.linspace(-1, 1, 12, dtype=torch.float64)
    noise = torch.randn(
        5, n_draws, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    bound = model.training_bound(rows, noise, log_weights, excluded, None, 0.3)

    mean, log_variance = model.network.encode(rows)
    scale = model.likelihood.variance.sqrt()
    for i in range(5):
        posterior = torch.distributions.Normal(mean[i], torch.exp(0.5 * log_variance[i]))
        weights = []
        for k in range(n_draws):
            code = mean[i] + posterior.stddev * noise[i, k]
            decoder = torch.distributions.Normal(model.network.decode(code[None])[0], scale)
            if prior == "gaussian":
                log_p = torch.distributions.Normal(0, 1).log_prob(code).sum()
            else:
                kept = ~excluded[i]
                kernel = torch.distributions.Normal(mean[kept], model.prior.log_bandwidth.exp())
                shares = torch.softmax(log_weights[kept], 0)
                log_p = torch.log((shares * kernel.log_prob(code).sum(1).exp()).sum())
            log_ratio = log_p - posterior.log_prob(code).sum()
            weights.append((decoder.log_prob(rows[i]).sum() + 0.3 * log_ratio).exp())
        torch.testing.assert_close(bound[i], torch.stack(weights).mean().log())


def test_learning_rate_falls_along_a_cosine():
    assert cosine_decay(0) == pytest.approx(1)
    quarter = FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * (2 + 2**0.5) / 4
    assert cosine_decay(0.25) == pytest.approx(quarter)  # above the straight line
    assert cosine_decay(0.5) == pytest.approx((1 + FINAL_LEARNING_RATE) / 2)
    assert cosine_decay(1) == pytest.approx(FINAL_LEARNING_RATE)


@pytest.mark.parametrize("in_batch, largest", [(True, 40), (False, 10)])
def test_batches_seen(monkeypatch, in_batch, largest):
    data, sizes = make_data(80), []

    def spy(self, batch, *rest):
        sizes.append(len(batch))
        return step(self, batch, *rest)

    step = training.Trainer.step
    monkeypatch.setattr(training.Trainer, "step", spy)
    schedule = Schedule(20, 10, 1e-3, 0, 9, True, in_batch=in_batch)
    for _ in train(torch_model(), data, schedule, torch.Generator()):
        pass
    assert sizes[0] == 10 and sizes[-1] == largest
    assert sum(sizes) == 20 * 80


def make_data(n_rows=60):
    rows = torch.randn(n_rows, 3, generator=torch.Generator().manual_seed(0))
    return TrainingRows(rows, torch.ones(n_rows), torch.arange(n_rows))


def test_averaged_weights_are_the_moving_average():
    """The first of two epochs of one step each: average (1 - 0.1) of start and 0.9 of step."""
    data, model = make_data(), torch_model()
    start = [parameter.detach().clone() for parameter in model.parameters()]
    schedule = Schedule(1, 60, 1e-2, 0, 59, True)
    (epoch,) = train(model, data, schedule, torch.Generator().manual_seed(0))
    pairs = zip(start, model.parameters(), epoch.model.parameters(), strict=True)
    for first, last, averaged in pairs:
        torch.testing.assert_close(averaged, 0.1 * first + 0.9 * last.detach())


@pytest.mark.parametrize("prior", ["exemplar", "vamp"])
def test_matrices_of_the_network_decay_and_nothing_else(prior):
    """One step with and without: they differ by rate times decay of where they started."""

    def shifted_model():
        """No parameter is zero, where decay would not show."""
        model = torch_model(prior=prior, likelihood="bernoulli")
        for parameter in model.parameters():
            parameter.data.add_(0.1)
        return model

    start = dict(shifted_model().named_parameters())
    data = make_data()
    data = data._replace(rows=(data.rows > 0).float())
    ends = []
    for weight_decay in (0.0, 0.5):
        model = shifted_model()
        schedule = Schedule(1, 60, 1e-2, 0, 59, True, weight_decay=weight_decay)
        list(train(model, data, schedule, torch.Generator().manual_seed(0)))
        ends.append(dict(model.named_parameters()))
    n_decayed = 0
    for name, first in start.items():
        is_matrix = name.startswith("network") and name.endswith("weight")
        n_decayed += is_matrix
        decayed = 0.005 * first if is_matrix else torch.zeros_like(first)
        torch.testing.assert_close(ends[0][name] - ends[1][name], decayed, rtol=1e-3, atol=1e-6)
    assert n_decayed == 5


def test_networks_decay_that_start_from_nothing(monkeypatch):
    def losses(X, **parameters):
        return small_vae(early_stopping=False, **parameters).fit(X).loss_curve_

    continuous = two_moons(60)
    binary = (continuous > 0.3).astype(float)
    from_nothing = [
        {"X": binary},
        {"X": continuous, "prior": "vamp"},
        {"X": continuous, "architecture": "hierarchical"},
    ]
    start, before = losses(continuous), [losses(**fit) for fit in from_nothing]
    monkeypatch.setattr(_exemplar_vae, "WEIGHT_DECAY", 30.0)
    assert losses(continuous) == start
    for fit, loss in zip(from_nothing, before, strict=True):
        assert losses(**fit)[-1] != loss[-1]


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_bound_rises(likelihood):
    data = make_data(200)
    if likelihood == "bernoulli":
        data = data._replace(rows=(data.rows > 0).float())
    schedule = Schedule(30, 50, 5e-3, 0, 49, True)
    model = torch_model(likelihood=likelihood)
    bounds = [epoch.bound for epoch in train(model, data, schedule, torch.Generator())]
    assert bounds[-1] > bounds[0] + 0.3


def test_leaving_out_matters():
    """Without it the prior of a training row peaks at the row: the bound is far too high."""
    X = two_moons(60)
    bounds = [
        -small_vae(
            max_iter=40, early_stopping=False, leave_one_out=leave, n_exemplars=None, bandwidth=0.05
        )
        .fit(X)
        .loss_curve_[-1]
        for leave in (False, True)
    ]
    assert bounds[0] > bounds[1] + 0.5


def test_warm_start_goes_on():
    X = two_moons(150)
    once = small_vae(warm_start=True, max_iter=3, early_stopping=False).fit(X)
    first = once.loss_curve_[-1]
    once.fit(X)
    assert once.loss_curve_[0] < first + 0.1
    other = small_vae(max_iter=3, early_stopping=False).fit(X)
    assert not np.allclose(other.score_samples(X), once.score_samples(X))


def test_warm_start_refuses_another_model():
    X = two_moons(60)
    model = small_vae(warm_start=True).fit(X)
    with pytest.raises(ValueError, match="n_components=2.*n_components=1"):
        model.set_params(n_components=1).fit(X)
    model.set_params(n_components=None)
    others = {"likelihood": "bernoulli", "prior": "gaussian", "hidden_layer_sizes": (8,)}
    for name, value in others.items():
        with pytest.raises(ValueError, match=f"{name}.*{name}"):
            copy.deepcopy(model).set_params(**{name: value}).fit(X)
    model.set_params(n_components=2, likelihood="gaussian", hidden_layer_sizes=[16]).fit(X)


def test_no_bandwidth_of_an_earlier_fit():
    model = small_vae(max_iter=0).fit(two_moons(40))
    assert model.bandwidth_ > 0
    assert not hasattr(model.set_params(prior="gaussian").fit(two_moons(40)), "bandwidth_")


def test_verbose_prints_a_line_an_epoch(capsys):
    small_vae(verbose=True, max_iter=3).fit(two_moons(60))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("epoch" in line and "held out" in line for line in lines)


def test_same_seed_same_model_and_the_global_state_is_untouched():
    X = two_moons(80)
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    one, two = small_vae(random_state=3).fit(X), small_vae(random_state=3).fit(X)
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.get_rng_state())
    state = np.random.RandomState(0)
    first, second = small_vae(random_state=state).fit(X), small_vae(random_state=state).fit(X)
    assert not np.array_equal(first.score_samples(X), second.score_samples(X))


def test_a_frame_trains_the_model_of_its_array():
    X = two_moons(100)
    of_frame = small_vae().fit(pd.DataFrame(X, columns=["a", "b"])).loss_curve_
    assert of_frame == small_vae().fit(X).loss_curve_


def test_failed_warm_start_leaves_the_fitted_model():
    X = (np.random.default_rng(0).random((60, 4)) < 0.5).astype(float)
    model = small_vae(warm_start=True, early_stopping=False).fit(X)
    before = model.score_samples(X)
    with pytest.warns(UserWarning, match="diverged"):
        model.set_params(learning_rate_init=1e30).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), before)


def test_bandwidth_is_refitted_for_all_exemplars():
    """Beside a scan of the same likelihood, written out."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(100, 2, generator=generator)
    centres = torch.randn(400, 2, generator=generator)
    exemplars = Exemplars(centres, torch.zeros(400))
    best = best_bandwidth(codes, torch.ones(100), exemplars, ExemplarPrior(0.3))
    grid = torch.linspace(0.1, 0.6, 200)
    likelihoods = [
        torch.distributions.Normal(centres[None], s)
        .log_prob(codes[:, None])
        .sum(2)
        .logsumexp(1)
        .mean()
        for s in grid
    ]
    assert best == pytest.approx(grid[torch.stack(likelihoods).argmax()].item(), rel=0.06)


def test_refit_of_copies_of_one_row_changes_nothing():
    model = torch_model()
    before = model.prior.log_bandwidth.item()
    data = TrainingRows(torch.ones(20, 3), torch.ones(20), torch.zeros(20, dtype=torch.long))
    refit_bandwidth_without_held_out_rows(model, data, 0)
    assert model.prior.log_bandwidth.item() == before


def test_evidence_lower_bound_is_below_the_log_density():
    """And its reconstruction less its divergence, over many draws, is the training bound's mean."""
    model = torch_model().double()
    rows = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exemplars = Exemplars(scoring.encode(model, rows), torch.zeros(30, dtype=torch.float64))
    elbo = torch.stack(
        [scoring.evidence_lower_bound(model, rows, exemplars, seed) for seed in range(400)]
    )
    noise = importance_noise(4096, 3, 0)
    log_density = scoring.log_density(model, rows, exemplars, noise)
    assert (elbo.mean(0) < log_density + 3 * elbo.std(0) / 20).all()
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        bounds = [
            model.training_bound(
                rows, torch.randn(30, 1, 3, generator=draws), exemplars.log_weights, None, None, 1.0
            )
            for _ in range(400)
        ]
    difference = elbo.mean(0) - torch.stack(bounds).mean(0)
    assert (difference.abs() < 5 * elbo.std(0) / 14).all()


def test_log_density_by_posterior_of_a_kernel_density_estimate():
    """What the proposal of scores gives exactly; below it with few exemplars, the nearest."""
    estimate = small_vae(max_iter=0, bandwidth=0.5).fit(two_moons(60))
    model, rows = estimate._model.double(), estimate._to_model(two_moons(30, seed=1)).double()
    exemplars, noise = estimate._exemplars, importance_noise(8192, 2, 0)
    log_density = scoring.log_density(model, rows, exemplars, noise)
    every, most = (
        scoring.log_density_by_posterior(model, rows, exemplars, noise, n_neighbors)
        for n_neighbors in (60, 30)
    )
    torch.testing.assert_close(every, log_density, atol=0.05, rtol=0)
    assert (most <= every).all() and (every - most).max() < 0.1


def test_log_density_by_posterior_without_exemplars_is_the_log_density():
    model = torch_model(prior="gaussian").double()
    rows = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exemplars = Exemplars(scoring.encode(model, rows), torch.zeros(5, dtype=torch.float64))
    noise = importance_noise(16, 3, 0)
    torch.testing.assert_close(
        scoring.log_density_by_posterior(model, rows, exemplars, noise),
        scoring.log_density(model, rows, exemplars, noise),
    )


def test_prior_of_nearest_exemplars():
    """The mixture density where all are near, and otherwise that of the heaviest terms."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(40, 3, dtype=torch.float64, generator=generator)
    exemplars = Exemplars(codes, torch.linspace(-1, 1, 40, dtype=torch.float64))
    prior = ExemplarPrior(0.3).double()
    mean = codes[:6] + 0.1
    drawn = mean[:, None] + 0.1 * torch.randn(6, 5, 3, dtype=torch.float64, generator=generator)
    expected = prior.log_prob(drawn, exemplars)
    every = NearestExemplarPrior(mean, exemplars, prior.log_bandwidth, 100).log_prob(drawn)
    torch.testing.assert_close(every, expected)
    few = NearestExemplarPrior(mean, exemplars, prior.log_bandwidth, 8).log_prob(drawn)
    assert (few < expected).all() and (expected - few).max() < 0.2


def test_binary_draws():
    probabilities = torch.tensor([0.0, 1.0, 0.25, 0.9, 1e-3]).expand(50_001, 5)
    drawn = draw_binary(probabilities, torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn[:, 0] == 0).all() and (drawn[:, 1] == 1).all()
    deviation = (probabilities[0] * (1 - probabilities[0]) / 50_001).sqrt()
    assert ((drawn.mean(0) - probabilities[0]).abs() <= 5 * deviation).all()
    again = draw_binary(drawn, torch.Generator())
    assert torch.equal(again, drawn)


def test_grey_rows_are_drawn_at_every_visit_and_exemplars_are_not(monkeypatch):
    seen = []

    def spy(self, rows, *rest):
        seen.append((rows, rest[-1]))
        return training_bound(self, rows, *rest)

    training_bound = ExemplarModel.training_bound
    monkeypatch.setattr(ExemplarModel, "training_bound", spy)
    grey = np.random.default_rng(0).random((30, 6)).astype(np.float32)
    whole = dict(early_stopping=False, batch_size=30, device="cpu")
    model = small_vae(likelihood="bernoulli", max_iter=2, **whole).fit(grey)
    expected = np.sort(model._to_model(grey).numpy(), 0)
    assert all(np.array_equal(np.sort(rows.numpy(), 0), expected) for rows, _ in seen)
    assert all(set(drawn.unique().tolist()) == {0.0, 1.0} for _, drawn in seen)
    assert len(seen) == 2 and not torch.equal(seen[0][1].sort(0)[0], seen[1][1].sort(0)[0])
    seen.clear()
    small_vae(max_iter=1, **whole).fit((grey > 0.5).astype(float))
    assert seen[0][1] is None


@pytest.mark.parametrize(
    "architecture, prior",
    [("mlp", "exemplar"), ("hierarchical", "exemplar"), ("mlp", "gaussian")],
)
def test_bound_of_drawn_rows_is_that_of_rows_beside_their_exemplars(architecture, prior):
    """Drawn rows that are no exemplars, put ahead of those that are."""
    model = torch_model(prior=prior, likelihood="bernoulli", architecture=architecture).double()
    generator = torch.Generator().manual_seed(1)
    grey = torch.rand(9, 3, dtype=torch.float64, generator=generator)
    drawn = model.redraw(grey[:4], generator)
    noise = torch.randn(4, 2, model.n_noise, dtype=torch.float64, generator=generator)
    log_weights = torch.linspace(-1, 1, 9, dtype=torch.float64)
    excluded = torch.eye(9, dtype=torch.bool)[:4]
    bound = model.training_bound(
        grey, noise, log_weights, excluded, None, 0.7, gather=None, drawn=drawn
    )
    beside = model.training_bound(
        torch.cat([drawn, grey]),
        noise,
        torch.cat([torch.zeros(4, dtype=torch.float64), log_weights]),
        torch.cat([torch.ones(4, 4, dtype=torch.bool), excluded], 1),
        None,
        0.7,
    )
    torch.testing.assert_close(bound, beside)


def test_the_bandwidth_is_refitted_to_rows_as_they_are_drawn():
    model = torch_model(likelihood="bernoulli")
    grey = torch.rand(60, 3, generator=torch.Generator().manual_seed(1))
    exemplars, weights = Exemplars(model.encode(grey), torch.zeros(60)), torch.ones(60)
    drawn = model.redraw(grey, torch.Generator().manual_seed(7))
    found = []
    for rows in (grey, drawn):
        model.prior.log_bandwidth.data.zero_()
        refit_bandwidth(model, exemplars, rows, weights, None, 7)
        found.append(model.prior.log_bandwidth.item())
    assert found[0] == found[1] != 0


def test_last_epochs_have_several_samples_a_bound(monkeypatch):
    seen = []

    def spy(self, rows, noise, *rest):
        seen.append(tuple(noise.shape))
        return training_bound(self, rows, noise, *rest)

    training_bound = ExemplarModel.training_bound
    monkeypatch.setattr(ExemplarModel, "training_bound", spy)
    small_vae(n_bound_samples=3, early_stopping=False, max_iter=10).fit(two_moons(40))
    assert seen == 7 * [(40, 1, 2)] + 3 * [(40, 3, 2)]


def test_gaussian_prior_leaves_nothing_out():
    """Copies of one row are no exemplars there: the row is trained on."""
    X = np.repeat([[0.0, 1.0, 1.0, 0.0]], 60, axis=0)
    model = small_vae(prior="gaussian", early_stopping=False, max_iter=30, kl_warmup=0).fit(X)
    assert model.loss_curve_[-1] < model.loss_curve_[0] - 0.1
