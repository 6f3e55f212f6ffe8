"""ExemplarOverSampler keeps imbalanced-learn's contract."""

import subprocess
import sys

import numpy as np
import pandas as pd
from imblearn.ensemble import BalancedBaggingClassifier
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sklearn_exemplar_vae import ExemplarOverSampler
from tests._models import small_vae
from tests.augmentation._doubles import SHIFT, Shifted, mixed_frame

THREE = np.repeat(["a", "b", "c"], [10, 40, 25])
TWO = np.repeat([0, 1], [10, 40])


@parametrize_with_checks([ExemplarOverSampler(estimator=small_vae(), random_state=0)])
def test_checks_of_imbalanced_learn(estimator, check):
    check(estimator)


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


def test_imbalanced_learn_is_not_imported_and_may_be_later():
    code = """if True:
        import sys

        import sklearn
        from sklearn_exemplar_vae import ExemplarOverSampler

        ExemplarOverSampler().__sklearn_tags__()
        assert "imblearn" not in sys.modules

        import imblearn.pipeline  # which asks samplers for metadata

        sklearn.set_config(enable_metadata_routing=True)
        ExemplarOverSampler().set_fit_resample_request(sample_weight=True)
        """
    subprocess.run([sys.executable, "-c", code], check=True)
