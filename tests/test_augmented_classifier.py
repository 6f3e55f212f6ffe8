"""A classifier that sees every row with a partner: what it is given, and that it stays itself."""

import numpy as np
import pandas as pd
import pytest
from _models import small_vae
from _redrawing import Recorder, Shifted, mixed_frame, whole_rows
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from sklearn_exemplar_vae import AugmentedClassifier, ExemplarAugmenter
from sklearn_exemplar_vae._augmented_classifier import counts_by_share, drawn


def test_every_pass_has_every_row_and_a_fresh_partner():
    X, y = whole_rows()
    model = AugmentedClassifier(
        Recorder(), ExemplarAugmenter(Shifted()), n_passes=3, real_weight=0.4, random_state=0
    ).fit(X, y)
    partners = []
    for rows, labels, weights in model.estimator_.calls_:
        is_real = (rows == np.floor(rows)).all(1)
        assert is_real.sum() == len(X) and len(rows) == 2 * len(X)
        np.testing.assert_allclose(weights[is_real], 0.8)  # the mean is one
        np.testing.assert_allclose(weights[~is_real], 1.2)
        order = np.lexsort(np.floor(rows).T)
        np.testing.assert_array_equal(labels[order], np.repeat(y, 2))
        assert 15 < is_real[: len(X)].sum() < 45  # shuffled
        synthetic = rows[~is_real]
        partners.append(synthetic[np.lexsort(np.floor(synthetic).T)])
    assert (partners[0] != partners[1]).all() and (partners[1] != partners[2]).all()
    model.predict(X)
    np.testing.assert_array_equal(model.estimator_.asked_, X)


def test_at_once_the_weights_add_up_to_those_of_the_real_rows():
    class AtOnce(Recorder):
        partial_fit = property()  # none

        def fit(self, X, y, sample_weight=None):
            return Recorder.partial_fit(self, X, y, np.unique(y), sample_weight)

    X, y = whole_rows()
    own = np.linspace(1, 2, len(X))
    model = AugmentedClassifier(AtOnce(), ExemplarAugmenter(Shifted()), n_passes=4, real_weight=0.3)
    ((rows, labels, weights),) = model.fit(X, y, own).estimator_.calls_
    is_real = (rows == np.floor(rows)).all(1)
    assert len(rows) == 5 * len(X)
    np.testing.assert_allclose(weights.sum(), own.sum())
    np.testing.assert_allclose(weights[is_real].sum(), 0.3 * own.sum())
    np.testing.assert_array_equal(labels, np.tile(y, 5))


@pytest.mark.parametrize("real_weight", [0, 1])  # integers: no share may be rounded
@pytest.mark.parametrize("classifier", [LogisticRegression(), SGDClassifier()])
def test_only_synthetic_or_only_real_rows(real_weight, classifier):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    augmenter = ExemplarAugmenter(small_vae(device="cpu"))
    model = AugmentedClassifier(
        classifier, augmenter, n_passes=10, real_weight=real_weight, random_state=0
    )
    assert model.fit(X, y).score(X, y) > 0.8
    if real_weight == 1 and isinstance(classifier, LogisticRegression):
        np.testing.assert_array_equal(model.estimator_.coef_, clone(classifier).fit(X, y).coef_)


@pytest.mark.parametrize(
    "n_real, n_synthetic, share", [(100, 500, 0.4), (100, 100, 0.4), (100, 100, 0.8), (7, 7, 0.01)]
)
def test_counts_have_the_share_and_are_as_large_as_they_can_be(n_real, n_synthetic, share):
    real, synthetic = counts_by_share(n_real, n_synthetic, share)
    assert real == n_real or synthetic == n_synthetic
    assert abs(real - share * (real + synthetic)) <= 1


def test_a_classifier_without_weights_gets_rows_in_proportion():
    X, y = whole_rows()
    neighbors = KNeighborsClassifier(1)
    model = AugmentedClassifier(neighbors, ExemplarAugmenter(Shifted()), random_state=0).fit(X, y)
    rows = model.estimator_._fit_X
    assert (rows == np.floor(rows)).all(1).sum() == len(X)
    assert len(rows) == 2.5 * len(X)


