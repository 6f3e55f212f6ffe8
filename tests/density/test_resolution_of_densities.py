"""Densities of columns whose values repeat: noise in fit, and none that scores and samples show."""

import numpy as np
import pytest
from scipy.stats import norm

from sklearn_exemplar_vae import ExemplarFlow, ExemplarVAE
from tests._models import small_flow, small_vae
from tests.density._recorded import normal, recorded, zeros_and_normals

DENSITIES = [small_vae, small_flow]


def in_file(path, X):
    stored = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape)
    stored[:] = X
    return stored


@pytest.mark.parametrize("make", DENSITIES)
def test_scores_of_recorded_values_are_those_of_their_density_anywhere_in_their_unit(make):
    X = normal(1000, 2) * [0.2, 1]
    expected = norm.logpdf(X, scale=[0.2, 1]).sum(1).mean()
    X[:, 0] = np.round(X[:, 0], 1)
    model = make(max_iter=30).fit(X)
    as_they_are, moved = (model.score_samples(X + [shift, 0]).mean() for shift in (0, 0.01))
    assert abs(as_they_are - moved) < 0.05
    assert as_they_are == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("make", DENSITIES)
def test_a_random_state_decides_the_noise(make):
    X = recorded()
    before = X.copy()
    one, same, other = (make(random_state=seed, max_iter=0).fit(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(one.score_samples(X), same.score_samples(X))
    assert (one.score_samples(X) != other.score_samples(X)).all()


@pytest.mark.parametrize("make", DENSITIES)
def test_exemplars_are_spread_unless_they_stay_in_a_file(make, tmp_path):
    X, more = recorded(), recorded(200) + 20
    model = make(max_iter=0).fit(X)
    assert model.kneighbors(X, 1)[0].min() > 0
    from_file = make(max_iter=0).fit(in_file(tmp_path / "X", X))
    assert from_file.kneighbors(X, 1)[0].max() < 1e-6
    assert from_file.extend_exemplars(more).kneighbors(more, 1)[0].max() < 1e-6
    assert model.extend_exemplars(more).kneighbors(more, 1)[0].min() > 0
    farther = in_file(tmp_path / "more", more + 20)
    assert model.extend_exemplars(farther).kneighbors(farther, 1)[0].max() < 1e-6


@pytest.mark.parametrize("make", DENSITIES)
def test_equal_rows_are_each_others_exemplars_where_all_columns_are_recorded(make):
    """The bandwidth is that of rows which noise made different before the fit."""
    X = recorded(400, 2, step=1.0)
    spread = X + np.random.default_rng(2).uniform(-0.5, 0.5, X.shape)
    found, expected = (
        make(prior="exemplar", max_iter=0, early_stopping=False).fit(rows).bandwidth_
        for rows in (X, spread)
    )
    assert found == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("make", DENSITIES)
def test_equal_rows_are_not_each_others_exemplars_where_a_column_is_continuous(make):
    X = np.column_stack([normal(100), recorded(100, 1)])
    once, often = (
        make(prior="exemplar", max_iter=0, early_stopping=False).fit(rows).bandwidth_
        for rows in (X, np.repeat(X, 4, axis=0))
    )
    assert often > 0.7 * once


@pytest.mark.parametrize("make", DENSITIES)
def test_copies_of_rows_count_once_when_exemplars_are_added(make):
    X = np.repeat(np.column_stack([normal(80), recorded(80, 1)]), 4, axis=0)
    whole, half = (make(background="auto", max_iter=0).fit(rows) for rows in (X, X[:160]))
    assert half.extend_exemplars(X[160:]).background_weight_ == whole.background_weight_


@pytest.mark.parametrize("density", [ExemplarVAE, ExemplarFlow])
def test_an_atom_keeps_its_share_of_the_samples(density):
    X = zeros_and_normals()
    with pytest.warns(UserWarning, match=r"column 0 \(0 in 80% of the rows\)"):
        model = density(random_state=0).fit(X)
    samples = model.sample(20_000, random_state=0)
    assert (np.abs(samples) > 0.1).mean() == pytest.approx((np.abs(X) > 0.1).mean(), abs=0.03)
