"""The paper's estimates of a log-density beside the scores of the library."""

import numpy as np
import pytest
import torch
from _paper_estimates import (
    NearestExemplarPrior,
    evidence_lower_bound,
    log_density_by_posterior,
)

from sklearn_exemplar_vae.engine.importance.estimate import ImportanceSampling, importance_noise
from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.minibatch import LeftOut, Minibatch
from sklearn_exemplar_vae.engine.model import Draws
from sklearn_exemplar_vae.engine.priors.exemplar import ExemplarPrior
from sklearn_exemplar_vae.engine.scoring import encode, log_density
from tests._models import small_vae, two_moons
from tests.engine._models import untrained_model
from tests.engine.importance._lost_rows import (
    background_scores,
    binary_digits,
    fit_digits,
    lose_rows,
    score_noise,
    scored_as_double,
)

DOUBLE = {"dtype": torch.float64}


def model_and_rows(n_rows, **structure):
    """Return an untrained model, rows, and exemplars that are these rows."""
    model = untrained_model(**structure).double()
    rows = torch.randn(n_rows, 3, generator=torch.Generator().manual_seed(1), **DOUBLE)
    return model, rows, Exemplars(encode(model, rows), torch.zeros(n_rows, **DOUBLE))


def test_evidence_lower_bound_is_below_the_log_density():
    """It is on average the bound of training, with all exemplars and nothing left out."""
    model, rows, exemplars = model_and_rows(30)
    elbo = torch.stack([evidence_lower_bound(model, rows, exemplars, seed) for seed in range(400)])
    scores = log_density(model, rows, exemplars, ImportanceSampling(4096, 0))
    assert (elbo.mean(0) < scores + 3 * elbo.std(0) / 20).all()
    generator, bounds = torch.Generator().manual_seed(0), []
    batch = Minibatch(rows, 30, 30, exemplars.log_weights, LeftOut(None), lambda codes: codes)
    with torch.no_grad():
        for _ in range(400):
            noise = torch.randn(30, 1, 3, generator=generator)
            bounds.append(model.training_bound(batch, Draws(noise)))
    difference = elbo.mean(0) - torch.stack(bounds).mean(0)
    assert (difference.abs() < 5 * elbo.std(0) / 14).all()


def test_log_density_by_posterior_of_a_kernel_density_estimate():
    """It is what the scores give exactly; with few exemplars, the nearest, it is below."""
    density = small_vae(max_iter=0, bandwidth=0.5).fit(two_moons(60))
    X = two_moons(30, seed=1)
    model, exemplars = scored_as_double(density)
    rows, noise = density._to_model(X), importance_noise(ImportanceSampling(8192, 0), 2)
    every, most = (
        log_density_by_posterior(model, rows, exemplars, noise, n_neighbors).numpy()
        for n_neighbors in (60, 30)
    )
    log_jacobian = -np.log(two_moons(60).std(0)).sum()
    np.testing.assert_allclose(every + log_jacobian, density.score_samples(X), atol=0.05)
    assert (most <= every).all() and (every - most).max() < 0.1


def test_log_density_by_posterior_without_exemplars_is_the_log_density():
    model, rows, exemplars = model_and_rows(5, prior="gaussian")
    sampling = ImportanceSampling(16, 0)
    noise = importance_noise(sampling, 3)
    torch.testing.assert_close(
        log_density_by_posterior(model, rows, exemplars, noise),
        log_density(model, rows, exemplars, sampling),
    )


def test_prior_of_nearest_exemplars():
    """It is the mixture density where all are near, and otherwise that of the heaviest terms."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(40, 3, generator=generator, **DOUBLE)
    exemplars = Exemplars(codes, torch.linspace(-1, 1, 40, **DOUBLE))
    prior = ExemplarPrior(0.3).double()
    mean = codes[:6] + 0.1
    drawn = mean[:, None] + 0.1 * torch.randn(6, 5, 3, generator=generator, **DOUBLE)
    expected = prior.log_prob(drawn, exemplars)
    every, few = (
        NearestExemplarPrior(mean, exemplars, prior.log_bandwidth, n).log_prob(drawn)
        for n in (100, 8)
    )
    torch.testing.assert_close(every, expected)
    assert (few < expected).all() and (expected - few).max() < 0.2


@pytest.mark.parametrize("architecture", ["mlp", "hierarchical"])
def test_lost_rows_have_the_background_too(architecture):
    digits = binary_digits()
    density = lose_rows(fit_digits(architecture, digits[:500]))
    model, exemplars = scored_as_double(density)
    rows, noise = digits[1000:1050], score_noise(density)
    scores = log_density_by_posterior(model, torch.from_numpy(rows), exemplars, noise).numpy()
    np.testing.assert_allclose(scores, background_scores(digits[:500], rows), atol=1e-4)
