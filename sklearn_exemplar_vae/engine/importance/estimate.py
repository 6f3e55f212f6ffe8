"""Importance sampling: the noise that all rows share, the mean of a row's weights, a defense."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from ..chunks import row_chunks

# The share of the prior's own draws in an estimate: too small to cost a row that the encoder knows,
# and large enough that one it does not know is at most 21 nats below what those draws make of it.
DEFENSIVE_SHARE = 1e-9
# None of the prior's draws is near a row unlike all others; more of them would not help.
N_DEFENSIVE_DRAWS = 16


class ImportanceSampling(NamedTuple):
    """How a log-density is estimated where it is not exact."""

    n_samples: int  # S
    seed: int


class ImportanceNoise(NamedTuple):
    """The noise of importance sampling, shared by all rows so that a row's score is its own."""

    normals: torch.Tensor  # (S, n_noise), perturb the codes of all levels
    uniforms: torch.Tensor  # (S,), pick the exemplars
    seed: int  # of draws of the prior


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
    return ImportanceNoise(normals, points[:, 0], sampling.seed)


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


def with_defensive_mixture(
    estimate: Callable[[torch.Tensor], torch.Tensor], model, exemplars, noise: ImportanceNoise
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return ``estimate`` of rows' log-densities with a little of the plainest estimate mixed in.

    A row unlike all that the encoder has seen may get a posterior that is far off, where all draws
    have next to no likelihood; one such row decides the mean of a table. Draws of the prior,
    p(x) = E p(x | z), do not depend on the encoder. The mean of two unbiased estimates of a density
    is unbiased too (a defensive mixture, Hesterberg 1995).

    Parameters
    ----------
    estimate : callable, (n, D) to (n,)
    model : ExemplarModel
    exemplars : Exemplars
    noise : ImportanceNoise
        That of ``estimate``; its seed draws the codes of the prior.
    """
    generator = torch.Generator().manual_seed(noise.seed)  # on the CPU, as all noise of scores
    outputs = model.draw_outputs(exemplars, N_DEFENSIVE_DRAWS, generator)

    def score(rows: torch.Tensor) -> torch.Tensor:
        by_prior = log_mean_likelihoods(model.likelihood, outputs, rows)
        return torch.logaddexp(
            estimate(rows) + math.log1p(-DEFENSIVE_SHARE), by_prior + math.log(DEFENSIVE_SHARE)
        )

    return score


def log_mean_likelihoods(likelihood, outputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return log 1/K sum_k p(x | z_k), (n,), given the decoder's ``outputs`` (K, D)."""
    totals = []
    for part in row_chunks(len(outputs), rows.numel()):
        totals.append(torch.logsumexp(likelihood.log_probs(outputs[part], rows), 1))
    return torch.logsumexp(torch.stack(totals), 0) - math.log(len(outputs))
