"""The exemplar prior as one row's posterior sees it: its nearest exemplars are all that counts."""

from __future__ import annotations

import torch

from .priors import LOG_2PI, Exemplars, squared_distances


class NearestExemplarPrior:
    """A lower bound on log p(z | X) at codes near a row's own: its k nearest exemplars' terms.

    What is dropped is positive, so that a density estimated with it stays a lower bound. It is a
    tight one as far as codes drawn from q(z | x) lie closer to mu(x) than the exemplars dropped.

    Parameters
    ----------
    mean : tensor of shape (n, d)
        Means of the rows' posteriors.
    exemplars : Exemplars
    log_bandwidth : scalar tensor, log s.
    n_neighbors : int, k
    """

    def __init__(self, mean, exemplars: Exemplars, log_bandwidth, n_neighbors: int) -> None:
        n_neighbors = min(n_neighbors, len(exemplars.codes))
        self.numbers_per_code = n_neighbors
        self.mean, self.log_bandwidth = mean[:, None], log_bandwidth
        self.precision = torch.exp(-2 * log_bandwidth)
        # By their terms at the posterior's mean: a heavy exemplar counts as a near one.
        distances = squared_distances(mean, exemplars.codes)
        log_terms = exemplars.log_weights - 0.5 * self.precision * distances
        nearest = log_terms.topk(n_neighbors, sorted=False).indices
        self.offsets = exemplars.codes[nearest] - self.mean
        log_total = torch.logsumexp(exemplars.log_weights, 0)
        squares = self.precision * (self.offsets**2).sum(-1)
        self.log_terms_at_mean = exemplars.log_weights[nearest] - log_total - 0.5 * squares

    def log_prob(self, codes: torch.Tensor, centres=None) -> torch.Tensor:
        """(n, S), in nats, at codes (n, S, d)."""
        moved = codes - self.mean
        products = torch.matmul(self.precision * moved, self.offsets.mT)
        log_sums = torch.logsumexp(self.log_terms_at_mean[:, None] + products, -1)
        squares = self.precision * (moved**2).sum(-1)
        log_normaliser = codes.shape[-1] * (0.5 * LOG_2PI + self.log_bandwidth)
        return log_sums - 0.5 * squares - log_normaliser
