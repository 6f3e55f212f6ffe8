"""The prior of the plain VAE."""

from __future__ import annotations

import torch
from torch import nn

from ..importance.proposals import Exemplars, PosteriorProposal
from ..numerics import normal_log_prob, randn_like, reparameterize


class GaussianPrior(nn.Module):
    """p(z) = N(0, I)."""

    needs_exemplars = False
    floats_per_code = 0  # that its log-density keeps in memory

    @classmethod
    def untrained(cls, initial) -> GaussianPrior:
        """Return the prior: it has no parameters."""
        return cls()

    def learned(self) -> dict[str, float]:
        """Return nothing: there is nothing to learn."""
        return {}

    def centers(self, network, exemplars: Exemplars) -> Exemplars:
        """Return no exemplars, in the dtype and with the columns of all."""
        return Exemplars(*(tensor[:0] for tensor in exemplars))

    def log_prob(self, codes, centers=None, left_out=None) -> torch.Tensor:
        """Return log p(z) at ``codes`` (..., d)."""
        return normal_log_prob(codes, torch.zeros_like(codes), torch.zeros_like(codes))

    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Draw codes (n_samples, d)."""
        codes = exemplars.codes
        return randn_like(codes.new_empty(n_samples, codes.shape[1]), generator)

    def sample_near(self, mean, log_variance, generator) -> torch.Tensor:
        """Draw z ~ q(z | x): without exemplars the posterior is what is near a row."""
        return reparameterize(mean, log_variance, randn_like(mean, generator))

    def proposal(self, mean, log_variance, centers=None) -> PosteriorProposal:
        """Return q(z | x) itself."""
        return PosteriorProposal(mean, log_variance, self, centers)
