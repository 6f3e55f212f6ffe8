"""The VampPrior: a mixture of the posteriors of learned pseudo-inputs (Tomczak & Welling 2018)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from ..importance.proposals import PosteriorProposal
from ..numerics import LOG_2PI, randn_like, reparameterize

# Bounded pseudo-inputs start this share of the interval inside the bounds: at them they could not
# move.
MARGIN = 0.05


class Posteriors(NamedTuple):
    """Mixture components of equal weight, each with its own diagonal variance."""

    mean: torch.Tensor  # (K, d)
    log_variance: torch.Tensor  # (K, d)

    @property
    def n_terms(self) -> int:
        """How many terms a row's sum has."""
        return len(self.mean)


class VampPrior(nn.Module):
    """p(z) = 1/K sum_k q(z | u_k), the pseudo-inputs u_k being parameters.

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

    @classmethod
    def untrained(cls, initial) -> VampPrior:
        """Return the prior with the pseudo-inputs of ``initial``."""
        return cls(initial.pseudo_inputs, initial.bounds)

    def learned(self) -> dict[str, float]:
        """Return nothing: pseudo-inputs are no single number."""
        return {}

    @property
    def floats_per_code(self) -> int:
        """How many floats its log-density keeps in memory for a code."""
        return len(self.pseudo_inputs)

    def rows(self) -> torch.Tensor:
        """Return the pseudo-inputs (K, D), within the bounds."""
        if self.bounds is None:
            return self.pseudo_inputs
        low, high = self.bounds
        return low + (high - low) * torch.sigmoid(self.pseudo_inputs)

    def centers(self, network, exemplars) -> Posteriors:
        """Return the posteriors of the pseudo-inputs."""
        return Posteriors(*network.encode(self.rows()))

    def log_prob(self, codes, centers: Posteriors, left_out=None) -> torch.Tensor:
        """Return log p(z) at ``codes`` (..., d)."""
        mean, log_variance = centers
        with torch.autocast(codes.device.type, enabled=False):
            # A quadratic form in z of each component's own is two matrix products, around the
            # middle of the means: the expanded square loses digits far from the origin.
            center = mean.mean(0).detach()
            codes, mean, precision = codes - center, mean - center, torch.exp(-log_variance)
            squares = codes**2 @ precision.T - 2 * codes @ (precision * mean).T
            squares = (squares + (precision * mean**2).sum(1)).clamp_min(0)
            log_terms = -0.5 * (squares + log_variance.sum(1) + codes.shape[-1] * LOG_2PI)
            return torch.logsumexp(log_terms, -1) - math.log(len(mean))

    def sample(self, centers: Posteriors, n_samples: int, generator) -> torch.Tensor:
        """Draw k uniformly, then z ~ q(z | u_k)."""
        mean, log_variance = centers
        chosen = torch.randint(
            len(mean), (n_samples,), generator=generator, device=generator.device
        ).to(mean.device)
        return self.sample_near(mean[chosen], log_variance[chosen], generator)

    def sample_near(self, mean, log_variance, generator) -> torch.Tensor:
        """Draw z ~ q(z | x): a row is no component, so the posterior is what is near it."""
        return reparameterize(mean, log_variance, randn_like(mean, generator))

    def proposal(self, mean, log_variance, centers: Posteriors) -> PosteriorProposal:
        """Return q(z | x) itself."""
        return PosteriorProposal(mean, log_variance, self, centers)


def draw_without_replacement(
    weights: torch.Tensor, n_drawn: int, generator: torch.Generator
) -> torch.Tensor:
    """Return indices (n_drawn,) drawn one after the other in proportion to ``weights`` (n,).

    They are the shortest of exponential waiting times with these rates; torch.multinomial ends at
    2^24 rows.
    """
    times = torch.empty_like(weights).exponential_(generator=generator) / weights
    return times.topk(n_drawn, largest=False).indices
