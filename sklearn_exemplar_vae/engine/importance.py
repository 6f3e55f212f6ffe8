"""Importance sampling: the noise that all rows share, the mean of a row's weights, a defence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from .chunks import row_chunks

# The share of the prior's own draws in an estimate. A row that the encoder knows loses 1e-9 nats by
# it, and one that it does not know is at most 21 nats below what those draws make of it.
DEFENSIVE_SHARE = 1e-9
# Such draws: of a row unlike all others none is near, and more of them would not help.
N_DEFENSIVE_DRAWS = 16


class ImportanceNoise(NamedTuple):
    """The noise of importance sampling, shared by all rows so that a row's score is its own."""

    normals: torch.Tensor  # (S, n_noise), perturb the codes of all levels
    uniforms: torch.Tensor  # (S,), pick the exemplars
    seed: int  # of draws of the prior


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
    normals = torch.special.ndtri(points[:, 1:].clamp(tiny, 1 - tiny))
    return ImportanceNoise(normals, points[:, 0], seed)


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


def defended(
    estimate: Callable[[torch.Tensor], torch.Tensor], model, exemplars, noise: ImportanceNoise
) -> Callable[[torch.Tensor], torch.Tensor]:
    """``estimate``, of rows' log-densities, with a little of the plainest one mixed in.

    A row unlike all that the encoder has seen may get a posterior that is far off, and all of its
    draws likelihoods next to nothing: the negatives of MNIST's digits scored 15 000 nats (the
    median) below what draws of the prior make of them, and one such row decides the mean of a
    table. Draws of the prior, p(x) = E p(x | z), are the same for all rows, dtypes and devices. The
    mean of two unbiased estimates of a density is one too (a defensive mixture, Hesterberg 1995).

    Parameters
    ----------
    estimate : callable, (n, D) to (n,)
    model : ExemplarModel
    exemplars : Exemplars
    noise : ImportanceNoise
        That of ``estimate``, of whose seed the draws are.
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
    """log 1/K sum_k p(x | z_k), (n,), of the decoder's ``outputs`` (K, D) at codes for all rows."""
    totals = []
    for part in row_chunks(len(outputs), rows.numel()):
        totals.append(torch.logsumexp(likelihood.log_probs(outputs[part], rows), 1))
    return torch.logsumexp(torch.stack(totals), 0) - math.log(len(outputs))
