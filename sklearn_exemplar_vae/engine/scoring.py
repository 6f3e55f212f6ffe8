"""Codes and log-densities of rows under a model, in memory that does not grow with the rows."""

from __future__ import annotations

import torch

from .chunks import row_chunks
from .importance.estimate import ImportanceSampling


@torch.no_grad()
def encode(model, rows: torch.Tensor) -> torch.Tensor:
    """Return codes (n, d) of ``rows`` (n, D)."""
    chunks = row_chunks(len(rows), model.floats_per_row)
    return torch.cat([model.encode(rows[part]) for part in chunks])


@torch.no_grad()
def log_density(model, rows: torch.Tensor, exemplars, sampling: ImportanceSampling) -> torch.Tensor:
    """Return log p(x), (n,), as the model's ``scorer`` has it, exactly or by importance sampling.

    Parameters
    ----------
    model : ExemplarModel or FlowModel
    rows : tensor of shape (n, D)
    exemplars : Exemplars or CellsWithin
    sampling : ImportanceSampling
    """
    score, floats_per_row = model.scorer(exemplars, sampling)
    return torch.cat([score(rows[part]) for part in row_chunks(len(rows), floats_per_row)])
