r"""Where a flow starts: a kernel density estimate, mixed with the normal distribution of the rows.

Along the principal axis j of the standardised rows, of variance l_j, a kernel's standard deviation
is ``s l_j^(a / 2)``, as for the Exemplar VAE (see `kde_start`). The codes of an untrained flow are
``x A diag(l)^(-a / 2) A'``, where all kernels are round; with a = 0 they are the rows. The normal
distribution of the rows is there one of variances ``l_j^(1 - a)`` along the same axes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from .bandwidth import effective_sample_size, rule_of_thumb
from .kde_start import (
    Fold,
    best_shape_and_bandwidth,
    left_out_folds,
    log_density_along_axes,
    principal_axes,
)
from .priors import LOG_2PI

# The normal's share where it starts, at least and at most: at 0 or 1 it could not move.
SHARE_RANGE = (1e-3, 1 - 1e-3)
# Steps of expectation-maximisation that find it; the likelihood is flat around the best.
N_STEPS = 20


class FlowStart(NamedTuple):
    """A linear map under which the kernels are round, and a normal distribution of codes."""

    linear: torch.Tensor  # (D, D)
    bandwidth: float  # s
    axes: torch.Tensor  # (D, D), one axis a column
    log_variances: torch.Tensor  # (D,), of the normal along the axes
    share: float  # of the normal


def flow_start(
    rows: torch.Tensor,
    weights: torch.Tensor,
    groups: torch.Tensor,
    prior: str,
    bandwidth: float | str,
    n_exemplars: int,
    generator: torch.Generator,
) -> FlowStart:
    """The density of standardised ``rows`` that training starts from.

    Parameters
    ----------
    prior : {"mixed", "exemplar", "gaussian"}
        Of the exemplars alone the kernel is chosen without the normal, and of the normal alone the
        codes are uncorrelated.
    rows, weights, groups, bandwidth, n_exemplars, generator : see `kernel_start`
    """
    folds = []
    if prior == "mixed" or (prior == "exemplar" and bandwidth == "loo"):
        folds = list(left_out_folds(rows, weights, groups, generator))
    normal = None
    if prior == "mixed" and folds:
        normal = torch.cat([normal_log_density(fold) for fold in folds])
    shape, share, is_given = 0.0, 0.5, not isinstance(bandwidth, str)
    if prior == "gaussian":
        shape, bandwidth, is_given = 1.0, 1.0, True
    elif bandwidth == "loo" and folds:
        shape, bandwidth = choose_kernel(folds, normal)
    elif not is_given:  # a rule; of copies of one row, where nothing can be left out, one too
        rule = "scott" if bandwidth == "loo" else bandwidth
        bandwidth = rule_of_thumb(rule, effective_sample_size(weights), rows.shape[1])
    if normal is not None:
        kernels = left_out_kernels(folds, shape, bandwidth)
        share = best_mixture(kernels, normal, torch.cat([fold.weights for fold in folds]))[1]
    if not is_given:
        bandwidth *= (len(rows) / n_exemplars) ** (1 / (rows.shape[1] + 4))
    variances, axes = principal_axes(rows, weights)
    return FlowStart(
        linear=(axes * variances ** (-0.5 * shape)) @ axes.T if shape > 0 else torch.eye(len(axes)),
        bandwidth=bandwidth,
        axes=axes,
        log_variances=(1 - shape) * variances.log(),
        share=share,
    )


def choose_kernel(folds: list[Fold], normal: torch.Tensor | None) -> tuple[float, float]:
    """(shape, bandwidth) of the highest left-out likelihood, mixed with ``normal`` if there is one.

    ``normal`` are the normal's log-densities (n,) of the rows that the folds leave out, in turn.
    """
    weights = torch.cat([fold.weights for fold in folds])

    def left_out(shape: float, bandwidth: float) -> float:
        scores = left_out_kernels(folds, shape, bandwidth)
        if normal is not None:
            scores = best_mixture(scores, normal, weights)[0]
        return (weights @ scores).item()

    return best_shape_and_bandwidth(left_out)


def left_out_kernels(folds: list[Fold], shape: float, bandwidth: float) -> torch.Tensor:
    """Log-densities (n,) under the kernels, of the rows that the folds leave out, in turn."""
    return torch.cat(
        [log_density_along_axes(fold, bandwidth**2 * fold.axes.variances**shape) for fold in folds]
    )


def best_mixture(
    kernels: torch.Tensor, normal: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Log-densities (n,) of the likeliest mixture of two, and the share of the second."""
    share = 0.5
    for _ in range(N_STEPS):
        log_odds = normal - kernels + math.log(share) - math.log1p(-share)
        share = (weights @ torch.sigmoid(log_odds) / weights.sum()).item()
        share = min(max(share, SHARE_RANGE[0]), SHARE_RANGE[1])
    mixed = torch.logaddexp(kernels + math.log1p(-share), normal + math.log(share))
    return mixed, share


def normal_log_density(fold: Fold) -> torch.Tensor:
    """Log-density (n,) of the queries under the normal distribution of the others."""
    variances, axes = fold.axes
    squares = ((fold.queries @ axes) ** 2 / variances).sum(1)
    return -0.5 * (squares + (LOG_2PI + variances.log()).sum())
