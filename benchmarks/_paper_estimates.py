"""The paper's estimates of an Exemplar VAE's log-density: the ELBO, and draws of q(z | x) itself.

The library scores by another proposal, which is exact for a kernel density estimate. Both are lower
bounds in expectation.
"""

from __future__ import annotations

from functools import partial

import torch

from sklearn_exemplar_vae.engine.chunks import row_chunks
from sklearn_exemplar_vae.engine.importance.estimate import ImportanceNoise, log_mean_weights
from sklearn_exemplar_vae.engine.importance.proposals import Exemplars, PosteriorProposal
from sklearn_exemplar_vae.engine.model import ExemplarModel
from sklearn_exemplar_vae.engine.numerics import LOG_2PI, squared_distances


@torch.no_grad()
def evidence_lower_bound(
    model: ExemplarModel, rows: torch.Tensor, exemplars: Exemplars, seed: int
) -> torch.Tensor:
    """Return E_q[log p(x | z)] - KL(q, p(z | X)), (n,), with one draw a row.

    It is the paper's validation figure: all exemplars, nothing left out, z drawn from q itself.
    """
    generator = torch.Generator().manual_seed(seed)
    centers = model.prior.centers(model.network, exemplars)
    log_prior = partial(model.prior.log_prob, centers=centers)
    bounds = []
    for part in row_chunks(len(rows), 4 * len(exemplars.codes) + model.floats_per_row):
        posterior = model.network.encode(rows[part])
        noise = torch.randn(len(posterior[0]), 1, model.n_noise, generator=generator)
        bounds.append(model.bound(rows[part], posterior, noise.to(rows), log_prior))
    return torch.cat(bounds)


@torch.no_grad()
def log_density_by_posterior(
    model: ExemplarModel,
    rows: torch.Tensor,
    exemplars: Exemplars,
    noise: ImportanceNoise,
    n_neighbors: int = 2000,
) -> torch.Tensor:
    """Return log 1/S sum_s p(x | z_s) p(z_s | X) / q(z_s | x), (n,), at draws of q(z | x).

    It is the paper's test figure, with its S of 5000. A sum over all exemplars at every draw would
    take hours on 10 000 images: each row has the terms of its ``n_neighbors`` nearest exemplars, a
    lower bound again. What stands beside the model in scores does so here too, see `Mixture`.
    """

    def propose(mean, log_variance):
        prior = model.prior
        if not prior.needs_exemplars:
            return prior.proposal(mean, log_variance, prior.centers(model.network, exemplars))
        nearest = NearestExemplarPrior(mean, exemplars, prior.log_bandwidth, n_neighbors)
        return PosteriorProposal(mean, log_variance, nearest, None)

    def score(rows):
        return model.mixture(log_mean_weights(model, propose, noise, rows), rows)

    floats_per_row = 4 * len(exemplars.codes) + n_neighbors * model.n_components
    floats_per_row += model.floats_per_row
    return torch.cat([score(rows[part]) for part in row_chunks(len(rows), floats_per_row)])


class NearestExemplarPrior:
    """A lower bound on log p(z | X) at codes near a row's own: its k nearest exemplars' terms.

    The dropped terms are positive, so that a density estimated with it stays a lower bound. It is
    tight as far as codes drawn from q(z | x) lie closer to mu(x) than the exemplars dropped.

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
        self.floats_per_code = n_neighbors
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

    def log_prob(self, codes: torch.Tensor, centers=None) -> torch.Tensor:
        """Return the bound (n, S), in nats, at codes (n, S, d)."""
        moved = codes - self.mean
        products = torch.matmul(self.precision * moved, self.offsets.mT)
        log_sums = torch.logsumexp(self.log_terms_at_mean[:, None] + products, -1)
        squares = self.precision * (moved**2).sum(-1)
        log_normalizer = codes.shape[-1] * (0.5 * LOG_2PI + self.log_bandwidth)
        return log_sums - 0.5 * squares - log_normalizer
