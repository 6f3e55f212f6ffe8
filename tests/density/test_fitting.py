"""When a fit ends, which weights it keeps, and where another fit goes on."""

import contextlib
import copy
import io
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KernelDensity

from tests._models import correlated, small_flow, small_vae, two_moons


def coins(n_rows, n_columns):
    return (np.random.default_rng(0).random((n_rows, n_columns)) < 0.5).astype(float)


# ---------------------------------------------------------------- early stopping


def test_held_out_rows_become_exemplars():
    X = two_moons(100)
    model = small_vae(validation_fraction=0.3).fit(X)
    assert model.n_exemplars_ == 100
    np.testing.assert_array_equal(model.kneighbors(X, 1)[1][:, 0], np.arange(100))


def test_a_score_an_epoch():
    model = small_vae(max_iter=10, n_iter_no_change=10).fit(correlated(200, 3))
    assert len(model.validation_scores_) == model.n_iter_ + 1 == len(model.loss_curve_) + 1
    assert model.best_validation_score_ in model.validation_scores_


@pytest.mark.parametrize("make", [small_vae, small_flow])
def test_epochs_without_an_improvement_of_tol_end_a_fit(make):
    model = make(max_iter=50, n_iter_no_change=3, tol=1e9).fit(two_moons(100))
    assert model.n_iter_ == 3
    assert model.best_validation_score_ == model.validation_scores_[0]


def test_start_is_kept_unless_training_surely_improves():
    X = np.random.default_rng(0).normal(size=(60, 2))
    harmful = small_vae(learning_rate_init=0.5, max_iter=3).fit(X)
    untrained = small_vae(max_iter=0).fit(X)
    np.testing.assert_allclose(harmful.score_samples(X), untrained.score_samples(X), atol=1e-6)


def test_start_is_kept_where_nothing_can_be_held_out():
    X = correlated(15, 3)
    model = small_vae().fit(X)
    assert model.n_iter_ == 0 and model.validation_scores_ is None
    expected = small_vae(max_iter=0).fit(X).score_samples(X)
    np.testing.assert_array_equal(model.score_samples(X), expected)


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


def test_an_untrained_network_has_a_held_out_score():
    model = small_vae(max_iter=0).fit(coins(60, 9))
    assert model.validation_scores_ == []
    # A network that knows nothing is near a coin's log-probability.
    assert abs(model.best_validation_score_ - 9 * np.log(0.5)) < 2


# -------------------------------------------------------------- warnings and accidents


def test_convergence_warning_at_max_iter():
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.warns(ConvergenceWarning, match="max_iter=2"):
            small_vae(max_iter=2).fit(two_moons(100))


@pytest.mark.parametrize("parameters", [{"max_iter": 500, "n_iter_no_change": 2}, {"max_iter": 0}])
def test_no_warning_after_convergence_nor_of_a_density_estimate(parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = small_vae(**parameters).fit(two_moons(100))
    assert model.n_iter_ < 500


class InterruptedOutput(io.StringIO):
    """Output during which the user presses Ctrl-C, at the third epoch."""

    def write(self, text):
        if "epoch 3" in text:
            raise KeyboardInterrupt
        return super().write(text)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_an_interrupted_fit_keeps_the_best_weights(early_stopping):
    X = two_moons(100)
    model = small_vae(early_stopping=early_stopping, verbose=True)
    with (
        pytest.warns(UserWarning, match="interrupted"),
        contextlib.redirect_stdout(InterruptedOutput()),
    ):
        model.fit(X)
    assert model.n_iter_ == len(model.loss_curve_) == 3
    assert np.isfinite(model.score_samples(X)).all()


def test_divergence_before_any_weights_raises():
    model = small_vae(learning_rate_init=1e30, early_stopping=False)
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        model.fit(coins(60, 4))
    assert not hasattr(model, "n_features_in_")


def test_divergence_keeps_a_kernel_density_start():
    X = correlated(100, 3)
    with pytest.warns(UserWarning, match="diverged"):
        model = small_vae(learning_rate_init=1e30).fit(X)
    expected = small_vae(max_iter=0).fit(X).score_samples(X)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-6)


# ------------------------------------------------------------------------ warm start


def test_warm_start_goes_on():
    X = two_moons(150)
    once = small_vae(warm_start=True, max_iter=3, early_stopping=False).fit(X)
    first = once.loss_curve_[-1]
    once.fit(X)
    assert once.loss_curve_[0] < first + 0.1
    other = small_vae(max_iter=3, early_stopping=False).fit(X)
    assert not np.allclose(other.score_samples(X), once.score_samples(X))


def test_warm_start_holds_out_the_same_rows():
    """The start of the second fit, which is the end of the first, has the score it had there."""
    X = two_moons(100)
    model = small_flow(warm_start=True, random_state=None).fit(X)
    before = model.best_validation_score_
    assert model.fit(X).validation_scores_[0] == pytest.approx(before, abs=1e-5)
    start = small_flow(prior="exemplar", bandwidth=0.5, max_iter=0, random_state=None)
    assert start.fit(X).best_validation_score_ != pytest.approx(
        start.fit(X).best_validation_score_, abs=1e-3
    )


def test_warm_start_refuses_another_model():
    X = two_moons(60)
    model = small_vae(warm_start=True).fit(X)
    with pytest.raises(ValueError, match="n_components=2.*n_components=1"):
        model.set_params(n_components=1).fit(X)
    model.set_params(n_components=None)
    others = {"likelihood": "bernoulli", "prior": "gaussian", "hidden_layer_sizes": (8,)}
    for name, value in others.items():
        with pytest.raises(ValueError, match=f"{name}.*{name}"):
            copy.deepcopy(model).set_params(**{name: value}).fit(X)
    model.set_params(n_components=2, likelihood="gaussian", hidden_layer_sizes=[16]).fit(X)


def test_warm_start_trains_where_nothing_can_be_held_out():
    X = coins(15, 4)
    model = small_vae(warm_start=True).fit(X)
    assert model.n_iter_ == model.fit(X).n_iter_ == 5


def test_diverged_warm_start_leaves_the_fitted_model():
    X = coins(60, 4)
    model = small_vae(warm_start=True, early_stopping=False).fit(X)
    before = model.score_samples(X)
    with pytest.warns(UserWarning, match="diverged"):
        model.set_params(learning_rate_init=1e30).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), before)


# ----------------------------------------------------------- what else fit promises


def test_no_bandwidth_of_an_earlier_fit():
    model = small_vae(max_iter=0).fit(two_moons(40))
    assert model.bandwidth_ > 0
    assert not hasattr(model.set_params(prior="gaussian").fit(two_moons(40)), "bandwidth_")


@pytest.mark.parametrize("early_stopping", [True, False])
def test_verbose_prints_a_line_an_epoch(capsys, early_stopping):
    small_vae(verbose=True, max_iter=3, early_stopping=early_stopping).fit(two_moons(60))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("epoch" in line and ("held out" in line) == early_stopping for line in lines)


def test_same_seed_same_model_and_the_global_state_is_untouched():
    X = two_moons(80)
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    one, two = small_vae(random_state=3).fit(X), small_vae(random_state=3).fit(X)
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.get_rng_state())
    state = np.random.RandomState(0)
    first, second = small_vae(random_state=state).fit(X), small_vae(random_state=state).fit(X)
    assert not np.array_equal(first.score_samples(X), second.score_samples(X))


def test_a_frame_trains_the_model_of_its_array():
    X = two_moons(100)
    of_frame = small_vae().fit(pd.DataFrame(X, columns=["a", "b"])).loss_curve_
    assert of_frame == small_vae().fit(X).loss_curve_
