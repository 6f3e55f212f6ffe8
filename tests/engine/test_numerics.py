"""The engine's arithmetic beside brute force, torch.distributions and finite differences."""

import math

import pytest
import torch

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.numerics import (
    FLOATS_IN_CACHE,
    LogKernelSum,
    invert_cumulative,
    log_kernel_sums,
    log_mixture_density,
    normal_log_prob,
    randn_like,
    reparameterize,
    shifted_exp,
    squared_distances,
)
from tests._models import generator
from tests.engine._oracles import mixture_log_density

DOUBLE = {"dtype": torch.float64}


@pytest.fixture
def problem():
    codes = torch.randn(8, 3, generator=generator(0), **DOUBLE)
    centers = torch.randn(11, 3, generator=generator(1), **DOUBLE) + 0.5
    weights = torch.rand(11, generator=generator(2), **DOUBLE) + 0.1
    return codes, centers, weights


@pytest.fixture
def excluded():
    """A third of the exemplars of each row, and all of those of the last."""
    mask = torch.arange(88).reshape(8, 11) % 3 == 0
    mask[-1] = True
    return mask


def test_normal_log_prob_is_the_density_of_a_diagonal_normal():
    codes, mean, log_variance = torch.randn(3, 5, 4, generator=generator(), **DOUBLE)
    normal = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    expected = normal.log_prob(codes).sum(-1)
    torch.testing.assert_close(normal_log_prob(codes, mean, log_variance), expected)


def test_reparameterized_noise_has_the_mean_and_the_variance_asked_for():
    mean, log_variance = torch.tensor([-3.0, 5.0], **DOUBLE), torch.tensor([-2.0, 1.0], **DOUBLE)
    noise = torch.randn(200_000, 2, generator=generator(), **DOUBLE)
    drawn = reparameterize(mean, log_variance, noise)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.var(0), log_variance.exp(), atol=0, rtol=0.02)


def test_noise_is_the_same_for_every_dtype():
    single, double = (
        randn_like(torch.empty(100, 3, dtype=dtype), generator())
        for dtype in (torch.float32, torch.float64)
    )
    assert single.dtype == torch.float32 and double.dtype == torch.float64
    assert torch.equal(single, double.float())


def test_squared_distances_are_those_of_every_pair():
    left = torch.randn(7, 4, generator=generator(0), **DOUBLE)
    right = torch.randn(9, 4, generator=generator(1), **DOUBLE)
    expected = torch.tensor(
        [[math.dist(a, b) ** 2 for b in right.tolist()] for a in left.tolist()], **DOUBLE
    )
    torch.testing.assert_close(squared_distances(left, right), expected)


@pytest.mark.parametrize("outlier", [None, -9999.0])
def test_distances_keep_their_digits_far_from_the_origin(outlier):
    rows = torch.randn(20, 3, generator=generator()) + 1000
    if outlier is not None:
        rows[7] = outlier  # a code for "missing" must not move the center of the others
    expected = torch.cdist(rows.double(), rows.double()) ** 2
    near = expected < 1000
    actual = squared_distances(rows, rows)
    assert (actual >= 0).all()
    torch.testing.assert_close(actual.double()[near], expected[near], atol=1e-3, rtol=0)


def test_shifted_exp_keeps_sums_within_range():
    log_terms = torch.tensor([[1000.0, 999.0, -math.inf], [-1000.0, -1001.0, -5000.0]], **DOUBLE)
    terms, largest = shifted_exp(log_terms)
    expected = torch.logsumexp(log_terms, 1)
    torch.testing.assert_close(terms.sum(1).log() + largest[:, 0], expected)
    nothing, _ = shifted_exp(torch.full((1, 3), -math.inf))
    assert not nothing.isnan().any()


