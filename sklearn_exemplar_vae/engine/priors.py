"""Priors p(z): the exemplar mixture and the standard normal, and how each is sampled and scored.

Every prior answers three questions: its log-density at training codes (`log_prob`), a draw of codes
(`sample`) and a draw of codes near given rows (`sample_near`). Those of an Exemplar VAE answer two
more: what they are centred on (`centres`, made of the exemplars or of the network), and a proposal
for importance sampling at one row's posterior (`proposal`). The third of them, of learned
pseudo-inputs, is in `vamp`, and those of a flow are in `mixed`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

LOG_2PI = math.log(2 * math.pi)
# Numbers of a temporary that stays in the processor's cache.
NUMBERS_IN_CACHE = 2**19
# Codes whose medians are the centre of all.
CODES_IN_CENTRE = 100
# Nats below the largest term of a sum from which a term no longer counts.
NEGLIGIBLE = 60.0


class Exemplars(NamedTuple):
    """Mixture centres and their weights."""

    codes: torch.Tensor  # mu(x_n), (N, d)
    log_weights: torch.Tensor  # (N,), of weights that need not sum to one


def normal_log_prob(
    codes: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor
) -> torch.Tensor:
    """log N(z; mean, diag(exp(log_variance))) in nats, summed over the last axis."""
    squares = (codes - mean) ** 2 * torch.exp(-log_variance)
    return -0.5 * (squares + log_variance + LOG_2PI).sum(-1)


def centre_of(codes: torch.Tensor) -> torch.Tensor:
    """Where the origin (d,) is best moved before squares of ``codes`` (N, d) are expanded.

    The expanded square loses digits far from the origin. Medians, which a code that is far off,
    such as that of a row with -9999 for "missing", does not move; some of the codes are enough.
    """
    step = max(1, len(codes) // CODES_IN_CENTRE)
    return codes.detach()[::step].median(0).values


def squared_distances(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distances, (n, m), between the rows of (n, d) and (m, d).

    One matrix product, around the centre of ``right``.
    """
    centre = centre_of(right)
    left, right = left - centre, right - centre
    products = torch.addmm((right**2).sum(-1), left, right.T, alpha=-2)
    return (products + (left**2).sum(-1, keepdim=True)).clamp_min(0)


