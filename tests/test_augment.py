"""Rows redrawn near themselves: what stays, what changes, and that nothing leaks."""

import warnings

import imblearn.pipeline
import numpy as np
import pandas as pd
import polars as pl
import pytest
from _models import small_flow, small_vae
from _redrawing import SHIFT, Recorder, Shifted, mixed_frame, whole_rows
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_exemplar_vae import AugmentedClassifier, ExemplarAugmenter, ExemplarOverSampler


@pytest.mark.parametrize("proportion", [0.0, 0.3, 1.0])
def test_a_proportion_of_the_rows_is_redrawn_each_near_itself(proportion):
    X, y = whole_rows()
    augmented = ExemplarAugmenter(Shifted(), proportion, random_state=0).fit_transform(X, y)
    moved = (augmented != X).any(1)
    assert moved.sum() == round(proportion * len(X))
    np.testing.assert_allclose(augmented[moved] - X[moved], SHIFT, atol=0.011)


@pytest.mark.parametrize("by", ["augmenter", "classifier", "over-sampler"])
def test_what_was_given_stays_as_it_was(by):
    X, y = whole_rows(40)
    for table in (X, X.astype(np.int64), mixed_frame(40)):
        copy = table.copy()
        augmenter = ExemplarAugmenter(Shifted(), 1.0, random_state=0)
        if by == "augmenter":
            result = augmenter.fit_transform(table, y)
        elif by == "over-sampler":
            result, _ = ExemplarOverSampler({0: 40}, estimator=Shifted()).fit_resample(table, y)
        else:
            model = AugmentedClassifier(Recorder(), augmenter, n_passes=1)
            result = model.fit(table, y).estimator_.calls_[0][0]
        assert result is not table
        np.testing.assert_array_equal(np.asarray(table), np.asarray(copy))
    # Nor is a result of real rows alone the array itself.
    alone = ExemplarAugmenter(Shifted(), 0.0).fit_transform(X)
    alone += 1
    np.testing.assert_array_equal(X, whole_rows(40)[0])


def test_transform_is_the_identity():
    X, y = whole_rows()
    augmenter = ExemplarAugmenter(Shifted(), random_state=0).fit(X, y)
    np.testing.assert_array_equal(augmenter.transform(X), X)
    frame = pd.DataFrame(X, columns=list("abc"))
    pd.testing.assert_frame_equal(clone(augmenter).fit(frame).transform(frame), frame)


def test_the_same_state_redraws_the_same_rows():
    X, y = whole_rows()
    first, again, other = (
        ExemplarAugmenter(Shifted(), random_state=seed).fit_transform(X, y) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_rows_follow_their_own_exemplar_in_the_real_density():
    X = load_iris().data
    redrawn = ExemplarAugmenter(small_vae(), 1.0, random_state=0).fit_transform(X)
    own = np.linalg.norm(redrawn - X, axis=1).mean()
    others = np.linalg.norm(redrawn - np.roll(X, 75, axis=0), axis=1).mean()
    assert own < 0.5 * others


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8])
def test_arrays_keep_their_dtype_and_integers_their_range(dtype):
    X = np.random.default_rng(0).integers(0, 10, (50, 4)).astype(dtype)
    augmented = ExemplarAugmenter(small_vae(), 1.0, random_state=0).fit_transform(X)
    assert augmented.dtype == dtype and (augmented != X).any()
    if np.issubdtype(dtype, np.integer):
        assert augmented.min() >= X.min() and augmented.max() <= X.max()


@pytest.mark.parametrize("first", [2**60 + 100, 2**63 - 20, -(2**63)])
@pytest.mark.parametrize("as_frame", [True, False])
def test_integers_that_floats_cannot_name_stay_in_their_range(first, as_frame):
    X = np.array([[first + n, n] for n in range(20)], dtype=np.int64)
    if as_frame:
        X = pd.DataFrame(X, columns=["large", "small"])
    augmented = np.asarray(ExemplarAugmenter(Shifted(), 1.0, random_state=0).fit_transform(X))
    assert augmented[:, 0].min() >= first and augmented[:, 0].max() <= first + 19


def test_a_frame_keeps_its_columns_dtypes_and_index():
    frame = mixed_frame()
    augmented = ExemplarAugmenter(Shifted(), 0.5, random_state=0).fit_transform(frame)
    assert augmented.columns.equals(frame.columns) and augmented.index.equals(frame.index)
    assert augmented.dtypes.equals(frame.dtypes)
    pd.testing.assert_frame_equal(
        augmented[["flag", "kind", "name"]], frame[["flag", "kind", "name"]]
    )
    moved = augmented["length"] != frame["length"]
    assert moved.sum() == len(frame) // 2
    pd.testing.assert_frame_equal(augmented[~moved], frame[~moved])


def test_set_output_gives_frames_of_arrays():
    X, _ = whole_rows()
    augmenter = ExemplarAugmenter(Shifted(), random_state=0).set_output(transform="pandas")
    assert list(augmenter.fit_transform(X).columns) == ["x0", "x1", "x2"]
    assert list(augmenter.transform(X).columns) == ["x0", "x1", "x2"]


