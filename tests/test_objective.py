"""What training maximises, what judges it and how it goes about it, beside KernelDensity."""

from functools import partial

import numpy as np
import pytest
import torch
from _models import correlated, folds_of, small_flow, small_vae, torch_model, two_moons
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae._plan import held_out_rows
from sklearn_exemplar_vae.engine import flow_start, kde_start, training
from sklearn_exemplar_vae.engine.bandwidth import best_bandwidth
from sklearn_exemplar_vae.engine.priors import ExemplarPrior, Exemplars
from sklearn_exemplar_vae.engine.refit import refit_bandwidth

DENSITIES = [small_vae, partial(small_flow, prior="exemplar")]


def standardised(X, weights=None):
    """Rows as the model has them, and what that adds to minus their log-densities."""
    mean = np.average(X, axis=0, weights=weights)
    scale = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    return (X - mean) / scale, np.log(scale).sum()


def scores_by_kernel_density(rows, queries, bandwidth, weights=None):
    estimate = KernelDensity(bandwidth=bandwidth, leaf_size=len(rows))
    return estimate.fit(rows, sample_weight=weights).score_samples(queries)


def spy_on_steps(monkeypatch, look) -> list:
    """What ``look(trainer, batch, exemplars, kl_weight)`` gives after every step."""
    seen, step = [], training.Trainer.step

    def spy(self, batch, exemplars, kl_weight, *rest):
        result = step(self, batch, exemplars, kl_weight, *rest)
        seen.append(look(self, batch, exemplars, kl_weight))
        return result

    monkeypatch.setattr(training.Trainer, "step", spy)
    return seen


def test_loss_of_a_model_that_does_not_move_is_the_left_out_kernel_density():
    X, weights = correlated(40, 2), np.random.default_rng(1).uniform(0.1, 3, 40)
    X[1] = X[0]  # a copy is left out too
    model = small_flow(
        prior="exemplar",
        bandwidth=0.5,
        n_exemplars=None,
        batch_size=10,
        learning_rate_init=1e-12,
        max_iter=1,
        early_stopping=False,
    ).fit(X, sample_weight=weights)
    rows, log_scale = standardised(X, weights)
    scores = []
    for row in rows:
        others = (rows != row).any(1)
        left_out = scores_by_kernel_density(rows[others], row[None], 0.5, weights[others])
        scores.append(left_out[0] - log_scale)
    assert model.loss_curve_[0] == pytest.approx(-np.average(scores, weights=weights), abs=1e-4)


def test_rows_that_have_no_exemplar_do_not_count_as_zero(monkeypatch):
    """In minibatches of two, of 20 copies and 10 others: copies have nothing but each other."""
    X = two_moons(30)
    X[10:] = X[10]
    seen = spy_on_steps(monkeypatch, lambda _, batch, *rest: batch.tolist())
    model = small_flow(
        prior="exemplar",
        bandwidth=0.5,
        n_exemplars="batch",
        batch_size=2,
        learning_rate_init=1e-12,
        max_iter=1,
        early_stopping=False,
    ).fit(X)
    rows, log_scale = standardised(X)
    scores = [
        scores_by_kernel_density(rows[[other]], rows[[one]], 0.5)[0] - log_scale
        for pair in seen
        for one, other in (pair, pair[::-1])
        if (rows[one] != rows[other]).any()
    ]
    assert 0 < len(scores) < 30
    assert model.loss_curve_[0] == pytest.approx(-np.mean(scores), abs=1e-4)


@pytest.mark.parametrize("make", DENSITIES)
def test_held_out_score_is_kernel_density_of_the_other_rows(make):
    X, weights = correlated(120, 3), np.random.default_rng(1).uniform(0.1, 3, 120)
    model = make(bandwidth=0.5, max_iter=0).fit(X, sample_weight=weights)
    out = held_out_rows(np.arange(120), 0.1, torch.Generator().manual_seed(model._split_seed))
    rows, log_scale = standardised(X, weights)
    scores = scores_by_kernel_density(rows[~out], rows[out], 0.5, weights[~out]) - log_scale
    expected = np.average(scores, weights=weights[out])
    assert model.best_validation_score_ == pytest.approx(expected, abs=1e-4)


def test_learning_rates_and_weights_of_the_divergence(monkeypatch):
    def look(trainer, batch, exemplars, kl_weight):
        return kl_weight, trainer._optimiser.param_groups[0]["lr"]

    seen = spy_on_steps(monkeypatch, look)
    small_vae(kl_warmup=2, max_iter=4, batch_size=20, early_stopping=False).fit(two_moons(80))
    kl_weights, rates = np.transpose(seen)
    np.testing.assert_allclose(kl_weights, [*np.arange(1, 9) / 8, *[1] * 8])
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(16) / 16))
    np.testing.assert_allclose(rates, 1e-3 * (1e-3 + (1 - 1e-3) * cosine))
    seen.clear()
    small_vae(max_iter=1, early_stopping=False).fit(two_moons(80))
    assert seen[0][0] == 1  # a density estimate needs no warm-up


