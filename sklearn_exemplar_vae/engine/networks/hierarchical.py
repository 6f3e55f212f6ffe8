"""HVAE: two levels of codes over gated dense layers."""

from __future__ import annotations

import torch

from .mlp import GatedLinear, Linear, gated_layers
from .two_levels import NormalHead, TwoLevelNetwork, join


class HierarchicalNetwork(TwoLevelNetwork):
    """The paper's HVAE, its two layers of 300 units generalized to ``hidden_layer_sizes``.

    Where a path has two inputs, each passes a layer of its own first; the other layers see both.

    Parameters
    ----------
    n_features, n_components : int
        Columns of a row, and of each level of codes.
    hidden_layer_sizes : sequence of int
        Units of each path's layers, in reverse order towards the row.
    output_bias : tensor of shape (D,) or None
        Where the decoder's outputs start; None for zero.
    generator : torch.Generator
        The only source of randomness.
    """

    def __init__(
        self, n_features, n_components, *, hidden_layer_sizes, output_bias, generator
    ) -> None:
        super().__init__(n_components)
        sizes = tuple(hidden_layer_sizes)
        first, rest = sizes[0], sizes[1:] or sizes
        last, before = sizes[-1], sizes[-2::-1] or sizes  # the decoder's, in its order
        self.floats_per_row = 2 * (n_features + 3 * n_components) + 9 * sum(sizes)
        self.encoder = gated_layers((n_features, *sizes), generator)
        self.encoder_head = NormalHead(sizes[-1], n_components, generator)
        self.lower_from_row = GatedLinear(n_features, first, generator)
        self.lower_from_code = GatedLinear(n_components, first, generator)
        self.lower_joint = gated_layers((2 * first, *rest), generator)
        self.lower_posterior_head = NormalHead(rest[-1], n_components, generator)
        self.lower_prior_layers = gated_layers((n_components, *sizes), generator)
        self.lower_prior_head = NormalHead(sizes[-1], n_components, generator)
        self.row_from_lower = GatedLinear(n_components, last, generator)
        self.row_from_code = GatedLinear(n_components, last, generator)
        self.row_joint = gated_layers((2 * last, *before), generator)
        self.output_head = Linear(before[-1], n_features, generator)
        if output_bias is not None:
            self.output_head.bias.data.copy_(output_bias)

    def encode(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance of q(z2 | x), each (n, d), of ``rows`` (n, D)."""
        mean, log_variance = self.encoder_head(self.encoder(rows))
        return mean.to(rows.dtype), log_variance.to(rows.dtype)

    def lower_posterior(self, rows, codes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance of q(z1 | x, z2)."""
        hidden = join(self.lower_from_row(rows), self.lower_from_code(codes))
        return self.lower_posterior_head(self.lower_joint(hidden))

    def lower_prior(self, codes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance of p(z1 | z2)."""
        return self.lower_prior_head(self.lower_prior_layers(codes))

    def decode_both(self, lower, codes) -> torch.Tensor:
        """Return the parameters of p(x | z1, z2)."""
        hidden = join(self.row_from_lower(lower), self.row_from_code(codes))
        return self.output_head(self.row_joint(hidden)).to(codes.dtype)
