"""Densities with a Gaussian mixture beside them, beside the formula they stand for."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae.density import _fitting
from sklearn_exemplar_vae.density._stacking import as_component
from tests._models import correlated, small_flow, small_vae, two_moons
from tests.density._background import mixed, student_scores

DENSITIES = [small_vae, small_flow]
# Of 1000 rows: above the rows of folds, so that a part is held out.
SIZES = [200, 1000]


def two_normals(n_rows, seed=0, n_columns=4):
    """Return rows of two well separated normal distributions in units of their own."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_columns)) + 8 * rng.integers(0, 2, (n_rows, 1))
    return rows * np.geomspace(1, 100, n_columns) - 20


def normals_of(model) -> GaussianMixture:
    """Return scikit-learn's mixture of the normals beside a model."""
    ours = model._model.mixture.normals
    theirs = GaussianMixture(len(ours.weights))
    theirs.weights_, theirs.means_ = ours.weights.numpy(), ours.means.numpy()
    theirs.precisions_cholesky_ = ours.whitenings.numpy()
    return theirs


def normal_scores(model, X):
    """Return log-densities by the normals beside a model, in the units of X."""
    scaling = model._scaling
    rows = (X - scaling.mean) / scaling.scale
    return normals_of(model).score_samples(rows) - np.log(scaling.scale).sum()


