"""Densities with a background beside the formula they stand for, in the units of X."""

import copy
import itertools
from functools import partial

import joblib
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone

from tests._kernel_density import kernel_density_scores
from tests._models import correlated, small_flow, small_vae, two_moons
from tests.density._background import mixed, share_of, student_scores

ESTIMATORS = [small_vae, small_flow]
# Untrained, these are a kernel density estimate.
KERNEL_DENSITIES = [
    partial(small_vae, max_iter=0, bandwidth=0.5),
    partial(small_flow, max_iter=0, bandwidth=0.5, prior="exemplar"),
]
# A model that stays the density estimate that it starts from.
UNMOVED = {"learning_rate_init": 1e-12, "early_stopping": False, "max_iter": 1}


@pytest.fixture(scope="module")
def X():
    return correlated(120, 3)


def near_and_far(X):
    """Return rows of X, and the same moved by up to a million standard deviations."""
    far = X.mean(0) + np.geomspace(1, 1e6, len(X))[:, None] * (X - X.mean(0))
    return np.concatenate([X, far])


# ------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("make", KERNEL_DENSITIES)
@pytest.mark.parametrize("background, share", [("auto", 1 / 121), (0.25, 0.25)])
def test_the_start_is_a_kernel_density_and_a_student_t(make, background, share, X):
    model, rows = make(background=background).fit(X), near_and_far(X)
    by_model, by_background = kernel_density_scores(X, rows, 0.5), student_scores(X, rows)
    expected = mixed(by_model, by_background, share)
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-6, atol=1e-4)
    assert (np.abs(expected - by_model) < 0.3).any() and (expected > by_model + 1e6).any()
    single = model.score_samples(rows.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("make", ESTIMATORS)
def test_every_start_is_its_model_and_a_student_t(make, X):
    rows = near_and_far(X)
    alone, model = (
        make(max_iter=0, bandwidth=0.5, background=background).fit(X).score_samples(rows)
        for background in (0, "auto")
    )
    expected = mixed(alone, student_scores(X, rows), 1 / 121)
    np.testing.assert_allclose(model, expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("make", KERNEL_DENSITIES)
def test_weights_are_those_of_the_background_too(make):
    X, weights = np.random.default_rng(0).normal(size=(120, 3)), np.repeat([1.0, 1e-9], 60)
    X[60:] = 3 * X[60:] + 50
    model, rows = make(background="auto").fit(X, sample_weight=weights), 1e5 * np.eye(3)
    # Up to the shrinkage: Ledoit and Wolf take rows of no weight for rows at the mean.
    expected = student_scores(X[:60], rows) - np.log(121)
    np.testing.assert_allclose(model.score_samples(rows), expected, atol=0.05)


@pytest.mark.parametrize("make", KERNEL_DENSITIES)
def test_an_extended_density_has_less_background(make, X):
    model, rows = make(background="auto").fit(X[:60]), near_and_far(X)
    assert share_of(model) == 1 / 61
    alone = make(background=0).fit(X[:60]).extend_exemplars(X[60:])
    model.extend_exemplars(X[60:])
    assert share_of(model) == 1 / 121
    expected = mixed(alone.score_samples(rows), student_scores(X[:60], rows), 1 / 121)
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("make", KERNEL_DENSITIES)
def test_sums_over_cells_have_the_background(make):
    X = two_moons(800)
    model, rows = make(background="auto").fit(X), near_and_far(X[:100])
    exact = model.score_samples(rows)
    near = model.set_params(rtol=1e-6).score_samples(rows)
    np.testing.assert_allclose(near, exact, atol=1e-5)


@pytest.mark.parametrize("make", ESTIMATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_far_from_all_are_finitely_unlikely(make, dtype, X):
    X = X.astype(dtype)
    model = make(background="auto").fit(X)
    directions = np.concatenate([np.eye(3), -np.eye(3), np.ones((1, 3))])
    scores = model.score_samples((X.mean(0) + 1e12 * X.std(0) * directions).astype(dtype))
    assert (scores > -1000).all() and (scores < -90).all()


@pytest.mark.parametrize("make", ESTIMATORS)
def test_samples_are_the_model_s(make, X):
    # The bandwidth of the highest likelihood beside a background is another.
    alone, model = (make(max_iter=0, bandwidth=0.5, background=b).fit(X) for b in (0, 0.9))
    np.testing.assert_array_equal(
        model.sample(500, random_state=0), alone.sample(500, random_state=0)
    )


# ------------------------------------------------------------------------ masses


def test_probabilities_of_all_binary_rows_sum_to_one():
    X = (np.random.default_rng(0).random((40, 3)) < [0.1, 0.5, 0.8]).astype(float)
    every = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    scores = [
        small_vae(background=background, max_iter=20, n_importance_samples=2048)
        .fit(X)
        .score_samples(every)
        for background in (0, 0.5)
    ]
    assert np.abs(scores[1] - scores[0]).max() > 0.01
    for each in scores:
        assert np.exp(each).sum() == pytest.approx(1, abs=0.01)


def test_probabilities_of_all_levels_sum_to_one():
    X = np.random.default_rng(0).choice([3, 40, 41, 200, 255], size=(60, 1)).astype(float)
    model = small_vae(likelihood="logistic", background=0.5, n_importance_samples=2048)
    masses = np.exp(model.fit(X).score_samples(np.arange(256.0)[:, None]))
    assert masses.sum() == pytest.approx(1, abs=0.02)
    counts = np.bincount(X[:, 0].astype(int), minlength=256)
    assert (masses >= 0.5 * (counts + 0.5) / (60 + 128) - 1e-6).all()


def test_probabilities_of_integers_sum_to_one():
    X = np.random.default_rng(0).poisson(3, (300, 1)).astype(float)
    model = small_flow(integer_columns=[0], bounds={0: (0, 60)}, background=0.1).fit(X)
    assert np.exp(model.score_samples(np.arange(61.0)[:, None])).sum() == pytest.approx(1, abs=0.01)


# ---------------------------------------------------------------------- training


def test_loss_of_a_model_that_does_not_move_has_the_background(X):
    """What the others make of a row, mixed: a copy is left out with it, an outlier costs little."""
    X = X[:40].copy()
    X[1], X[5] = X[0], X[5] + 10 * X.std(0)
    model = small_flow(
        prior="exemplar", bandwidth=0.5, n_exemplars=None, background="auto", **UNMOVED
    ).fit(X)
    n_own = np.where(np.arange(40) < 2, 2, 1)
    peak = np.prod(norm.pdf(0, scale=0.5 * X.std(0)))
    by_all = 40 * np.exp(kernel_density_scores(X, X, 0.5))
    with np.errstate(divide="ignore"):
        by_others = np.log(np.maximum(by_all - n_own * peak, 0) / (40 - n_own))
    by_others[5] = -np.inf  # nothing but rounding is left of the difference
    expected = -mixed(by_others, student_scores(X, X), 1 / 40).mean()
    assert model.loss_curve_[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("make", KERNEL_DENSITIES)
def test_an_outlier_costs_no_more_than_the_background_says(make, X):
    X = X[:40].copy()
    X[5] += 1e3 * X.std(0)
    alone, model = (make(background=background, **UNMOVED).fit(X) for background in (0, "auto"))
    most = -(student_scores(X, X) - np.log(41)).mean()
    assert model.loss_curve_[0] < most
    assert alone.loss_curve_[0] > model.loss_curve_[0] + 1


@pytest.mark.parametrize("make", ESTIMATORS)
def test_a_fit_that_goes_on_has_the_background_it_is_asked_for(make, X):
    model = make(warm_start=True, background="auto", max_iter=1).fit(X[:60])
    assert share_of(model) == 1 / 61
    assert share_of(model.fit(X)) == 1 / 121
    rows = X[:1] + 1e6 * X.std(0)
    scores = model.set_params(max_iter=0).fit(X).score_samples(rows)
    expected = student_scores(X, rows, standardized_by=X[:60]) - np.log(121)
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert share_of(model.set_params(background=0.1).fit(X)) == 0.1
    assert share_of(model.set_params(background=0).fit(X)) == 0
    assert (model.score_samples(rows) < scores - 1e6).all()


# ------------------------------------------------------------------------ copies


@pytest.mark.parametrize("make", ESTIMATORS)
def test_saved_and_cloned_densities_keep_it(make, X, tmp_path):
    model, rows = make(background="auto").fit(X), near_and_far(X)
    joblib.dump(model, tmp_path / "model")
    for mmap_mode in (None, "r"):
        loaded = joblib.load(tmp_path / "model", mmap_mode=mmap_mode)
        np.testing.assert_array_equal(loaded.score_samples(rows), model.score_samples(rows))
        assert share_of(loaded.extend_exemplars(X[:10] + 0.1)) == 1 / 131
    again = clone(model).fit(X)
    np.testing.assert_array_equal(again.score_samples(rows), model.score_samples(rows))
    assert joblib.hash(again) == joblib.hash(model)


@pytest.mark.parametrize("make", ESTIMATORS)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_an_extended_copy_leaves_the_original_alone(make, copied, X):
    model = make(background="auto", max_iter=1).fit(X)
    before = model.score_samples(near_and_far(X))
    copied(model).extend_exemplars(X + 0.1)
    np.testing.assert_array_equal(model.score_samples(near_and_far(X)), before)


@pytest.mark.parametrize("make", ESTIMATORS)
def test_processes_have_the_background_too(make, X):
    rows = near_and_far(X)
    alone = make(background="auto").fit(X)
    with joblib.parallel_config(n_jobs=2):
        shared = make(background="auto").fit(X)
        found = shared.score_samples(rows)
    np.testing.assert_allclose(found, alone.score_samples(rows), rtol=1e-6)