@pytest.mark.parametrize("n_exemplars, n_seen", [(5, 6), (20, 21), (None, 80)])
@pytest.mark.parametrize("make", DENSITIES)
def test_a_step_sees_as_many_exemplars_as_asked_for(monkeypatch, make, n_exemplars, n_seen):
    seen = spy_on_steps(monkeypatch, lambda _, __, exemplars, ___: len(exemplars.seen.unique()))
    parameters = dict(n_exemplars=n_exemplars, early_stopping=False, max_iter=1)
    for batch_size in ("auto", 4):
        make(batch_size=batch_size, **parameters).fit(two_moons(80))
    # A row and the others; a last batch that is smaller may have one fewer.
    assert set(seen) <= {n_seen, n_seen - 1} and max(seen) == n_seen


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_bandwidth_of_few_exemplars_is_refitted_for_all(make, early_stopping):
    X = two_moons(300)
    few = dict(n_exemplars=5, learning_rate_init=1e-9, max_iter=3, early_stopping=early_stopping)
    model = make(bandwidth=0.4, **few).fit(X)
    start = make(bandwidth=0.4, max_iter=0).fit(X)
    assert model.bandwidth_ < 0.75 * start.bandwidth_  # the best for 300 is far narrower


def test_the_bandwidth_is_refitted_to_draws_of_the_posterior():
    model, rows = torch_model(), torch.randn(60, 3, generator=torch.Generator().manual_seed(1))
    mean, log_variance = (part.detach() for part in model.network.encode(rows))
    exemplars = Exemplars(mean, torch.zeros(60))
    noise = torch.randn(60, 3, generator=torch.Generator().manual_seed(7))
    of_draws, of_means = (
        best_bandwidth(codes, torch.ones(60), exemplars, model.prior)
        for codes in (mean + torch.exp(0.5 * log_variance) * noise, mean)
    )
    refit_bandwidth(model, exemplars, rows, torch.ones(60), None, 7)
    assert model.prior.log_bandwidth.exp().item() == pytest.approx(of_draws, rel=1e-5)
    assert of_draws > 1.02 * of_means


@pytest.mark.parametrize(
    "choose",
    [
        partial(kde_start.choose_kernel, n_components=3),
        partial(flow_start.choose_kernel, normal=None),
    ],
)
def test_left_out_rows_of_no_weight_choose_no_kernel(choose):
    rows, weights, groups, generator = folds_of(150, 3)
    rows[::2] *= 6
    folds = list(kde_start.left_out_folds(rows, weights, groups, generator))
    pairs = [(fold, fold.queries.abs().amax(1) < 2) for fold in folds]
    zeroed = [fold._replace(weights=kept.float()) for fold, kept in pairs]
    dropped = [
        fold._replace(queries=fold.queries[kept], weights=fold.weights[kept])
        for fold, kept in pairs
    ]
    assert choose(zeroed) == pytest.approx(choose(dropped))
    expected = kde_start.residual_variance(dropped, 2)
    assert kde_start.residual_variance(zeroed, 2) == pytest.approx(expected, rel=1e-5)


def test_weights_of_rows_choose_the_bandwidth_as_copies_do():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(60, 2, generator=generator)
    codes[30:] *= 2
    exemplars = Exemplars(torch.randn(200, 2, generator=generator), torch.zeros(200))
    counts = torch.tensor([9, 1]).repeat_interleave(30)
    best = partial(best_bandwidth, exemplars=exemplars, prior=ExemplarPrior(0.8))
    weighted, unweighted = best(codes, counts.float()), best(codes, torch.ones(60))
    copies = best(codes.repeat_interleave(counts, 0), torch.ones(300))
    assert weighted == pytest.approx(copies, rel=1e-3)
    assert unweighted > 1.1 * weighted


@pytest.mark.parametrize("make", DENSITIES)
def test_extended_weights_are_those_of_a_kernel_density(make):
    X, weights = correlated(120, 3), np.repeat([2.0, 6.0], 60)
    half = make(bandwidth=0.5, max_iter=0).fit(X[:60], sample_weight=weights[:60])
    half.extend_exemplars(X[60:], sample_weight=weights[60:])
    rows, log_scale = (X - X[:60].mean(0)) / X[:60].std(0), np.log(X[:60].std(0)).sum()
    expected = scores_by_kernel_density(rows, rows, 0.5, weights) - log_scale
    np.testing.assert_allclose(half.score_samples(X), expected, atol=1e-4)
