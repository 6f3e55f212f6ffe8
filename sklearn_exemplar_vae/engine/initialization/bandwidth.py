"""Bandwidths of the exemplar prior: rules of thumb, and the best for a given set of exemplars."""

from __future__ import annotations

import math

import torch

from ..importance.proposals import Exemplars
from ..numerics import LOG_2PI, log_kernel_sums, squared_distances
from ..priors import ExemplarPrior


def rule_of_thumb(rule: str, n_rows: float, n_components: int) -> float:
    """Return Scott's or Silverman's bandwidth for standardized columns, as `KernelDensity` does."""
    if rule == "silverman":
        n_rows = n_rows * (n_components + 2) / 4
    return n_rows ** (-1 / (n_components + 4))


def effective_sample_size(weights: torch.Tensor) -> float:
    """Return Kish's (sum w)^2 / sum w^2, which is n for equal weights."""
    return (weights.sum() ** 2 / (weights**2).sum()).item()


def golden_section_search(function, low: float, high: float, tolerance: float = 0.05):
    """Return the maximum and its argument of a function of a positive scale with one peak.

    The search runs over the logarithm and stops at a relative width of ``tolerance``.
    """
    ratio = (math.sqrt(5) - 1) / 2
    left, right = math.log(low), math.log(high)
    inner = [right - ratio * (right - left), left + ratio * (right - left)]
    values = [function(math.exp(point)) for point in inner]
    while right - left > tolerance:
        if values[0] > values[1]:
            right = inner[1]
            inner = [right - ratio * (right - left), inner[0]]
            values = [function(math.exp(inner[0])), values[0]]
        else:
            left = inner[0]
            inner = [inner[1], left + ratio * (right - left)]
            values = [values[1], function(math.exp(inner[1]))]
    return max(zip(values, (math.exp(point) for point in inner), strict=True))


def best_bandwidth(
    codes: torch.Tensor,
    weights: torch.Tensor,
    exemplars: Exemplars,
    prior: ExemplarPrior,
    excluded: torch.Tensor | None = None,
) -> float:
    """Return the s under which ``codes`` (n, d), weighted, are likeliest given all ``exemplars``.

    A bandwidth learned with M exemplars at a step is too wide for N > M of them. The bound of
    held-out rows depends on s through log p(z | X) alone, a kernel density estimate of their codes:
    the distances are taken once, and s is searched between a third and twice that of ``prior``.
    Exemplars ``excluded``, boolean (n, N), are left out of a row's sum.
    """
    distances = squared_distances(codes, exemplars.codes)
    if excluded is not None:
        distances = distances.masked_fill(excluded, math.inf)

    log_totals = exemplars.log_weights[None]
    if excluded is not None:
        log_totals = log_totals.masked_fill(excluded, -math.inf)
    log_totals = torch.logsumexp(log_totals, 1)

    def mean_log_prior(bandwidth):
        log_sums = log_kernel_sums(distances, exemplars.log_weights, bandwidth**-2) - log_totals
        log_kernels = log_sums - codes.shape[1] * (0.5 * LOG_2PI + math.log(bandwidth))
        return (weights * prior.add_base(log_kernels, codes)).sum().item()

    around = prior.log_bandwidth.exp().item()
    return golden_section_search(mean_log_prior, around / 3, around * 2)[1]
