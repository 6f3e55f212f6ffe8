"""The exemplar prior beside the sum it stands for, written out."""

import math

import pytest
import torch

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.minibatch import LeftOut
from sklearn_exemplar_vae.engine.priors.exemplar import ExemplarPrior
from sklearn_exemplar_vae.engine.training.leave_one_out import own_exemplars
from tests.engine._oracles import mixture_log_density

DOUBLE = {"dtype": torch.float64}


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(8, 3, generator=generator, **DOUBLE)
    centers = torch.randn(11, 3, generator=generator, **DOUBLE) + 0.5
    weights = torch.rand(11, generator=generator, **DOUBLE) + 0.1
    return codes, centers, weights


@pytest.mark.parametrize("bandwidth", [0.2, 1.0, 3.0])
def test_prior_is_the_log_mean_exp(problem, bandwidth):
    codes, centers, weights = problem
    prior = ExemplarPrior(bandwidth).double()
    expected = mixture_log_density(*problem, bandwidth, torch.ones(8, 11, dtype=torch.bool))
    actual = prior.log_prob(codes, Exemplars(centers, weights.log()))
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


def test_copies_of_a_row_are_left_out_with_it(problem):
    """They leave numerator and denominator; a row of copies alone has no density."""
    codes, _, weights = problem
    weights, prior = weights[:8], ExemplarPrior(0.7)
    groups = torch.tensor([0, 1, 2, 0, 4, 5, 5, 0])
    excluded = own_exemplars(groups, groups)
    exemplars = Exemplars(codes, weights.log())
    expected = mixture_log_density(codes, codes, weights, 0.7, ~excluded)
    actual = prior.log_prob(codes, exemplars, LeftOut(excluded))
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    nobody = prior.log_prob(codes, exemplars, LeftOut(torch.ones_like(excluded)))
    assert (nobody == -math.inf).all()


@pytest.mark.parametrize("left_out", ["none", "some", "some of a known total"])
def test_several_codes_of_a_row_see_what_the_row_sees(problem, left_out):
    codes, centers, weights = problem
    several = codes.view(4, 2, 3)  # two codes of each of four rows
    excluded = torch.arange(44).reshape(4, 11) % 3 == 0
    totals = torch.linspace(20, 30, 4, **DOUBLE)
    kept, known = torch.ones(8, 11, dtype=torch.bool), None
    if left_out != "none":
        kept = ~excluded.repeat_interleave(2, 0)
    if left_out == "some of a known total":
        known = totals.repeat_interleave(2)
    expected = mixture_log_density(*problem, 0.7, kept, known).view(4, 2)
    argument = {
        "none": None,
        "some": LeftOut(excluded),
        "some of a known total": LeftOut(excluded, totals.log()),
    }[left_out]
    actual = (
        ExemplarPrior(0.7).double().log_prob(several, Exemplars(centers, weights.log()), argument)
    )
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


def test_samples_have_the_moments_of_the_mixture(problem):
    _, centers, weights = problem
    drawn = (
        ExemplarPrior(0.7)
        .double()
        .sample(Exemplars(centers, weights.log()), 200_000, torch.Generator().manual_seed(0))
    )
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(weights),
        torch.distributions.Independent(
            torch.distributions.Normal(centers, torch.full_like(centers, 0.7)), 1
        ),
    )
    torch.testing.assert_close(drawn.mean(0), mixture.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.var(0), mixture.variance, atol=0, rtol=0.02)