def test_set_output_leaves_the_frame_as_it_is():
    frame = pd.DataFrame(whole_rows()[0])  # its names are integers, which set_output replaces
    augmenter = ExemplarAugmenter(Shifted(), random_state=0).set_output(transform="pandas")
    assert list(augmenter.fit(frame).transform(frame).columns) == ["x0", "x1", "x2"]
    assert list(frame.columns) == [0, 1, 2]


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


def test_sparse_columns_stay_sparse():
    dtypes = {"count": pd.SparseDtype(int), "share": pd.SparseDtype(float)}
    frame = pd.DataFrame({"count": np.arange(20) % 3, "share": np.arange(20.0)}).astype(dtypes)
    redrawn = ExemplarAugmenter(Shifted(), 1.0, random_state=0).fit_transform(frame)
    assert redrawn.dtypes.equals(frame.dtypes)
    assert (redrawn["share"] != frame["share"]).all()


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
        augmenter.fit_transform(frame)


def test_a_cache_knows_a_frozen_density_again(tmp_path):
    X, y = load_iris(return_X_y=True)
    augmenter = ExemplarAugmenter(FrozenEstimator(small_vae().fit(X)), random_state=0)
    for C in (0.1, 1.0, 10.0):
        pipeline = make_pipeline(augmenter, LogisticRegression(C=C), memory=str(tmp_path))
        pipeline.fit(X, y)
    assert len(list(tmp_path.rglob("output.pkl"))) == 1


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


def test_a_density_for_each_class():
    X, y = whole_rows()
    names = np.array(["a", "b", "c"])[y]
    augmenter = ExemplarAugmenter(Shifted(), 1.0, per_class=True, random_state=0)
    redrawn = augmenter.fit_transform(X, names)
    assert list(augmenter.density_) == ["a", "b", "c"]
    for label, density in augmenter.density_.items():
        np.testing.assert_array_equal(density.rows_, X[names == label])
    np.testing.assert_allclose(redrawn - X, SHIFT, atol=0.011)
    with pytest.raises(ValueError, match="per_class=True needs y"):
        clone(augmenter).fit(X)
    with pytest.raises(ValueError, match="frozen"):
        frozen = FrozenEstimator(Shifted().fit(X))
        ExemplarAugmenter(frozen, per_class=True).fit(X, y)


class ItsMean(Shifted):
    """A density whose every row is the mean of those it has seen."""

    def sample_like(self, X, n_samples=1, random_state=None, *, noise=True):
        return np.broadcast_to(self.rows_.mean(0), (len(X), n_samples, X.shape[1]))


@pytest.mark.parametrize("by", ["augmenter", "classifier", "over-sampler"])
def test_a_class_is_redrawn_by_its_own_density(by):
    X, y = whole_rows(61)  # 21, 20 and 20 rows
    augmenter = ExemplarAugmenter(ItsMean(), 1.0, per_class=True)
    if by == "augmenter":
        rows, labels = augmenter.fit_transform(X, y), y
    elif by == "over-sampler":
        sampler = ExemplarOverSampler({1: 30}, estimator=ItsMean(), per_class=True)
        rows, labels = (part[61:] for part in sampler.fit_resample(X, y))
        assert list(sampler.density_) == [1]
    else:
        model = AugmentedClassifier(Recorder(), augmenter, n_passes=1, real_weight=0)
        rows, labels, _ = model.fit(X, y).estimator_.calls_[0]
    assert len(rows) > 0
    for row, label in zip(rows, labels, strict=True):
        np.testing.assert_allclose(row, X[y == label].mean(0))


def test_only_a_class_that_does_not_grow_may_have_a_single_row():
    X = np.random.default_rng(0).normal(size=(21, 2))
    y = np.repeat(["a", "b"], [20, 1])
    sampler = ExemplarOverSampler({"a": 30}, estimator=small_vae(), per_class=True)
    assert len(sampler.fit_resample(X, y)[0]) == 31
    # One that grows may not, and is named.
    with pytest.raises(ValueError, match="class b, 1 row.*minimum of 2"):
        sampler.set_params(sampling_strategy={"b": 3}).fit_resample(X, y)


@pytest.mark.parametrize("by", ["augmenter", "classifier", "over-sampler"])
@pytest.mark.parametrize("per_class", [False, True])
def test_weights_reach_the_density(by, per_class):
    X, y = whole_rows(61)
    weights = np.arange(1.0, len(X) + 1)
    augmenter = ExemplarAugmenter(Shifted(), per_class=per_class)
    if by == "augmenter":
        augmenter.fit_transform(X, y, sample_weight=weights)
        density = augmenter.density_
    elif by == "classifier":
        fitted = AugmentedClassifier(Recorder(), augmenter, n_passes=1).fit(X, y, weights)
        density = fitted.augmenter_.density_
    else:
        sampler = ExemplarOverSampler({1: 30}, estimator=Shifted(), per_class=per_class)
        sampler.fit_resample(X, y, sample_weight=weights)
        density = sampler.density_
    found = density[1].weights_ if per_class else density.weights_
    np.testing.assert_array_equal(found, weights[y == 1] if per_class else weights)


