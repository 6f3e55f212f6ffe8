"""Which fits folds judge, what they leave out, and what a fit tells of them."""

import numpy as np
import pytest

from sklearn_exemplar_vae.density import _fitting
from tests._models import correlated, small_flow, small_vae, two_moons

DENSITIES = [small_vae, small_flow]


@pytest.fixture
def folds(monkeypatch):
    """Return a list that holds the folds of a fit."""
    found, fit_by_folds = [], _fitting.fit_by_folds

    def listen(folds, *arguments):
        found.extend(folds)
        return fit_by_folds(folds, *arguments)

    monkeypatch.setattr(_fitting, "fit_by_folds", listen)
    return found


def curve(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, n_rows)
    return np.column_stack([x, x**2 + 0.1 * rng.normal(size=n_rows)])


def as_set(rows):
    return set(map(tuple, rows.tolist()))


# -------------------------------------------------------------------- who is judged by folds


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("n_rows", [20, 300, 400])
def test_every_row_of_few_is_left_out_once(make, n_rows, folds):
    X = correlated(n_rows, 3)
    model = make(max_iter=1).fit(X)
    judges = [as_set(fold.stopping.rows) for fold in folds]
    assert len(folds) == 5 and sum(map(len, judges)) == len(set.union(*judges)) == n_rows
    for fold, own in zip(folds, judges, strict=True):
        trained = as_set(fold.data.rows)
        assert not own & trained and len(own) + len(trained) == n_rows
    assert model.n_exemplars_ == n_rows


@pytest.mark.parametrize("make", DENSITIES)
def test_copies_are_left_out_together_and_count_as_one(make, folds):
    X = np.random.default_rng(0).permutation(np.repeat(correlated(300, 3), 3, axis=0))
    make(max_iter=1).fit(X)
    judges = [as_set(fold.stopping.rows) for fold in folds]
    assert [len(fold.stopping.rows) for fold in folds] == [len(own) for own in judges] == 5 * [60]
    for fold, own in zip(folds, judges, strict=True):
        assert not own & as_set(fold.data.rows) and len(fold.data.rows) == 720
        np.testing.assert_allclose(fold.stopping.weights, 3)


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize(
    "n_rows, parameters",
    [
        (401, {}),
        (300, {"warm_start": True}),
        (19, {}),
        (300, {"early_stopping": False}),
    ],
)
def test_other_rows_are_held_out_or_do_not_judge(make, n_rows, parameters, folds):
    model = make(max_iter=1, **parameters).fit(correlated(n_rows, 3))
    assert folds == []
    is_judged = n_rows > 19 and parameters != {"early_stopping": False}
    assert (model.validation_scores_ is not None) == is_judged


@pytest.mark.parametrize("parameters", [{"prior": "vamp"}, {"architecture": "hierarchical"}])
def test_what_starts_from_nothing_has_no_folds(parameters, folds):
    small_vae(max_iter=1, **parameters).fit(correlated(100, 3))
    assert folds == []


def test_zeros_and_ones_have_no_folds(folds):
    small_vae(max_iter=1).fit((correlated(100, 8) > 0).astype(float))
    assert folds == []


def test_a_warm_start_goes_on_with_rows_held_out(folds):
    X = two_moons(200)
    model = small_flow(warm_start=True).fit(X)
    scores = model.score_samples(X)
    model.set_params(max_iter=0).fit(X)
    assert folds == []
    np.testing.assert_allclose(model.score_samples(X), scores, atol=1e-6)


# ------------------------------------------------------------------------- what fit tells


@pytest.mark.parametrize("make", DENSITIES)
def test_training_that_does_not_help_keeps_the_start(make):
    X = np.random.default_rng(0).normal(size=(80, 2))
    model = make(learning_rate_init=0.5, n_iter_no_change=3, max_iter=4).fit(X)
    start = make(max_iter=0).fit(X)
    np.testing.assert_allclose(model.score_samples(X), start.score_samples(X), atol=1e-6)
    assert 3 <= model.n_iter_ == len(model.loss_curve_) <= 4
    assert len(model.validation_scores_) == model.n_iter_ + 1
    assert model.best_validation_score_ == model.validation_scores_[0]
    assert model.validation_scores_[:1] == pytest.approx(start.validation_scores_)


def test_training_that_helps_is_kept_and_helps():
    X, X_test = curve(120), curve(2000, seed=1)
    model = small_flow(max_iter=40, learning_rate_init=0.01).fit(X)
    start = small_flow(max_iter=0).fit(X)
    scores = model.validation_scores_
    assert model.best_validation_score_ == max(scores) > scores[0] + 0.1
    gain = model.score_samples(X_test).mean() - start.score_samples(X_test).mean()
    assert gain > 0.1


@pytest.mark.parametrize("make", DENSITIES)
def test_divergence_keeps_the_start(make):
    X = correlated(100, 3)
    with pytest.warns(UserWarning, match="diverged in epoch 1"):
        model = make(learning_rate_init=1e30).fit(X)
    expected = make(max_iter=0).fit(X).score_samples(X)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-6)
    assert np.isfinite(model.sample(100, random_state=0)).all()


@pytest.mark.parametrize("make", DENSITIES)
def test_a_random_state_decides_the_folds(make):
    X = two_moons(100)
    one, same, other = (make(random_state=seed).fit(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.score_samples(X), same.score_samples(X))
    assert one.validation_scores_ == same.validation_scores_
    assert one.validation_scores_[0] != other.validation_scores_[0]


@pytest.mark.parametrize("make", DENSITIES)
def test_weights_are_those_of_the_rows_left_out(make, folds):
    weights = np.random.default_rng(0).uniform(0.5, 2, 100)
    X = np.column_stack([weights, correlated(100, 2)])
    model = make(max_iter=0).fit(X, sample_weight=weights)
    for fold in folds:
        found = fold.stopping.rows[:, 0].double().numpy()
        expected = model._scaling.scale[0] * found + model._scaling.mean[0]
        np.testing.assert_allclose(fold.stopping.weights, expected / weights.mean(), rtol=1e-4)
