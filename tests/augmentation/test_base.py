"""What augmenter, over-sampler and classifier share: their densities, and that nothing leaks."""

import warnings

import imblearn.pipeline
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_exemplar_vae import AugmentedClassifier, ExemplarAugmenter, ExemplarOverSampler
from tests._models import small_flow, small_vae
from tests.augmentation._doubles import (
    SHIFT,
    ClassMean,
    Recorder,
    Shifted,
    mixed_frame,
    whole_rows,
)

all_three = pytest.mark.parametrize("kind", ["augmenter", "classifier", "over-sampler"])


def fit_and_redraw(kind, density, X, y, sample_weight=None, **parameters):
    """Return the fitted estimator, and the rows that it redrew with their labels."""
    if kind == "augmenter":
        estimator = ExemplarAugmenter(density, 1.0, **parameters)
        return estimator, estimator.fit_transform(X, y, sample_weight), y
    if kind == "over-sampler":
        estimator = ExemplarOverSampler({1: 30}, estimator=density, **parameters)
        rows, labels = estimator.fit_resample(X, y, sample_weight)
        return estimator, rows[len(y) :], labels[len(y) :]
    estimator = AugmentedClassifier(Recorder(), density, n_passes=1, real_weight=0, **parameters)
    rows, labels, _ = estimator.fit(X, y, sample_weight).estimator_.calls_[0]
    return estimator, rows, labels


@all_three
def test_the_given_table_stays_as_it_was(kind):
    X, y = whole_rows(40)
    for table in (X, X.astype(np.int64), mixed_frame(40)):
        copy = table.copy()
        _, rows, _ = fit_and_redraw(kind, Shifted(), table, y)
        assert len(rows) > 0 and rows is not table
        np.testing.assert_array_equal(np.asarray(table), np.asarray(copy))


# ------------------------------------------------------------------ densities


@pytest.mark.parametrize("per_class", [False, True])
def test_the_density_knows_the_columns_names(per_class):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "sex": ["a", "b"] * 30,
            "age": rng.normal(size=60),
            "amount": rng.exponential(0.1, size=60),
        }
    )
    flow = small_flow(bounds={"amount": (0, None)})
    augmenter = ExemplarAugmenter(flow, 1.0, per_class=per_class, random_state=0)
    redrawn = augmenter.fit_transform(frame, frame["sex"])
    assert (redrawn["amount"] > 0).all() and (redrawn["age"] < 0).any()
    assert not redrawn["amount"].equals(frame["amount"])


@all_three
@pytest.mark.parametrize("per_class", [False, True])
def test_weights_reach_the_density(kind, per_class):
    X, y = whole_rows(61)
    weights = np.arange(1.0, len(X) + 1)
    density = fit_and_redraw(kind, Shifted(), X, y, weights, per_class=per_class)[0].density_
    found = density[1].weights_ if per_class else density.weights_
    np.testing.assert_array_equal(found, weights[y == 1] if per_class else weights)


@pytest.mark.parametrize("wrap", [ExemplarAugmenter, ExemplarOverSampler])
def test_a_density_that_cannot_redraw_is_named_and_nothing_is_left_behind(wrap):
    X, y = load_iris(return_X_y=True)
    X, y = X[:120], y[:120]
    frozen = FrozenEstimator(small_vae().fit(X[:, :2]))
    normal = small_flow(prior="gaussian")
    for density, reason in ((frozen, "has 4 features"), (normal, "prior='gaussian' has none")):
        estimator = wrap(estimator=density)
        with pytest.raises(ValueError, match=f"cannot redraw rows of X: .*{reason}"):
            (estimator.fit_resample if wrap is ExemplarOverSampler else estimator.fit_transform)(
                X, y
            )
        assert not hasattr(estimator, "density_") and not hasattr(estimator, "n_features_in_")


# ------------------------------------------------------------------ frozen densities


def test_a_frozen_density_is_not_fitted_again():
    X, y = load_iris(return_X_y=True)
    density = small_vae(random_state=0).fit(X)
    augmenter = ExemplarAugmenter(FrozenEstimator(density), random_state=0)
    pipeline = make_pipeline(augmenter, LogisticRegression(max_iter=500))
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(X, y)
    assert search.best_estimator_[0].density_.estimator is density