def test_no_noise_is_no_noise():
    X = np.random.default_rng(0).normal(size=(60, 5))
    frozen = FrozenEstimator(small_vae(n_components=1, max_iter=0).fit(X))
    means = ExemplarAugmenter(frozen, 1.0, noise=False, random_state=0).fit_transform(X)
    # All on the line that the decoder makes of codes.
    assert np.linalg.matrix_rank(means - means.mean(0), tol=1e-3) == 1


def redrawn_by(noise, X, **parameters):
    augmenter = ExemplarAugmenter(small_vae(**parameters), 1.0, noise=noise, random_state=0)
    return augmenter.fit_transform(X)


def test_rows_are_moved_by_default_and_integers_drawn():
    rng = np.random.default_rng(0)
    binary = rng.integers(0, 2, (60, 5))
    levels = rng.integers(0, 256, (60, 5))
    for X, parameters in (
        (binary.astype(float), {}),
        (rng.normal(size=(60, 5)), {}),
        (rng.uniform(size=(60, 5)), {"likelihood": "bernoulli"}),
        (levels, {"likelihood": "logistic"}),
    ):
        moved, by_default = (redrawn_by(n, X, **parameters) for n in ("random_residual", "auto"))
        np.testing.assert_array_equal(by_default, moved)
        assert (redrawn_by(False, X, **parameters) != moved).any()
    # Rounded, a row that has moved a little would mostly be the row again.
    for X in (binary, levels):
        np.testing.assert_array_equal(redrawn_by("auto", X), redrawn_by(True, X))
        assert (redrawn_by("residual", X) != redrawn_by(True, X)).any()


@pytest.mark.parametrize("wrap", [ExemplarAugmenter, ExemplarOverSampler])
def test_bad_tables_leave_nothing_behind(wrap):
    y = np.arange(20) % 2
    words = pd.DataFrame({"word": list("ab") * 10})
    missing = pd.DataFrame({"number": [np.nan, *range(19)]})
    some = [None, *range(19)]
    hidden = pd.DataFrame({"a": np.arange(20.0), "b": pd.Series(some, dtype=object)})
    bad = [
        (words, "no column of numbers"),
        (missing, "NaN"),
        (hidden, "Column 'b' of X holds numbers as objects"),
        (hidden.assign(b=1j), "Complex data not supported: X has it in column 'b'"),
        ([[number, 1.0] for number in some], "Input X contains NaN"),
        (
            pl.DataFrame({"word": list(words["word"]), "n": range(20)}),
            "holds what is no number: could",
        ),
    ]
    for X, reason in bad:
        estimator = wrap(estimator=small_vae())
        with pytest.raises(ValueError, match=reason):
            estimator.fit(X, y)
        assert not hasattr(estimator, "n_features_in_")


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA, pd.NaT])
@pytest.mark.parametrize("wrap", [ExemplarAugmenter, ExemplarOverSampler, AugmentedClassifier])
def test_every_row_needs_a_class(wrap, missing):
    X, _ = whole_rows(40)
    y = ["a", "b"] * 20
    y[3] = missing
    if wrap is AugmentedClassifier:
        estimator = wrap(LogisticRegression(), ExemplarAugmenter(Shifted()))
    else:
        estimator = wrap(estimator=Shifted(), per_class=True)
    for labels in (y, np.array(y, dtype=object), pd.Series(y)):
        with pytest.raises(ValueError, match="Input y contains .* in row 3"):
            estimator.fit(X, labels)


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

    augmenter = ExemplarAugmenter(Seen(), 0.5)

    class Checking(ClassifierMixin, BaseEstimator):
        def __init__(self, takes_passes=False):
            self.takes_passes = takes_passes

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
        "pipeline": make_pipeline(augmenter, Checking()),
        "classifier": AugmentedClassifier(Checking(), augmenter),
        "passes": AugmentedClassifier(CheckingPasses(), augmenter, n_passes=2),
        "over-sampler": imblearn.pipeline.make_pipeline(
            ExemplarOverSampler({label: 30 for label in range(3)}, estimator=Seen()), Checking()
        ),
    }[augmented_by]
    scores = cross_val_score(estimator, X, y, cv=3, error_score="raise", scoring="accuracy")
    np.testing.assert_allclose(scores, 1 / 3)


def test_a_series_is_no_table():
    with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
        ExemplarAugmenter(Shifted()).fit(pd.Series([1.0, 2.0, 3.0]))


def test_a_flow_augments_too():
    X, y = load_wine(return_X_y=True)
    augmenter = ExemplarAugmenter(small_flow(prior="exemplar"), proportion=0.5, random_state=0)
    redrawn = augmenter.fit_transform(X, y)
    changed = (redrawn != X).any(1)
    assert abs(changed.mean() - 0.5) < 0.01
    density = augmenter.density_
    steps = density.transform(redrawn[changed]) - density.transform(X[changed])
    lengths = (steps**2).sum(1) / density.bandwidth_**2  # chi-squared, a degree a column
    assert abs(lengths.mean() - X.shape[1]) < 4 * (2 * X.shape[1] / len(steps)) ** 0.5
