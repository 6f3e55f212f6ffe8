"""Networks of two levels of codes: x <- z1 <- z2, the prior standing on z2.

The lower level's q(z1 | x, z2) and p(z1 | z2) are diagonal normals, and the bound on log p(x | z2)
is ``log p(x | z1, z2) + log p(z1 | z2) - log q(z1 | x, z2)`` at a draw of q (Sonderby et al. 2016;
Tomczak & Welling 2018, whose networks the Exemplar VAE paper takes).
"""

from __future__ import annotations

import torch
from torch import nn

from ..numerics import normal_log_prob, randn_like, reparameterize
from .mlp import LOG_VARIANCE_RANGE, Linear
from .path_gradient import PathGradient


class NormalHead(nn.Module):
    """Mean and clipped log-variance, each (..., n), of a layer's outputs."""

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.mean = Linear(n_inputs, n_outputs, generator)
        self.log_variance = Linear(n_inputs, n_outputs, generator)

    def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.mean(hidden), self.log_variance(hidden).clamp(*LOG_VARIANCE_RANGE)


class TwoLevelNetwork(nn.Module):
    """The arithmetic of two levels.

    A subclass supplies ``encode``, ``lower_posterior`` (rows and codes to q(z1 | x, z2)),
    ``lower_prior`` (codes to p(z1 | z2)) and ``decode_both`` (both levels to the parameters of
    p(x | z1, z2)). Both levels have d columns.
    """

    is_linear = False  # it starts from nothing

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.n_components, self.n_noise = n_components, 2 * n_components

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the parameters (n, D) of p(x | z1, z2), z1 being the mean of p(z1 | z2)."""
        return self.decode_both(self.lower_prior(codes)[0], codes)

    def decode_posterior(
        self,
        codes: torch.Tensor,
        rows: torch.Tensor,
        noise: torch.Tensor,
        path: PathGradient | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the parameters of p(x | z1, z2) and log p(z1 | z2) / q(z1 | x, z2), z1 ~ q.

        ``rows`` and ``noise`` broadcast against ``codes`` (..., d). With a ``path`` the codes are
        (n, K, d), and the gradient is by way of it.
        """
        condition = codes
        if path is not None:
            codes, condition = path.of_draws(codes), path.of_condition(codes)
        mean, log_variance = (t.to(codes.dtype) for t in self.lower_posterior(rows, condition))
        lower = reparameterize(mean, log_variance, noise)
        if path is not None:
            lower, mean, log_variance = path.of_draws(lower), mean.detach(), log_variance.detach()
        prior = (t.to(codes.dtype) for t in self.lower_prior(codes))
        log_ratio = normal_log_prob(lower, *prior) - normal_log_prob(lower, mean, log_variance)
        return self.decode_both(lower, codes), log_ratio

    def decode_prior(self, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the parameters of p(x | z1, z2) at a draw of p(z1 | z2)."""
        mean, log_variance = self.lower_prior(codes)
        lower = reparameterize(mean, log_variance, randn_like(mean, generator))
        return self.decode_both(lower, codes)


def join(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return columns side by side, the axes before them broadcast."""
    shape = torch.broadcast_shapes(left.shape[:-1], right.shape[:-1])
    return torch.cat([left.expand(*shape, -1), right.expand(*shape, -1)], -1)
