"""How many rows a class gets, with imbalanced-learn as the oracle."""

import numpy as np
import pytest
from imblearn.utils import check_sampling_strategy

from sklearn_exemplar_vae import ExemplarOverSampler
from tests.augmentation._doubles import Shifted

THREE = np.repeat(["a", "b", "c"], [10, 40, 25])
TWO = np.repeat([0, 1], [10, 40])
NAMED = ("minority", "not minority", "not majority", "all", "auto")


def twice(labels):
    return {label: 2 * np.sum(labels == label) for label in np.unique(labels)}


def name_of(strategy):
    """Return a name that is the same in every process: a function's repr has its address."""
    return getattr(strategy, "__name__", str(strategy))


def fitted_sampler(strategy, labels):
    X = np.random.default_rng(0).normal(size=(len(labels), 2))
    return ExemplarOverSampler(strategy, estimator=Shifted(), random_state=0).fit(X, labels)


@pytest.mark.parametrize("strategy", [*NAMED, {"a": 30, "c": 25}, twice], ids=name_of)
def test_counts_are_those_of_imbalanced_learn(strategy):
    expected = check_sampling_strategy(strategy, THREE, "over-sampling")
    assert fitted_sampler(strategy, THREE).sampling_strategy_ == expected


@pytest.mark.parametrize("strategy", [*NAMED, 0.5, 1.0, 0.33], ids=str)
def test_counts_of_two_classes_are_those_of_imbalanced_learn(strategy):
    expected = check_sampling_strategy(strategy, TWO, "over-sampling")
    assert fitted_sampler(strategy, TWO).sampling_strategy_ == expected


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
def test_an_impossible_strategy_is_refused_and_leaves_nothing_behind(strategy, labels, reason):
    X = np.random.default_rng(0).normal(size=(len(labels), 2))
    sampler = ExemplarOverSampler(strategy, estimator=Shifted())
    with pytest.raises(ValueError, match=reason):
        sampler.fit_resample(X, labels)
    assert not hasattr(sampler, "n_features_in_")
