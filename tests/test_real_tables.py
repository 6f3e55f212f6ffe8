"""What people's tables hold: each of these once had absurd scores, with the defaults."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae import ExemplarFlow, ExemplarVAE

BOTH = pytest.mark.parametrize("density", [ExemplarFlow, ExemplarVAE])


def fitted(density, X, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns without a density, and of max_iter
        return density(random_state=0, **parameters).fit(X)


@BOTH
def test_a_row_that_departs_from_a_constant_is_unlikely_and_no_more(density):
    X = np.c_[np.random.default_rng(0).normal(size=(200, 3)), np.zeros(200)]
    with pytest.warns(UserWarning, match="X is constant in column 3"):
        model = density(random_state=0).fit(X)
    rival = KernelDensity(bandwidth=0.5).fit(X)
    row = np.array([[0.0, 0, 0, 1]])
    assert -12 < model.score_samples(row)[0] < rival.score_samples(row)[0]
    np.testing.assert_array_equal(model.sample(50, random_state=0)[:, 3], 0)


@BOTH
@pytest.mark.parametrize("n_rows", [80, 81])
def test_few_digits_with_constant_pixels_are_as_likely_as_by_kernel_density(density, n_rows):
    digits = load_digits().data
    X, others = digits[:n_rows], digits[-100:]
    rival = KernelDensity(bandwidth=4).fit(X)
    scores = fitted(density, X).score_samples(others)
    assert scores.mean() > rival.score_samples(others).mean() + 30
    assert scores.min() > rival.score_samples(others).min() - 40


@BOTH
def test_fewer_rows_than_columns_are_about_as_likely_as_by_kernel_density(density):
    gaps = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, others = rng.normal(size=(5, 10)), rng.normal(size=(200, 10))
        rival = KernelDensity(bandwidth="scott").fit(X)
        gaps.append(fitted(density, X).score_samples(others) - rival.score_samples(others))
    assert np.mean(gaps) > -2 and np.min(gaps) > -20


@BOTH
def test_two_rows_are_a_density(density):
    scores = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, others = rng.normal(size=(2, 3)), rng.normal(size=(200, 3))
        scores.append(fitted(density, X).score_samples(others))
    assert np.mean(scores) > -9


@BOTH
def test_heavy_tails_cost_little(density):
    rng = np.random.default_rng(0)
    X, others = rng.standard_cauchy(size=(1000, 1)), rng.standard_cauchy(size=(1000, 1))
    entropy = np.log(4 * np.pi)
    assert fitted(density, X).score_samples(others).mean() > -entropy - 0.1


@BOTH
def test_recorded_rows_and_their_neighborhood_score_alike(density):
    rng = np.random.default_rng(0)
    X, others = (np.round(rng.normal(size=(500, 2)), 1) for _ in range(2))
    model = fitted(density, X)
    gap = model.score_samples(others).mean() - model.score_samples(others + 0.01).mean()
    assert abs(gap) < 0.02


@BOTH
def test_two_units_of_one_measurement_are_named(density):
    celsius = np.random.default_rng(0).normal(15, 8, size=300)
    with pytest.warns(UserWarning, match="column 1 of X is a linear function of column 0"):
        density(max_iter=0).fit(np.c_[celsius, 1.8 * celsius + 32])


@BOTH
def test_rows_far_outside_are_likelier_than_by_kernel_density(density):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5))
    scale = rng.choice([3, 30, 3000], size=(2000, 1))
    far = scale * np.abs(X).max(0) * rng.uniform(1, 2, (2000, 5)) * rng.choice([-1, 1], (2000, 5))
    scores = fitted(density, X, max_iter=5).score_samples(far)
    rival = KernelDensity(bandwidth=0.5).fit(X / X.std(0))
    by_rival = rival.score_samples(far / X.std(0)) - np.log(X.std(0)).sum()
    assert np.isfinite(scores).all() and (scores > by_rival).all()


@BOTH
def test_normal_clusters_are_as_likely_as_by_a_gaussian_mixture(density):
    """`GaussianMixture` with the right number of components is the model of these rows."""
    rng = np.random.default_rng(0)
    centers = rng.normal(scale=5, size=(3, 4))
    X, others = (centers[rng.integers(3, size=n)] + rng.normal(size=(n, 4)) for n in (150, 2000))
    rival = GaussianMixture(3, random_state=0).fit(X)
    model = fitted(density, X)
    assert model.gaussian_mixture_weight_ > 0.3
    assert model.score_samples(others).mean() > rival.score_samples(others).mean() - 0.1