def test_without_weights_every_pass_has_other_rows_in_proportion():
    class NoWeights(Recorder):
        def partial_fit(self, X, y, classes=None):
            return super().partial_fit(X, y, classes)

    X, y = whole_rows()
    model = AugmentedClassifier(
        NoWeights(), ExemplarAugmenter(Shifted()), n_passes=3, random_state=0
    )
    chosen = set()
    for rows, labels, _ in model.fit(X, y).estimator_.calls_:
        is_real = (rows == np.floor(rows)).all(1)
        assert (is_real.sum(), (~is_real).sum()) == (40, 60)
        np.testing.assert_array_equal(labels, rows[:, 0] // 3 % 3)
        chosen.add(frozenset(rows[is_real, 0]))
    assert len(chosen) == 3


def test_rows_of_a_classifier_without_weights_are_drawn_by_their_weights():
    X, y = whole_rows()
    weights = np.where(np.arange(60) < 30, 3.0, 1.0)
    weights[:3] = 0
    model = AugmentedClassifier(
        KNeighborsClassifier(1), ExemplarAugmenter(Shifted()), n_passes=40, random_state=0
    ).fit(X, y, weights)
    rows = model.estimator_._fit_X
    is_real = (rows == np.floor(rows)).all(1)
    assert (is_real.sum(), (~is_real).sum()) == (60, 90)
    numbers = np.bincount(np.floor(rows[is_real, 0]).astype(int) // 3, minlength=60)
    expected = 60 * weights / weights.sum()
    assert (abs(numbers - expected) < 1).all()  # rounded up or down
    partners = np.bincount(np.floor(rows[~is_real, 0]).astype(int) // 3, minlength=60)
    assert (abs(partners - 1.5 * expected) < 1).all()


def test_rows_drawn_by_counts_are_the_counts():
    counts = np.array([0, 3, 1, 0, 2])
    for seed in range(10):
        rows = drawn(np.arange(5), 6, counts.astype(float), np.random.RandomState(seed))
        np.testing.assert_array_equal(np.bincount(rows, minlength=5), counts)
    assert len(drawn(np.arange(5), 0, np.ones(5), np.random.RandomState(0))) == 0


def test_equal_weights_are_no_weights():
    X, y = whole_rows()
    model = AugmentedClassifier(
        KNeighborsClassifier(1), ExemplarAugmenter(Shifted()), random_state=0
    )
    expected = clone(model).fit(X, y).estimator_._fit_X
    np.testing.assert_array_equal(model.fit(X, y, 2 * np.ones(60)).estimator_._fit_X, expected)


def test_in_a_bagging_of_classifiers_without_weights():
    X, y = load_iris(return_X_y=True)
    inner = AugmentedClassifier(KNeighborsClassifier(), ExemplarAugmenter(small_vae()))
    assert BaggingClassifier(inner, n_estimators=2, random_state=0).fit(X, y).score(X, y) > 0.8


def test_classes_are_those_of_the_classifier():
    X, y = load_iris(return_X_y=True)
    y[::3] = -1  # not labelled
    spreading = LabelSpreading("knn")
    model = AugmentedClassifier(spreading, ExemplarAugmenter(small_vae()), random_state=0).fit(X, y)
    assert list(model.classes_) == [0, 1, 2]
    assert model.predict_proba(X).shape == (150, 3)


def test_no_rows_are_held_out_where_it_is_left_to_the_classifier():
    X, y = whole_rows(2000)
    boosting = HistGradientBoostingClassifier(max_iter=2)
    for classifier in (boosting, make_pipeline(StandardScaler(), boosting)):
        model = AugmentedClassifier(classifier, ExemplarAugmenter(Shifted()), random_state=0)
        model.fit(X, y)
        fitted = model.estimator_[-1] if classifier is not boosting else model.estimator_
        assert fitted.early_stopping is False and not fitted.do_early_stopping_
    assert boosting.early_stopping == "auto"


def test_a_classifier_s_parts_need_not_be_estimators():
    X, y = load_iris(return_X_y=True)
    process = GaussianProcessClassifier(1.0 * RBF(), optimizer=None)
    model = AugmentedClassifier(process, ExemplarAugmenter(small_vae()), n_passes=1, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize("weights, reason", [(-np.ones(60), "negative"), (np.zeros(60), "zero")])
@pytest.mark.parametrize("classifier", [KNeighborsClassifier(), LogisticRegression()])
def test_impossible_weights(classifier, weights, reason):
    X, y = whole_rows()
    augmenter = ExemplarAugmenter(FrozenEstimator(Shifted().fit(X)))
    with pytest.raises(ValueError, match=f"(?i)sample.weight.*{reason}"):
        AugmentedClassifier(classifier, augmenter).fit(X, y, weights)


@pytest.mark.parametrize("classifier", [LogisticRegression(), SGDClassifier(), GaussianNB()])
def test_the_surface_is_the_classifier_s(classifier):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = AugmentedClassifier(classifier, ExemplarAugmenter(small_vae()), random_state=0)
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


def test_one_random_state_decides_all():
    X, y = load_iris(return_X_y=True)
    model = AugmentedClassifier(SGDClassifier(), ExemplarAugmenter(small_vae()), n_passes=2)
    first, again = (clone(model).set_params(random_state=0).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.estimator_.coef_, again.estimator_.coef_)


def test_metadata_is_routed_to_the_classifier():
    class Asked(Recorder):
        def predict(self, X, flag=None):
            self.flag_ = flag
            return super().predict(X)

    X, y = whole_rows()
    with config_context(enable_metadata_routing=True):
        asked = Asked().set_predict_request(flag=True)
        model = AugmentedClassifier(asked, ExemplarAugmenter(Shifted()), n_passes=1).fit(X, y)
        model.predict(X, flag="seen")
        assert model.estimator_.flag_ == "seen"
        weighted = AugmentedClassifier(
            LogisticRegression().set_score_request(sample_weight=False),
            ExemplarAugmenter(Shifted()),
        ).set_fit_request(sample_weight=True)
        # Of weight in one class alone: nothing else is predicted.
        weights = np.where(y == 1, 1.0, 1e-9)
        scores = cross_val_score(weighted, X, y, cv=2, params={"sample_weight": weights})
        np.testing.assert_allclose(scores, 1 / 3, atol=0.05)
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        model.predict(X, flag="seen")


@pytest.mark.parametrize(
    "estimator, reason",
    [
        (LinearRegression(), r"estimator must be a classifier, got LinearRegression\(\)"),
        (SGDClassifier(early_stopping=True), "SGDClassifier has early_stopping=True"),
        (SGDClassifier(early_stopping=np.True_), "SGDClassifier has early_stopping="),
        (HistGradientBoostingClassifier(early_stopping=True), "has early_stopping=True"),
        (
            make_pipeline(StandardScaler(), MLPClassifier(early_stopping=True)),
            "Pipeline has mlpclassifier__early_stopping=True",
        ),
        (GradientBoostingClassifier(n_iter_no_change=3), "Use n_iter_no_change=None"),
    ],
)
def test_estimators_that_cannot_be_augmented(estimator, reason):
    X, y = whole_rows()
    model = AugmentedClassifier(estimator, ExemplarAugmenter(Shifted()))
    with pytest.raises(ValueError, match=reason):
        model.fit(X, y)
    assert not hasattr(model, "augmenter_")


def test_a_density_inside_the_classifier_may_hold_rows_out():
    X, y = load_iris(return_X_y=True)
    codes = make_pipeline(small_vae(), KNeighborsClassifier())
    model = AugmentedClassifier(codes, ExemplarAugmenter(small_vae()), random_state=0)
    assert model.fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize("make", [lambda classifier: classifier, OneVsRestClassifier])
def test_balanced_weights_which_passes_cannot_have_are_fitted_at_once(make):
    X, y = load_iris(return_X_y=True)
    classifier = make(SGDClassifier(class_weight="balanced", random_state=0))
    X = StandardScaler().fit_transform(X)
    model = AugmentedClassifier(classifier, ExemplarAugmenter(small_vae()), random_state=0)
    assert model.fit(X, y).score(X, y) > 0.8


def test_frames_reach_the_classifier_as_frames():
    frame, y = mixed_frame(), np.arange(40) % 2

    class NeedsNames(Recorder):
        def partial_fit(self, X, y, classes=None, sample_weight=None):
            assert isinstance(X, pd.DataFrame) and X.dtypes.equals(frame.dtypes)
            return super().partial_fit(X, y, classes, sample_weight)

    AugmentedClassifier(NeedsNames(), ExemplarAugmenter(Shifted()), n_passes=1).fit(frame, y)