@pytest.mark.parametrize("n_queries", [4, 2 * (FLOATS_IN_CACHE // 1000) + 3])
def test_log_kernel_sums_are_the_logarithms_of_plain_sums(n_queries):
    """In one piece and in several."""
    distances = 5 * torch.rand(n_queries, 1000, generator=generator(), **DOUBLE)
    weights = torch.rand(1000, generator=generator(1), **DOUBLE)
    weights[::7] = 0
    expected = torch.log((weights * torch.exp(-0.5 * 3.0 * distances)).sum(1))
    torch.testing.assert_close(log_kernel_sums(distances, weights.log(), 3.0), expected)


def test_log_kernel_sums_reach_beyond_the_smallest_number():
    distances = torch.tensor([[4000.0, 4002.0], [0.0, 4000.0]], **DOUBLE)
    expected = torch.tensor([-2000 + math.log(1 + 2 * math.exp(-1)), 0.0], **DOUBLE)
    log_weights = torch.tensor([0.0, math.log(2)], **DOUBLE)
    torch.testing.assert_close(log_kernel_sums(distances, log_weights, 1.0), expected)


@pytest.mark.parametrize("leave_some_out", [False, True])
def test_gradient_of_a_kernel_sum_is_that_of_finite_differences(problem, excluded, leave_some_out):
    codes, centers, weights = problem
    codes.requires_grad_()
    centers.requires_grad_()
    log_bandwidth = torch.tensor(-0.3, **DOUBLE, requires_grad=True)
    left_out = excluded[:-1] if leave_some_out else None

    def log_sums(codes, centers, log_bandwidth):
        return LogKernelSum.apply(codes, centers, weights.log(), log_bandwidth, left_out)

    assert torch.autograd.gradcheck(log_sums, (codes[:-1], centers, log_bandwidth))


@pytest.mark.parametrize("with_totals", [False, True])
@pytest.mark.parametrize("leave_some_out", [False, True])
def test_gradient_of_the_mixture_is_that_of_finite_differences(
    problem, excluded, leave_some_out, with_totals
):
    codes, centers, weights = problem
    log_bandwidth = torch.tensor(-0.3, **DOUBLE)
    left_out = excluded[:-1] if leave_some_out else None
    log_totals = torch.linspace(1, 2, 7, **DOUBLE) if with_totals else None

    def density(codes, centers, log_bandwidth):
        exemplars = Exemplars(centers, weights.log())
        return log_mixture_density(codes, exemplars, log_bandwidth, left_out, log_totals)

    inputs = [tensor.requires_grad_() for tensor in (codes[:-1], centers, log_bandwidth)]
    assert torch.autograd.gradcheck(density, inputs)


@pytest.mark.parametrize("bandwidth", [0.2, 1.0, 3.0])
def test_mixture_density_is_the_sum_of_its_terms(problem, excluded, bandwidth):
    codes, centers, weights = problem
    exemplars, log_bandwidth = Exemplars(centers, weights.log()), torch.tensor(bandwidth).log()
    log_bandwidth = log_bandwidth.double()
    totals = torch.linspace(20, 30, 8, **DOUBLE)
    everyone = torch.ones_like(excluded)
    for left_out, log_totals, expected in (
        (None, None, mixture_log_density(*problem, bandwidth, everyone)),
        (excluded, None, mixture_log_density(*problem, bandwidth, ~excluded)),
        (None, totals.log(), mixture_log_density(*problem, bandwidth, everyone, totals)),
        (excluded, totals.log(), mixture_log_density(*problem, bandwidth, ~excluded, totals)),
    ):
        actual = log_mixture_density(codes, exemplars, log_bandwidth, left_out, log_totals)
        # With totals of its own, a row that sees no exemplar has no meaningful value.
        rows = slice(None) if log_totals is None else slice(-1)
        torch.testing.assert_close(actual[rows], expected[rows], rtol=1e-6, atol=1e-6)


def test_a_mixture_of_dropped_exemplars_is_a_lower_bound(problem, excluded):
    codes, centers, weights = problem
    log_bandwidth, log_total = torch.zeros((), **DOUBLE), weights.sum().log()
    whole = log_mixture_density(codes, Exemplars(centers, weights.log()), log_bandwidth)
    part = log_mixture_density(
        codes, Exemplars(centers, weights.log()), log_bandwidth, excluded, log_total.expand(8)
    )
    assert (part[:-1] < whole[:-1]).all()


@pytest.mark.parametrize("by_row", [False, True])
def test_inverse_of_cumulative_weights_is_the_first_index_above(by_row):
    weights = torch.rand(6, 20, generator=generator(0), **DOUBLE)
    weights[weights < 0.3] = 0
    uniforms = torch.rand(*((6, 50) if by_row else (50,)), generator=generator(1), **DOUBLE)
    chosen = invert_cumulative(weights.cumsum(1), uniforms)
    assert chosen.shape == (6, 50)
    for row, levels in enumerate(uniforms.expand(6, 50).tolist()):
        for level, index in zip(levels, chosen[row].tolist(), strict=True):
            below, total = weights[row, :index].sum(), weights[row].sum()
            assert below <= level * total < below + weights[row, index]


def test_weight_zero_is_never_drawn():
    cumulative = torch.tensor([[0.0, 0.5, 0.5, 1.0, 1.0]], **DOUBLE)
    levels = torch.linspace(0, 1 - 1e-12, 1000, **DOUBLE)
    assert set(invert_cumulative(cumulative, levels)[0].tolist()) == {1, 3}
