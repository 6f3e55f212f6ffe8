"""Small decisions ahead of training: rows held out, rows of a step, exemplars of a row."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_exemplar_vae.density._defaults import (
    choose_batch_size,
    held_out_rows,
    plan_exemplars,
)
from tests._models import generator, small_vae, two_moons


def test_no_copy_of_a_training_row_is_held_out():
    groups = np.repeat(np.arange(50), 4)
    for seed in range(20):
        out = held_out_rows(groups, 0.2, generator(seed))
        assert set(groups[out]).isdisjoint(groups[~out])
        assert 10 <= out.sum() <= 40


def test_copies_are_one_row_to_hold_out():
    """Ten copies of a row tell no more than the row."""
    few, more = (np.repeat(np.arange(n_rows), 10) for n_rows in (10, 50))
    assert held_out_rows(few, 0.1, generator()) is None
    out = held_out_rows(more, 0.1, generator())
    assert len(np.unique(more[out])) == 10 and out.sum() == 100
    many = held_out_rows(np.repeat(np.arange(2500), 100), 0.1, generator())
    assert many.sum() == 25_000  # of no more rows than 500 without copies


@pytest.mark.parametrize(
    "n_rows, n_out",
    [
        (19, None),
        (20, 10),
        (100, 10),
        (1000, 100),
        (25_000, 2000),
        (50_000, 1000),
        (300_000, 500),
    ],
)
def test_numbers_held_out(n_rows, n_out):
    out = held_out_rows(np.arange(n_rows), 0.1, generator())
    assert out is None if n_out is None else out.sum() == n_out


@pytest.mark.parametrize(
    "n_rows, has_kernel, expected",
    [(400, True, 250), (400, False, 25), (4_000, False, 80), (10**6, False, 250)],
)
def test_rows_of_a_step(n_rows, has_kernel, expected):
    assert choose_batch_size("auto", n_rows, has_kernel) == expected
    assert choose_batch_size(7, n_rows, has_kernel) == 7


def test_few_rows_learn_from_small_batches():
    X = load_digits().data + np.random.default_rng(0).uniform(size=(1797, 64))
    two_levels = dict(architecture="hierarchical", max_iter=30, early_stopping=False)
    large, small = (
        small_vae(batch_size=size, **two_levels).fit(X[:300]).score(X[300:600]) / 300
        for size in (250, "auto")
    )
    assert small > large + 5


@pytest.mark.parametrize(
    "n_rows, n_exemplars, batch_size, expected",
    [
        (80, 5, 250, (6, 5)),
        (80, 5, 4, (4, 5)),
        (80, None, 20, (20, 79)),
        (80, 200, 250, (80, 79)),
        (80, "batch", 20, (20, 19)),
        (500, "auto", 250, (250, 499)),
        (501, "auto", 250, (250, 166)),  # three batches of 167
    ],
)
def test_rows_and_exemplars_of_a_step(n_rows, n_exemplars, batch_size, expected):
    """A row sees the others of its batch at least, and no more than all others."""
    plan = plan_exemplars(n_rows, batch_size, n_exemplars, None, "auto")
    assert (plan.batch_size, plan.n_exemplars) == expected


def test_only_exemplars_that_are_the_minibatch_of_many_rows_become_neighbors():
    def are_near_in_the_end(n_rows, n_exemplars="batch", n_neighbors="auto"):
        plan = plan_exemplars(n_rows, 250, n_exemplars, n_neighbors, "auto")
        assert plan.retrieved is None
        return plan.neighbors_from < 1

    assert are_near_in_the_end(20_001)
    assert not are_near_in_the_end(20_000)
    assert not are_near_in_the_end(20_001, n_neighbors=None)
    assert not are_near_in_the_end(20_001, n_exemplars=5)


def test_many_rows_are_trained_on_neighbors_in_the_end(monkeypatch):
    monkeypatch.setattr("sklearn_exemplar_vae.density._defaults.MAX_ROWS_IN_RANDOM_BATCHES", 600)
    X = (np.random.default_rng(0).uniform(size=(700, 12)) < 0.3).astype(float)

    def losses(X, n_neighbors):
        model = small_vae(n_neighbors=n_neighbors, max_iter=4, early_stopping=False)
        return model.fit(X).loss_curve_

    with_neighbors, plain = losses(X, "auto"), losses(X, None)
    np.testing.assert_allclose(with_neighbors[:3], plain[:3])
    assert with_neighbors[3] != plain[3]
    np.testing.assert_allclose(losses(X[:600], "auto"), losses(X[:600], None))


def test_more_neighbors_than_exemplars_are_an_error():
    with pytest.raises(ValueError, match="n_neighbors=9 must be at most n_exemplars=5"):
        small_vae(n_exemplars=5, n_neighbors=9).fit(two_moons(60))
