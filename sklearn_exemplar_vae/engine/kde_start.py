r"""Where training starts on continuous data: the best kernel density estimate of the rows.

A Gaussian kernel of covariance ``s^2 A A' + sigma^2 I`` is an exemplar model with linear maps:
encode ``z = E' x``, decode ``A' z``, perturb the code by s and the row by sigma. `kernel_start`
chooses such a kernel by the likelihood of rows left out, and a network that adds zero to the two
maps is that estimate. Along the principal axis j of the standardised rows, of variance l_j, the
kernel's standard deviation is ``h l_j^(a / 2)``: the shape a = 0 is the round kernel of
`KernelDensity`, a = 1 one shaped like the data. The shape is worth far more than the last digit of
the bandwidth on correlated columns, which is why it is chosen too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch

from .bandwidth import effective_sample_size, maximise_over_scale, rule_of_thumb
from .likelihoods import SCALE_FLOOR
from .priors import LOG_2PI, log_kernel_sums, squared_distances

SHAPES = (0.0, 0.25, 0.5, 0.75, 1.0)
BANDWIDTH_RANGE = (0.01, 2.0)
# With as many codes as columns the kernel's variance is split between code and row. Most of it goes
# to the code, so that q(z | x), centred on mu(x), is close to the posterior from the first step on.
NOISE_SHARE = 0.1
N_FOLDS = 5
MIN_QUERIES, MAX_QUERIES = 100, 500
# Left-out rows times other rows in one evaluation, while that leaves `MIN_QUERIES`.
MAX_PAIRS = 2**23


class KernelStart(NamedTuple):
    """Linear maps and variances of a kernel density estimate read as an exemplar model."""

    encoder: torch.Tensor  # (D, d)
    decoder: torch.Tensor  # (d, D)
    code_log_variance: torch.Tensor  # (d,), of the exact posterior given the exemplar
    bandwidth: float  # s, of the codes
    noise_variance: float  # sigma^2, of the standardised columns


class PrincipalAxes(NamedTuple):
    """Weighted principal axes of rows centred at zero, largest variance first."""

    variances: torch.Tensor  # (D,)
    axes: torch.Tensor  # (D, D), one axis a column


def principal_axes(rows: torch.Tensor, weights: torch.Tensor) -> PrincipalAxes:
    """Axes of ``rows`` (n, D); variances below the decoder's floor are raised to it.

    The first large entry of an axis is positive, so that rounding does not choose between the two
    directions, from which the networks would learn two models. (The largest would not do: the axes
    of two standardised columns have two entries of one size.)
    """
    covariance = (rows * weights[:, None]).T @ rows / weights.sum()
    variances, axes = torch.linalg.eigh(covariance)
    is_large = axes.abs() > 0.5 * axes.abs().amax(0)
    first_large = axes.gather(0, is_large.int().argmax(0, keepdim=True))
    axes = axes * first_large.sign()
    return PrincipalAxes(variances.flip(0).clamp_min(SCALE_FLOOR**2), axes.flip(1))


def code_and_noise_variance(
    variances: torch.Tensor, shape: float, bandwidth: float
) -> tuple[float, float]:
    """s^2 and sigma^2 of a kernel along all axes whose round form has variance ``bandwidth ** 2``.

    The two share that variance, which along the last axis leaves sigma^2 above the decoder's floor.
    """
    noise = NOISE_SHARE * bandwidth**2 * variances[-1].item() ** shape
    above = max(SCALE_FLOOR**2 - noise, 0)  # what the decoder's floor adds, the code gives up
    code = (1 - NOISE_SHARE) * bandwidth**2 - above
    return max(code, NOISE_SHARE * bandwidth**2), noise + above


def kernel_start(
    rows: torch.Tensor,
    weights: torch.Tensor,
    groups: torch.Tensor,
    n_components: int,
    bandwidth: float | str,
    n_exemplars: int,
    generator: torch.Generator,
) -> KernelStart:
    """The kernel density estimate of standardised ``rows`` that training starts from.

    Parameters
    ----------
    rows : float64 tensor of shape (n, D), standardised.
    weights : float64 tensor of shape (n,), positive.
    groups : int64 tensor of shape (n,)
        Equal for exact duplicates, which are left out together.
    n_components : int
        d. Below D the codes are principal components and the residual variance is the decoder's.
    bandwidth : float, "scott", "silverman" or "loo"
        A number or rule gives a round kernel; "loo" maximises the likelihood of left-out rows over
        shape and bandwidth. The shape is estimated from the rows, so blocks of rows are left out,
        not single ones: leaving out one row would not undo its pull on the shape.
    n_exemplars : int
        Rows the estimate will stand on; where ``rows`` are a part of them, a bandwidth chosen from
        the part is made smaller at Scott's rate.
    generator : torch.Generator
        Picks the rows left out.
    """
    axes = principal_axes(rows, weights)
    folds = []
    if bandwidth == "loo" or n_components < rows.shape[1]:
        folds = list(left_out_folds(rows, weights, groups, generator))
    shape, is_given = 0.0, not isinstance(bandwidth, str)
    if bandwidth == "loo":
        if folds:
            shape, bandwidth = choose_kernel(folds, n_components)
        else:  # all rows are one row: nothing can be left out
            bandwidth = "scott"
    if isinstance(bandwidth, str):
        bandwidth = rule_of_thumb(bandwidth, effective_sample_size(weights), n_components)
    if not is_given:
        bandwidth *= (len(rows) / n_exemplars) ** (1 / (n_components + 4))
    if n_components < rows.shape[1]:
        code_variance, noise_variance = bandwidth**2, residual_variance(folds, n_components)
    else:
        code_variance, noise_variance = code_and_noise_variance(axes.variances, shape, bandwidth)
    spread = axes.variances[:n_components] ** (0.5 * shape)
    directions = axes.axes[:, :n_components]
    posterior_precision = spread**2 / noise_variance + 1 / code_variance
    return KernelStart(
        encoder=(directions / spread).float(),
        decoder=(directions * spread).T.contiguous().float(),
        code_log_variance=-posterior_precision.log().float(),
        bandwidth=math.sqrt(code_variance),
        noise_variance=noise_variance,
    )


def principal_component_start(
    rows: torch.Tensor,
    weights: torch.Tensor,
    groups: torch.Tensor,
    n_components: int,
    generator: torch.Generator,
) -> KernelStart:
    """The start under a N(0, I) prior: probabilistic PCA (Tipping & Bishop 1999), exactly.

    Parameters as in `kernel_start`. As many codes as columns leave no residual variance; the noise
    is then a share of the smallest variance.
    """
    variances, axes = principal_axes(rows, weights)
    if n_components < rows.shape[1]:
        folds = list(left_out_folds(rows, weights, groups, generator))
        noise_variance = residual_variance(folds, n_components)
    else:
        _, noise_variance = code_and_noise_variance(variances, 1.0, 1.0)
    spread = (variances[:n_components] - noise_variance).clamp_min(SCALE_FLOOR**2).sqrt()
    directions = axes[:, :n_components]
    precision = spread**2 / noise_variance + 1
    return KernelStart(
        encoder=(directions * (spread / (noise_variance * precision))).float(),
        decoder=(directions * spread).T.contiguous().float(),
        code_log_variance=-precision.log().float(),
        bandwidth=1.0,
        noise_variance=noise_variance,
    )


def choose_kernel(folds: list[Fold], n_components: int) -> tuple[float, float]:
    """(shape, bandwidth) of the highest left-out likelihood."""

    def left_out(shape, bandwidth):
        """Weighted sum of the left-out log-densities."""
        scores = [
            fold.weights @ kernel_log_density(fold, n_components, shape, bandwidth)
            for fold in folds
        ]
        return sum(scores).item()

    return best_shape_and_bandwidth(left_out)


def best_shape_and_bandwidth(left_out: Callable[[float, float], float]) -> tuple[float, float]:
    """Those of the highest left-out likelihood, a function of both."""
    best = None
    for shape in SHAPES:
        score, bandwidth = maximise_over_scale(partial(left_out, shape), *BANDWIDTH_RANGE)
        if best is None or score > best[0]:
            best = (score, shape, bandwidth)
    return best[1:]


def residual_variance(folds: list[Fold], n_components: int) -> float:
    """Variance a column that rows left out keep beyond the first axes of the others.

    Of the rows themselves next to nothing is left beyond as many axes as there are rows, and a
    decoder that believed it would give new rows no density to speak of.
    """
    squares = weights = 0.0
    for fold in folds:
        beyond = fold.queries @ fold.axes.axes[:, n_components:]
        squares += (fold.weights @ (beyond**2).mean(1)).item()
        weights += fold.weights.sum().item()
    return max(squares / weights, SCALE_FLOOR**2) if folds else SCALE_FLOOR**2


class Fold(NamedTuple):
    """Rows left out, and what is left."""

    queries: torch.Tensor  # (n, D)
    weights: torch.Tensor  # (n,)
    others: torch.Tensor  # (N, D)
    log_weights: torch.Tensor  # (N,), of the others; the weights add up to one
    axes: PrincipalAxes  # of the others


def left_out_folds(rows, weights, groups, generator) -> Iterator[Fold]:
    """Leave every row out once, or some where there are many, copies of a row together.

    Copies count as one row of their weight together (where integers have noise, as the first of
    them), because a long table may be copies of very few rows. Few rows make a fold's axes noisy
    and are cheap, so they get five folds; from 5 * `MAX_QUERIES` rows on, one fold says enough. In
    float32: a search for a maximum needs no more.
    """
    _, groups = torch.unique(groups, return_inverse=True)
    n_groups = int(groups.max()) + 1
    if n_groups < 2:
        return
    if n_groups < len(rows):
        totals = weights.new_zeros(n_groups).index_add_(0, groups, weights)
        first = groups.new_full((n_groups,), len(rows))
        first.scatter_reduce_(0, groups, torch.arange(len(rows), device=groups.device), "amin")
        first = first.sort().values
        rows, groups = rows[first], groups[first]
        weights = totals[groups]
    order = torch.randperm(n_groups, generator=generator).to(groups.device)
    if len(rows) > N_FOLDS * MAX_QUERIES:
        n_queries = min(max(MAX_PAIRS // len(rows), MIN_QUERIES), MAX_QUERIES)
        n_folds, fold_of_group = 1, (order >= n_queries).long()
    else:
        n_folds = min(N_FOLDS, n_groups)
        fold_of_group = order % n_folds
    fold_of_row = fold_of_group[groups]
    for fold in range(n_folds):
        out = fold_of_row == fold
        others, kept = rows[~out], weights[~out]
        axes = PrincipalAxes(*(tensor.float() for tensor in principal_axes(others, kept)))
        log_weights = (kept / kept.sum()).log().float()
        yield Fold(rows[out].float(), weights[out].float(), others.float(), log_weights, axes)


def kernel_log_density(fold: Fold, n_components: int, shape: float, bandwidth: float):
    """Log-density of the queries under the kernels at the others, (n,), along the first d axes.

    Below d = D this is a density of the codes alone. The decoder's noise, wide there and the same
    in all directions, would widen the kernel too, the best s then be next to nothing, and training
    from such an s go nowhere: on digits with ten codes it ends 12 nats lower.
    """
    variances = fold.axes.variances
    if n_components < len(variances):
        kernel_variance = bandwidth**2 * variances[:n_components] ** shape
    else:
        code_variance, noise_variance = code_and_noise_variance(variances, shape, bandwidth)
        kernel_variance = code_variance * variances**shape + noise_variance
    return log_density_along_axes(fold, kernel_variance)


def log_density_along_axes(fold: Fold, variances: torch.Tensor) -> torch.Tensor:
    """Log-density (n,) of the queries under kernels of ``variances`` (d,) along the first axes."""
    scaled_axes = fold.axes.axes[:, : len(variances)] / variances.sqrt()
    distances = squared_distances(fold.queries @ scaled_axes, fold.others @ scaled_axes)
    log_normaliser = 0.5 * (LOG_2PI + variances.log()).sum()
    return log_kernel_sums(distances, fold.log_weights, 1.0) - log_normaliser
