"""Importance sampling: the noise that all rows share, and the mean of a row's weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from .chunks import row_chunks


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


def log_mean_weights(model, propose, noise: ImportanceNoise, rows: torch.Tensor) -> torch.Tensor:
    """log 1/S sum_s p(x | z_s) p(z_s) / q~(z_s | x), (n,), in memory that S does not add to.

    ``propose(mean, log_variance)`` makes q~ from the parameters of q(z | x).
    """
    normals, uniforms = noise.normals.to(rows), noise.uniforms.to(rows.device)
    mean, log_variance = model.network.encode(rows)
    proposal = propose(mean, log_variance)
    n_components, totals = mean.shape[1], []
    for part in row_chunks(len(normals), len(rows) * (model.width + proposal.numbers_per_code)):
        own, lower = normals[part, :n_components], normals[part, n_components:]
        codes = proposal.draw(own, uniforms[part])
        outputs, log_ratio = model.network.explain(codes, rows[:, None], lower)
        log_likelihood = model.likelihood.log_prob(outputs, rows[:, None])
        totals.append(torch.logsumexp(log_likelihood + log_ratio + proposal.log_ratio(codes), 1))
    return torch.logsumexp(torch.stack(totals), 0) - math.log(len(normals))
