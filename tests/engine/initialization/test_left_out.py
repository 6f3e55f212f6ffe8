"""Rows left out of a start, and the principal axes of the others."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, multivariate_t

from sklearn_exemplar_vae.engine.initialization.left_out import (
    MAX_QUERIES,
    N_FOLDS,
    SHRINKAGES,
    InitializationRows,
    axes_and_folds,
    left_out_folds,
    normal_log_density,
    principal_axes,
)
from sklearn_exemplar_vae.engine.likelihoods import SCALE_FLOOR
from tests._covariance import shrunk_covariance
from tests._models import correlated, generator, standardized
from tests.engine._models import initialization_rows


def with_copies(n_groups=60, n_columns=3):
    """Return rows in random order of which each stands one to four times, of any weight."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(n_groups), np.arange(n_groups) % 4 + 1))
    weights = torch.from_numpy(rng.uniform(0.5, 2, len(groups)))
    rows = standardized(correlated(n_groups, n_columns))[groups]
    return InitializationRows(rows, weights, torch.from_numpy(3 * groups + 5), len(groups))


def covariance_of(axes) -> np.ndarray:
    return ((axes.axes * axes.variances) @ axes.axes.T).double().numpy()


def positions(weights, all_weights):
    """Return which of ``all_weights``, of which no two are equal, each weight is."""
    gaps = (weights.double()[:, None] / all_weights - 1).abs()
    assert gaps.amin(1).max() < 1e-5
    return gaps.argmin(1)


# ------------------------------------------------------------------------ copies of rows


def test_copies_are_one_row_of_their_weight():
    sample = with_copies()
    distinct = sample.distinct()
    assert len(distinct.rows) == 60 and sorted(distinct.groups.tolist()) == list(range(60))
    for row, weight in zip(distinct.rows, distinct.weights, strict=True):
        copies = (sample.rows == row).all(1)
        assert weight.item() == pytest.approx(sample.weights[copies].sum().item())
    assert distinct.n_exemplars == sample.n_exemplars


def test_rows_without_copies_are_as_they_were():
    sample = initialization_rows(50)
    for found, expected in zip(sample.distinct(), sample, strict=True):
        assert found is expected or torch.equal(found, expected)


@pytest.mark.parametrize("n_exemplars", [100, 1000])
def test_a_bandwidth_narrows_by_the_rate_of_scott(n_exemplars):
    sample = initialization_rows(100)._replace(n_exemplars=n_exemplars)
    rule = 100 ** (-1 / 7), n_exemplars ** (-1 / 7)
    assert sample.narrowed(0.5, 3) == pytest.approx(0.5 * rule[1] / rule[0])


# --------------------------------------------------------------------------------- folds


@pytest.fixture(params=["no copies", "copies"])
def sample(request):
    """Return rows of which no two that differ have one weight."""
    if request.param == "copies":
        return with_copies()
    return initialization_rows(103)._replace(weights=torch.linspace(0.5, 2, 103).double())


def test_every_row_is_left_out_once_and_with_its_copies(sample):
    distinct, folds = sample.distinct(), left_out_folds(sample, generator())
    out = [positions(fold.weights, distinct.weights) for fold in folds]
    assert sorted(torch.cat(out).tolist()) == list(range(len(distinct.rows)))
    assert len(folds) == N_FOLDS and max(map(len, out)) - min(map(len, out)) <= 1
    for fold, own in zip(folds, out, strict=True):
        others = np.setdiff1d(np.arange(len(distinct.rows)), own)
        rows, weights = distinct.rows.numpy(), distinct.weights.numpy()
        mean = np.average(rows[others], axis=0, weights=weights[others])
        np.testing.assert_allclose(fold.queries, rows[own] - mean, atol=1e-5)
        np.testing.assert_allclose(fold.others, rows[others] - mean, atol=1e-5)
        shares = weights[others] / weights[others].sum()
        np.testing.assert_allclose(fold.log_weights.exp(), shares, rtol=1e-5)


def test_the_others_of_a_fold_have_mean_zero(sample):
    for fold in left_out_folds(sample, generator()):
        np.testing.assert_allclose(fold.log_weights.exp() @ fold.others, 0, atol=1e-6)


@pytest.mark.parametrize("share", SHRINKAGES)
def test_axes_are_those_of_the_shrunk_covariance_of_the_others(share):
    for fold in left_out_folds(initialization_rows(60, 4), generator()):
        assert covariance_of(fold.axes) == pytest.approx(shrunk_covariance(fold.others), abs=1e-4)
        shrunk = fold.shrunk(share)
        expected = shrunk_covariance(fold.others.double().numpy(), share)
        assert covariance_of(shrunk.axes) == pytest.approx(expected, abs=1e-4)
        normal = multivariate_normal(np.zeros(4), expected)
        np.testing.assert_allclose(
            normal_log_density(shrunk), normal.logpdf(fold.queries), atol=2e-3
        )


def test_the_background_of_a_fold_is_a_student_t_of_the_others():
    sample = initialization_rows(60)._replace(background_share=0.125)
    sample.rows[:3] *= 1e3
    for fold in left_out_folds(sample, generator()):
        covariance = shrunk_covariance(fold.others.double().numpy())
        tail = multivariate_t(np.zeros(3), covariance, df=1).logpdf(fold.queries)
        log_density = torch.linspace(-30, 0, len(fold.queries))
        expected = np.logaddexp(np.log(0.875) + log_density.numpy(), np.log(0.125) + tail)
        np.testing.assert_allclose(fold.with_background(log_density), expected, atol=1e-3)


