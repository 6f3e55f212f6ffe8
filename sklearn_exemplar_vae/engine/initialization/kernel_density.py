r"""Where training starts on continuous data: the best kernel density estimate of the rows.

A Gaussian kernel of covariance ``s^2 A A' + sigma^2 I`` is an exemplar model with linear maps:
encode ``z = E' x``, decode ``A' z``, perturb the code by s and the row by sigma. A network that
adds zero to the two maps is that estimate. `initialize_kernel` chooses the kernel by the likelihood
of rows left out. Along the principal axis j of the standardized rows, of variance l_j, the kernel's
standard deviation is ``h l_j^(a / 2)``: the shape a = 0 is the round kernel of `KernelDensity`,
a = 1 one shaped like the data. On correlated columns the shape matters more than the bandwidth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from ..likelihoods import SCALE_FLOOR
from ..numerics import LOG_2PI, log_kernel_sums, squared_distances
from .bandwidth import effective_sample_size, golden_section_search, rule_of_thumb
from .left_out import Fold, InitializationRows, axes_and_folds

SHAPES = (0.0, 0.25, 0.5, 0.75, 1.0)
BANDWIDTH_RANGE = (0.01, 2.0)
# With as many codes as columns the kernel's variance is split between code and row. Most of it goes
# to the code, so that q(z | x), centered on mu(x), is close to the posterior from the first step.
NOISE_SHARE = 0.1


class KernelInitialization(NamedTuple):
    """Linear maps and variances of a kernel density estimate read as an exemplar model."""

    encoder: torch.Tensor  # (D, d)
    decoder: torch.Tensor  # (d, D)
    code_log_variance: torch.Tensor  # (d,), of the exact posterior given the exemplar
    bandwidth: float  # s, of the codes
    noise_variance: float  # sigma^2, of the standardized columns


def code_and_noise_variance(
    variances: torch.Tensor, shape: float, bandwidth: float
) -> tuple[float, float]:
    """Return s^2 and sigma^2 of a kernel along all axes whose round form has this bandwidth.

    The two share its variance; sigma^2 stays above the decoder's floor along the last axis.
    """
    noise = NOISE_SHARE * bandwidth**2 * variances[-1].item() ** shape
    above = max(SCALE_FLOOR**2 - noise, 0)  # what the decoder's floor adds, the code gives up
    code = (1 - NOISE_SHARE) * bandwidth**2 - above
    return max(code, NOISE_SHARE * bandwidth**2), noise + above


def initialize_kernel(
    sample: InitializationRows,
    n_components: int,
    bandwidth: float | str,
    generator: torch.Generator,
) -> KernelInitialization:
    """Return the kernel density estimate of standardized rows that training starts from.

    Parameters
    ----------
    sample : InitializationRows
    n_components : int
        d. Below D the codes are principal components and the residual variance is the decoder's.
    bandwidth : float, "scott", "silverman" or "loo"
        A number or rule gives a round kernel; "loo" maximizes the likelihood of left-out rows over
        shape and bandwidth. The shape is estimated from the rows, so blocks of rows are left out,
        not single ones: leaving out one row would not undo its pull on the shape.
    generator : torch.Generator
        Picks the rows left out.
    """
    n_features = sample.rows.shape[1]
    axes, folds = axes_and_folds(sample, generator)
    shape, is_given = 0.0, not isinstance(bandwidth, str)
    if bandwidth == "loo":
        if folds:
            shape, bandwidth = choose_kernel(folds, n_components)
        else:  # all rows are one row: nothing can be left out
            bandwidth = "scott"
    if isinstance(bandwidth, str):
        bandwidth = rule_of_thumb(bandwidth, effective_sample_size(sample.weights), n_components)
    if not is_given:
        bandwidth = sample.narrowed(bandwidth, n_components)
    if n_components < n_features:
        code_variance, noise_variance = bandwidth**2, residual_variance(folds, n_components)
    else:
        code_variance, noise_variance = code_and_noise_variance(axes.variances, shape, bandwidth)
    spread = axes.variances[:n_components] ** (0.5 * shape)
    directions = axes.axes[:, :n_components]
    posterior_precision = spread**2 / noise_variance + 1 / code_variance
    return KernelInitialization(
        encoder=(directions / spread).float(),
        decoder=(directions * spread).T.contiguous().float(),
        code_log_variance=-posterior_precision.log().float(),
        bandwidth=math.sqrt(code_variance),
        noise_variance=noise_variance,
    )


def initialize_principal_components(
    sample: InitializationRows, n_components: int, generator: torch.Generator
) -> KernelInitialization:
    """Return where training starts under a N(0, I) prior: probabilistic PCA, exactly.

    See Tipping & Bishop (1999); parameters as in `initialize_kernel`. As many codes as columns
    leave no residual variance; the noise is then a share of the smallest variance.
    """
    (variances, axes), folds = axes_and_folds(sample, generator)
    if n_components < sample.rows.shape[1]:
        noise_variance = residual_variance(folds, n_components)
    else:
        _, noise_variance = code_and_noise_variance(variances, 1.0, 1.0)
    spread = (variances[:n_components] - noise_variance).clamp_min(SCALE_FLOOR**2).sqrt()
    directions = axes[:, :n_components]
    precision = spread**2 / noise_variance + 1
    return KernelInitialization(
        encoder=(directions * (spread / (noise_variance * precision))).float(),
        decoder=(directions * spread).T.contiguous().float(),
        code_log_variance=-precision.log().float(),
        bandwidth=1.0,
        noise_variance=noise_variance,
    )


def choose_kernel(folds: list[Fold], n_components: int) -> tuple[float, float]:
    """Return the (shape, bandwidth) of the highest left-out likelihood."""

    def left_out(shape, bandwidth):
        scores = [
            fold.weights
            @ fold.with_background(kernel_log_density(fold, n_components, shape, bandwidth))
            for fold in folds
        ]
        return sum(scores).item()

    return best_shape_and_bandwidth(left_out)


def best_shape_and_bandwidth(left_out: Callable[[float, float], float]) -> tuple[float, float]:
    """Return the (shape, bandwidth) at which ``left_out``, a function of both, is highest."""
    best = None
    for shape in SHAPES:
        score, bandwidth = golden_section_search(partial(left_out, shape), *BANDWIDTH_RANGE)
        if best is None or score > best[0]:
            best = (score, shape, bandwidth)
    return best[1:]


def residual_variance(folds: list[Fold], n_components: int) -> float:
    """Return the variance a column that left-out rows keep beyond the first axes of the others.

    The rows themselves have next to none beyond as many axes as there are rows; a decoder that
    believed it would give new rows almost no density.
    """
    squares = weights = 0.0
    for fold in folds:
        beyond = fold.queries @ fold.axes.axes[:, n_components:]
        squares += (fold.weights @ (beyond**2).mean(1)).item()
        weights += fold.weights.sum().item()
    return max(squares / weights, SCALE_FLOOR**2) if folds else SCALE_FLOOR**2


def kernel_log_density(fold: Fold, n_components: int, shape: float, bandwidth: float):
    """Return the log-density (n,) of the queries under the kernels at the others.

    Below d = D this is a density of the codes alone, along the first d axes. The decoder's noise,
    wide there and the same in all directions, would widen the kernel too; the best s would then be
    next to nothing, and training from that s would go nowhere.
    """
    variances = fold.axes.variances
    if n_components < len(variances):
        kernel_variance = bandwidth**2 * variances[:n_components] ** shape
    else:
        code_variance, noise_variance = code_and_noise_variance(variances, shape, bandwidth)
        kernel_variance = code_variance * variances**shape + noise_variance
    return log_density_along_axes(fold, kernel_variance)


def log_density_along_axes(fold: Fold, variances: torch.Tensor) -> torch.Tensor:
    """Return the log-density (n,) of the queries, kernels having ``variances`` (d,) along axes."""
    scaled_axes = fold.axes.axes[:, : len(variances)] / variances.sqrt()
    distances = squared_distances(fold.queries @ scaled_axes, fold.others @ scaled_axes)
    log_normalizer = 0.5 * (LOG_2PI + variances.log()).sum()
    return log_kernel_sums(distances, fold.log_weights, 1.0) - log_normalizer
