"""Densities in what scikit-learn users build of estimators: searches, pipelines, frames."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from tests._models import small_flow, small_vae


@pytest.mark.parametrize(
    "density", [small_vae(max_iter=2), small_flow(prior="exemplar", max_iter=2)]
)
def test_grid_search_over_a_density(X, density):
    search = GridSearchCV(density, {"bandwidth": [0.2, 1.0, 3.0]}, cv=3).fit(X)
    assert search.best_params_["bandwidth"] in (0.2, 1.0)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_ahead_of_a_classifier():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(small_vae(n_components=2), LogisticRegression())
    assert cross_val_score(pipeline, X, y).mean() > 0.8
    grid = {"exemplarvae__n_components": [1, 2]}
    assert GridSearchCV(pipeline, grid, cv=2).fit(X, y).best_score_ > 0.8


def test_behind_a_scaler():
    X = np.random.default_rng(0).random((60, 5))
    pipeline = make_pipeline(MinMaxScaler(), small_vae(likelihood="bernoulli")).fit(X)
    assert np.isfinite(pipeline.score(X))


def test_frames(X):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = small_vae(n_components=2).fit(frame)
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    assert list(model.get_feature_names_out()) == ["exemplarvae0", "exemplarvae1"]
    codes = model.set_output(transform="pandas").transform(frame)
    assert list(codes.columns) == ["exemplarvae0", "exemplarvae1"]
    with pytest.raises(ValueError, match="feature names"):
        model.score_samples(frame[["b", "a", "c", "d"]])
