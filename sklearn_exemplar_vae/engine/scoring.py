"""Log-densities of rows under a trained model, in memory that does not grow with the rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch

from .cells import CellProposal, Cells
from .model import ExemplarModel
from .priors import Exemplars

# Numbers one temporary array may hold: 2^22 doubles are 32 MiB.
CHUNK_NUMBERS = 2**22
# Rows scored together at least, so that each reading of millions of exemplars serves several.
MIN_ROWS = 8


def row_chunks(n_rows: int, numbers_per_row: int) -> Iterator[slice]:
    """Slices of `MIN_ROWS` rows, or as many more as keep temporaries within `CHUNK_NUMBERS`."""
    step = max(MIN_ROWS, CHUNK_NUMBERS // max(1, numbers_per_row))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


@torch.no_grad()
def encode(model: ExemplarModel, rows: torch.Tensor) -> torch.Tensor:
    """Code means (n, d) of ``rows`` (n, D)."""
    parts = [
        model.network.encode(rows[part])[0] for part in row_chunks(len(rows), model.network.width)
    ]
    return torch.cat(parts)


class ImportanceNoise(NamedTuple):
    """The noise of importance sampling, shared by all rows so that a row's score is its own."""

    normals: torch.Tensor  # (S, n_noise), perturb the codes of all levels
    uniforms: torch.Tensor  # (S,), pick the exemplars


def importance_noise(n_samples: int, n_noise: int, seed: int) -> ImportanceNoise:
    """Scrambled Sobol points (Owen 1998).

    What independent draws of few samples share by accident, all rows would share: a whole table's
    scores would be too high or too low together. Spread evenly the points still give an unbiased
    estimate, and on tables its standard deviation over seeds falls to a third.
    """
    # In double precision on the CPU: the same noise for every device and dtype.
    points = torch.quasirandom.SobolEngine(n_noise + 1, scramble=True, seed=seed).draw(
        n_samples, dtype=torch.float64
    )
    tiny = 2.0**-40  # a point may be 0, whose normal is minus infinity
    return ImportanceNoise(torch.special.ndtri(points[:, 1:].clamp(tiny, 1 - tiny)), points[:, 0])


@torch.no_grad()
def log_density(
    model: ExemplarModel,
    rows: torch.Tensor,
    exemplars: Exemplars | Cells,
    noise: ImportanceNoise,
    rtol: float = 0.0,
) -> torch.Tensor:
    """Importance-weighted log p(x), (n,), in nats.

    ``log 1/S sum_s p(x | z_s) p(z_s | X) / q(z_s | x)`` (Burda et al. 2016), with the prior's own
    proposal in the place of q. In expectation it is a lower bound that rises with S. Exemplars in
    cells are summed up to the relative tolerance ``rtol``, others all.
    """
    if isinstance(exemplars, Cells):
        log_bandwidth = model.prior.log_bandwidth
        n_terms = len(exemplars.centres)
        propose = partial(CellProposal, cells=exemplars, log_bandwidth=log_bandwidth, rtol=rtol)
    else:
        centres = model.prior.centres(model.network, exemplars)
        n_terms = len(centres[0])
        propose = partial(model.prior.proposal, exemplars=centres)
    normals = noise.normals.to(rows)
    uniforms = noise.uniforms.to(rows.device)
    log_weights = [
        _log_mean_weights(model, rows[part], propose, normals, uniforms)
        for part in row_chunks(len(rows), 4 * n_terms + model.network.width)
    ]
    return torch.cat(log_weights)


def _log_mean_weights(model, rows, propose, normals, uniforms) -> torch.Tensor:
    mean, log_variance = model.network.encode(rows)
    proposal = propose(mean, log_variance)
    n_components, totals = mean.shape[1], []
    for part in row_chunks(len(normals), len(rows) * model.network.width):
        own, lower = normals[part, :n_components], normals[part, n_components:]
        codes = proposal.draw(own, uniforms[part])
        outputs, log_ratio = model.network.explain(codes, rows[:, None], lower)
        log_likelihood = model.likelihood.log_prob(outputs, rows[:, None])
        totals.append(torch.logsumexp(log_likelihood + log_ratio + proposal.log_ratio(codes), 1))
    return torch.logsumexp(torch.stack(totals), 0) - math.log(len(normals))


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
    for part in row_chunks(len(rows), 4 * len(exemplars.codes) + model.network.width):
        encoded = model.network.encode(rows[part])
        noise = torch.randn(len(encoded[0]), model.network.n_noise, generator=generator)
        bounds.append(model.bound(rows[part], *encoded, noise.to(rows), log_prior))
    return torch.cat(bounds)
