"""Which classifiers can be augmented: none that holds out rows whose partners it is trained on."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LinearRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_exemplar_vae import AugmentedClassifier
from tests._models import small_vae
from tests.augmentation._doubles import Shifted, whole_rows


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
def test_an_estimator_that_cannot_be_augmented_is_refused(estimator, reason):
    X, y = whole_rows()
    model = AugmentedClassifier(estimator, Shifted())
    with pytest.raises(ValueError, match=reason):
        model.fit(X, y)
    assert not hasattr(model, "density_")


def test_no_rows_are_held_out_where_it_is_left_to_the_classifier():
    X, y = whole_rows(2001)  # with partners over 10 000: boosting by itself would hold some out
    boosting = HistGradientBoostingClassifier(max_iter=2)
    for classifier in (boosting, make_pipeline(StandardScaler(), boosting)):
        model = AugmentedClassifier(classifier, Shifted(), random_state=0).fit(X, y)
        fitted = model.estimator_[-1] if classifier is not boosting else model.estimator_
        assert fitted.early_stopping is False and not fitted.do_early_stopping_
    assert boosting.early_stopping == "auto"


def test_a_density_inside_the_classifier_may_hold_rows_out():
    X, y = load_iris(return_X_y=True)
    codes = make_pipeline(small_vae(), KNeighborsClassifier())
    model = AugmentedClassifier(codes, small_vae(), random_state=0)
    assert model.fit(X, y).score(X, y) > 0.8


def test_a_classifier_s_parts_need_not_be_estimators():
    X, y = load_iris(return_X_y=True)
    process = GaussianProcessClassifier(1.0 * RBF(), optimizer=None)
    model = AugmentedClassifier(process, small_vae(), n_passes=1, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize("make", [lambda classifier: classifier, OneVsRestClassifier])
def test_a_classifier_with_balanced_weights_is_fitted_at_once(make):
    X, y = load_iris(return_X_y=True)
    classifier = make(SGDClassifier(class_weight="balanced", random_state=0))
    X = StandardScaler().fit_transform(X)
    model = AugmentedClassifier(classifier, small_vae(), random_state=0)
    assert model.fit(X, y).score(X, y) > 0.8