def test_a_fold_without_a_background_leaves_densities_as_they_are():
    log_density = torch.linspace(-30, 0, 12)
    for fold in left_out_folds(initialization_rows(60), generator()):
        assert fold.with_background(log_density) is log_density


def test_a_part_of_many_rows_is_left_out_once():
    n_rows = N_FOLDS * MAX_QUERIES + 1
    (fold,) = left_out_folds(initialization_rows(n_rows, 2), generator())
    assert len(fold.queries) == MAX_QUERIES and len(fold.others) == n_rows - MAX_QUERIES


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_fewer_rows_than_folds_are_left_out_one_by_one(n_groups):
    groups = torch.arange(3 * n_groups) % n_groups
    sample = initialization_rows(12, 2)._replace(groups=groups)
    sample = sample._replace(rows=sample.rows[groups], weights=sample.weights[groups])
    folds = left_out_folds(sample, generator())
    assert [len(fold.queries) for fold in folds] == n_groups * [1]


def test_nothing_is_left_out_of_copies_of_one_row():
    sample = initialization_rows(6, 2)._replace(groups=torch.zeros(6, dtype=torch.int64))
    sample = sample._replace(rows=torch.ones(6, 2, dtype=torch.float64))
    assert left_out_folds(sample, generator()) == []
    axes, folds = axes_and_folds(sample, generator())
    assert folds == [] and torch.isfinite(axes.axes).all()
    assert (axes.variances >= SCALE_FLOOR**2).all()


def test_a_seed_decides_which_rows_are_left_out():
    sample = initialization_rows(60)
    first, same, other = (left_out_folds(sample, generator(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first.queries, same.queries)
    assert not torch.equal(first.queries, other.queries)


# ----------------------------------------------------------------- shrinkage that is chosen


def chosen_share(rows):
    """Return which share of the shrinkage the axes of rows have."""
    n_rows = len(rows)
    weights = torch.ones(n_rows, dtype=torch.float64)
    sample = InitializationRows(torch.from_numpy(rows), weights, torch.arange(n_rows), n_rows)
    axes, folds = axes_and_folds(sample, generator())
    gaps = [np.abs(covariance_of(axes) - shrunk_covariance(rows, s)).max() for s in SHRINKAGES]
    assert min(gaps) < 1e-6
    share = SHRINKAGES[int(np.argmin(gaps))]
    for fold in folds:  # are of one shrinkage with it
        for own, expected in zip(fold.axes, fold.shrunk(share).axes, strict=True):
            assert torch.equal(own, expected)
    return share


def left_out_likelihood(rows, share):
    """Return the sum of left-out log-densities under shrunk normals of the folds, by scipy."""
    weights = torch.ones(len(rows), dtype=torch.float64)
    sample = InitializationRows(torch.from_numpy(rows), weights, torch.arange(len(rows)), len(rows))
    return sum(
        multivariate_normal(
            np.zeros(rows.shape[1]), shrunk_covariance(fold.others.double().numpy(), share)
        )
        .logpdf(fold.queries.numpy())
        .sum()
        for fold in left_out_folds(sample, generator())
    )


def test_few_rows_of_many_columns_have_all_of_the_shrinkage():
    rows = np.random.default_rng(0).normal(size=(5, 10))
    assert chosen_share(rows - rows.mean(0)) == 1


def test_many_rows_of_nearly_equal_columns_have_none_of_it():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 1)) + 1e-2 * rng.normal(size=(400, 5))
    assert chosen_share(rows - rows.mean(0)) == 0


@pytest.mark.parametrize("n_rows, n_columns", [(12, 8), (40, 8), (100, 3), (300, 6)])
def test_the_share_is_the_likeliest_of_left_out_rows(n_rows, n_columns):
    rows = standardized(correlated(n_rows, n_columns)).numpy()
    likeliest = max(SHRINKAGES, key=lambda share: left_out_likelihood(rows, share))
    assert chosen_share(rows - rows.mean(0)) == likeliest


# ------------------------------------------------------------------------ principal axes


def test_axes_are_ordered_and_orthogonal():
    covariance = initialization_rows(50, 6).rows.T.cov()
    variances, axes = principal_axes(covariance)
    assert (variances[:-1] >= variances[1:]).all()
    torch.testing.assert_close(axes.T @ axes, torch.eye(6).double())
    torch.testing.assert_close((axes * variances) @ axes.T, covariance)


def test_variances_have_a_floor():
    variances, _ = principal_axes(torch.diag(torch.tensor([4.0, 0.0, 1e-9]).double()))
    assert variances.tolist() == pytest.approx([4, SCALE_FLOOR**2, SCALE_FLOOR**2])


@pytest.mark.parametrize("n_columns", [2, 3, 6])
def test_directions_of_axes_do_not_depend_on_rounding(n_columns):
    """Of two standardized columns both entries of an axis have one size."""
    covariance = initialization_rows(50, n_columns).rows.T.cov()
    expected = principal_axes(covariance).axes
    for seed in range(20):
        noise = 1e-13 * torch.randn(n_columns, n_columns, generator=generator(seed)).double()
        found = principal_axes(covariance + noise + noise.T).axes
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    first_large = (expected.abs() > 0.5 * expected.abs().amax(0)).int().argmax(0)
    assert (expected.gather(0, first_large[None]) > 0).all()
