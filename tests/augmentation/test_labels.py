"""The classes of rows: every row needs one, and one alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression

from sklearn_exemplar_vae import AugmentedClassifier, ExemplarAugmenter, ExemplarOverSampler
from tests.augmentation._doubles import Shifted, whole_rows

MAKERS = {
    "augmenter": lambda: ExemplarAugmenter(Shifted(), per_class=True, random_state=0),
    "over-sampler": lambda: ExemplarOverSampler(estimator=Shifted(), random_state=0),
    "classifier": lambda: AugmentedClassifier(LogisticRegression(), Shifted(), random_state=0),
}
all_three = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA, pd.NaT])
@all_three
def test_every_row_needs_a_class(make, missing):
    X, _ = whole_rows(40)
    y = ["a", "b"] * 20
    y[3] = missing
    for labels in (y, np.array(y, dtype=object), pd.Series(y)):
        with pytest.raises(ValueError, match="Input y contains .* in row 3"):
            make().fit(X, labels)


@all_three
def test_continuous_targets_are_no_classes(make):
    X, _ = whole_rows(40)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        make().fit(X, np.linspace(0, 1, 40))


@pytest.mark.parametrize("name", ["augmenter", "classifier"])
def test_one_hot_classes_are_for_the_over_sampler_alone(name):
    X, y = whole_rows(40)
    with pytest.raises(ValueError, match="y should be a 1d array"):
        MAKERS[name]().fit(X, np.eye(3, dtype=int)[y])


def test_a_row_of_two_classes_is_refused():
    X, y = whole_rows(40)
    encoded = np.eye(3, dtype=int)[y]
    encoded[5] = 1
    with pytest.raises(ValueError, match="Multilabel and multioutput targets are not supported"):
        MAKERS["over-sampler"]().fit(X, encoded)


def test_one_hot_classes_may_be_sparse():
    y = np.repeat([0, 1], [10, 40])
    X, encoded = np.arange(50.0)[:, None], np.eye(2, dtype=int)[y]
    sampler = MAKERS["over-sampler"]()
    expected, _ = sampler.fit_resample(X, encoded)
    rows, labels = sampler.fit_resample(X, csr_array(encoded))
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(labels.toarray().sum(0), [40, 40])


def test_the_classifier_warns_of_labels_in_a_column():
    X, y = whole_rows(40)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = MAKERS["classifier"]().fit(X, y[:, None])
    assert list(model.classes_) == [0, 1, 2]
