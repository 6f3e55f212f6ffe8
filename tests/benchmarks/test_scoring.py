"""The plain sums that scoring.py times are the same estimates."""

import copy

import numpy as np
import pytest
import torch
from _paper_estimates import log_density_by_posterior
from scoring import plain_scores

from sklearn_exemplar_vae.engine.importance.estimate import ImportanceSampling, importance_noise
from tests._models import small_vae


@pytest.fixture(scope="module")
def X():
    return (np.random.default_rng(0).random((60, 9)) < 0.5).astype(float)


@pytest.fixture(scope="module")
def model(X):
    return small_vae(n_importance_samples=100, device="cpu").fit(X)


def test_plain_sums_are_the_scores(model, X):
    np.testing.assert_allclose(plain_scores(model, X, False), model.score_samples(X), atol=1e-3)


def test_plain_sums_at_draws_of_q_are_the_paper_s_estimate(model, X):
    sampling = ImportanceSampling(model.n_importance_samples, model._score_seed)
    expected = log_density_by_posterior(
        copy.deepcopy(model._model).double(),
        torch.from_numpy(X),
        model._exemplars,
        importance_noise(sampling, model.n_components_),
    )
    np.testing.assert_allclose(plain_scores(model, X, True), expected, atol=1e-3)
