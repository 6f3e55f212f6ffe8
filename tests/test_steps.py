"""How many rows a step has, and how many exemplars they see."""

import numpy as np
import pytest
from _models import small_vae, two_moons
from sklearn.datasets import load_digits

from sklearn_exemplar_vae._plan import choose_batch_size
from sklearn_exemplar_vae.engine.training import Schedule, batch_growth


def test_the_minibatch_grows():
    schedule = Schedule(100, 10, 1e-3, 0, 9, True, in_batch=True)
    growths = [batch_growth(schedule, None, progress / 100) for progress in range(101)]
    assert growths == sorted(growths) and growths[0] == 1 and growths[59] == 1
    assert growths[60] == 2 and growths[84] == 2 and growths[85] == growths[100] == 4


@pytest.mark.parametrize(
    "n_rows, has_start, expected",
    [(400, True, 250), (400, False, 25), (4_000, False, 80), (10**6, False, 250)],
)
def test_rows_of_a_step(n_rows, has_start, expected):
    assert choose_batch_size("auto", n_rows, has_start) == expected
    assert choose_batch_size(7, n_rows, has_start) == 7


def test_few_rows_learn_from_small_batches():
    X = load_digits().data + np.random.default_rng(0).uniform(size=(1797, 64))
    two_levels = dict(architecture="hierarchical", max_iter=30, early_stopping=False)
    large, small = (
        small_vae(batch_size=size, **two_levels).fit(X[:300]).score(X[300:]) / len(X[300:])
        for size in (250, "auto")
    )
    assert small > large + 5


@pytest.mark.parametrize("n_exemplars", ["auto", "batch", 5, 20, None])
def test_every_number_of_exemplars(n_exemplars):
    X = two_moons(80)
    model = small_vae(n_exemplars=n_exemplars, batch_size=16).fit(X)
    assert np.isfinite(model.score(X))
    assert model.n_exemplars_ == 80  # of the density, whatever a step saw


def test_numbers_of_exemplars_train_differently():
    X = two_moons(80)
    losses = [
        small_vae(n_exemplars=n_exemplars, batch_size=5).fit(X).loss_curve_[-1]
        for n_exemplars in (5, 20, None)
    ]
    assert len(set(losses)) == 3
