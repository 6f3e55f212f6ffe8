"""Over-sampling by imbalanced-learn's contract, with imbalanced-learn itself as the oracle."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from _models import small_vae
from _redrawing import SHIFT, Shifted, mixed_frame
from imblearn.ensemble import BalancedBaggingClassifier
from imblearn.pipeline import make_pipeline
from imblearn.utils import check_sampling_strategy
from imblearn.utils.estimator_checks import parametrize_with_checks
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sklearn_exemplar_vae import ExemplarOverSampler
from sklearn_exemplar_vae._sampling_strategy import STRATEGIES, rows_to_add

THREE = np.repeat(["a", "b", "c"], [10, 40, 25])
TWO = np.repeat([0, 1], [10, 40])


@parametrize_with_checks([ExemplarOverSampler(estimator=small_vae(), random_state=0)])
def test_checks_of_imbalanced_learn(estimator, check):
    check(estimator)


def twice(labels):
    return {label: 2 * np.sum(labels == label) for label in np.unique(labels)}


def name_of(strategy):
    """The same in every process: a function's own repr has its address."""
    return getattr(strategy, "__name__", str(strategy))


@pytest.mark.parametrize("strategy", [*STRATEGIES, {"a": 30, "c": 25}, twice], ids=name_of)
def test_counts_are_those_of_imbalanced_learn(strategy):
    assert rows_to_add(strategy, THREE) == check_sampling_strategy(strategy, THREE, "over-sampling")


@pytest.mark.parametrize("strategy", [*STRATEGIES, 0.5, 1.0, 0.33], ids=str)
def test_counts_of_two_classes_are_those_of_imbalanced_learn(strategy):
    assert rows_to_add(strategy, TWO) == check_sampling_strategy(strategy, TWO, "over-sampling")


@pytest.mark.parametrize(
    "strategy, labels, reason",
    [
        (0.5, THREE, "is a float, which is for two classes"),
        (0.2, TWO, "adds no row"),
        ({"a": 5}, THREE, "asks for 5 rows of class 'a', which has 10"),
        ({"z": 50}, THREE, r"does not have: \['z'\]"),
        ("auto", TWO[:5], "more than 1 class"),
        ({"a": 60.0}, THREE, "whole numbers of rows, got 60.0 for class 'a'"),
        (lambda y: None, TWO, "must return a dict of sizes by class, got None"),
    ],
)
def test_impossible_strategies(strategy, labels, reason):
    X = np.random.default_rng(0).normal(size=(len(labels), 2))
    sampler = ExemplarOverSampler(strategy, estimator=small_vae())
    with pytest.raises(ValueError, match=reason):
        sampler.fit_resample(X, labels)
    assert not hasattr(sampler, "n_features_in_")


def test_new_rows_follow_the_old_ones_each_near_a_row_of_its_class():
    X = np.arange(75.0)[:, None] * [1, 2]
    resampled, labels = ExemplarOverSampler(estimator=Shifted(), random_state=0).fit_resample(
        X, THREE
    )
    np.testing.assert_array_equal(resampled[:75], X)
    np.testing.assert_array_equal(labels[:75], THREE)
    assert dict(zip(*np.unique(labels, return_counts=True), strict=True)) == dict(a=40, b=40, c=40)
    exemplars = np.floor(resampled[75:, 0]).astype(int)
    np.testing.assert_allclose(resampled[75:] - X[exemplars], SHIFT, atol=0.011)
    np.testing.assert_array_equal(labels[75:], THREE[exemplars])
    # 30 new rows of a class of ten: each row three times.
    np.testing.assert_array_equal(np.bincount(exemplars[labels[75:] == "a"]), 3)


def test_a_frame_comes_back_a_frame():
    frame = mixed_frame(50)
    y = pd.Series(TWO, name="class", index=frame.index)
    resampled, labels = ExemplarOverSampler(estimator=small_vae(), random_state=0).fit_resample(
        frame.drop(columns="large"), y
    )
    assert resampled.dtypes.equals(frame.drop(columns="large").dtypes)
    assert list(resampled.index) == list(labels.index) == list(range(80))
    assert labels.name == "class" and labels.dtype == y.dtype
    assert resampled["count"].between(frame["count"].min(), frame["count"].max()).all()
    # Words are the exemplar's own.
    rare = set(frame["name"][TWO == 0])
    assert set(resampled["name"][50:]) == rare


def test_one_hot_classes_may_be_sparse():
    X, encoded = np.arange(50.0)[:, None], np.eye(2, dtype=int)[TWO]
    sampler = ExemplarOverSampler(estimator=Shifted(), random_state=0)
    expected, _ = sampler.fit_resample(X, encoded)
    rows, labels = sampler.fit_resample(X, csr_array(encoded))
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(labels.toarray().sum(0), [40, 40])


def test_in_a_pipeline_and_a_grid_search():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(80, 3)), rng.normal(2, 1, size=(20, 3))])
    y = np.repeat(["often", "seldom"], [80, 20])
    pipeline = make_pipeline(ExemplarOverSampler(estimator=small_vae()), LogisticRegression())
    search = GridSearchCV(
        pipeline, {"exemplaroversampler__sampling_strategy": [0.5, 1.0]}, error_score="raise"
    ).fit(X, y)
    assert search.score(X, y) > 0.8
    assert search.predict(X).shape == (100,)


def test_in_an_ensemble_of_imbalanced_learn():
    X = np.random.default_rng(0).normal(size=(50, 3)) + TWO[:, None]
    sampler = ExemplarOverSampler(estimator=small_vae())
    ensemble = BalancedBaggingClassifier(
        LogisticRegression(), sampler=sampler, n_estimators=2, random_state=0
    )
    assert ensemble.fit(X, TWO).score(X, TWO) > 0.6


def test_weights_may_be_asked_for_where_imbalanced_learn_is_imported_later():
    code = (
        "import sklearn, sklearn_exemplar_vae as s, imblearn.pipeline; "
        "sklearn.set_config(enable_metadata_routing=True); "
        "s.ExemplarOverSampler().set_fit_resample_request(sample_weight=True)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_imbalanced_learn_is_not_imported():
    code = (
        "import sys, sklearn_exemplar_vae as s; s.ExemplarOverSampler().__sklearn_tags__(); "
        "assert 'imblearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
