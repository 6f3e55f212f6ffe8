"""AugmentedClassifier: the rows that its classifier gets, and the surface it shares with it."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from sklearn_exemplar_vae import AugmentedClassifier
from tests._models import small_vae
from tests.augmentation._doubles import (
    Recorder,
    RecorderAtOnce,
    Shifted,
    UnweightedRecorder,
    UnweightedRecorderAtOnce,
    is_real,
    mixed_frame,
    whole_rows,
)


def scaled_iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def calls_of(classifier, X, y, sample_weight=None, **parameters):
    """Return rows, labels and weights that a recorder got, call by call."""
    model = AugmentedClassifier(classifier, Shifted(), **({"random_state": 0} | parameters))
    return model.fit(X, y, sample_weight).estimator_.calls_


# ------------------------------------------------------------------ rows and weights


def test_every_pass_has_every_row_and_a_fresh_partner():
    X, y = whole_rows()
    partners = []
    for rows, labels, weights in calls_of(Recorder(), X, y, n_passes=3, real_weight=0.4):
        real = is_real(rows)
        assert real.sum() == len(X) and len(rows) == 2 * len(X)
        np.testing.assert_allclose(weights[real], 0.8)  # the mean is one
        np.testing.assert_allclose(weights[~real], 1.2)
        order = np.lexsort(np.floor(rows).T)
        np.testing.assert_array_equal(labels[order], np.repeat(y, 2))
        assert 15 < real[: len(X)].sum() < 45  # shuffled
        synthetic = rows[~real]
        partners.append(synthetic[np.lexsort(np.floor(synthetic).T)])
    assert len(partners) == 3
    assert (partners[0] != partners[1]).all() and (partners[1] != partners[2]).all()


def test_rows_to_predict_are_not_augmented():
    X, y = whole_rows()
    model = AugmentedClassifier(Recorder(), Shifted(), n_passes=1).fit(X, y)
    model.predict(X)
    np.testing.assert_array_equal(model.estimator_.asked_, X)


def test_at_once_the_weights_add_up_to_those_of_the_real_rows():
    X, y = whole_rows()
    own = np.linspace(1, 2, len(X))
    calls = calls_of(RecorderAtOnce(), X, y, own, n_passes=4, real_weight=0.3)
    ((rows, labels, weights),) = calls
    assert len(rows) == 5 * len(X)
    np.testing.assert_allclose(weights.sum(), own.sum())
    np.testing.assert_allclose(weights[is_real(rows)].sum(), 0.3 * own.sum())
    np.testing.assert_array_equal(labels, np.tile(y, 5))


@pytest.mark.parametrize("real_weight", [0, 1])  # integers: no share may be rounded
@pytest.mark.parametrize("classifier", [LogisticRegression(), SGDClassifier()])
def test_only_synthetic_or_only_real_rows(real_weight, classifier):
    X, y = scaled_iris()
    model = AugmentedClassifier(
        classifier, small_vae(device="cpu"), n_passes=10, real_weight=real_weight, random_state=0
    )
    assert model.fit(X, y).score(X, y) > 0.8
    if real_weight == 1 and isinstance(classifier, LogisticRegression):
        np.testing.assert_array_equal(model.estimator_.coef_, clone(classifier).fit(X, y).coef_)


@pytest.mark.parametrize(
    "n_rows, n_passes, share", [(100, 5, 0.4), (100, 1, 0.4), (100, 1, 0.8), (7, 1, 0.01)]
)
def test_without_weights_the_share_is_one_of_rows_as_many_as_can_be(n_rows, n_passes, share):
    X, y = whole_rows(n_rows)
    classifier = UnweightedRecorderAtOnce()
    ((rows, _, _),) = calls_of(classifier, X, y, n_passes=n_passes, real_weight=share)
    n_real = is_real(rows).sum()
    n_synthetic = len(rows) - n_real
    assert n_real == n_rows or n_synthetic == n_rows * n_passes
    assert n_real <= n_rows and n_synthetic <= n_rows * n_passes
    assert abs(n_real - share * len(rows)) <= 1


def test_a_classifier_without_weights_gets_rows_in_proportion():
    X, y = whole_rows()
    model = AugmentedClassifier(KNeighborsClassifier(1), Shifted(), random_state=0).fit(X, y)
    rows = model.estimator_._fit_X
    assert is_real(rows).sum() == len(X)
    assert len(rows) == 2.5 * len(X)


def test_without_weights_every_pass_has_other_rows_in_proportion():
    X, y = whole_rows()
    chosen = set()
    for rows, labels, _ in calls_of(UnweightedRecorder(), X, y, n_passes=3):
        real = is_real(rows)
        assert (real.sum(), (~real).sum()) == (40, 60)
        np.testing.assert_array_equal(labels, rows[:, 0] // 3 % 3)
        chosen.add(frozenset(rows[real, 0]))
    assert len(chosen) == 3


def numbers_of(rows, n_rows):
    """Return how often each of the `whole_rows` is an exemplar of the ``rows``."""
    return np.bincount(np.floor(rows[:, 0]).astype(int) // 3, minlength=n_rows)


def test_rows_of_a_classifier_without_weights_are_drawn_by_their_weights():
    X, y = whole_rows()
    weights = np.where(np.arange(60) < 30, 3.0, 1.0)
    weights[:3] = 0
    model = AugmentedClassifier(
        KNeighborsClassifier(1), Shifted(), n_passes=40, random_state=0
    ).fit(X, y, weights)
    rows = model.estimator_._fit_X
    real = is_real(rows)
    assert (real.sum(), (~real).sum()) == (60, 90)
    expected = 60 * weights / weights.sum()
    assert (abs(numbers_of(rows[real], 60) - expected) < 1).all()  # rounded up or down
    assert (abs(numbers_of(rows[~real], 60) - 1.5 * expected) < 1).all()


@pytest.mark.parametrize("seed", range(10))
def test_rows_drawn_by_weights_that_are_counts_have_these_counts(seed):
    X, y = whole_rows(6)
    counts = np.array([0, 3, 1, 0, 2, 0])
    classifier = UnweightedRecorderAtOnce()
    ((rows, _, _),) = calls_of(classifier, X, y, counts, real_weight=1, random_state=seed)
    assert is_real(rows).all()
    np.testing.assert_array_equal(numbers_of(rows, 6), counts)


def test_equal_weights_are_no_weights():
    X, y = whole_rows()
    model = AugmentedClassifier(KNeighborsClassifier(1), Shifted(), random_state=0)
    expected = clone(model).fit(X, y).estimator_._fit_X
    np.testing.assert_array_equal(model.fit(X, y, 2 * np.ones(60)).estimator_._fit_X, expected)


@pytest.mark.parametrize("weights, reason", [(-np.ones(60), "negative"), (np.zeros(60), "zero")])
@pytest.mark.parametrize("classifier", [KNeighborsClassifier(), LogisticRegression()])
def test_impossible_weights_are_refused(classifier, weights, reason):
    X, y = whole_rows()
    model = AugmentedClassifier(classifier, FrozenEstimator(Shifted().fit(X)))
    with pytest.raises(ValueError, match=f"(?i)sample.weight.*{reason}"):
        model.fit(X, y, weights)


def test_frames_reach_the_classifier_as_frames():
    frame, y = mixed_frame(), np.arange(40) % 2

    class NeedsNames(Recorder):
        def partial_fit(self, X, y, classes=None, sample_weight=None):
            assert isinstance(X, pd.DataFrame) and X.dtypes.equals(frame.dtypes)
            return super().partial_fit(X, y, classes, sample_weight)

    assert len(calls_of(NeedsNames(), frame, y, n_passes=1)) == 1


# ------------------------------------------------------------------ the density


@pytest.mark.parametrize("noise", [False, True, "residual"])
def test_partners_are_drawn_with_the_noise_that_is_asked_for(noise):
    class Noted(Shifted):
        def sample_like(self, X, n_samples=1, random_state=None, *, noise=True):
            self.noise_ = noise
            return super().sample_like(X, n_samples, random_state)

    X, y = whole_rows()
    model = AugmentedClassifier(Recorder(), Noted(), noise=noise, n_passes=1).fit(X, y)
    assert model.density_.noise_ is noise


def test_a_frozen_density_is_used_as_it_is():
    X, y = whole_rows()
    density = Shifted().fit(X[:10])
    model = AugmentedClassifier(Recorder(), FrozenEstimator(density), n_passes=1).fit(X, y)
    assert model.density_.estimator is density
    np.testing.assert_array_equal(density.rows_, X[:10])


def test_one_random_state_decides_all():
    X, y = load_iris(return_X_y=True)
    density = small_vae(random_state=None)
    model = AugmentedClassifier(SGDClassifier(), density, n_passes=2)
    first, again, other = (
        clone(model).set_params(random_state=seed).fit(X, y) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.estimator_.coef_, again.estimator_.coef_)
    assert first.density_.random_state == again.density_.random_state is not None
    assert (first.estimator_.coef_ != other.estimator_.coef_).any()


# ------------------------------------------------------------------ the classifier's surface


@pytest.mark.parametrize("classifier", [LogisticRegression(), SGDClassifier(), GaussianNB()])
def test_the_surface_is_the_classifier_s(classifier):
    X, y = scaled_iris()
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = AugmentedClassifier(classifier, small_vae(), random_state=0)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        assert hasattr(model, method) == hasattr(classifier, method)
    model.fit(X, names)
    assert list(model.classes_) == ["setosa", "versicolor", "virginica"]
    assert model.score(X, names) == model.estimator_.score(X, names) > 0.8
    weights = (names == "setosa").astype(float)
    assert model.score(X, names, weights) == model.estimator_.score(X, names, weights)
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            expected = getattr(model.estimator_, method)(X)
            np.testing.assert_array_equal(getattr(model, method)(X), expected)


def test_classes_are_those_of_the_classifier():
    X, y = load_iris(return_X_y=True)
    y[::3] = -1  # not labeled
    model = AugmentedClassifier(LabelSpreading("knn"), small_vae(), random_state=0).fit(X, y)
    assert list(model.classes_) == [0, 1, 2]
    assert model.predict_proba(X).shape == (150, 3)


def test_in_a_bagging_of_classifiers_without_weights():
    X, y = load_iris(return_X_y=True)
    inner = AugmentedClassifier(KNeighborsClassifier(), small_vae())
    assert BaggingClassifier(inner, n_estimators=2, random_state=0).fit(X, y).score(X, y) > 0.8


def test_metadata_is_routed_to_the_classifier():
    class Asked(Recorder):
        def predict(self, X, flag=None):
            self.flag_ = flag
            return super().predict(X)

    X, y = whole_rows()
    with config_context(enable_metadata_routing=True):
        asked = Asked().set_predict_request(flag=True)
        model = AugmentedClassifier(asked, Shifted(), n_passes=1).fit(X, y)
        model.predict(X, flag="seen")
        assert model.estimator_.flag_ == "seen"
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        model.predict(X, flag="seen")


def test_weights_are_routed_to_fit():
    X, y = whole_rows()
    with config_context(enable_metadata_routing=True):
        classifier = LogisticRegression().set_score_request(sample_weight=False)
        weighted = AugmentedClassifier(classifier, Shifted()).set_fit_request(sample_weight=True)
        # Of weight in one class alone: nothing else is predicted.
        weights = np.where(y == 1, 1.0, 1e-9)
        scores = cross_val_score(weighted, X, y, cv=2, params={"sample_weight": weights})
    np.testing.assert_allclose(scores, 1 / 3, atol=0.05)
