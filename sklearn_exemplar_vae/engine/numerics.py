"""The engine's arithmetic: kernel sums, distances, log-sums of exponentials, draws.

All logarithms are natural, all log-densities in nats.
"""

from __future__ import annotations

import math

import torch

LOG_2PI = math.log(2 * math.pi)
# A temporary of this many floats stays in the processor's cache.
FLOATS_IN_CACHE = 2**19
# The medians of some hundred codes locate the center of all well enough.
CODES_IN_CENTER = 100
# A term this many nats below the largest of its sum no longer counts.
NEGLIGIBLE = 60.0


def normal_log_prob(
    codes: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor
) -> torch.Tensor:
    """Return log N(z; mean, diag(exp(log_variance))), summed over the last axis."""
    squares = (codes - mean) ** 2 * torch.exp(-log_variance)
    return -0.5 * (squares + log_variance + LOG_2PI).sum(-1)


def reparameterize(
    mean: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Return the draws of N(mean, diag(exp(log_variance))) that standard normal noise makes."""
    return mean + torch.exp(0.5 * log_variance) * noise


def randn_like(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return standard normal noise like ``tensor``, from a local generator.

    It is drawn in double precision where the generator is: the same noise for every dtype and,
    from a generator on the CPU, for every device.
    """
    noise = torch.randn(
        tensor.shape, generator=generator, dtype=torch.float64, device=generator.device
    )
    return noise.to(tensor)


def center_of(codes: torch.Tensor) -> torch.Tensor:
    """Return the origin (d,) around which squares of ``codes`` (N, d) are best expanded.

    An expanded square loses digits far from its origin. Medians are not moved by a code that is far
    off, for example that of a row with -9999 for "missing".
    """
    step = max(1, len(codes) // CODES_IN_CENTER)
    return codes.detach()[::step].median(0).values


def squared_distances(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the squared Euclidean distances (n, m) between rows of (n, d) and (m, d).

    They cost one matrix product, expanded around the center of ``right``.
    """
    center = center_of(right)
    left, right = left - center, right - center
    products = torch.addmm((right**2).sum(-1), left, right.T, alpha=-2)
    return (products + (left**2).sum(-1, keepdim=True)).clamp_min(0)


def shifted_exp(log_terms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return exp(log_terms - largest) and the largest along the last axis.

    Terms more than `NEGLIGIBLE` nats below the largest are raised to that: exp is slow where its
    result underflows, and most exemplars are far from most rows.
    """
    largest = log_terms.detach().amax(-1, keepdim=True)
    largest = largest.clamp_min(torch.finfo(largest.dtype).min)  # all terms may be -inf
    return (log_terms - largest).clamp_min(-NEGLIGIBLE).exp(), largest


def log_kernel_sums(
    distances: torch.Tensor, log_weights: torch.Tensor, precision: float
) -> torch.Tensor:
    """Return log sum_n w_n exp(-precision d_n / 2), (n,), from squared distances (n, N).

    The sum runs in pieces that stay in the processor's cache.
    """
    step = max(1, FLOATS_IN_CACHE // distances.shape[1])
    log_sums = []
    for part in distances.split(step):
        terms, largest = shifted_exp(log_weights - 0.5 * precision * part)
        log_sums.append(terms.sum(-1).log() + largest[:, 0])
    return torch.cat(log_sums)


class LogKernelSum(torch.autograd.Function):
    """log sum_n w_n exp(-||z - mu_n||^2 / 2 s^2), (n,), over the exemplars not excluded.

    The gradient is written by hand: it is two matrix products with the responsibilities
    ``r_n = w_n exp(...) / sum`` of the forward pass, ``(sum_n r_n mu_n - z) / s^2`` by z,
    ``r_n (z - mu_n) / s^2`` by mu_n and ``sum_n r_n ||z - mu_n||^2 / s^2`` by log s. Autograd would
    go through every elementary operation on n x N numbers again.
    """

    @staticmethod
    def forward(ctx, codes, centers, log_weights, log_bandwidth, excluded):
        precision = torch.exp(-2 * log_bandwidth)
        distances = squared_distances(codes, centers)
        log_terms = torch.addcmul(log_weights, distances, precision, value=-0.5)
        if excluded is not None:
            log_terms.masked_fill_(excluded, -math.inf)
        terms, largest = shifted_exp(log_terms)
        sums = terms.sum(1, keepdim=True)
        responsibilities = terms.div_(sums)
        mean_distances = torch.linalg.vecdot(responsibilities, distances)
        ctx.save_for_backward(codes, centers, responsibilities, mean_distances, precision)
        return (sums.log() + largest)[:, 0]

    @staticmethod
    def backward(ctx, gradient):
        codes, centers, responsibilities, mean_distances, precision = ctx.saved_tensors
        shares = responsibilities * gradient[:, None]
        by_codes = precision * (shares @ centers - gradient[:, None] * codes)
        by_centers = precision * (shares.T @ codes - shares.sum(0)[:, None] * centers)
        by_log_bandwidth = precision * (gradient @ mean_distances)
        return by_codes, by_centers, None, by_log_bandwidth, None


def log_mixture_density(
    codes: torch.Tensor,
    exemplars,
    log_bandwidth: torch.Tensor,
    excluded: torch.Tensor | None = None,
    log_totals: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return log p(z | X) = log sum_n w_n N(z; mu_n, s^2 I) / sum_n w_n, in nats.

    Parameters
    ----------
    codes : tensor of shape (n, d)
    exemplars : tuple of (tensor of shape (N, d), tensor of shape (N,))
        The centers mu_n and their log-weights.
    log_bandwidth : scalar tensor, log s.
    excluded : boolean tensor of shape (n, N) or None
        Exemplars left out row by row, from numerator and denominator alike (leave-one-out). A row
        with none left gets minus infinity, or with ``log_totals`` a meaningless value.
    log_totals : tensor of shape (n,) or None
        The denominators' logarithms, where ``exemplars`` are only some of those that a row's
        density stands on. The dropped terms are positive, so the result is a lower bound.
    """
    centers, log_weights = exemplars
    with torch.autocast(codes.device.type, enabled=False):
        log_sums = LogKernelSum.apply(codes, centers, log_weights, log_bandwidth, excluded)
        log_normalizer = codes.shape[1] * (0.5 * LOG_2PI + log_bandwidth)
        if log_totals is not None:
            return log_sums - log_totals - log_normalizer
        if excluded is None:
            return log_sums - torch.logsumexp(log_weights, 0) - log_normalizer
        largest = log_weights.amax()
        kept_weights = (~excluded).to(codes.dtype) @ (log_weights - largest).exp()
        log_density = log_sums - (kept_weights.log() + largest) - log_normalizer
        return log_density.masked_fill(kept_weights == 0, -math.inf)


def invert_cumulative(cumulative: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Return the indices (n, S) where cumulative weights (n, N) pass ``uniforms``, (S,) or (n, S).

    Levels are fractions of a row's own total; an index never falls on a weight of zero.
    """
    levels = uniforms * cumulative[:, -1:]
    return torch.searchsorted(cumulative, levels, right=True).clamp_max(cumulative.shape[1] - 1)
