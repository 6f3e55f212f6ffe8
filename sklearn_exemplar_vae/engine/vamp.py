"""The VampPrior: a mixture of the posteriors of learned pseudo-inputs (Tomczak & Welling 2018)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from .priors import LOG_2PI, Exemplars, PosteriorProposal, randn_like

# Bounded pseudo-inputs start so far inside the bounds, as a share of the interval: at them they
# could not move.
MARGIN = 0.05


class Posteriors(NamedTuple):
    """Mixture components of equal weight, each with its own diagonal variance."""

    mean: torch.Tensor  # (K, d)
    log_variance: torch.Tensor  # (K, d)


class VampPrior(nn.Module):
    """p(z) = 1/K sum_k q(z | u_k), the pseudo-inputs u_k being parameters.

    What the exemplar prior takes from the data this one has to learn, and K of them is all it has.
    Bounds are kept by a sigmoid; Tomczak and Welling (2018) cut values off, which ends a gradient.

    Parameters
    ----------
    pseudo_inputs : tensor of shape (K, D)
        Where they start: rows of the data.
    bounds : (float, float) or None
        Values that the likelihood's rows cannot leave.
    """

    needs_exemplars = False

    def __init__(
        self, pseudo_inputs: torch.Tensor, bounds: tuple[float, float] | None = None
    ) -> None:
        super().__init__()
        self.bounds = bounds
        if bounds is not None:
            low, high = bounds
            shares = (pseudo_inputs - low) / (high - low)
            pseudo_inputs = torch.logit(shares.clamp(MARGIN, 1 - MARGIN))
        self.pseudo_inputs = nn.Parameter(pseudo_inputs.clone())

    @property
    def numbers_per_code(self) -> int:
        """That its log-density keeps in memory."""
        return len(self.pseudo_inputs)

    def rows(self) -> torch.Tensor:
        """The pseudo-inputs (K, D), within the bounds."""
        if self.bounds is None:
            return self.pseudo_inputs
        low, high = self.bounds
        return low + (high - low) * torch.sigmoid(self.pseudo_inputs)

    def centres(self, network, exemplars: Exemplars) -> Posteriors:
        return Posteriors(*network.encode(self.rows()))

    def log_prob(self, codes, centres, excluded=None, log_totals=None) -> torch.Tensor:
        """log p(z) in nats at ``codes`` (..., d)."""
        mean, log_variance = centres
        with torch.autocast(codes.device.type, enabled=False):
            # A quadratic form in z of each component's own: two matrix products. Around the middle
            # of the means: the expanded square loses digits far from the origin.
            centre = mean.mean(0).detach()
            codes, mean, precision = codes - centre, mean - centre, torch.exp(-log_variance)
            squares = codes**2 @ precision.T - 2 * codes @ (precision * mean).T
            squares = (squares + (precision * mean**2).sum(1)).clamp_min(0)
            log_terms = -0.5 * (squares + log_variance.sum(1) + codes.shape[-1] * LOG_2PI)
            return torch.logsumexp(log_terms, -1) - math.log(len(mean))

    def sample(self, centres, n_samples: int, generator) -> torch.Tensor:
        """k ~ uniform, z ~ q(z | u_k)."""
        mean, log_variance = centres
        chosen = torch.randint(
            len(mean), (n_samples,), generator=generator, device=generator.device
        ).to(mean.device)
        return self.sample_near(mean[chosen], log_variance[chosen], generator)

    def sample_near(self, mean, log_variance, generator) -> torch.Tensor:
        """z ~ q(z | x): a row is no component, its posterior is what is near it."""
        return mean + torch.exp(0.5 * log_variance) * randn_like(mean, generator)

    def proposal(self, mean, log_variance, exemplars) -> PosteriorProposal:
        return PosteriorProposal(mean, log_variance, self, exemplars)


def draw_without_replacement(
    weights: torch.Tensor, n_drawn: int, generator: torch.Generator
) -> torch.Tensor:
    """Indices (n_drawn,) of ``weights`` (n,), one after the other in proportion to what is left.

    Of exponential waiting times with these rates the shortest; torch.multinomial ends at 2^24 rows.
    """
    times = torch.empty_like(weights).exponential_(generator=generator) / weights
    return times.topk(n_drawn, largest=False).indices
