"""Log-densities of rows under a trained model, in memory that does not grow with the rows."""

from __future__ import annotations

from functools import partial

import torch

from .cells import Cells
from .chunks import row_chunks
from .importance import ImportanceNoise, defended, log_mean_weights
from .model import ExemplarModel
from .nearest_prior import NearestExemplarPrior
from .priors import Exemplars, PosteriorProposal


@torch.no_grad()
def encode(model, rows: torch.Tensor) -> torch.Tensor:
    """Codes (n, d) of ``rows`` (n, D)."""
    return torch.cat([model.encode(rows[part]) for part in row_chunks(len(rows), model.width)])


@torch.no_grad()
def log_density(
    model,
    rows: torch.Tensor,
    exemplars: Exemplars | Cells,
    noise: ImportanceNoise,
    rtol: float = 0.0,
) -> torch.Tensor:
    """log p(x), (n,), in nats, as `ExemplarModel.scorer` or `FlowModel.scorer` has it."""
    score, n_numbers = model.scorer(exemplars, noise, rtol)
    return torch.cat([score(rows[part]) for part in row_chunks(len(rows), n_numbers)])


@torch.no_grad()
def evidence_lower_bound(
    model: ExemplarModel, rows: torch.Tensor, exemplars: Exemplars, seed: int
) -> torch.Tensor:
    """The single-sample bound E_q[log p(x | z)] - KL(q, p(z | X)), (n,), with one draw a row.

    The paper's validation figure: all exemplars, nothing left out, z drawn from q itself.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = model.prior.centres(model.network, exemplars)
    log_prior = partial(model.prior.log_prob, centres=centres)
    bounds = []
    for part in row_chunks(len(rows), 4 * len(exemplars.codes) + model.width):
        encoded = model.network.encode(rows[part])
        noise = torch.randn(len(encoded[0]), 1, model.n_noise, generator=generator)
        bounds.append(model.bound(rows[part], *encoded, noise.to(rows), log_prior))
    return torch.cat(bounds)


@torch.no_grad()
def log_density_by_posterior(
    model: ExemplarModel,
    rows: torch.Tensor,
    exemplars: Exemplars,
    noise: ImportanceNoise,
    n_neighbors: int = 2000,
) -> torch.Tensor:
    """log 1/S sum_s p(x | z_s) p(z_s | X) / q(z_s | x), (n,), at draws of q(z | x) itself.

    The paper's test figure, with its S of 5000. Both this and `log_density` are lower bounds in
    expectation. On MNIST this one is the higher, by a tenth of a nat of 1000 draws; the other one
    is exact for a kernel density estimate. A sum over all exemplars at every draw would take hours
    on 10 000 images: each row has the terms of its ``n_neighbors`` nearest, a lower bound again. A
    row that the encoder knows nothing of has a defence, see `defended`.
    """

    def propose(mean, log_variance):
        prior = model.prior
        if not prior.needs_exemplars:
            return prior.proposal(mean, log_variance, prior.centres(model.network, exemplars))
        nearest = NearestExemplarPrior(mean, exemplars, prior.log_bandwidth, n_neighbors)
        return PosteriorProposal(mean, log_variance, nearest, None)

    numbers_per_row = 4 * len(exemplars.codes) + n_neighbors * model.n_components + model.width
    score = defended(partial(log_mean_weights, model, propose, noise), model, exemplars, noise)
    return torch.cat([score(rows[part]) for part in row_chunks(len(rows), numbers_per_row)])