# ------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("n_rows", SIZES)
def test_clusters_that_are_normal_have_normals(make, n_rows):
    X, X_test = two_normals(n_rows), two_normals(2000, seed=1)
    alone, model = (make(max_gaussians=size).fit(X) for size in (0, 8))
    assert alone.gaussian_mixture_weight_ == 0 < 0.5 < model.gaussian_mixture_weight_ < 1
    gains = model.score_samples(X_test) - alone.score_samples(X_test)
    assert gains.mean() > 0.02 + 3 * gains.std() / 2000**0.5
    by_two = GaussianMixture(2, random_state=0).fit(X)
    assert model.score_samples(X_test).mean() > by_two.score(X_test) - 0.1


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("background", [0, "auto"])
def test_density_is_the_mixture_of_its_parts(make, background):
    X = two_normals(200)
    alone, model = (make(max_gaussians=size, background=background).fit(X) for size in (0, 8))
    rows = np.concatenate([X, X.mean(0) + 100 * (X - X.mean(0))])
    by_model, share = alone.score_samples(rows), model.background_weight_
    if share > 0:  # what the background leaves
        by_background = student_scores(X, rows)
        with np.errstate(invalid="ignore", divide="ignore"):
            left = np.exp(by_model) - share * np.exp(by_background)
            by_model = np.log(np.maximum(left, 0) / (1 - share))
    expected = mixed(by_model, normal_scores(model, rows), model.gaussian_mixture_weight_)
    if share > 0:
        expected = mixed(expected, by_background, share)
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-5, atol=1e-4)
    single = model.score_samples(rows.astype(np.float32))
    np.testing.assert_allclose(single, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("make", DENSITIES)
def test_rows_far_from_all_have_a_score(make):
    X = two_normals(200)
    model = make(max_gaussians=2).fit(X)
    far = np.float64([[1e15, 0, 0, 0], [0, -1e15, 1e15, 0]])
    for dtype in (np.float32, np.float64):
        scores = model.score_samples(far.astype(dtype))
        assert np.isfinite(scores).all() and (scores < -1e6).all()


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("n_rows", [150, 600])
def test_density_on_the_line_integrates_to_one(make, n_rows):
    rng = np.random.default_rng(0)
    # One of them is too narrow for the kernels of the other.
    is_narrow = rng.random((n_rows, 1)) < 0.5
    X = np.where(is_narrow, 0.02 * rng.normal(size=(n_rows, 1)), rng.normal(4, 1, (n_rows, 1)))
    model = make(max_gaussians=8, background="auto")
    if make is small_vae:
        model.set_params(n_importance_samples=256)
    model.fit(X)
    assert model.gaussian_mixture_weight_ > 0.1 and model.background_weight_ > 0.001
    # Along a tangent, which has the tails.
    angles = (np.arange(40_000) + 0.5) / 40_000 * np.pi - np.pi / 2
    densities = np.exp(model.score_samples((X.mean() + X.std() * np.tan(angles))[:, None]))
    total = (densities * X.std() / np.cos(angles) ** 2).mean() * np.pi
    assert total == pytest.approx(1, abs=0.005)


@pytest.mark.filterwarnings("ignore:column . of X is a linear function")
@pytest.mark.parametrize("make", DENSITIES)
def test_normals_that_cannot_be_fitted_are_not_there(make):
    """Of two equal columns, the more so the farther some of their values are."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        values = rng.standard_cauchy((150, 1)) ** 3
        X = np.column_stack([values, values, rng.normal(size=150)])
        model = make(max_gaussians=4, background="auto", max_iter=0).fit(X)
        assert np.isfinite(model.score_samples(X)).all()


def test_density_inside_bounds_integrates_to_one():
    rng = np.random.default_rng(0)
    narrow, wide = rng.gamma(400, 0.001, (300, 1)), rng.gamma(4, 2, (300, 1))
    X = np.where(rng.random((300, 1)) < 0.5, narrow, wide)
    model = small_flow(max_gaussians=8, background="auto", bounds=[(0, None)]).fit(X)
    assert model.gaussian_mixture_weight_ > 0.1
    places = (np.arange(40_000) + 0.5) / 40_000 * np.pi / 2
    densities = np.exp(model.score_samples(np.tan(places)[:, None]))
    assert (densities / np.cos(places) ** 2).mean() * np.pi / 2 == pytest.approx(1, abs=0.005)


def test_probabilities_of_integers_sum_to_one():
    rng = np.random.default_rng(0)
    X = np.where(rng.random((400, 1)) < 0.5, rng.poisson(1, (400, 1)), rng.poisson(60, (400, 1)))
    model = small_flow(max_gaussians=8, integer_columns=[0], bounds=[(0, 200)], max_iter=0)
    model.fit(X.astype(float))
    assert model.gaussian_mixture_weight_ > 0.1
    assert np.exp(model.score_samples(np.arange(201.0)[:, None])).sum() == pytest.approx(
        1, abs=0.01
    )


@pytest.mark.parametrize("make", DENSITIES)
def test_moons_lose_nothing_by_it(make):
    X, X_test = two_moons(1000), two_moons(2000, seed=1)
    alone, model = (make(max_gaussians=size).fit(X).score_samples(X_test) for size in (0, 32))
    assert model.mean() > alone.mean() - 0.01


# ------------------------------------------------------------------------- how it is found


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("n_rows", SIZES)
def test_it_is_judged_by_rows_that_no_part_has_seen(make, n_rows, monkeypatch):
    """At a start that one knows: `KernelDensity` of the rows trained on."""
    found, search = [], _fitting.search_stack

    def listen(*arguments):
        found.extend(arguments)
        return search(*arguments)

    monkeypatch.setattr(_fitting, "search_stack", listen)
    X = two_normals(n_rows)
    prior = {"prior": "exemplar", "bandwidth": 0.5, "max_iter": 0}
    make(max_gaussians=8, **prior).fit(X)
    left_out, log_model, _, weights, sizes, _ = found
    assert sizes == [1, 2, 4, 8] and len(left_out) == (5 if n_rows == 200 else 1)
    expected = []
    for trained, judges in left_out:
        assert not set(map(tuple, trained)) & set(map(tuple, judges))
        assert len(trained) + len(judges) == n_rows
        estimator = KernelDensity(bandwidth=0.5, leaf_size=n_rows).fit(trained)
        expected.append(estimator.score_samples(judges))
    np.testing.assert_allclose(log_model, np.concatenate(expected), atol=1e-3)
    np.testing.assert_allclose(weights, 1)


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("max_gaussians, most", [(1, 1), (2, 2), (3, 2), (7, 4), (32, 4)])
def test_there_are_at_most_as_many_normals_as_asked_for(make, max_gaussians, most):
    """In powers of two, and where each of a few is a gain over kernels as narrow as these."""
    X = np.concatenate([two_normals(200), two_normals(200, seed=1) * [-1, 1, -1, 1]])
    model = make(prior="exemplar", bandwidth=0.05, max_gaussians=max_gaussians, max_iter=0).fit(X)
    assert len(model._model.mixture.normals.weights) == most
    assert model.gaussian_mixture_weight_ > 0


@pytest.mark.parametrize("make", DENSITIES)
def test_weights_of_rows_are_those_of_the_normals(make):
    X = two_normals(400)
    is_second = X[:, 0] > -16
    weights = np.where(is_second, 9.0, 1.0)
    model = make(max_gaussians=2, max_iter=0).fit(X, sample_weight=weights)
    found = np.sort(model._model.mixture.normals.weights.numpy())
    share = weights[is_second].sum() / weights.sum()
    np.testing.assert_allclose(found, [1 - share, share], atol=0.03)
    assert share > 0.85


@pytest.mark.parametrize("parameters", [{"early_stopping": False}, {"max_gaussians": 0}])
@pytest.mark.parametrize("make", DENSITIES)
def test_a_fit_that_nothing_judges_has_none(make, parameters):
    model = make(**({"max_gaussians": 8} | parameters)).fit(two_normals(200))
    assert model.gaussian_mixture_weight_ == 0 and model._model.mixture.normals is None


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
def test_rows_that_have_probabilities_have_none(likelihood):
    X = (correlated(200, 6) > 0).astype(float)
    model = small_vae(likelihood=likelihood, max_gaussians=8).fit(X)
    assert model.gaussian_mixture_weight_ == 0


@pytest.mark.parametrize("make", DENSITIES)
def test_arrays_of_other_libraries_change_nothing(make):
    X = two_normals(150)
    expected = make(max_gaussians=2).fit(X).score_samples(X)
    with config_context(array_api_dispatch=True):
        found = make(max_gaussians=2).fit(X).score_samples(X)
    np.testing.assert_array_equal(found, expected)


# ------------------------------------------------------------------------- samples and codes


@pytest.mark.parametrize("make", DENSITIES)
def test_normals_have_their_share_of_samples(make):
    X = two_normals(200)
    model = make(max_gaussians=2, max_iter=0).fit(X)
    far = GaussianMixture(1).fit(1000 + np.random.default_rng(0).normal(size=(100, 4)))
    model._model.mixture.set_normals(as_component(far), 0.3)
    model._model.mixture.set_background(None, 0.5)
    samples = model.sample(20_000, random_state=0)  # of more than one piece
    is_far = samples[:, 0] > X[:, 0].mean() + 500 * X[:, 0].std()
    for half in np.split(is_far, 2):
        assert abs(half.mean() - 0.3) < 4 * (0.3 * 0.7 / 10_000) ** 0.5
    expected = model._scaling.inverse_transform(far.means_)[0]
    np.testing.assert_allclose(samples[is_far].mean(0), expected, rtol=1e-3)


@pytest.mark.parametrize("make", DENSITIES)
def test_samples_have_the_moments_of_the_parts(make):
    X = two_normals(200)
    alone, model = (make(max_gaussians=size).fit(X) for size in (0, 2))
    share, theirs = model.gaussian_mixture_weight_, normals_of(model)
    mean = model._scaling.inverse_transform((theirs.weights_ @ theirs.means_)[None])[0]
    expected = share * mean + (1 - share) * alone.sample(50_000, random_state=1).mean(0)
    found = model.sample(50_000, random_state=0).mean(0)
    np.testing.assert_allclose((found - expected) / X.std(0), 0, atol=0.02)


@pytest.mark.parametrize("make", DENSITIES)
def test_codes_and_what_training_tells_are_as_without_it(make):
    X = two_normals(200)
    alone, model = (make(max_gaussians=size).fit(X) for size in (0, 2))
    np.testing.assert_array_equal(model.transform(X), alone.transform(X))
    np.testing.assert_array_equal(model.kneighbors(X, 3)[1], alone.kneighbors(X, 3)[1])
    near = [each.sample_like(X[:3], 5, random_state=0) for each in (model, alone)]
    np.testing.assert_array_equal(*near)
    assert model.best_validation_score_ == alone.best_validation_score_


# ----------------------------------------------------------------------------- copies


@pytest.mark.parametrize("make", DENSITIES)
def test_saved_cloned_and_extended_densities_keep_it(make, tmp_path):
    X = two_normals(200)
    model = make(max_gaussians=2, background="auto").fit(X)
    joblib.dump(model, tmp_path / "model")
    others = [
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model", mmap_mode="r"),
        clone(model).fit(X),
    ]
    for other in others:
        np.testing.assert_array_equal(other.score_samples(X), model.score_samples(X))
        samples = [each.sample(9, random_state=0) for each in (other, model)]
        np.testing.assert_array_equal(*samples)
    share = model._model.mixture.normal_share.item()
    assert share == model.gaussian_mixture_weight_
    assert model.extend_exemplars(X)._model.mixture.normal_share.item() == share


@pytest.mark.parametrize("make", DENSITIES)
def test_a_fit_that_goes_on_finds_another(make):
    X = two_normals(300)
    model = make(max_gaussians=2, warm_start=True).fit(X)
    assert model.gaussian_mixture_weight_ > 0
    assert model.fit(X).gaussian_mixture_weight_ > 0
    assert model.set_params(max_gaussians=0).fit(X).gaussian_mixture_weight_ == 0
    assert model._model.mixture.normals is None
