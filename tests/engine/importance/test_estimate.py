"""Draws of the prior mixed into estimates: a defense of rows that the encoder does not know."""

import copy
import math

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.importance.estimate import (
    DEFENSIVE_SHARE,
    ImportanceNoise,
    ImportanceSampling,
    importance_noise,
    with_defensive_mixture,
)
from tests._models import correlated, small_vae
from tests.engine.importance._defense import (
    binary_digits,
    fit_digits,
    log_means_by_prior,
    lose_rows,
    scored_as_double,
    undefended_scores,
)


@pytest.fixture(scope="module")
def digits():
    return binary_digits()


@pytest.fixture(scope="module", params=["mlp", "hierarchical"])
def density(request, digits):
    return fit_digits(request.param, digits[:1000])


def test_noise_is_spread_evenly_over_a_standard_normal():
    noise = importance_noise(ImportanceSampling(4096, 0), 3)
    normals, uniforms = noise.normals, noise.uniforms
    assert torch.isfinite(normals).all() and ((uniforms >= 0) & (uniforms < 1)).all()
    # Independent draws would be off by 1 / 64 on average.
    assert normals.mean(0).abs().max() < 2e-3 and abs(uniforms.mean() - 0.5) < 1e-3
    torch.testing.assert_close(normals.T.cov(), torch.eye(3).double(), atol=0.01, rtol=0)


def test_rows_of_the_kind_of_fit_pay_nothing(density, digits):
    scores = density.score_samples(digits[1000:])
    np.testing.assert_allclose(undefended_scores(density, digits[1000:]), scores, atol=1e-5)


def test_lost_rows_score_as_by_the_prior_at_least(density, digits):
    density, rows = lose_rows(density), digits[1000:1200]
    scores, by_prior = density.score_samples(rows), log_means_by_prior(density, rows)
    np.testing.assert_allclose(scores, by_prior + math.log(DEFENSIVE_SHARE), atol=1e-6)
    assert (undefended_scores(density, rows) < scores - 1000).all()


def test_lost_rows_score_alike_in_both_precisions_and_by_cells(density, digits):
    density, rows = lose_rows(density), digits[1000:1050]
    scores = density.score_samples(rows)
    np.testing.assert_allclose(density.score_samples(rows.astype(np.float32)), scores, rtol=1e-4)
    by_cells = copy.deepcopy(density).set_params(rtol=1e-9).score_samples(rows)
    np.testing.assert_allclose(by_cells, scores, atol=1e-6)


@pytest.mark.parametrize("prior", ["exemplar", "vamp", "gaussian"])
@pytest.mark.parametrize("architecture", ["mlp", "hierarchical"])
def test_draws_are_of_the_prior(prior, architecture):
    """Their mean likelihood is how often a row is among samples."""
    X = (correlated(80, 4) > 0).astype(float)
    weights = np.where(X[:, 0] > 0, 5.0, 0.5)
    density = small_vae(n_components=2, prior=prior, architecture=architecture, max_iter=20)
    density.fit(X, sample_weight=weights)
    rows, counts = np.unique(density.sample(20_000, random_state=1), axis=0, return_counts=True)
    frequencies = counts / 20_000
    standard_errors = np.sqrt(frequencies / 20_000)
    model, exemplars = scored_as_double(density)
    rows = torch.from_numpy(rows)

    def nothing(rows):
        return torch.full((len(rows),), -math.inf, dtype=torch.float64)

    by_seed = []
    with torch.no_grad():
        for seed in range(1000):  # of few draws each
            noise = ImportanceNoise(None, None, seed)
            by_seed.append(with_defensive_mixture(nothing, model, exemplars, noise)(rows))
    errors = (torch.stack(by_seed).exp().mean(0) / DEFENSIVE_SHARE).numpy() - frequencies
    assert (np.abs(errors) < 5 * standard_errors + 0.01 * frequencies).all()


def test_the_mixture_is_that_of_its_parts():
    X = (correlated(60, 5) > 0).astype(float)
    density = small_vae(n_components=2, max_iter=5).fit(X)
    by_prior = DEFENSIVE_SHARE * np.exp(log_means_by_prior(density, X))
    model, exemplars = scored_as_double(density)
    noise = ImportanceNoise(None, None, density._score_seed)
    for estimate in (1e-3 * by_prior, by_prior, 1e3 * by_prior, np.full(60, 0.7)):
        log_estimate = torch.from_numpy(np.log(estimate))
        score = with_defensive_mixture(
            lambda rows, known=log_estimate: known, model, exemplars, noise
        )
        with torch.no_grad():
            scores = score(torch.from_numpy(X)).numpy()
        expected = (1 - DEFENSIVE_SHARE) * estimate + by_prior
        np.testing.assert_allclose(np.exp(scores), expected, rtol=1e-9)
