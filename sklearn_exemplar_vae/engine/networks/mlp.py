"""The gated multilayer perceptron of the Exemplar VAE paper."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

# The paper clips the log-variance of q(z | x) to this range. Where training starts from a kernel
# density estimate the range is taken relative to the variance of the start.
LOG_VARIANCE_RANGE = (-6.0, 2.0)


class GatedLinear(nn.Module):
    """One gated dense layer, ``h(x) * sigmoid(g(x))`` with h and g affine.

    Both maps are rows of one matrix, so that a layer costs one matrix product.
    """

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(he_normal(2 * n_outputs, n_inputs, generator))
        self.bias = nn.Parameter(torch.zeros(2 * n_outputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return F.glu(F.linear(inputs, self.weight, self.bias))


class Linear(nn.Module):
    """An affine map, drawn from a local generator; ``zero`` starts it at the zero map."""

    def __init__(
        self, n_inputs: int, n_outputs: int, generator: torch.Generator, *, zero: bool = False
    ) -> None:
        super().__init__()
        weight = he_normal(n_outputs, n_inputs, generator)
        self.weight = nn.Parameter(torch.zeros_like(weight) if zero else weight)
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return F.linear(inputs, self.weight, self.bias)


class MLPNetwork(nn.Module):
    """Encoder and decoder of gated dense layers.

    ``encode`` gives mean mu(x) and log-variance log Lambda(x) of the posterior q(z | x), ``decode``
    the parameters of p(x | z). With a ``kernel`` both mean maps are a fixed linear map plus a
    network whose last layer is zero at initialization (``x + f(x)`` and ``z + g(z)`` when the
    linear map is the identity), so the untrained network *is* that kernel density estimate.

    Parameters
    ----------
    n_features, n_components : int
        Columns of a row and of a code.
    hidden_layer_sizes : sequence of int
        Units of the encoder's layers; the decoder has the same layers in reverse order.
    kernel : KernelInitialization or None
        The density estimate to start at; None starts from He-initialized networks, as the paper
        does.
    output_bias : tensor of shape (D,) or None
        Where the decoder's outputs start without a ``kernel``; None for zero.
    generator : torch.Generator
        The only source of randomness.
    """

    def __init__(
        self, n_features, n_components, *, hidden_layer_sizes, kernel=None, output_bias, generator
    ) -> None:
        super().__init__()
        sizes, has_kernel = tuple(hidden_layer_sizes), kernel is not None
        self.n_components = self.n_noise = n_components
        # Numbers a row puts in memory on its way through; gated layers are twice as wide inside.
        self.floats_per_row = 2 * (n_features + n_components) + 3 * sum(sizes)
        self.encoder = gated_layers((n_features, *sizes), generator)
        self.mean_head = Linear(sizes[-1], n_components, generator, zero=has_kernel)
        self.log_variance_head = Linear(sizes[-1], n_components, generator, zero=has_kernel)
        self.decoder = gated_layers((n_components, *reversed(sizes)), generator)
        self.output_head = Linear(sizes[0], n_features, generator, zero=has_kernel)
        if output_bias is not None:
            self.output_head.bias.data.copy_(output_bias)
        self.register_buffer("linear_encoder", kernel.encoder.clone() if has_kernel else None)
        self.register_buffer("linear_decoder", kernel.decoder.clone() if has_kernel else None)
        self.register_buffer(
            "base_log_variance",
            kernel.code_log_variance.clone() if has_kernel else torch.zeros(n_components),
        )

    @property
    def is_linear(self) -> bool:
        """Whether the network is still the kernel density estimate that it started as."""
        heads = (self.mean_head, self.log_variance_head, self.output_head)
        is_trained = any(bool(parameter.any()) for head in heads for parameter in head.parameters())
        return self.linear_encoder is not None and not is_trained

    def encode(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance of q(z | x), each (n, d), of ``rows`` (n, D)."""
        hidden = self.encoder(rows)
        mean = self.mean_head(hidden).to(rows.dtype)
        if self.linear_encoder is not None:
            mean = mean + linear_map(rows, self.linear_encoder)
        offset = self.log_variance_head(hidden).to(rows.dtype)
        return mean, self.base_log_variance + offset.clamp(*LOG_VARIANCE_RANGE)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the parameters (n, D) of p(x | z) at ``codes`` (n, d)."""
        outputs = self.output_head(self.decoder(codes)).to(codes.dtype)
        if self.linear_decoder is not None:
            outputs = outputs + linear_map(codes, self.linear_decoder)
        return outputs

    def decode_posterior(self, codes, rows, noise, path=None) -> tuple[torch.Tensor, float]:
        """Return what `decode` does, and 0: no lower level adds to the log-density."""
        return self.decode(codes if path is None else path.of_draws(codes)), 0.0

    def decode_prior(self, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return what `decode` does: there is no lower level to draw."""
        return self.decode(codes)


def he_normal(n_outputs: int, n_inputs: int, generator: torch.Generator) -> torch.Tensor:
    """Draw a (n_outputs, n_inputs) matrix with variance 2 / n_inputs (He et al. 2015)."""
    return torch.randn(n_outputs, n_inputs, generator=generator) * math.sqrt(2.0 / n_inputs)


def linear_map(inputs: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Return ``inputs @ matrix`` outside autocast: in bfloat16 it would be another kernel."""
    with torch.autocast(inputs.device.type, enabled=False):
        return inputs @ matrix


def gated_layers(sizes, generator) -> nn.Sequential:
    """Return gated layers from ``sizes[0]`` units to ``sizes[-1]``."""
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    return nn.Sequential(*(GatedLinear(i, o, generator) for i, o in pairs))
