"""The exemplar prior beside the sum it stands for, written out."""

import math

import pytest
import torch

from sklearn_exemplar_vae.engine.leave_one_out import draw_others, duplicate_groups, own_exemplars
from sklearn_exemplar_vae.engine.priors import (
    ExemplarPrior,
    Exemplars,
    GaussianPrior,
    invert_cumulative,
    log_mixture_density,
    squared_distances,
)
from sklearn_exemplar_vae.engine.vamp import VampPrior, draw_without_replacement

DOUBLE = {"dtype": torch.float64}


def brute_force(codes, centres, weights, bandwidth, kept):
    """log sum_n w_n N(z; mu_n, s^2 I) / sum_n w_n over the kept exemplars, term by term."""
    n_components = codes.shape[1]
    result = []
    for code, row_kept in zip(codes, kept, strict=True):
        total, numerator = 0.0, 0.0
        for centre, weight, keep in zip(centres, weights, row_kept, strict=True):
            if keep:
                distance = sum((a - b) ** 2 for a, b in zip(code, centre, strict=True))
                normal = math.exp(-0.5 * distance / bandwidth**2)
                normal /= (2 * math.pi * bandwidth**2) ** (n_components / 2)
                numerator += weight * normal
                total += weight
        result.append(math.log(numerator / total) if total > 0 else -math.inf)
    return torch.tensor(result, **DOUBLE)


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(8, 3, generator=generator, **DOUBLE)
    centres = torch.randn(11, 3, generator=generator, **DOUBLE) + 0.5
    weights = torch.rand(11, generator=generator, **DOUBLE) + 0.1
    return codes, centres, weights


@pytest.mark.parametrize("bandwidth", [0.2, 1.0, 3.0])
def test_prior_is_the_log_mean_exp(problem, bandwidth):
    codes, centres, weights = problem
    prior = ExemplarPrior(bandwidth).double()
    expected = brute_force(codes, centres, weights, bandwidth, torch.ones(8, 11))
    actual = prior.log_prob(codes, Exemplars(centres, weights.log()))
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


def test_leave_one_out_with_duplicates(problem):
    """Row and copies leave numerator and denominator; a row of copies alone has no density."""
    codes, _, weights = problem
    groups = torch.tensor([0, 1, 2, 0, 4, 5, 5, 0])
    excluded = own_exemplars(groups, groups)
    expected = brute_force(codes, codes, weights[:8], 0.7, ~excluded)
    actual = ExemplarPrior(0.7).log_prob(codes, Exemplars(codes, weights[:8].log()), excluded)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    everyone = torch.ones_like(excluded)
    nobody = ExemplarPrior(0.7).log_prob(codes, Exemplars(codes, weights[:8].log()), everyone)
    assert (nobody == -math.inf).all()


@pytest.mark.parametrize("leave_some_out", [False, True])
def test_gradient_of_the_mixture(problem, leave_some_out):
    """Written by hand in `LogKernelSum`, beside finite differences."""
    codes, centres, weights = problem
    log_bandwidth = torch.tensor(-0.3, **DOUBLE)
    excluded = torch.arange(88).reshape(8, 11) % 3 == 0 if leave_some_out else None

    def density(codes, centres, log_bandwidth):
        return log_mixture_density(
            codes, Exemplars(centres, weights.log()), log_bandwidth, excluded
        )

    inputs = [tensor.requires_grad_() for tensor in (codes, centres, log_bandwidth)]
    assert torch.autograd.gradcheck(density, inputs)


