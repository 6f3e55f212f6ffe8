"""Samples of a fitted density, and samples near given rows."""

import numpy as np
import pytest

from tests._models import correlated, small_flow, small_vae, two_moons


@pytest.mark.parametrize("make", [small_vae, small_flow])
def test_samples_are_those_of_their_seed(make):
    model = make().fit(correlated(120, 4))
    assert model.sample().shape == (1, 4)
    np.testing.assert_array_equal(model.sample(5, random_state=1), model.sample(5, random_state=1))
    assert not np.array_equal(model.sample(5, random_state=1), model.sample(5, random_state=2))
    many = model.sample(10_000, random_state=0)  # more than one piece
    assert len(np.unique(many, axis=0)) == 10_000


def test_samples_have_the_moments_of_the_data():
    X = two_moons(1000) * [1.0, 50.0]
    model = small_vae(max_iter=20, early_stopping=False).fit(X)
    samples = model.sample(20_000, random_state=0)
    scale = X.std(0)
    np.testing.assert_allclose(samples.mean(0) / scale, X.mean(0) / scale, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(samples.T), np.corrcoef(X.T), atol=0.05)
    # A kernel density is wider than its data by the kernel.
    ratio = samples.std(0) / scale
    assert (ratio > 0.97).all() and (ratio < 1.15).all()


@pytest.mark.parametrize(
    "model, n_samples, n_points, tolerance",
    [
        (small_vae(max_iter=30, early_stopping=False, n_importance_samples=64), 4000, 121, 0.01),
        (small_flow(max_iter=30, early_stopping=False), 20_000, 301, 0.005),
    ],
    ids=["vae", "flow"],
)
def test_mean_log_density_of_samples_is_minus_the_entropy(model, n_samples, n_points, tolerance):
    """Samples and scores must be of one density: E_p[log p] by both, against an integral."""
    model.fit(two_moons(300))
    by_samples = model.score_samples(model.sample(n_samples, random_state=0))
    axis = np.linspace(-4, 5, n_points)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    log_density = model.score_samples(grid)
    by_integral = (np.exp(log_density) * log_density).sum() * (axis[1] - axis[0]) ** 2
    error = by_samples.std() / np.sqrt(n_samples)
    assert abs(by_samples.mean() - by_integral) < 4 * error + tolerance


# --------------------------------------------------------------- samples near rows


def test_samples_near_a_row_stay_near_it():
    X = two_moons(300)
    model = small_vae(max_iter=0).fit(X)
    samples = model.sample_like(X[:5], 2000, random_state=0)
    scale = X.std(0)
    np.testing.assert_allclose(samples.mean(1) / scale, X[:5] / scale, atol=0.05)
    assert (samples.std(1) / scale < 0.5).all()


def test_samples_near_a_row_beyond_single_precision_are_finite():
    model = small_vae(max_iter=0).fit(correlated(120, 4))
    assert np.isfinite(model.sample_like(np.full((1, 4), 1e200), 2)).all()


def test_means_near_rows_are_what_draws_are_spread_around():
    X = np.random.default_rng(0).normal(size=(60, 3)) @ np.diag([1.0, 5.0, 0.2])
    # Linear, so that means of draws are known; fewer codes than columns, so that there is noise.
    model = small_vae(n_components=1, max_iter=0).fit(X)
    noisy = model.sample_like(X[:2], 20_000, random_state=0)
    means = model.sample_like(X[:2], 20_000, random_state=1, noise=False)
    expected = model.inverse_transform(model.transform(X[:2]))
    error = noisy.std(1) / np.sqrt(20_000)
    assert (abs(noisy.mean(1) - expected) < 5 * error).all()
    assert (abs(means.mean(1) - expected) < 5 * error).all()
    # A draw adds the decoder's noise, which is the same for every row.
    noise = noisy.var(1) - means.var(1)
    decoders = model._model.likelihood.variance.detach().cpu().numpy() * model._scaling.scale**2
    np.testing.assert_allclose(noise / decoders, 1, atol=0.1)


def test_means_near_gray_images_are_no_draws():
    X = np.random.default_rng(0).integers(0, 256, (40, 6))
    model = small_vae(likelihood="logistic").fit(X)
    draws = model.sample_like(X[:5], 3, random_state=0)
    means = model.sample_like(X[:5], 3, random_state=0, noise=False)
    assert (draws == np.rint(draws)).all() and (means != np.rint(means)).any()


@pytest.mark.parametrize("architecture", ["mlp", "hierarchical"])
def test_a_row_moves_as_the_decoder_does_and_keeps_its_residual(architecture):
    X = np.random.default_rng(0).normal(size=(60, 3)) @ np.diag([1.0, 5.0, 0.2])
    model = small_vae(n_components=1, architecture=architecture).fit(X)
    means = model.sample_like(X[:9], 50, random_state=0, noise=False)
    residual = (X - model.inverse_transform(model.transform(X)))[:9, None]
    assert abs(residual).mean() > 0.1
    moved = model.sample_like(X[:9], 50, random_state=0, noise="residual")
    np.testing.assert_allclose(moved - means, np.broadcast_to(residual, means.shape), atol=1e-4)
    moved = model.sample_like(X[:9], 50, random_state=0, noise="random_residual")
    # One share for a whole row, uniform in [0, 1].
    shares = ((moved - means) * residual).sum(-1) / (residual**2).sum(-1)
    np.testing.assert_allclose(moved - means, shares[..., None] * residual, atol=1e-4)
    assert abs(shares.mean() - 1 / 2) < 0.05 and abs(shares.var() - 1 / 12) < 0.02
    assert shares.min() > -0.01 and shares.max() < 1.01


@pytest.mark.parametrize("likelihood, scale", [("bernoulli", 1), ("logistic", 255)])
def test_moved_images_stay_images(likelihood, scale):
    X = np.random.default_rng(0).integers(0, 256, (40, 6)) / 255 * scale
    X = np.rint(X) if scale > 1 else X
    model = small_vae(likelihood=likelihood).fit(X)
    means = model.sample_like(X, 3, random_state=0, noise=False)
    expected = means + (X - model.inverse_transform(model.transform(X)))[:, None]
    assert (expected < 0).any() and (expected > scale).any()
    moved = model.sample_like(X, 3, random_state=0, noise="residual")
    np.testing.assert_allclose(moved, expected.clip(0, scale), atol=1e-4 * scale)


@pytest.mark.parametrize("noise", ["auto", "some", 1])
def test_wrong_noise_is_named(noise):
    model = small_vae(max_iter=0).fit(correlated(60, 3))
    with pytest.raises(ValueError, match="'noise'.*random_residual"):
        model.sample_like(np.zeros((1, 3)), noise=noise)


@pytest.mark.parametrize("method", ["sample", "sample_like", "kneighbors"])
@pytest.mark.parametrize("count", [0, -1, 1.5, "two"])
def test_wrong_counts_are_named(method, count):
    X = correlated(30, 3)
    model = small_vae(max_iter=0).fit(X)
    arguments = () if method == "sample" else (X,)
    with pytest.raises(ValueError, match="n_neighbors" if method == "kneighbors" else "n_samples"):
        getattr(model, method)(*arguments, count)
