"""Proposals for importance sampling of a row's posterior, and the exemplars they sum over."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..numerics import (
    FLOATS_IN_CACHE,
    center_of,
    invert_cumulative,
    log_mixture_density,
    normal_log_prob,
    reparameterize,
    shifted_exp,
)


class Exemplars(NamedTuple):
    """Mixture centers and their weights; a density at a code sums over all of them."""

    codes: torch.Tensor  # mu(x_n), (N, d)
    log_weights: torch.Tensor  # (N,), of weights that need not sum to one

    @property
    def n_terms(self) -> int:
        """How many terms a row's sum has."""
        return len(self.codes)

    def to(self, dtype: torch.dtype) -> Exemplars:
        """Return the exemplars in another precision."""
        return Exemplars(*(tensor.to(dtype) for tensor in self))

    def log_density(self, codes: torch.Tensor, log_bandwidth: torch.Tensor) -> torch.Tensor:
        """Return log p(z | X), (n,), at ``codes`` (n, d)."""
        return log_mixture_density(codes, self, log_bandwidth)

    def proposal(self, mean, log_variance, log_bandwidth) -> ExemplarProposal:
        """Return the proposal for rows with posteriors of this mean and log-variance."""
        return ExemplarProposal(mean, log_variance, self, log_bandwidth)


class PosteriorProposal:
    """Importance sampling from q(z | x) itself, as in the importance-weighted autoencoder.

    Parameters
    ----------
    mean, log_variance : tensors of shape (n, d), of q(z | x).
    prior : object with ``log_prob(codes, centers)`` and ``floats_per_code``
    centers : what ``prior`` is centered on
    """

    def __init__(self, mean, log_variance, prior, centers) -> None:
        self.mean, self.log_variance, self.prior = mean, log_variance, prior
        self.centers, self.floats_per_code = centers, prior.floats_per_code

    def draw(self, noise: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Return codes (n, S, d) made of standard normal ``noise`` (S, d)."""
        return reparameterize(self.mean[:, None], self.log_variance[:, None], noise)

    def log_ratio(self, codes: torch.Tensor) -> torch.Tensor:
        """Return log p(z) - log q(z | x), (n, S), at codes (n, S, d)."""
        log_q = normal_log_prob(codes, self.mean[:, None], self.log_variance[:, None])
        return self.prior.log_prob(codes, self.centers) - log_q


class ExemplarProposal:
    r"""The posterior under an exemplar prior, once q(z | x) is read as a statement about p(x | z).

    q(z | x) = N(m, Lambda) is what training makes of likelihood times a prior that near mu(x) has
    curvature 1 / s^2. Dividing that out leaves the Gaussian shape of the likelihood alone, and the
    posterior under the exemplar mixture follows in closed form::

        g(z) = exp(-1/2 sum_j lambda_j (z_j - m_j)^2),  lambda_j = max(1 / Lambda_j - 1 / s^2, 0),
        q~(z | x) = g(z) p(z | X) / Z(x),   Z(x) = sum_n w_n \int N(z; mu_n, s^2 I) g(z) dz,

    a mixture of normals around points between m and each exemplar's code. Its importance weights
    are ``p(x | z) p(z | X) / q~(z | x) = Z(x) p(x | z) / g(z)``: the prior at z cancels, so the sum
    over the exemplars is taken once a row, whatever the number of samples. Where decoder and
    encoder are linear the weights are constant and the estimate is exact: a kernel density estimate
    is scored without noise.

    Parameters
    ----------
    mean, log_variance : tensors of shape (n, d), of q(z | x).
    exemplars : Exemplars, N of them.
    log_bandwidth : scalar tensor, log s.
    """

    floats_per_code = 0

    def __init__(self, mean, log_variance, exemplars: Exemplars, log_bandwidth) -> None:
        self._divide_prior_out(mean, log_variance, log_bandwidth)
        self.codes = exemplars.codes
        self._normalize(self._log_overlap(slice(None), exemplars), exemplars.log_weights)

    def draw(self, noise: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Return codes (n, S, d): exemplars by ``uniforms`` (S,), then normals by ``noise``."""
        chosen = self._draw_exemplars(uniforms)
        centers = chosen + self.shrinkage[:, None] * (self.mean[:, None] - chosen)
        return centers + self.variance.sqrt()[:, None] * noise

    def log_ratio(self, codes: torch.Tensor) -> torch.Tensor:
        """Return log p(z | X) - log q~(z | x) = log Z(x) - log g(z), (n, S), at (n, S, d)."""
        squares = self.precision[:, None] * (codes - self.mean[:, None]) ** 2
        return self.log_evidence[:, None] + 0.5 * squares.sum(-1)

    def _divide_prior_out(self, mean, log_variance, log_bandwidth) -> None:
        prior_precision = torch.exp(-2 * log_bandwidth)
        self.mean = mean
        self.precision = (torch.exp(-log_variance) - prior_precision).clamp_min(0)
        self.variance = 1 / (self.precision + prior_precision)
        self.shrinkage = self.variance * self.precision
        self.metric = prior_precision * self.shrinkage
        self.log_normalizer = 0.5 * torch.log(self.variance * prior_precision).sum(1)

    def _normalize(self, log_terms: torch.Tensor, log_weights: torch.Tensor) -> None:
        """Set Z(x) and the shares of its terms, whose logarithms are (n, N)."""
        terms, largest = shifted_exp(log_terms)
        terms.masked_fill_(log_terms == -math.inf, 0)
        # The cumulative sum picks exemplars; float32 would lose the light ones among many.
        self.cumulative = terms.cumsum(1, dtype=torch.float64)
        log_sums = self.cumulative[:, -1].log().to(self.mean) + largest[:, 0]
        self.log_evidence = log_sums - torch.logsumexp(log_weights, 0)

    def _draw_exemplars(self, uniforms: torch.Tensor) -> torch.Tensor:
        """Return codes (n, S, d) of exemplars, each drawn by its share of the row's sum."""
        return self.codes[invert_cumulative(self.cumulative, uniforms)]

    def _log_overlap(self, rows, exemplars: Exemplars) -> torch.Tensor:
        r"""Return log w_n \int N(z; mu_n, s^2 I) g(z) dz, (n, N), for the ``rows`` of the batch."""
        squares = self._squared_distances(rows, exemplars.codes)
        return exemplars.log_weights + self.log_normalizer[rows, None] - 0.5 * squares

    def _squared_distances(self, rows, codes: torch.Tensor) -> torch.Tensor:
        """Return (n, N), of the means of ``rows`` to codes, each in its own metric.

        Pieces of codes that stay in the processor's cache are several times as fast as one piece.
        """
        center = center_of(codes)
        mean, metric = self.mean[rows] - center, self.metric[rows]
        own = (metric * mean**2).sum(1, keepdim=True)
        pieces = []
        for piece in codes.split(max(1, FLOATS_IN_CACHE // codes.shape[1])):
            piece = piece - center
            squares = torch.addmm(own, metric, (piece**2).T)
            pieces.append(squares.addmm_(-2 * metric * mean, piece.T).clamp_min_(0))
        return torch.cat(pieces, 1)
