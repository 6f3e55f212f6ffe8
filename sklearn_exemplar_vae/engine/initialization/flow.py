r"""Where a flow starts: a kernel density estimate, mixed with the normal distribution of the rows.

Along the principal axis j of the standardized rows, of variance l_j, a kernel's standard deviation
is ``s l_j^(a / 2)``, as for the Exemplar VAE (see `kernel_density`). The codes of an untrained flow
are ``x A diag(l)^(-a / 2) A'``, where all kernels are round; with a = 0 they are the rows. The
normal distribution of the rows there has variances ``l_j^(1 - a)`` along the same axes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..mixture import likeliest_share, log_mix
from .bandwidth import effective_sample_size, rule_of_thumb
from .kernel_density import best_shape_and_bandwidth, log_density_along_axes
from .left_out import Fold, InitializationRows, axes_and_folds, normal_log_density

# The normal's share starts as far from 0 and 1, where it could not move.
SMALLEST_SHARE = 1e-3
# Steps of expectation-maximization that find the share; the likelihood is flat around the best.
N_STEPS = 20


class FlowInitialization(NamedTuple):
    """A linear map under which the kernels are round, and a normal distribution of codes."""

    linear: torch.Tensor  # (D, D)
    bandwidth: float  # s
    axes: torch.Tensor  # (D, D), one axis a column
    log_variances: torch.Tensor  # (D,), of the normal along the axes
    share: float  # of the normal


def initialize_flow(
    sample: InitializationRows, prior: str, bandwidth: float | str, generator: torch.Generator
) -> FlowInitialization:
    """Return the density of standardized rows that training starts from.

    Parameters
    ----------
    sample : InitializationRows
    prior : {"mixed", "exemplar", "gaussian"}
        Under "exemplar" the kernel is chosen without the normal; under "gaussian" the codes are
        uncorrelated.
    bandwidth : float, "scott", "silverman" or "loo", as in `initialize_kernel`
    generator : torch.Generator
        Picks the rows left out.
    """
    n_features = sample.rows.shape[1]
    (variances, axes), folds = axes_and_folds(sample, generator)
    normal = None
    if prior == "mixed" and folds:
        normal = torch.cat([normal_log_density(fold) for fold in folds])
    shape, is_given = 0.0, not isinstance(bandwidth, str)
    share = 0.5 if prior == "mixed" else SMALLEST_SHARE
    if prior == "gaussian":
        shape, bandwidth, is_given = 1.0, 1.0, True
    elif bandwidth == "loo" and folds:
        shape, bandwidth = choose_kernel_beside_normal(folds, normal)
    elif not is_given:  # a rule; of copies of one row, where nothing can be left out, one too
        rule = "scott" if bandwidth == "loo" else bandwidth
        bandwidth = rule_of_thumb(rule, effective_sample_size(sample.weights), n_features)
    if normal is not None:
        kernels = left_out_kernels(folds, shape, bandwidth)
        share = best_mixture(kernels, normal, torch.cat([fold.weights for fold in folds]))[1]
    if not is_given:
        bandwidth = sample.narrowed(bandwidth, n_features)
    return FlowInitialization(
        linear=(axes * variances ** (-0.5 * shape)) @ axes.T if shape > 0 else torch.eye(len(axes)),
        bandwidth=bandwidth,
        axes=axes,
        log_variances=(1 - shape) * variances.log(),
        share=share,
    )


def choose_kernel_beside_normal(
    folds: list[Fold], normal: torch.Tensor | None
) -> tuple[float, float]:
    """Return the (shape, bandwidth) of the highest left-out likelihood, ``normal`` mixed in.

    ``normal`` are the normal's log-densities (n,) of the rows that the folds leave out, in turn.
    """
    weights = torch.cat([fold.weights for fold in folds])

    def left_out(shape: float, bandwidth: float) -> float:
        kernels = left_out_kernels(folds, shape, bandwidth)
        if normal is not None:  # which takes the rows far from all others, too
            return (weights @ best_mixture(kernels, normal, weights)[0]).item()
        parts = kernels.split([len(fold.weights) for fold in folds])
        mixed = [fold.with_background(part) for fold, part in zip(folds, parts, strict=True)]
        return (weights @ torch.cat(mixed)).item()

    return best_shape_and_bandwidth(left_out)


def left_out_kernels(folds: list[Fold], shape: float, bandwidth: float) -> torch.Tensor:
    """Return the log-densities (n,) under the kernels of the rows that the folds leave out."""
    return torch.cat(
        [log_density_along_axes(fold, bandwidth**2 * fold.axes.variances**shape) for fold in folds]
    )


def best_mixture(
    kernels: torch.Tensor, normal: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Return the log-densities (n,) of the likeliest mixture of two, and the second's share."""
    share = likeliest_share(kernels, normal, weights, n_steps=N_STEPS, smallest=SMALLEST_SHARE)
    return log_mix(kernels, normal, torch.tensor(share)), share
