"""Covariances of few rows, beside scikit-learn's Ledoit and Wolf."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf

from sklearn_exemplar_vae.engine.initialization.covariance import (
    Covariance,
    fit_covariance,
    shrinkage,
)
from sklearn_exemplar_vae.engine.initialization.left_out import InitializationRows
from tests._models import correlated

SIZES = [(200, 4), (20, 12), (12, 30), (5, 3)]


def some_rows(n_rows, n_columns):
    """Return correlated rows of like scales and of means other than zero."""
    X = correlated(n_rows, n_columns)
    return torch.from_numpy((X - X.mean(0)) / X.std(0) * np.linspace(0.5, 2, n_columns) + 0.3)


def equal(n_rows):
    return torch.ones(n_rows, dtype=torch.float64)


@pytest.mark.parametrize("n_rows, n_columns", SIZES)
def test_shrinkage_is_that_of_ledoit_and_wolf(n_rows, n_columns):
    rows = some_rows(n_rows, n_columns)
    expected = ledoit_wolf(rows.numpy(), assume_centered=True)[1]
    assert expected > 1 / (n_rows + 1)
    assert shrinkage(rows) == pytest.approx(expected)
    assert fit_covariance(rows, equal(n_rows)).shrinkage == pytest.approx(expected)


@pytest.mark.parametrize("n_rows", [2, 500])
def test_shrinkage_is_that_of_one_row_more_at_least(n_rows):
    """Of two equal columns, and of one row and its negative, Ledoit and Wolf have less."""
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(n_rows // 2)
    rows = signs[:, None] * torch.tensor([[1.0, 1.0, 0.5]], dtype=torch.float64)
    assert ledoit_wolf(rows.numpy(), assume_centered=True)[1] < 1 / (n_rows + 1)
    assert shrinkage(rows) == pytest.approx(1 / (n_rows + 1))


@pytest.mark.parametrize("rows", [torch.eye(4), torch.zeros(6, 3), torch.ones(5, 1)])
def test_columns_alike_and_uncorrelated_are_shrunk_whole(rows):
    assert shrinkage(rows.double()) == 1


def test_covariance_is_weighted_and_around_zero():
    rows, weights = some_rows(60, 4), np.random.default_rng(0).uniform(0.1, 3, 60)
    found = fit_covariance(rows, torch.from_numpy(weights))
    X = rows.numpy()
    around_mean = np.cov(X.T, aweights=weights, bias=True)
    mean = np.average(X, axis=0, weights=weights)
    np.testing.assert_allclose(found.matrix, around_mean + np.outer(mean, mean), rtol=1e-9)
    weighted = X * np.sqrt(weights / weights.mean())[:, None]
    expected = ledoit_wolf(weighted, assume_centered=True)[1]
    assert found.shrinkage == pytest.approx(expected)
    scaled = fit_covariance(rows, torch.from_numpy(1e-20 * weights))
    assert scaled.shrinkage == pytest.approx(expected)


def test_weights_are_repetitions_of_rows_that_are_told_apart():
    rows, counts = some_rows(40, 4), np.random.default_rng(0).integers(1, 9, 40)
    groups = torch.from_numpy(np.repeat(np.arange(40), counts))
    weighted = fit_covariance(rows, torch.from_numpy(counts.astype(float)))
    sample = InitializationRows(rows[groups], equal(len(groups)), groups, len(groups))
    repeated = fit_covariance(sample.rows, sample.weights, sample.distinct())
    np.testing.assert_allclose(repeated.matrix, weighted.matrix, rtol=1e-9)
    assert repeated.shrinkage == pytest.approx(weighted.shrinkage)
    # Taken for rows of their own, copies would say more than they know.
    assert fit_covariance(*sample[:2]).shrinkage < 0.5 * weighted.shrinkage


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_shrunk_covariances_are_smaller_and_variances_are_not(share):
    matrix = np.cov(some_rows(50, 4).T.numpy())
    found = Covariance(torch.from_numpy(matrix), 0.3).shrunk(share).numpy()
    np.testing.assert_allclose(found.diagonal(), matrix.diagonal(), rtol=1e-12)
    others = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(found[others], (1 - 0.3 * share) * matrix[others], rtol=1e-12)


@pytest.mark.parametrize("n_rows, n_columns", [(2, 3), (5, 10), (12, 30), (3, 200)])
def test_fewer_rows_than_columns_have_an_inverse(n_rows, n_columns):
    covariance = fit_covariance(some_rows(n_rows, n_columns), equal(n_rows))
    assert torch.linalg.eigvalsh(covariance.matrix)[0] < 1e-9
    assert torch.linalg.eigvalsh(covariance.shrunk())[0] > 1e-3
