"""Backgrounds fitted to rows, beside scikit-learn's covariances and counts by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t
from sklearn.covariance import ledoit_wolf

from sklearn_exemplar_vae import ExemplarFlow
from sklearn_exemplar_vae.density._background import (
    background_share,
    fit_binary_frequencies,
    fit_bounded_tail,
    fit_level_frequencies,
    fit_student_tail,
)
from sklearn_exemplar_vae.density._scaling import ColumnScaling
from tests._covariance import shrunk_covariance
from tests._models import correlated, small_flow, small_vae
from tests.density._background import share_of

ESTIMATORS = [small_vae, small_flow]


def standard_rows(n_rows, n_columns):
    X = correlated(n_rows, n_columns)
    return (X - X.mean(0)) / X.std(0)


def tail_scores(rows, weights, queries):
    """Return log-densities of the tail fitted to weighted rows."""
    return fit_student_tail(rows, weights).double().log_prob(torch.from_numpy(queries)).numpy()


def assert_tail_has(covariance, rows):
    """Compare the tail fitted to rows of equal weight with the Student t of their mean."""
    queries = 3 * np.random.default_rng(1).normal(size=(50, rows.shape[1]))
    expected = multivariate_t(rows.mean(0), covariance, df=1).logpdf(queries)
    found = tail_scores(rows, np.ones(len(rows)), queries)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------ share


def test_share_is_that_of_one_row_more_unless_given():
    assert background_share("auto", 99) == 0.01
    for share in (0, 0.0, 0.25):
        assert background_share(share, 99) == share


@pytest.mark.parametrize("make", ESTIMATORS)
def test_copies_count_once_and_rows_without_weight_not_at_all(make):
    X, weights = correlated(30, 3), np.ones(60)
    X[20:] = X[10:20]
    weights[55:] = 0
    rows = np.concatenate([X, X])
    rows[55:] += 1
    assert share_of(make(background="auto").fit(rows, sample_weight=weights)) == 1 / 21


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("make", ESTIMATORS)
def test_all_rows_count_in_the_end(make, early_stopping):
    model = make(background="auto", early_stopping=early_stopping).fit(correlated(120, 3))
    assert share_of(model) == 1 / 121


@pytest.mark.parametrize("make", ESTIMATORS)
def test_a_number_is_the_share(make):
    X = correlated(60, 3)
    model = make(background=0.25, max_iter=1).fit(X)
    assert share_of(model) == share_of(model.extend_exemplars(X)) == 0.25
    none = make(background=0).fit(X)
    assert share_of(none) == share_of(none.extend_exemplars(X)) == 0


@pytest.mark.parametrize("make", ESTIMATORS)
def test_copies_that_are_added_count_once(make):
    X = correlated(60, 3)
    model = make(background="auto").fit(X[:40])
    weights = np.tile(np.r_[np.ones(15), np.zeros(5)], 3)
    model.extend_exemplars(np.tile(X[40:], (3, 1)), sample_weight=weights)
    assert share_of(model) == 1 / 56


def test_copies_that_are_added_count_once_whatever_their_noise():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=60), rng.integers(0, 9, 60)])
    X = np.repeat(X, 2, axis=0)
    model = small_flow(background="auto", integer_columns=[1], max_iter=1).fit(X[:80])
    assert share_of(model) == 1 / 41
    assert share_of(model.extend_exemplars(X[80:])) == 1 / 61


def test_images_of_few_kinds_count_by_kinds():
    X = np.random.default_rng(0).integers(0, 2, (200, 2)).astype(float)
    assert share_of(small_vae(background="auto").fit(X)) == 1 / 5


# -------------------------------------------------------------------------- Student t


@pytest.mark.parametrize("n_rows, n_columns", [(200, 1), (200, 5), (20, 12), (12, 30)])
def test_correlations_are_less_by_the_share_of_ledoit_and_wolf(n_rows, n_columns):
    rows = np.linspace(0.5, 2, n_columns) * standard_rows(n_rows, n_columns) + 0.5
    assert n_columns == 1 or ledoit_wolf(rows)[1] > 1 / (n_rows + 1)
    assert_tail_has(shrunk_covariance(rows), rows)


@pytest.mark.parametrize("n_rows, n_columns", [(2, 3), (2, 1), (3000, 2)])
def test_correlations_are_less_by_the_share_of_one_row_more_at_least(n_rows, n_columns):
    """Two rows need it; for many of two equal columns Ledoit and Wolf have less too."""
    rng = np.random.default_rng(0)
    rows = rng.choice([-1.0, 1.0], n_rows)[:, None] + 0.01 * rng.normal(size=(n_rows, n_columns))
    if n_rows == 2:
        rows = rng.normal(size=(n_rows, n_columns))
    assert n_columns == 1 or ledoit_wolf(rows)[1] < 1 / (n_rows + 1)
    assert_tail_has(shrunk_covariance(rows), rows)


def test_a_constant_column_has_scale_one_and_nothing_to_do_with_others():
    rows = standard_rows(100, 4)
    rows[:, 2] = 0.0
    covariance = shrunk_covariance(rows)
    covariance[2, 2] = 1
    assert_tail_has(covariance, rows)


@pytest.mark.parametrize("n_columns", [3, 1001])
def test_all_columns_may_be_constant(n_columns):
    assert_tail_has(np.eye(n_columns), np.zeros((4, n_columns)))


def test_integer_weights_are_repeated_rows():
    """But for the shrinkage, which counts rows, and not how many a row stands for."""
    rows, queries = np.random.default_rng(0).normal(size=(2, 3000, 4)) * [0.5, 1, 1.5, 2]
    weights = np.where(rows[:, 0] > 0, 5, 1)
    repeated = np.repeat(rows, weights, axis=0)
    expected = tail_scores(repeated, np.ones(len(repeated)), queries)
    weighted = tail_scores(rows, weights.astype(float), queries)
    unweighted = tail_scores(rows, np.ones(3000), queries)
    np.testing.assert_allclose(weighted, expected, atol=0.1)
    assert np.abs(unweighted - expected).max() > 1
    np.testing.assert_allclose(tail_scores(rows, 1e-20 * weights, queries), weighted, rtol=1e-6)


def test_covariances_of_many_columns_are_diagonals():
    rows = np.random.default_rng(0).normal(size=(30, 1001)) * np.linspace(0.5, 2, 1001)
    weights = np.random.default_rng(1).uniform(0.5, 2, 30)
    mean = np.average(rows, axis=0, weights=weights)
    variances = np.average((rows - mean) ** 2, axis=0, weights=weights)
    expected = multivariate_t(mean, np.diag(variances), df=1).logpdf(rows)
    np.testing.assert_allclose(tail_scores(rows, weights, rows), expected, rtol=1e-6)


# -------------------------------------------------------------------------- bounds


def scaling_of(X, low, high):
    return ColumnScaling.fitted(X, np.ones(len(X)), low, high, np.zeros(len(low), dtype=bool))


@pytest.mark.parametrize("low, high", [(2.0, np.inf), (-np.inf, 9.0), (2.0, 9.0)])
def test_the_tail_of_a_bounded_column_integrates_to_one(low, high):
    X = np.random.default_rng(0).uniform(2.5, 8.5, (200, 1))
    scaling = scaling_of(X, np.array([low]), np.array([high]))
    tail = fit_bounded_tail(scaling.transform(X), np.ones(200), scaling).double()
    places = (np.arange(20_000) + 0.5) / 20_000
    distances, weights = 7 * places, np.full(20_000, 7 / 20_000)
    if not np.isfinite([low, high]).all():
        distances = 5 * np.tan(np.pi / 2 * places)
        weights = 5 * np.pi / 2 / np.cos(np.pi / 2 * places) ** 2 / 20_000
    values = (low + distances if np.isfinite(low) else high - distances)[:, None]
    log_density = tail.log_prob(torch.from_numpy(scaling.transform(values))).numpy()
    total = weights @ np.exp(log_density + scaling.log_jacobian(values))
    assert total == pytest.approx(1, abs=1e-3)


def test_columns_without_bounds_have_their_student_t_beside_bounded_ones():
    X = np.random.default_rng(0).exponential(size=(200, 3))
    scaling = scaling_of(X, np.array([-np.inf, 0, -np.inf]), np.full(3, np.inf))
    rows, weights = scaling.transform(X), np.ones(200)
    both = fit_bounded_tail(rows, weights, scaling).double()
    ends = rows[:2].copy()
    ends[1, 1] = ends[0, 1]
    gaps = both.log_prob(torch.from_numpy(ends)).numpy()
    expected = tail_scores(rows[:, [0, 2]], weights, ends[:, [0, 2]])
    assert gaps[0] - gaps[1] == pytest.approx(expected[0] - expected[1], rel=1e-5)


@pytest.mark.parametrize("max_iter", [0, 20])
@pytest.mark.parametrize("bounds", [(0, None), (None, 0), (0, 30)])
def test_rows_next_to_a_bound_have_an_ordinary_density(bounds, max_iter):
    X = np.random.default_rng(0).exponential(size=(300, 1))
    side = -1 if bounds[0] is None else 1
    model = ExemplarFlow(bounds=[bounds], max_iter=max_iter, random_state=0).fit(side * X)
    scores = model.score_samples(side * np.array([[1e-12], [1e-300]]))
    assert (scores < 0).all() and (scores > -20).all()


# ------------------------------------------------------------------------ frequencies


WEIGHTS = [np.ones(60), np.random.default_rng(2).uniform(0.1, 5, 60), np.arange(60.0) % 3]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_binary_frequencies_are_counts_with_half_a_row_of_each_kind(weights):
    """Weights are scaled so that they sum to the number of rows that have one."""
    X = (np.random.default_rng(0).random((60, 3)) < [0.0, 0.2, 0.9]).astype(float)
    n_rows = (weights > 0).sum()
    found = fit_binary_frequencies(X, weights).log_prob(torch.from_numpy(X).float()).numpy()
    for row, score in zip(X, found, strict=True):
        counts = [(weights[X[:, j] == row[j]]).sum() / weights.sum() * n_rows for j in range(3)]
        expected = sum(np.log((count + 0.5) / (n_rows + 1)) for count in counts)
        assert score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_level_frequencies_are_counts_with_half_a_row_of_each_level(weights, monkeypatch):
    monkeypatch.setattr("sklearn_exemplar_vae.density._background.ROWS_AT_A_TIME", 25)
    X = np.random.default_rng(0).choice([0, 7, 128, 255], size=(60, 2)).astype(float)
    n_rows, queries = (weights > 0).sum(), np.array([[0.0, 255.0], [7, 7], [1, 254], [128, 3]])
    found = fit_level_frequencies(X, weights).log_prob(torch.from_numpy(queries / 255).float())
    for row, score in zip(queries, found.tolist(), strict=True):
        counts = [(weights[X[:, j] == row[j]]).sum() / weights.sum() * n_rows for j in range(2)]
        expected = sum(np.log((count + 0.5) / (n_rows + 128)) for count in counts)
        assert score == pytest.approx(expected, abs=1e-5)


def test_bytes_have_the_frequencies_of_their_numbers():
    X = np.random.default_rng(0).integers(0, 256, (60, 2)).astype(np.uint8)
    weights = np.ones(60)
    for fit, largest in ((fit_level_frequencies, 255), (fit_binary_frequencies, 1)):
        rows = X if largest == 255 else X // 128
        queries = torch.from_numpy(rows / largest).float()
        found, expected = (fit(table, weights).log_prob(queries) for table in (rows, rows * 1.0))
        torch.testing.assert_close(found, expected)
