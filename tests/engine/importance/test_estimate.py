"""The noise that all rows share, and rows that the encoder does not know."""

import copy

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.importance.estimate import ImportanceSampling, importance_noise
from tests.engine.importance._lost_rows import (
    background_scores,
    binary_digits,
    fit_digits,
    lose_rows,
    scores_of_the_model_alone,
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


def test_rows_of_the_kind_of_fit_pay_the_share_of_the_background(density, digits):
    rows, share = digits[1000:], 1 / (len(np.unique(digits[:1000], axis=0)) + 1)
    alone = scores_of_the_model_alone(density, rows)
    expected = np.logaddexp(alone + np.log1p(-share), background_scores(digits[:1000], rows))
    np.testing.assert_allclose(density.score_samples(rows), expected, atol=1e-5)
    assert np.median(expected - alone) > -0.002


def test_lost_rows_score_as_by_the_background(density, digits):
    density, rows = lose_rows(density), digits[1000:1200]
    scores = density.score_samples(rows)
    np.testing.assert_allclose(scores, background_scores(digits[:1000], rows), atol=1e-4)
    assert (scores_of_the_model_alone(density, rows) < scores - 1000).all()


def test_lost_rows_score_alike_in_both_precisions_and_by_cells(density, digits):
    density, rows = lose_rows(density), digits[1000:1050]
    scores = density.score_samples(rows)
    np.testing.assert_allclose(density.score_samples(rows.astype(np.float32)), scores, rtol=1e-4)
    by_cells = copy.deepcopy(density).set_params(rtol=1e-9).score_samples(rows)
    np.testing.assert_allclose(by_cells, scores, atol=1e-6)
