"""The best bandwidth for given exemplars, and the rules of thumb."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.initialization.bandwidth import (
    best_bandwidth,
    effective_sample_size,
    golden_section_search,
    rule_of_thumb,
)
from sklearn_exemplar_vae.engine.priors.exemplar import ExemplarPrior


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_the_best_bandwidth_is_that_of_a_scan(generator):
    """Beside a scan of the same likelihood, written out."""
    codes, centers = normal(generator, 100, 2), normal(generator, 400, 2)
    exemplars = Exemplars(centers, torch.zeros(400))
    best = best_bandwidth(codes, torch.ones(100), exemplars, ExemplarPrior(0.3))
    grid = torch.linspace(0.1, 0.6, 200)
    likelihoods = [
        torch.distributions.Normal(centers[None], s)
        .log_prob(codes[:, None])
        .sum(2)
        .logsumexp(1)
        .mean()
        for s in grid
    ]
    assert best == pytest.approx(grid[torch.stack(likelihoods).argmax()].item(), rel=0.06)


def test_weights_of_rows_count_as_copies_do(generator):
    codes = normal(generator, 60, 2)
    codes[30:] *= 2
    exemplars = Exemplars(normal(generator, 200, 2), torch.zeros(200))
    counts = torch.tensor([9, 1]).repeat_interleave(30)
    best = partial(best_bandwidth, exemplars=exemplars, prior=ExemplarPrior(0.8))
    weighted, unweighted = best(codes, counts.float()), best(codes, torch.ones(60))
    copies = best(codes.repeat_interleave(counts, 0), torch.ones(300))
    assert weighted == pytest.approx(copies, rel=1e-3)
    assert unweighted > 1.1 * weighted


def test_excluded_exemplars_do_not_count(generator):
    codes, centers = normal(generator, 40, 2), normal(generator, 60, 2)
    log_weights = torch.linspace(-1, 1, 100)
    best = partial(best_bandwidth, codes, torch.ones(40), prior=ExemplarPrior(0.5))
    others = Exemplars(centers, log_weights[:60])
    with_themselves = Exemplars(torch.cat([centers, codes]), log_weights)
    excluded = (torch.arange(100) >= 60).expand(40, -1)
    without = best(exemplars=with_themselves, excluded=excluded)
    assert without == pytest.approx(best(exemplars=others))
    assert best(exemplars=with_themselves) < 0.8 * without


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_rules_of_thumb_are_those_of_kernel_density(rule):
    X = np.random.default_rng(0).normal(size=(57, 4))
    expected = KernelDensity(bandwidth=rule).fit(X).bandwidth_
    assert rule_of_thumb(rule, 57, 4) == pytest.approx(expected)


def test_equal_weights_are_as_many_rows_as_they_are():
    assert effective_sample_size(torch.full((30,), 2.5)) == pytest.approx(30)
    assert effective_sample_size(torch.tensor([1.0, 1.0, 1e-6])) == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("peak", [0.02, 0.5, 1.9])
def test_golden_section_search_finds_the_peak(peak):
    value, found = golden_section_search(lambda scale: -(np.log(scale / peak) ** 2), 0.01, 2.0)
    assert found == pytest.approx(peak, rel=0.05)
    assert value == pytest.approx(0, abs=0.05**2)
