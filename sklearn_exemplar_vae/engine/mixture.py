"""A density as a short mixture: a model, and what stands beside it.

    p(x) = (1 - e) ((1 - a) p_model(x) + a p_normals(x)) + e p_background(x)

The background is one exemplar more. By the rule of succession a row unlike all N exemplars has
probability about e = 1 / (N + 1). Ordinary rows lose e nats by it; a row far from all others gets a
logarithmic penalty in the place of a quadratic one, in scores and in training, where it stops
pulling. A mixture of normal distributions has the share a that makes left-out rows likeliest, a
stacked density (Smyth and Wolpert 1999).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn


class Mixture(nn.Module):
    """What stands beside a model. By default nothing does: the model is the whole density.

    Attributes
    ----------
    background : module with ``log_prob``, or None
    normals : NormalMixture or None
    background_share, normal_share : tensors of no dimension, e and a
    """

    def __init__(self) -> None:
        super().__init__()
        self.background = self.normals = None
        self.register_buffer("background_share", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("normal_share", torch.tensor(0.0, dtype=torch.float64))

    def set_background(self, background: nn.Module | None, share: float) -> None:
        """Take a background, or none, of this share of the density."""
        self.background = background
        self.background_share.fill_(share if background is not None else 0.0)

    def set_normals(self, normals: nn.Module | None, share: float) -> None:
        """Take normal distributions, or none, of this share of what the background leaves."""
        self.normals = normals
        self.normal_share.fill_(share if normals is not None else 0.0)

    def forward(self, log_density: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return log p(x), (n,), given the model's ``log_density`` of ``rows`` (n, D)."""
        device = rows.device.type
        with torch.autocast(device, enabled=False):  # squares of rows need more digits
            if self.normals is not None:
                log_normals = self.normals.log_prob(rows.to(self.normals.dtype))
                log_density = log_mix(log_density, log_normals, self.normal_share)
            if self.background is not None:
                log_background = self.background.log_prob(rows.to(self.background.dtype))
                log_density = log_mix(log_density, log_background, self.background_share)
        return log_density

    def sample(
        self, draw: Callable[[int, torch.Generator], torch.Tensor], n_samples: int, generator
    ) -> torch.Tensor:
        """Draw rows (n_samples, D): from the model by ``draw``, or from the normal distributions.

        None is from the background, whose rows are unlike all others.
        """
        if self.normals is None:
            return draw(n_samples, generator)
        uniforms = torch.rand(n_samples, generator=generator, device=generator.device)
        n_normal = int((uniforms < self.normal_share).sum())
        rows = self.normals.sample(n_normal, generator).float()
        if n_normal < n_samples:
            rows = torch.cat([rows, draw(n_samples - n_normal, generator)])
        order = torch.randperm(n_samples, generator=generator, device=generator.device)
        return rows[order]


def log_mix(first: torch.Tensor, second: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return the log of a mixture of two densities, given their logs and the second's share."""
    share = share.double()
    mixed = torch.logaddexp(first + torch.log1p(-share), second + share.log())
    return mixed.to(first.dtype)


def likeliest_share(
    first: torch.Tensor,
    second: torch.Tensor,
    weights: torch.Tensor,
    *,
    n_steps: int,
    n_counts: float = 0.0,
    smallest: float = 0.0,
) -> float:
    """Return the share of the second of two densities under which rows are likeliest mixed.

    It is found by expectation-maximization; the likelihood is flat around the best.

    Parameters
    ----------
    first, second : tensors of shape (n,), log-densities
    weights : tensor of shape (n,)
    n_steps : int
    n_counts : float
        Of the Dirichlet distribution that is the share's prior, half of them for either density.
    smallest : float
        The share stays as far from 0 and 1.
    """
    share = 0.5
    for _ in range(n_steps):
        log_odds = second - first + math.log(share) - math.log1p(-share)
        share = (weights @ torch.sigmoid(log_odds)).item() + 0.5 * n_counts
        share /= weights.sum().item() + n_counts
        share = min(max(share, smallest), 1 - smallest)
    return share