def shifted_exp(log_terms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(exp(log_terms - largest), largest) along the last axis.

    What is `NEGLIGIBLE` nats below the largest is counted as that, 1e-26 of it: where its result
    underflows exp takes eight times as long, and most exemplars are far from most rows.
    """
    largest = log_terms.detach().amax(-1, keepdim=True)
    largest = largest.clamp_min(torch.finfo(largest.dtype).min)  # all terms may be -inf
    return (log_terms - largest).clamp_min(-NEGLIGIBLE).exp(), largest


def log_kernel_sums(
    distances: torch.Tensor, log_weights: torch.Tensor, precision: float
) -> torch.Tensor:
    """log sum_n w_n exp(-precision d_n / 2), (n,), of squared distances (n, N).

    In pieces that stay in the processor's cache, which is four times as fast as in one.
    """
    step = max(1, NUMBERS_IN_CACHE // distances.shape[1])
    log_sums = []
    for part in distances.split(step):
        terms, largest = shifted_exp(log_weights - 0.5 * precision * part)
        log_sums.append(terms.sum(-1).log() + largest[:, 0])
    return torch.cat(log_sums)


class LogKernelSum(torch.autograd.Function):
    """log sum_n w_n exp(-||z - mu_n||^2 / 2 s^2), (n,), over the exemplars not excluded.

    The gradient by hand, because it is two matrix products with the responsibilities
    ``r_n = w_n exp(...) / sum`` that the forward pass has anyway: ``(sum_n r_n mu_n - z) / s^2`` by
    z, ``r_n (z - mu_n) / s^2`` by mu_n and ``sum_n r_n ||z - mu_n||^2 / s^2`` by log s. That makes
    the prior's share of a training step a third of what it is through the elementary operations.
    """

    @staticmethod
    def forward(ctx, codes, centres, log_weights, log_bandwidth, excluded):
        precision = torch.exp(-2 * log_bandwidth)
        distances = squared_distances(codes, centres)
        log_terms = torch.addcmul(log_weights, distances, precision, value=-0.5)
        if excluded is not None:
            log_terms.masked_fill_(excluded, -math.inf)
        terms, largest = shifted_exp(log_terms)
        sums = terms.sum(1, keepdim=True)
        responsibilities = terms.div_(sums)
        mean_distances = torch.linalg.vecdot(responsibilities, distances)
        ctx.save_for_backward(codes, centres, responsibilities, mean_distances, precision)
        return (sums.log() + largest)[:, 0]

    @staticmethod
    def backward(ctx, gradient):
        codes, centres, responsibilities, mean_distances, precision = ctx.saved_tensors
        shares = responsibilities * gradient[:, None]
        by_codes = precision * (shares @ centres - gradient[:, None] * codes)
        by_centres = precision * (shares.T @ codes - shares.sum(0)[:, None] * centres)
        by_log_bandwidth = precision * (gradient @ mean_distances)
        return by_codes, by_centres, None, by_log_bandwidth, None


def log_mixture_density(
    codes: torch.Tensor,
    exemplars: Exemplars,
    log_bandwidth: torch.Tensor,
    excluded: torch.Tensor | None = None,
    log_totals: torch.Tensor | None = None,
) -> torch.Tensor:
    """log p(z | X) = log sum_n w_n N(z; mu_n, s^2 I) / sum_n w_n over the exemplars kept, in nats.

    Parameters
    ----------
    codes : tensor of shape (n, d)
    exemplars : Exemplars
    log_bandwidth : scalar tensor, log s.
    excluded : boolean tensor of shape (n, N) or None
        Exemplars left out for a row, of numerator and denominator alike (leave-one-out). A row with
        none left gets minus infinity, or with ``log_totals`` a value of no meaning.
    log_totals : tensor of shape (n,) or None
        The denominators' logarithms, where ``exemplars`` are some of those that a row's density
        stands on. The terms of the others are taken for zero: the result is a lower bound.
    """
    log_weights = exemplars.log_weights
    with torch.autocast(codes.device.type, enabled=False):
        log_sums = LogKernelSum.apply(codes, exemplars.codes, log_weights, log_bandwidth, excluded)
        log_normaliser = codes.shape[1] * (0.5 * LOG_2PI + log_bandwidth)
        if log_totals is not None:
            return log_sums - log_totals - log_normaliser
        if excluded is None:
            return log_sums - torch.logsumexp(log_weights, 0) - log_normaliser
        largest = log_weights.amax()
        kept_weights = (~excluded).to(codes.dtype) @ (log_weights - largest).exp()
        log_density = log_sums - (kept_weights.log() + largest) - log_normaliser
        return log_density.masked_fill(kept_weights == 0, -math.inf)


class ExemplarPrior(nn.Module):
    """p(z | X) = sum_n w_n N(z; mu(x_n), s^2 I): a kernel density estimate of the codes.

    The bandwidth s is one learned scalar, shared by all exemplars and dimensions (Norouzi et al.
    2020, section 3).
    """

    needs_exemplars = True

    def __init__(self, bandwidth: float = 1.0) -> None:
        super().__init__()
        self.log_bandwidth = nn.Parameter(torch.tensor(math.log(bandwidth)))

    def centres(self, network, exemplars: Exemplars) -> Exemplars:
        return exemplars

    def log_prob(self, codes, centres, excluded=None, log_totals=None) -> torch.Tensor:
        """`log_mixture_density` at codes (n, d), or (n, K, d) of which K are a row's."""
        shape, n_draws = codes.shape[:-1], math.prod(codes.shape[1:-1])
        if n_draws > 1:
            excluded, log_totals = (
                None if values is None else values.repeat_interleave(n_draws, 0)
                for values in (excluded, log_totals)
            )
        codes = codes.reshape(-1, codes.shape[-1])
        log_density = log_mixture_density(codes, centres, self.log_bandwidth, excluded, log_totals)
        return log_density.view(shape)

    def completed(self, log_exemplar_density: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """log p(z), (n,), from the exemplars' part of it at ``codes`` (n, d): here all there is."""
        return log_exemplar_density

    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """n ~ w, z ~ N(mu_n, s^2 I)."""
        weights = torch.softmax(exemplars.log_weights.to(generator.device, torch.float64), 0)
        uniforms = torch.rand(
            n_samples, generator=generator, dtype=torch.float64, device=generator.device
        )
        chosen = invert_cumulative(weights[None].cumsum(1), uniforms)[0]
        codes = exemplars.codes[chosen.to(exemplars.codes.device)]
        return self.sample_near(codes, None, generator)

    def sample_near(self, mean, log_variance, generator) -> torch.Tensor:
        """z ~ r(z | x) = N(mu(x), s^2 I), the row being its own exemplar."""
        return mean + self.log_bandwidth.exp() * randn_like(mean, generator)

    def proposal(self, mean, log_variance, exemplars) -> ExemplarProposal:
        return ExemplarProposal(mean, log_variance, exemplars, self.log_bandwidth)


class GaussianPrior(nn.Module):
    """p(z) = N(0, I), the prior of the plain VAE."""

    needs_exemplars = False
    numbers_per_code = 0  # that its log-density keeps in memory

    def centres(self, network, exemplars: Exemplars) -> Exemplars:
        """None of them: their dtype and number of columns are all it needs."""
        return Exemplars(*(tensor[:0] for tensor in exemplars))

    def log_prob(self, codes, centres=None, excluded=None, log_totals=None) -> torch.Tensor:
        return normal_log_prob(codes, torch.zeros_like(codes), torch.zeros_like(codes))

    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        codes = exemplars.codes
        return randn_like(codes.new_empty(n_samples, codes.shape[1]), generator)

    def sample_near(self, mean, log_variance, generator) -> torch.Tensor:
        """z ~ q(z | x): there is no exemplar component, the posterior is what is near a row."""
        return mean + torch.exp(0.5 * log_variance) * randn_like(mean, generator)

    def proposal(self, mean, log_variance, exemplars=None) -> PosteriorProposal:
        return PosteriorProposal(mean, log_variance, self, exemplars)


class PosteriorProposal:
    """Importance sampling from q(z | x) itself, as in the importance-weighted autoencoder."""

    def __init__(self, mean, log_variance, prior, centres) -> None:
        self.mean, self.log_variance, self.prior = mean, log_variance, prior
        self.centres, self.numbers_per_code = centres, prior.numbers_per_code

    def draw(self, noise: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Codes (n, S, d) from standard normal ``noise`` (S, d)."""
        return self.mean[:, None] + torch.exp(0.5 * self.log_variance)[:, None] * noise

    def log_ratio(self, codes: torch.Tensor) -> torch.Tensor:
        """log p(z) - log q(z | x), (n, S), at codes (n, S, d)."""
        log_q = normal_log_prob(codes, self.mean[:, None], self.log_variance[:, None])
        return self.prior.log_prob(codes, self.centres) - log_q


class ExemplarProposal:
    r"""The posterior under an exemplar prior, once q(z | x) is read as a statement about p(x | z).

    q(z | x) = N(m, Lambda) is what training makes of likelihood times a prior that near mu(x) has
    curvature 1 / s^2. Dividing that out leaves the Gaussian shape of the likelihood alone, and the
    posterior under the exemplar mixture follows in closed form::

        g(z) = exp(-1/2 sum_j lambda_j (z_j - m_j)^2),  lambda_j = max(1 / Lambda_j - 1 / s^2, 0),
        q~(z | x) = g(z) p(z | X) / Z(x),   Z(x) = sum_n w_n \int N(z; mu_n, s^2 I) g(z) dz,

    a mixture of normals around points between m and each exemplar's code. Its importance weights
    are ``p(x | z) p(z | X) / q~(z | x) = Z(x) p(x | z) / g(z)``: the prior at z cancels, so the sum
    over the exemplars is taken once a row, however many samples there are, and where decoder and
    encoder are linear the weights are constant and the estimate is exact: a kernel density estimate
    is scored without noise.

    Parameters
    ----------
    mean, log_variance : tensors of shape (n, d), of q(z | x).
    exemplars : Exemplars, N of them.
    log_bandwidth : scalar tensor, log s.
    """

    numbers_per_code = 0

    def __init__(self, mean, log_variance, exemplars: Exemplars, log_bandwidth) -> None:
        self._divide_prior_out(mean, log_variance, log_bandwidth)
        self.codes = exemplars.codes
        self._normalise(self._log_overlap(slice(None), exemplars), exemplars.log_weights)

    def draw(self, noise: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Codes (n, S, d): an exemplar by ``uniforms`` (S,), then a normal by ``noise`` (S, d)."""
        chosen = self._draw_exemplars(uniforms)
        centres = chosen + self.shrinkage[:, None] * (self.mean[:, None] - chosen)
        return centres + self.variance.sqrt()[:, None] * noise

    def log_ratio(self, codes: torch.Tensor) -> torch.Tensor:
        """log p(z | X) - log q~(z | x) = log Z(x) - log g(z), (n, S), at codes (n, S, d)."""
        squares = self.precision[:, None] * (codes - self.mean[:, None]) ** 2
        return self.log_evidence[:, None] + 0.5 * squares.sum(-1)

    def _divide_prior_out(self, mean, log_variance, log_bandwidth) -> None:
        prior_precision = torch.exp(-2 * log_bandwidth)
        self.mean = mean
        self.precision = (torch.exp(-log_variance) - prior_precision).clamp_min(0)
        self.variance = 1 / (self.precision + prior_precision)
        self.shrinkage = self.variance * self.precision
        self.metric = prior_precision * self.shrinkage
        self.log_normaliser = 0.5 * torch.log(self.variance * prior_precision).sum(1)

    def _normalise(self, log_terms: torch.Tensor, log_weights: torch.Tensor) -> None:
        """Z(x) and the shares of its terms, of logarithms (n, N); minus infinity adds nothing."""
        terms, largest = shifted_exp(log_terms)
        terms.masked_fill_(log_terms == -math.inf, 0)
        # The cumulative sum picks exemplars; float32 would lose the light ones among many.
        self.cumulative = terms.cumsum(1, dtype=torch.float64)
        log_sums = self.cumulative[:, -1].log().to(self.mean) + largest[:, 0]
        self.log_evidence = log_sums - torch.logsumexp(log_weights, 0)

    def _draw_exemplars(self, uniforms: torch.Tensor) -> torch.Tensor:
        """Codes (n, S, d) of exemplars, each by its share of the row's sum."""
        return self.codes[invert_cumulative(self.cumulative, uniforms)]

    def _log_overlap(self, rows, exemplars: Exemplars) -> torch.Tensor:
        r"""log w_n \int N(z; mu_n, s^2 I) g(z) dz, (n, N), for the ``rows`` of the batch."""
        squares = self._squared_distances(rows, exemplars.codes)
        return exemplars.log_weights + self.log_normaliser[rows, None] - 0.5 * squares

    def _squared_distances(self, rows, codes: torch.Tensor) -> torch.Tensor:
        """(n, N), of the means of ``rows`` to codes, each in its own metric: two products.

        In pieces of codes that stay in the processor's cache: a fifth of the time of one piece.
        """
        centre = centre_of(codes)
        mean, metric = self.mean[rows] - centre, self.metric[rows]
        own = (metric * mean**2).sum(1, keepdim=True)
        pieces = []
        for piece in codes.split(max(1, NUMBERS_IN_CACHE // codes.shape[1])):
            piece = piece - centre
            squares = torch.addmm(own, metric, (piece**2).T)
            pieces.append(squares.addmm_(-2 * metric * mean, piece.T).clamp_min_(0))
        return torch.cat(pieces, 1)


def invert_cumulative(cumulative: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Indices (n, S) at which rows of cumulative weights (n, N) pass ``uniforms``, (S,) or (n, S).

    Levels are fractions of a row's own total, and an index never falls on a weight of zero.
    """
    levels = uniforms * cumulative[:, -1:]
    return torch.searchsorted(cumulative, levels, right=True).clamp_max(cumulative.shape[1] - 1)


def randn_like(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal noise like ``tensor``, from a local generator.

    In double precision where the generator is: for every dtype the same noise, and of a generator
    on the CPU for every device.
    """
    noise = torch.randn(
        tensor.shape, generator=generator, dtype=torch.float64, device=generator.device
    )
    return noise.to(tensor)
