"""When a fit ends, and which weights it keeps: held-out rows, divergence, interruption."""

import math
import warnings

import numpy as np
import pytest
import torch
from _models import correlated, small_flow, small_vae, two_moons
from scipy.stats import ttest_1samp
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae._plan import held_out_rows
from sklearn_exemplar_vae.engine import early_stopping
from sklearn_exemplar_vae.engine.importance import importance_noise
from sklearn_exemplar_vae.engine.training import (
    Epoch,
    train,
)


def test_held_out_rows_become_exemplars():
    X = two_moons(100)
    model = small_vae(validation_fraction=0.3).fit(X)
    assert model.n_exemplars_ == 100
    np.testing.assert_array_equal(model.kneighbors(X, 1)[1][:, 0], np.arange(100))


def test_no_copy_of_a_training_row_is_held_out():
    groups = np.repeat(np.arange(50), 4)
    for seed in range(20):
        out = held_out_rows(groups, 0.2, torch.Generator().manual_seed(seed))
        assert set(groups[out]).isdisjoint(groups[~out])
        assert 10 <= out.sum() <= 40


def test_copies_are_one_row_to_hold_out():
    """Ten copies of a row tell no more than the row."""
    few, more = (np.repeat(np.arange(n_rows), 10) for n_rows in (10, 50))
    assert held_out_rows(few, 0.1, torch.Generator()) is None
    out = held_out_rows(more, 0.1, torch.Generator())
    assert len(np.unique(more[out])) == 10 and out.sum() == 100
    many = held_out_rows(np.repeat(np.arange(2500), 100), 0.1, torch.Generator())
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
    out = held_out_rows(np.arange(n_rows), 0.1, torch.Generator().manual_seed(0))
    assert out is None if n_out is None else out.sum() == n_out


def test_a_score_an_epoch():
    model = small_vae(max_iter=10, n_iter_no_change=10).fit(correlated(200, 3))
    assert len(model.validation_scores_) == model.n_iter_ + 1 == len(model.loss_curve_) + 1
    assert model.best_validation_score_ in model.validation_scores_


@pytest.mark.parametrize("make", [small_vae, small_flow])
def test_epochs_without_an_improvement_of_tol_end_a_fit(make):
    model = make(max_iter=50, n_iter_no_change=3, tol=1e9).fit(two_moons(100))
    assert model.n_iter_ == 3
    assert model.best_validation_score_ == model.validation_scores_[0]


def test_a_sure_gain_is_a_t_statistic_above_two():
    rng, weights = np.random.default_rng(0), torch.ones(20).double()
    for _ in range(200):
        gains = torch.from_numpy(rng.normal(rng.uniform(0, 0.8), 1, (1, 20)))
        expected = ttest_1samp(gains[0], 0).statistic > 2
        assert early_stopping.is_sure(gains, weights) == expected


def test_a_gain_that_all_rows_share_is_as_sure_as_its_repeats():
    """However many rows there are, of an error in common there are as many as repeats."""
    rng, weights = np.random.default_rng(0), torch.ones(500).double()
    found = []
    for _ in range(200):
        repeats = torch.from_numpy(rng.normal(rng.uniform(0, 2), 1, (5, 1)))
        expected = ttest_1samp(repeats[:, 0], 0).statistic > 2
        assert early_stopping.is_sure(repeats.expand(5, 500), weights) == expected
        found.append(expected)
    assert 20 < sum(found) < 180


def test_copies_are_judged_as_one_row_of_their_weight(monkeypatch):
    seen = []

    def spy(model, data, schedule, stopping, *rest):
        seen.append(stopping)
        return fit(model, data, schedule, stopping, *rest)

    fit = early_stopping.fit
    monkeypatch.setattr("sklearn_exemplar_vae._fitting.fit", spy)
    X = np.repeat(two_moons(100), np.arange(100) % 4 + 1, axis=0)
    model = small_vae(max_iter=1).fit(X)
    (stopping,) = seen
    rows = stopping.rows.cpu().numpy()
    assert len(np.unique(rows, axis=0)) == len(rows) >= 10
    copies = np.isclose(model._scaling.transform(X)[:, None], rows).all(2).sum(0)
    np.testing.assert_allclose(stopping.weights.cpu(), copies)
    assert copies.max() > copies.min()


def test_scores_have_other_noise_than_what_chose_the_model(monkeypatch):
    """The luckiest of many epochs owes some of its luck to the noise it was chosen by."""
    seeds = []

    def spy(n_samples, n_noise, seed):
        seeds.append(seed)
        return importance_noise(n_samples, n_noise, seed)

    monkeypatch.setattr(early_stopping, "importance_noise", spy)
    model = small_vae(max_iter=30, n_iter_no_change=30).fit(two_moons(300))
    assert len(set(seeds)) == 1 + early_stopping.JUDGING_REPEATS
    assert model._score_seed not in seeds


def test_start_is_kept_unless_training_surely_improves():
    X = np.random.default_rng(0).normal(size=(60, 2))
    harmful = small_vae(learning_rate_init=0.5, max_iter=3).fit(X)
    untrained = small_vae(max_iter=0).fit(X)
    np.testing.assert_allclose(harmful.score_samples(X), untrained.score_samples(X), atol=1e-6)