@pytest.mark.parametrize("is_named", [True, False])
def test_a_frozen_density_is_asked_by_the_names_that_it_knows(is_named):
    X = load_iris().data
    frame = pd.DataFrame(X, columns=list("abcd"))
    density = small_vae().fit(frame if is_named else X)
    augmenter = ExemplarAugmenter(FrozenEstimator(density), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        redrawn = augmenter.fit_transform(frame)
    assert abs((redrawn.to_numpy() != X).any(1).mean() - 0.5) < 0.01


def test_a_cache_recognizes_a_frozen_density(tmp_path):
    X, y = load_iris(return_X_y=True)
    augmenter = ExemplarAugmenter(FrozenEstimator(small_vae().fit(X)), random_state=0)
    for C in (0.1, 1.0, 10.0):
        pipeline = make_pipeline(
            augmenter, LogisticRegression(C=C, max_iter=1000), memory=str(tmp_path)
        )
        pipeline.fit(X, y)
    assert len(list(tmp_path.rglob("output.pkl"))) == 1


# ------------------------------------------------------------------ a density for each class


def test_each_class_has_a_density_of_its_own_rows():
    X, y = whole_rows()
    names = np.array(["a", "b", "c"])[y]
    augmenter = ExemplarAugmenter(Shifted(), 1.0, per_class=True, random_state=0)
    redrawn = augmenter.fit_transform(X, names)
    assert list(augmenter.density_) == ["a", "b", "c"]
    for label, density in augmenter.density_.items():
        np.testing.assert_array_equal(density.rows_, X[names == label])
    np.testing.assert_allclose(redrawn - X, SHIFT, atol=0.011)


def test_a_density_for_each_class_needs_classes():
    X, _ = whole_rows()
    with pytest.raises(ValueError, match="per_class=True needs y"):
        ExemplarAugmenter(Shifted(), per_class=True).fit(X)


@all_three
def test_a_frozen_density_is_not_fitted_to_classes(kind):
    X, y = whole_rows()
    with pytest.raises(ValueError, match="frozen"):
        fit_and_redraw(kind, FrozenEstimator(Shifted().fit(X)), X, y, per_class=True)


@all_three
def test_a_class_is_redrawn_by_its_own_density(kind):
    X, y = whole_rows(61)  # 21, 20 and 20 rows
    estimator, rows, labels = fit_and_redraw(kind, ClassMean(), X, y, per_class=True)
    assert list(estimator.density_) == ([1] if kind == "over-sampler" else [0, 1, 2])
    assert len(rows) > 0
    for row, label in zip(rows, labels, strict=True):
        np.testing.assert_allclose(row, X[y == label].mean(0))


def test_a_class_needs_two_rows_only_if_it_grows():
    X = np.random.default_rng(0).normal(size=(21, 2))
    y = np.repeat(["a", "b"], [20, 1])
    sampler = ExemplarOverSampler({"a": 30}, estimator=small_vae(), per_class=True)
    assert len(sampler.fit_resample(X, y)[0]) == 31
    with pytest.raises(ValueError, match="class b, 1 row.*minimum of 2"):
        clone(sampler).set_params(sampling_strategy={"b": 3}).fit_resample(X, y)


# ------------------------------------------------------------------ noise


def test_rows_without_noise_lie_on_the_decoder_s_line():
    X = np.random.default_rng(0).normal(size=(60, 5))
    frozen = FrozenEstimator(small_vae(n_components=1, max_iter=0).fit(X))
    means = ExemplarAugmenter(frozen, 1.0, noise=False, random_state=0).fit_transform(X)
    assert np.linalg.matrix_rank(means - means.mean(0), tol=1e-3) == 1


def redraw_with(noise, X, **parameters):
    """Return all rows of X, redrawn by a small VAE of the ``parameters``."""
    augmenter = ExemplarAugmenter(small_vae(**parameters), 1.0, noise=noise, random_state=0)
    return augmenter.fit_transform(X)


RNG = np.random.default_rng(0)
BINARY, LEVELS = RNG.integers(0, 2, (60, 5)), RNG.integers(0, 256, (60, 5))


@pytest.mark.parametrize(
    "X, likelihood",
    [
        (BINARY.astype(float), "auto"),
        (RNG.normal(size=(60, 5)), "auto"),
        (RNG.uniform(size=(60, 5)), "bernoulli"),
        (LEVELS, "logistic"),
    ],
    ids=["zeros and ones as floats", "normal", "bernoulli", "gray levels"],
)
def test_auto_moves_rows_by_a_random_part_of_the_residual(X, likelihood):
    by_default = redraw_with("auto", X, likelihood=likelihood)
    moved = redraw_with("random_residual", X, likelihood=likelihood)
    np.testing.assert_array_equal(by_default, moved)
    assert (redraw_with(False, X, likelihood=likelihood) != moved).any()


@pytest.mark.parametrize("X", [BINARY, LEVELS], ids=["binary", "levels"])
def test_auto_draws_integers(X):
    # Rounded, a row that has moved a little would mostly be the row again.
    drawn = redraw_with(True, X)
    np.testing.assert_array_equal(redraw_with("auto", X), drawn)
    assert (redraw_with("residual", X) != drawn).any()


# ------------------------------------------------------------------ leaks


@pytest.mark.parametrize("augmented_by", ["pipeline", "classifier", "passes", "over-sampler"])
def test_synthetic_rows_come_from_the_training_fold_and_keep_its_labels(augmented_by):
    X, y = whole_rows(90)
    label_of = {tuple(row): label for row, label in zip(X, y, strict=True)}
    trained_on = []

    class Seen(Shifted):
        def fit(self, X, y=None, sample_weight=None):
            trained_on[:] = [{tuple(row) for row in X}]
            return super().fit(X, y, sample_weight)

    class Checking(ClassifierMixin, BaseEstimator):
        def fit(self, X, y, sample_weight=None, classes=None):
            self.classes_, self.rows_ = np.unique(y), np.floor(X)
            assert (self.rows_ != X).any()
            for row, label in zip(self.rows_, y, strict=True):  # a redraw adds a quarter
                assert label_of[tuple(row)] == label
            return self

        def predict(self, X):
            of_classifier = {tuple(row) for row in self.rows_}
            for row in X:
                assert tuple(row) in label_of  # as it came
                assert tuple(row) not in of_classifier | trained_on[0]
            return np.zeros(len(X), dtype=int)

    class CheckingPasses(Checking):
        def partial_fit(self, X, y, classes=None, sample_weight=None):
            return self.fit(X, y)

    estimator = {
        "pipeline": make_pipeline(ExemplarAugmenter(Seen(), 0.5), Checking()),
        "classifier": AugmentedClassifier(Checking(), Seen()),
        "passes": AugmentedClassifier(CheckingPasses(), Seen(), n_passes=2),
        "over-sampler": imblearn.pipeline.make_pipeline(
            ExemplarOverSampler({label: 30 for label in range(3)}, estimator=Seen()), Checking()
        ),
    }[augmented_by]
    scores = cross_val_score(estimator, X, y, cv=3, error_score="raise", scoring="accuracy")
    np.testing.assert_allclose(scores, 1 / 3)
