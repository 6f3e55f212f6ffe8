"""Importance sampling: the noise that all rows share, the mean of a row's weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..chunks import row_chunks


class ImportanceSampling(NamedTuple):
    """How a log-density is estimated where it is not exact."""

    n_samples: int  # S
    seed: int


class ImportanceNoise(NamedTuple):
    """The noise of importance sampling, shared by all rows so that a row's score is its own."""

    normals: torch.Tensor  # (S, n_noise), perturb the codes of all levels
    uniforms: torch.Tensor  # (S,), pick the exemplars


def importance_noise(sampling: ImportanceSampling, n_noise: int) -> ImportanceNoise:
    """Return scrambled Sobol points (Owen 1998) as noise.

    All rows share the noise. Independent draws would have an error in common that makes a whole
    table's scores too high or too low together; evenly spread points have much less of it and still
    give an unbiased estimate.
    """
    # In double precision on the CPU: the same noise for every device and dtype.
    engine = torch.quasirandom.SobolEngine(n_noise + 1, scramble=True, seed=sampling.seed)
    points = engine.draw(sampling.n_samples, dtype=torch.float64)
    tiny = 2.0**-40  # a point may be 0, whose normal is minus infinity
    normals = torch.special.ndtri(points[:, 1:].clamp(tiny, 1 - tiny))
    return ImportanceNoise(normals, points[:, 0])


def log_mean_weights(model, propose, noise: ImportanceNoise, rows: torch.Tensor) -> torch.Tensor:
    """Return log 1/S sum_s p(x | z_s) p(z_s) / q~(z_s | x), (n,), in memory that S does not add to.

    ``propose(mean, log_variance)`` makes q~ from the parameters of q(z | x).
    """
    normals, uniforms = noise.normals.to(rows), noise.uniforms.to(rows.device)
    mean, log_variance = model.network.encode(rows)
    proposal = propose(mean, log_variance)
    n_components, totals = mean.shape[1], []
    for part in row_chunks(
        len(normals), len(rows) * (model.floats_per_row + proposal.floats_per_code)
    ):
        own, lower = normals[part, :n_components], normals[part, n_components:]
        codes = proposal.draw(own, uniforms[part])
        outputs, log_ratio = model.network.decode_posterior(codes, rows[:, None], lower)
        log_likelihood = model.likelihood.log_prob(outputs, rows[:, None])
        totals.append(torch.logsumexp(log_likelihood + log_ratio + proposal.log_ratio(codes), 1))
    return torch.logsumexp(torch.stack(totals), 0) - math.log(len(normals))
