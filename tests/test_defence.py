"""Draws of the prior mixed into scores: a floor for rows that the encoder knows nothing of."""

import copy
import math
from functools import partialmethod

import numpy as np
import pytest
import torch
from _models import correlated, small_vae
from sklearn.datasets import load_digits

from sklearn_exemplar_vae.engine import importance, model, scoring
from sklearn_exemplar_vae.engine.importance import importance_noise, log_mean_weights
from sklearn_exemplar_vae.engine.networks import NETWORKS

SHARE, N_DRAWS = importance.DEFENSIVE_SHARE, importance.N_DEFENSIVE_DRAWS
N_SAMPLES = 32


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data > 8).astype(float)


@pytest.fixture(scope="module", params=["mlp", "hierarchical"])
def density(request, digits):
    density = small_vae(
        n_components=8,
        architecture=request.param,
        max_iter=60,
        early_stopping=False,
        n_importance_samples=N_SAMPLES,
    )
    return density.fit(digits[:1000])


@pytest.fixture
def undefended(monkeypatch):
    """Scores as they would be without draws of the prior."""

    def switch_off():
        for module in (model, scoring):
            monkeypatch.setattr(module, "defended", lambda estimate, *_: estimate)

    return switch_off


def log_means_by_prior(density, rows):
    """log p(x) of binary rows by the draws of the prior that scores have, one sum a row."""
    generator = torch.Generator().manual_seed(density._score_seed)
    network, exemplars = density._model_as(np.float64)
    with torch.no_grad():
        logits = network.draw_outputs(exemplars, N_DRAWS, generator).numpy()
    signs = 2 * rows[:, None] - 1
    log_likelihoods = -np.logaddexp(0, -signs * logits).sum(-1)
    return np.logaddexp.reduce(log_likelihoods, 1) - math.log(N_DRAWS)


@pytest.fixture
def lost(monkeypatch):
    """Encoders are sure that every row is far from all others."""

    def encode(network, rows, encode):
        mean, log_variance = encode(network, rows)
        return mean + 200, torch.full_like(log_variance, -6.0)

    for network in NETWORKS.values():
        monkeypatch.setattr(network, "encode", partialmethod(encode, encode=network.encode))


def test_rows_of_the_kind_of_fit_pay_nothing(density, digits, undefended):
    scores = density.score_samples(digits[1000:])
    undefended()
    np.testing.assert_allclose(density.score_samples(digits[1000:]), scores, atol=1e-5)


def test_lost_rows_score_as_by_the_prior_at_least(density, digits, undefended, lost):
    rows = digits[1000:1200]
    scores, by_prior = density.score_samples(rows), log_means_by_prior(density, rows)
    np.testing.assert_allclose(scores, by_prior + math.log(SHARE), atol=1e-6)
    undefended()
    assert (density.score_samples(rows) < scores - 1000).all()


def test_the_paper_s_estimate_is_defended_too(density, digits, undefended, lost):
    network, exemplars = density._model_as(np.float64)
    noise = importance_noise(N_SAMPLES, network.n_noise, density._score_seed)
    rows = torch.from_numpy(digits[1000:1050])
    scores = scoring.log_density_by_posterior(network, rows, exemplars, noise)
    by_prior = log_means_by_prior(density, rows.numpy())
    np.testing.assert_allclose(scores, by_prior + math.log(SHARE), atol=1e-6)
    undefended()
    lower = scoring.log_density_by_posterior(network, rows, exemplars, noise)
    assert (lower < scores - 1000).all()


def test_lost_rows_score_alike_in_both_precisions_and_by_cells(density, digits, lost):
    rows = digits[1000:1050]
    scores = density.score_samples(rows)
    np.testing.assert_allclose(density.score_samples(rows.astype(np.float32)), scores, rtol=1e-4)
    by_cells = copy.deepcopy(density).set_params(rtol=1e-9).score_samples(rows)
    np.testing.assert_allclose(by_cells, scores, atol=1e-6)


@pytest.mark.parametrize("prior", ["exemplar", "vamp", "gaussian"])
@pytest.mark.parametrize("architecture", ["mlp", "hierarchical"])
def test_draws_are_of_the_prior(prior, architecture, monkeypatch):
    """Their mean likelihood is how often a row is among samples."""
    X = (correlated(80, 4) > 0).astype(float)
    weights = np.where(X[:, 0] > 0, 5.0, 0.5)
    density = small_vae(n_components=2, prior=prior, architecture=architecture, max_iter=20)
    density.fit(X, sample_weight=weights)
    monkeypatch.setattr(importance, "DEFENSIVE_SHARE", 1 - 1e-12)
    monkeypatch.setattr(importance, "N_DEFENSIVE_DRAWS", 20_000)
    rows, counts = np.unique(density.sample(20_000, random_state=1), axis=0, return_counts=True)
    frequencies = counts / 20_000
    standard_errors = np.sqrt(frequencies / 20_000)
    errors = np.exp(density.score_samples(rows)) - frequencies
    assert (np.abs(errors) < 5 * standard_errors + 0.01 * frequencies).all()


def test_the_mixture_is_that_of_its_parts(monkeypatch):
    monkeypatch.setattr(importance, "DEFENSIVE_SHARE", 0.3)
    X = (correlated(60, 5) > 0).astype(float)
    density = small_vae(n_components=2, max_iter=5, n_importance_samples=16).fit(X)
    network, exemplars = density._model_as(np.float64)
    noise = importance_noise(16, network.n_noise, density._score_seed)

    def propose(mean, log_variance):
        return network.prior.proposal(mean, log_variance, exemplars)

    with torch.no_grad():
        estimates = log_mean_weights(network, propose, noise, torch.from_numpy(X)).exp().numpy()
    expected = 0.7 * estimates + 0.3 * np.exp(log_means_by_prior(density, X))
    np.testing.assert_allclose(np.exp(density.score_samples(X)), expected, rtol=1e-6)
