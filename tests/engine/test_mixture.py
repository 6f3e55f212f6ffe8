"""A model and what stands beside it, beside the weighted sum of densities that scipy has."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, multivariate_t

from sklearn_exemplar_vae.engine.components import BinaryFrequencies, NormalMixture, StudentTail
from sklearn_exemplar_vae.engine.flow import build_flow
from sklearn_exemplar_vae.engine.importance.estimate import ImportanceSampling
from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.initialization.flow import initialize_flow
from sklearn_exemplar_vae.engine.minibatch import LeftOut, Minibatch
from sklearn_exemplar_vae.engine.mixture import Mixture, log_mix
from sklearn_exemplar_vae.engine.model import Draws
from sklearn_exemplar_vae.engine.scoring import encode, log_density
from tests._models import generator
from tests.engine._models import initialization_rows, untrained_model

# Every number is one in single precision too.
TAIL_MEAN, TAIL_COVARIANCE = np.array([0.5, -1.0, 0.0]), np.diag([0.25, 4.0, 1.0])
NORMAL_MEAN, NORMAL_COVARIANCE = np.array([1.0, 0.0, -2.0]), np.diag([1.0, 0.25, 4.0])
SHARES = [(0.25, 0.0), (0.0, 0.125), (0.25, 0.125), (0.0, 1e-6)]


def tail() -> StudentTail:
    return StudentTail(torch.from_numpy(TAIL_MEAN), torch.from_numpy(TAIL_COVARIANCE))


def normals() -> NormalMixture:
    whitening = torch.from_numpy(NORMAL_COVARIANCE).inverse().sqrt()
    mean = torch.from_numpy(NORMAL_MEAN)
    return NormalMixture(torch.ones(1, dtype=torch.float64), mean[None], whitening[None])


def mixture_of(normal_share, background_share) -> Mixture:
    """Return a mixture of a normal distribution and a tail; one of no share is not there."""
    mixture = Mixture()
    mixture.set_normals(normals() if normal_share > 0 else None, normal_share)
    mixture.set_background(tail() if background_share > 0 else None, background_share)
    return mixture


def by_brute_force(log_densities, rows, normal_share, background_share):
    """Return the log of the weighted sum of densities, as NumPy arrays."""
    by_normals = multivariate_normal(NORMAL_MEAN, NORMAL_COVARIANCE).pdf(rows)
    by_tail = multivariate_t(TAIL_MEAN, TAIL_COVARIANCE, df=1).pdf(rows)
    near = (1 - normal_share) * np.exp(log_densities) + normal_share * by_normals
    return np.log((1 - background_share) * near + background_share * by_tail)


def random_rows(n_rows, dtype=torch.float64):
    """Return log-densities that a model may give, and rows, some of them far off."""
    draw = generator()
    rows = torch.randn(n_rows, 3, generator=draw, dtype=torch.float64)
    rows *= torch.logspace(-1, 2, n_rows, dtype=torch.float64)[:, None]
    log_densities = 4 * torch.randn(n_rows, generator=draw, dtype=torch.float64) - 5
    return log_densities.to(dtype), rows.to(dtype)


# ------------------------------------------------------------------------- densities


@pytest.mark.parametrize("normal_share, background_share", SHARES)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_density_is_the_weighted_sum(normal_share, background_share, dtype, tolerance):
    log_densities, rows = random_rows(50, dtype)
    mixture = mixture_of(normal_share, background_share)
    if dtype == torch.float64:  # as models score it
        mixture = mixture.double()
    found = mixture(log_densities, rows)
    assert found.dtype == dtype
    numbers = log_densities.double().numpy(), rows.double().numpy()
    expected = by_brute_force(*numbers, normal_share, background_share)
    np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)


def test_a_model_with_nothing_beside_it_is_the_density():
    log_densities, rows = random_rows(5)
    mixture = Mixture()
    assert mixture(log_densities, rows) is log_densities
    mixture = mixture_of(0.25, 0.125)
    mixture.set_normals(None, 0.25)
    mixture.set_background(None, 0.125)
    assert mixture(log_densities, rows) is log_densities
    assert mixture.normal_share == mixture.background_share == 0


def test_autocast_changes_nothing():
    log_densities, rows = random_rows(50, torch.float32)
    mixture = mixture_of(0.25, 0.125)
    expected = mixture(log_densities, rows)
    with torch.autocast("cpu", torch.bfloat16):
        assert (rows @ rows.T).dtype == torch.bfloat16
        found = mixture(log_densities, rows)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_row_pulls_by_the_part_that_the_model_has_of_it():
    log_densities, rows = random_rows(50)
    log_densities[:2] = torch.tensor([-1e6, -torch.inf])
    log_densities.requires_grad_(True)
    mixed = mixture_of(0.25, 0.125).double()(log_densities, rows)
    (pulls,) = torch.autograd.grad(mixed.sum(), log_densities)
    parts = 0.875 * 0.75 * torch.exp(log_densities - mixed)
    torch.testing.assert_close(pulls, parts.detach())
    assert (pulls[:2] == 0).all()


def test_shares_have_their_digits():
    share = torch.tensor(1e-10, dtype=torch.float64)
    nothing = torch.zeros(3)
    far = log_mix(nothing - 1e6, nothing, share)
    torch.testing.assert_close(far, torch.full((3,), np.log(1e-10), dtype=torch.float32))
    torch.testing.assert_close(
        log_mix(nothing, nothing - 1e6, share), nothing - 1e-10, rtol=1e-5, atol=0
    )


# ------------------------------------------------------------- densities of whole models


def flow():
    initial = initialize_flow(initialization_rows(40), "exemplar", 0.6, generator())
    return build_flow(initial, "exemplar", 2, (8,), generator()).double()


def bound_of(model, rows, observed=None):
    """Return what training maximizes, of rows that see all others."""
    excluded = torch.eye(len(rows), dtype=torch.bool)
    log_weights = torch.zeros(len(rows), dtype=rows.dtype)
    minibatch = Minibatch(
        rows, len(rows), len(rows), log_weights, LeftOut(excluded), lambda codes: codes
    )
    with torch.no_grad():
        if model.is_exact:
            return model.log_density(minibatch)
        noise = torch.randn(len(rows), 1, model.n_noise, generator=generator(), dtype=rows.dtype)
        return model.training_bound(minibatch, Draws(noise, observed))


@pytest.mark.parametrize("make", [flow, lambda: untrained_model().double()], ids=["flow", "vae"])
def test_training_and_scores_are_of_the_mixture(make):
    model, rows = make(), initialization_rows(40).rows
    rows[:4] *= 1e4
    codes = encode(model, rows)
    exemplars = Exemplars(codes, torch.zeros(len(rows), dtype=torch.float64))

    def both():
        scores = log_density(model, rows, exemplars, ImportanceSampling(8, 0))
        return bound_of(model, rows), scores

    alone = both()
    model.mixture = mixture_of(0.25, 0.125).double()
    for before, found in zip(alone, both(), strict=True):
        expected = by_brute_force(before.numpy(), rows.numpy(), 0.25, 0.125)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_training_mixes_what_it_sees_of_gray_rows():
    model = untrained_model(4, n_components=2, likelihood="bernoulli")
    rows = torch.rand(20, 4, generator=generator())
    observed = (torch.rand(20, 4, generator=generator(1)) < rows).float()
    alone = bound_of(model, rows, observed)
    p = torch.tensor([0.1, 0.5, 0.8, 0.9])
    model.mixture.set_background(BinaryFrequencies(p), 0.25)
    by_background = torch.where(observed == 1, p, 1 - p).prod(1)
    expected = torch.log(0.75 * alone.exp() + 0.25 * by_background)
    torch.testing.assert_close(bound_of(model, rows, observed), expected)


# --------------------------------------------------------------------------- samples


def far_rows(n_rows, draw):
    """Return rows that no normal distribution of the tests has."""
    return 1000 + torch.randn(n_rows, 3, generator=draw)


def test_samples_are_of_both_parts_in_their_shares_and_in_no_order():
    mixture = mixture_of(0.25, 0.5)
    rows = mixture.sample(far_rows, 20_000, generator())
    assert rows.shape == (20_000, 3) and rows.dtype == torch.float32
    is_normal = (rows - torch.from_numpy(NORMAL_MEAN)).abs().amax(1) < 20
    is_far = (rows - 1000).abs().amax(1) < 20
    assert (is_normal ^ is_far).all()  # none is of the tail, half of the density
    assert abs(is_normal.double().mean() - 0.25) < 4 * (0.25 * 0.75 / 20_000) ** 0.5
    for half in is_normal.split(10_000):
        assert abs(half.double().mean() - 0.25) < 4 * (0.25 * 0.75 / 10_000) ** 0.5
    # Of two parts in random order neighbors are of one part as often as any two rows are.
    changes = (is_normal[1:] != is_normal[:-1]).double().mean()
    assert abs(changes - 2 * 0.25 * 0.75) < 0.02


def test_samples_of_the_normals_are_theirs():
    rows = mixture_of(0.999, 0).sample(far_rows, 20_000, generator())
    rows = rows[rows[:, 0] < 500].double().numpy()
    np.testing.assert_allclose(rows.mean(0), NORMAL_MEAN, atol=0.06)
    np.testing.assert_allclose(np.cov(rows.T), NORMAL_COVARIANCE, atol=0.2)


@pytest.mark.parametrize("normal_share", [0.0, 0.5])
def test_equal_seeds_have_equal_samples(normal_share):
    mixture = mixture_of(normal_share, 0.125)
    one, two, other = (mixture.sample(far_rows, 100, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_without_normals_all_samples_are_the_model_s():
    found = mixture_of(0.0, 0.875).sample(far_rows, 50, generator())
    torch.testing.assert_close(found, far_rows(50, generator()), rtol=0, atol=0)


def test_few_samples_may_all_be_of_one_part():
    mixture = mixture_of(0.5, 0.0)
    for seed in range(20):
        for n_samples in (1, 2, 3):
            rows = mixture.sample(far_rows, n_samples, generator(seed))
            assert rows.shape == (n_samples, 3) and torch.isfinite(rows).all()
