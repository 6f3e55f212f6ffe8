"""Log-densities of rows under a trained model, in memory that does not grow with the rows."""

from __future__ import annotations

from functools import partial

import torch

from .cells import Cells
from .chunks import row_chunks
from .importance import ImportanceNoise
from .model import ExemplarModel
from .priors import Exemplars


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
        noise = torch.randn(len(encoded[0]), model.n_noise, generator=generator)
        bounds.append(model.bound(rows[part], *encoded, noise.to(rows), log_prior))
    return torch.cat(bounds)