def test_distances_far_from_the_origin():
    rows = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) + 1000
    expected = torch.cdist(rows.double(), rows.double()) ** 2
    torch.testing.assert_close(squared_distances(rows, rows).double(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("prior", [ExemplarPrior(0.5), GaussianPrior()])
def test_proposal_is_unbiased(problem, prior):
    """E_q~[p(z) / q~(z)] = 1, whatever the posterior the encoder claims."""
    codes, centres, weights = problem
    exemplars = Exemplars(centres, weights.log())
    proposal = prior.double().proposal(codes, torch.full_like(codes, -0.5), exemplars)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(200_000, 3, generator=generator, **DOUBLE)
    uniforms = torch.rand(200_000, generator=generator, **DOUBLE)
    drawn = proposal.draw(noise, uniforms)
    # p(x | z) proportional to a wide normal at the origin, whose integral under p(z) is known.
    log_likelihood = -0.5 * (drawn**2).sum(-1) / 4
    estimate = (log_likelihood + proposal.log_ratio(drawn)).exp().mean(1)
    if isinstance(prior, GaussianPrior):
        expected = (1 + 1 / 4) ** -1.5
    else:
        variance = 0.25 + 4
        terms = torch.exp(-0.5 * (centres**2).sum(1) / variance) * (4 / variance) ** 1.5
        expected = ((weights * terms).sum() / weights.sum()).item()
    assert (estimate.log() - math.log(expected)).abs().max() < 0.1


class Encoder:
    """Stands for a network: codes are the first columns, log-variances the next."""

    def encode(self, rows):
        return rows[:, :3], rows[:, 3:]


@pytest.mark.parametrize("bounds", [None, (-0.5, 0.5)])
def test_vamp_prior_is_the_mixture_of_its_pseudo_inputs(bounds):
    rows = torch.randn(7, 6, generator=torch.Generator().manual_seed(0), **DOUBLE)
    prior = VampPrior(rows, bounds)
    centres = prior.centres(Encoder(), None)
    if bounds is not None:
        torch.testing.assert_close(prior.rows(), rows.clamp(-0.45, 0.45))
    rows = prior.rows().detach()
    components = torch.distributions.Independent(
        torch.distributions.Normal(rows[:, :3], (0.5 * rows[:, 3:]).exp()), 1
    )
    expected = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(7, **DOUBLE)), components
    )
    codes = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1), **DOUBLE)
    torch.testing.assert_close(prior.log_prob(codes, centres), expected.log_prob(codes))
    drawn = prior.sample(centres, 100_000, torch.Generator().manual_seed(2))
    torch.testing.assert_close(drawn.mean(0), expected.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0), expected.variance, atol=0.05, rtol=0.05)


def test_draws_without_replacement_are_multinomial():
    """Of 1, 2 and 4 (and none): the probability of a pair is that of either order."""
    weights, generator = torch.tensor([1.0, 0.0, 2.0, 4.0]).double(), torch.Generator()
    counts = torch.zeros(4, 4)
    for _ in range(20_000):
        first, second = sorted(draw_without_replacement(weights, 2, generator).tolist())
        counts[first, second] += 1
    assert counts[:, 1].sum() == counts[1].sum() == 0
    for (one, other), share in {
        (0, 2): 1 / 7 * 2 / 6 + 2 / 7 * 1 / 5,
        (0, 3): 1 / 7 * 4 / 6 + 4 / 7 * 1 / 3,
        (2, 3): 2 / 7 * 4 / 5 + 4 / 7 * 2 / 3,
    }.items():
        assert counts[one, other] / 20_000 == pytest.approx(share, abs=0.015)


def test_weight_zero_is_never_drawn():
    cumulative = torch.tensor([[0.0, 0.5, 0.5, 1.0, 1.0]], **DOUBLE)
    levels = torch.linspace(0, 1 - 1e-12, 1000, **DOUBLE)
    assert set(invert_cumulative(cumulative, levels)[0].tolist()) == {1, 3}


def test_duplicate_groups():
    rows = torch.tensor([[1.0, 0.0], [2.0, 0.0], [1.0, -0.0], [2.0, 0.0], [3.0, 1.0]]).numpy()
    assert duplicate_groups(rows).tolist() == [0, 1, 0, 1, 4]


def test_exemplars_are_drawn_without_replacement_from_the_others():
    generator = torch.Generator().manual_seed(0)
    batch = torch.tensor([3, 7, 11])
    counts = torch.zeros(20)
    for _ in range(2000):
        others = draw_others(batch, 20, 9, generator)
        assert len(set(others.tolist()) | set(batch.tolist())) == 10
        counts[others] += 1
    drawn = counts[counts > 0]
    assert len(drawn) == 17
    # Uniform: 7 of 17, within five standard deviations.
    rate, deviation = 7 / 17, math.sqrt(7 / 17 * 10 / 17 / 2000)
    assert ((drawn / 2000 - rate).abs() < 5 * deviation).all()
    assert len(draw_others(batch, 20, 2, generator)) == 0
    assert len(draw_others(batch, 20, 19, generator)) == 17