def test_more_columns_than_codes_are_no_reason_to_fall_below_kernel_density():
    """With 40 codes of 60 columns the rare large values are nobody's: the start of 60 is better."""
    random = np.random.default_rng(0)
    X = random.normal(size=(500, 60)) + 30 * (random.uniform(size=(500, 60)) < 0.02)
    X, X_test = X[:200], X[200:]
    model = small_vae(n_components=None, max_iter=3).fit(X)
    full = small_vae(n_components=60, max_iter=0).fit(X)
    codes = small_vae(n_components=40, max_iter=3).fit(X)
    assert model.n_components_ == 60 and model.transform(X).shape == (200, 60)
    assert model.get_feature_names_out().shape == (60,)
    score = model.score(X_test)
    np.testing.assert_allclose(score, full.score(X_test), rtol=1e-2)
    assert score > codes.score(X_test) + 1000
    assert score > KernelDensity(bandwidth="scott").fit(X).score(X_test)
    # Trained on from there, as a fit from the start would not be.
    again = model.set_params(warm_start=True, learning_rate_init=1e-9).fit(X)
    np.testing.assert_allclose(again.score(X_test), score, rtol=1e-3)


@pytest.mark.parametrize("n_rows", [3, 6, 19, 20, 25])
def test_few_rows_of_many_columns_leave_density_to_new_rows(n_rows):
    random = np.random.default_rng(0)
    model = small_vae(n_components=None).fit(random.normal(size=(n_rows, 100)))
    assert model.score_samples(random.normal(size=(10, 100))).mean() > -2000


def test_rows_in_a_file_get_no_codes_of_all_columns(tmp_path):
    """They would be as large as the file."""
    X = np.random.default_rng(0).normal(size=(200, 60))
    stored = np.memmap(tmp_path / "rows", np.float32, "w+", shape=X.shape)
    stored[:] = X
    assert small_vae(n_components=None, max_iter=0).fit(stored).n_components_ == 40


def test_codes_of_fewer_columns_are_kept_where_they_are_better():
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 5)) @ random.normal(size=(5, 200))
    X += 0.1 * random.normal(size=X.shape)
    model = small_vae(n_components=None).fit(X)
    assert model.n_components_ == 30
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_convergence_warning_at_max_iter():
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.warns(ConvergenceWarning, match="max_iter=2"):
            small_vae(max_iter=2).fit(two_moons(100))


def test_no_warning_after_convergence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = small_vae(max_iter=500, n_iter_no_change=2).fit(two_moons(100))
    assert model.n_iter_ < 500


def train_until(accident):
    """A stand-in for `train`: two good epochs, then the accident."""

    def epochs(model, data, schedule, generator):
        for epoch in train(model, data, schedule, generator):
            if epoch.number == 3:
                yield from accident(epoch)
            yield epoch

    return epochs


def interrupt(epoch):
    raise KeyboardInterrupt
    yield


def diverge(epoch):
    for parameter in epoch.model.parameters():
        parameter.data.fill_(math.nan)
    yield Epoch(epoch.number, math.nan, epoch.model)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(
    "accident, message", [(interrupt, "interrupted"), (diverge, "diverged in epoch 3")]
)
def test_accidents_keep_the_best_weights(monkeypatch, accident, message, early):
    monkeypatch.setattr(early_stopping, "train", train_until(accident))
    X = two_moons(100)
    with pytest.warns(UserWarning, match=message):
        model = small_vae(early_stopping=early).fit(X)
    assert model.n_iter_ == 2
    assert np.isfinite(model.score_samples(X)).all()


def test_divergence_before_any_weights_raises():
    X = (np.random.default_rng(0).random((60, 4)) < 0.5).astype(float)
    model = small_vae(learning_rate_init=1e30, early_stopping=False)
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")


def test_divergence_keeps_a_kernel_density_start():
    X = correlated(100, 3)
    with pytest.warns(UserWarning, match="diverged"):
        model = small_vae(learning_rate_init=1e30).fit(X)
    expected = small_vae(max_iter=0).fit(X).score_samples(X)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-6)


def test_warm_start_holds_out_the_same_rows(monkeypatch):
    seen = []

    def spy(model, data, schedule, stopping, *rest):
        seen.append({tuple(row) for row in stopping.rows.tolist()})
        return fit(model, data, schedule, stopping, *rest)

    fit = early_stopping.fit
    monkeypatch.setattr("sklearn_exemplar_vae._fitting.fit", spy)
    X = two_moons(100)
    model = small_vae(warm_start=True, random_state=None).fit(X)
    model.fit(X)
    assert seen[0] == seen[1]


def test_start_is_kept_where_nothing_can_be_held_out():
    X = correlated(15, 3)
    model = small_vae().fit(X)
    assert model.n_iter_ == 0 and model.validation_scores_ is None
    expected = small_vae(max_iter=0).fit(X).score_samples(X)
    np.testing.assert_array_equal(model.score_samples(X), expected)


def test_warm_start_trains_where_nothing_can_be_held_out():
    X = (np.random.default_rng(0).random((15, 4)) < 0.5).astype(float)
    model = small_vae(warm_start=True).fit(X)
    assert model.n_iter_ == model.fit(X).n_iter_ == 5


def test_an_untrained_network_has_a_held_out_score():
    X = (np.random.default_rng(0).random((60, 9)) < 0.5).astype(float)
    model = small_vae(max_iter=0).fit(X)
    assert model.validation_scores_ == []
    # A network that knows nothing is near a coin's log-probability.
    assert abs(model.best_validation_score_ - 9 * np.log(0.5)) < 2


def test_a_kernel_density_estimate_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small_vae(max_iter=0).fit(two_moons(60))
