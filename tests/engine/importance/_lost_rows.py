"""Densities of binary digits, rows that their encoders lose, and what such rows score by."""

import copy
import math
from functools import partial

import numpy as np
import torch
from sklearn.datasets import load_digits

from sklearn_exemplar_vae.engine.importance.estimate import (
    ImportanceSampling,
    importance_noise,
    log_mean_weights,
)
from tests._models import small_vae

N_SAMPLES = 32


def binary_digits():
    """Return scikit-learn's digits as zeros and ones."""
    return (load_digits().data > 8).astype(float)


def fit_digits(architecture, rows):
    """Return a density whose encoder knows the digits in ``rows``."""
    density = small_vae(
        n_components=8,
        architecture=architecture,
        background="auto",
        max_iter=30,
        early_stopping=False,
        n_importance_samples=N_SAMPLES,
    )
    return density.fit(rows)


def scored_as_double(density):
    """Return the model and the exemplars that score double precision."""
    return density._model_in(torch.float64), density._exemplars.to(torch.float64)


def score_noise(density):
    """Return the noise of the scores of a density of digits."""
    sampling = ImportanceSampling(N_SAMPLES, density._score_seed)
    return importance_noise(sampling, density._model.n_noise)


def scores_of_the_model_alone(density, rows):
    """Return scores of binary rows as they would be without a background."""
    model, exemplars = scored_as_double(density)
    centers = model.prior.centers(model.network, exemplars)
    propose = partial(model.prior.proposal, centers=centers)
    with torch.no_grad():
        rows = torch.from_numpy(rows)
        return log_mean_weights(model, propose, score_noise(density), rows).numpy()


def background_scores(fitted_rows, rows):
    """Return what binary ``rows`` score by the background alone, its share included."""
    n_distinct = len(np.unique(fitted_rows, axis=0))
    p = (fitted_rows.sum(0) + 0.5) / (len(fitted_rows) + 1)
    return np.where(rows == 1, np.log(p), np.log1p(-p)).sum(1) - math.log(n_distinct + 1)


def lose_rows(density):
    """Return a copy whose encoder is sure that every row is far from all exemplars."""
    density = copy.deepcopy(density)
    network = density._model.network
    if density.architecture == "mlp":
        mean, log_variance = network.mean_head, network.log_variance_head
    else:
        mean, log_variance = network.encoder_head.mean, network.encoder_head.log_variance
    with torch.no_grad():
        mean.bias += 200
        log_variance.weight.zero_()
        log_variance.bias.fill_(-100)  # clamped to the smallest
    return density
