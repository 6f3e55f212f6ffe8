"""The rows of a fit: their weights, and the rows that judge it."""

from functools import partial

import numpy as np
import pytest

from sklearn_exemplar_vae.density._fit_rows import FitRows, rows_with_weight
from tests._models import generator, small_flow, small_vae, two_moons


@pytest.fixture
def fit_rows():
    """Return rows of which each stands one to four times, every third of them held out."""
    groups = np.repeat(np.arange(100), np.arange(100) % 4 + 1)
    weights = np.random.default_rng(0).uniform(1, 5, len(groups))
    return FitRows(two_moons(100)[groups], weights, groups, np.where(groups % 3 == 0, 0, -1), False)


@pytest.fixture
def in_folds(fit_rows):
    """Return the rows in three folds."""
    return fit_rows._replace(split=fit_rows.groups % 3)


def test_copies_judge_as_one_row_of_their_weight(fit_rows):
    (split,) = fit_rows.splits(generator())
    np.testing.assert_array_equal(split.trained, fit_rows.groups % 3 != 0)
    groups = fit_rows.groups[split.judges]
    assert sorted(groups) == list(range(0, 100, 3))
    for group, weight in zip(groups, split.weights, strict=True):
        expected = fit_rows.weights[fit_rows.groups == group].sum() / fit_rows.weights.mean()
        assert weight == pytest.approx(expected)


def test_judges_come_in_random_order(fit_rows):
    orders = [fit_rows.splits(generator(seed))[0].judges for seed in range(2)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0].tolist() != orders[1].tolist() != sorted(orders[1])


def test_rows_held_out_have_no_weight_in_training(fit_rows):
    trained, held_out = fit_rows.trained_weights, fit_rows.groups % 3 == 0
    assert (trained[held_out] == 0).all()
    np.testing.assert_array_equal(trained[~held_out], fit_rows.weights[~held_out])
    np.testing.assert_array_equal(fit_rows._replace(split=None).trained_weights, fit_rows.weights)
    assert fit_rows._replace(split=None).splits(generator()) == []


def test_every_group_judges_in_one_fold_and_trains_in_the_others(in_folds):
    splits = in_folds.splits(generator())
    judges = np.concatenate([in_folds.groups[split.judges] for split in splits])
    assert sorted(judges) == list(range(100))
    for number, split in enumerate(splits):
        assert set(in_folds.groups[split.judges]) == set(range(number, 100, 3))
        np.testing.assert_array_equal(split.trained, in_folds.groups % 3 != number)
    weights = sum(split.weights.sum() for split in splits)
    assert weights == pytest.approx(len(in_folds.weights))  # relative ones have mean one
    np.testing.assert_array_equal(in_folds.trained_weights, in_folds.weights)


def test_a_fold_is_trained_on_the_rows_of_the_others(in_folds):
    split = in_folds.splits(generator())[1]
    trained, kept = in_folds.trained_on(split), in_folds.groups % 3 != 1
    np.testing.assert_array_equal(trained.X, in_folds.X[kept])
    np.testing.assert_array_equal(trained.weights, in_folds.weights[kept])
    np.testing.assert_array_equal(trained.groups, in_folds.groups[kept])
    np.testing.assert_array_equal(trained.split, in_folds.split[kept])
    assert not trained.in_file and in_folds._replace(in_file=True).trained_on(split).in_file


def test_rows_of_next_to_no_weight_are_dropped():
    np.testing.assert_array_equal(rows_with_weight(np.array([1e5, 0, 1e-20, 1e-26])), [0, 2])
    with pytest.raises(ValueError, match="for at least two rows"):
        rows_with_weight(np.array([1.0, 0, 1e-31]))


@pytest.mark.parametrize(
    "make",
    [partial(small_vae, n_importance_samples=64), partial(small_flow, early_stopping=False)],
)
def test_weights_are_repetition_statistically(make):
    """In distribution: the fit is stochastic."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(-2, 0.5, (150, 1)), rng.normal(2, 1.0, (150, 1))])
    weights = np.repeat([3, 1], 150)
    grid = np.linspace(-8, 9, 500)
    step = grid[1] - grid[0]

    def mean_curve(X, sample_weight=None):
        fits = [
            make(random_state=seed, max_iter=15).fit(X, sample_weight=sample_weight)
            for seed in range(5)
        ]
        return np.mean([np.exp(fit.score_samples(grid[:, None])) for fit in fits], axis=0)

    weighted = mean_curve(X, weights)
    repeated = mean_curve(np.repeat(X, weights, axis=0))
    unweighted = mean_curve(X)
    difference = np.abs(weighted - repeated).sum() * step
    assert difference < 0.05 < 0.3 < np.abs(weighted - unweighted).sum() * step
    assert abs(weighted[grid < 0].sum() * step - 0.75) < 0.03


def test_rows_of_next_to_no_weight_hardly_count():
    """With weight on one moon alone, the other is still an exemplar."""
    X = two_moons(300)
    upper = X[:, 1] > 0.3
    weights = np.where(upper, 1.0, 1e-6)
    model = small_vae(max_iter=20).fit(X, sample_weight=weights)
    assert model.score_samples(X[upper]).mean() > model.score_samples(X[~upper]).mean() + 3
    assert (model.sample(500, random_state=0)[:, 1] > 0).mean() > 0.9


def test_only_the_proportions_of_weights_count():
    X = two_moons(100)
    weights = np.random.default_rng(0).uniform(0.5, 2, 100)
    one = small_vae().fit(X, sample_weight=weights).score_samples(X)
    many = small_vae().fit(X, sample_weight=1024 * weights).score_samples(X)
    np.testing.assert_allclose(one, many, rtol=1e-5)
