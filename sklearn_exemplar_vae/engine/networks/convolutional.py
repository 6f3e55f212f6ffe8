"""ConvHVAE: two levels of codes, gated convolutions to and from the image."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from .mlp import GatedLinear, gated_layers
from .two_levels import NormalHead, TwoLevelNetwork, join

# (channels, kernel size, stride) of the layers towards codes: z2's, and z1's of the row.
UPPER_LAYERS = ((32, 7, 1), (32, 3, 2), (64, 5, 1), (64, 3, 2), (6, 3, 1))
LOWER_LAYERS = ((32, 3, 1), (32, 3, 2), (64, 3, 1), (64, 3, 2), (6, 3, 1))
# Both halve the image twice.
REDUCTION = 4
# And of the layers towards the row.
DECODER_LAYERS = ((64, 3, 1),) * 4
# Pixels a convolution is given at a time, 64 images of 28 by 28: the widest layer of an image takes
# megabytes, and a processor's caches have room for few. A GPU wants more images at a time.
MAX_PIXELS = {"cpu": 64 * 28**2, "cuda": 512 * 28**2}


class Gate(torch.autograd.Function):
    """h sigmoid(g), (..., c), for the h and g that are the halves of ``outputs`` (..., 2 c).

    `torch.nn.functional.glu` keeps h and g and takes the sigmoid anew for the gradient. Keeping the
    sigmoid and the product instead takes half the memory and less time (see "Why the defaults are
    what they are" in benchmarks/LOG.md).
    """

    @staticmethod
    def forward(ctx, outputs):
        hidden, gates = outputs.chunk(2, -1)
        # The sigmoid is slow where g lies side by side with h.
        gates = gates.contiguous().sigmoid_()
        gated = hidden * gates
        ctx.save_for_backward(gates, gated)
        return gated

    @staticmethod
    def backward(ctx, gradient):
        gates, gated = ctx.saved_tensors
        by_outputs = gradient.new_empty(*gradient.shape[:-1], 2 * gradient.shape[-1])
        by_hidden, by_gates = by_outputs.chunk(2, -1)
        torch.mul(gradient, gates, out=by_hidden)
        share = gradient * gated
        torch.addcmul(share, share, gates, value=-1, out=by_gates)  # share (1 - sigmoid)
        return by_outputs


class GatedConvolution(nn.Module):
    """h(x) * sigmoid(g(x)), h and g the channels of one convolution that keeps the size."""

    def __init__(self, n_inputs, n_outputs, size, stride, generator) -> None:
        super().__init__()
        scale = math.sqrt(2.0 / (n_inputs * size**2))
        shape = (2 * n_outputs, n_inputs, size, size)
        self.weight = nn.Parameter(scale * torch.randn(shape, generator=generator))
        self.bias = nn.Parameter(torch.zeros(2 * n_outputs))
        self.stride, self.padding = stride, size // 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs = F.conv2d(images, self.weight, self.bias, stride=self.stride, padding=self.padding)
        # The gate's gradient has channels last only if they are the last dimension it sees; a
        # convolution given another order copies it.
        outputs = outputs.permute(0, 2, 3, 1)
        # A GPU has glu and its gradient in one pass of the memory each, which is what counts there.
        gate = Gate.apply if outputs.requires_grad and not outputs.is_cuda else F.glu
        return gate(outputs).permute(0, 3, 1, 2)


class ConvolutionalNetwork(TwoLevelNetwork):
    """The paper's ConvHVAE for images of any size that can be halved twice.

    The output has a bias for every pixel, which starts at the columns' means, and not one for all.

    Parameters
    ----------
    n_features, n_components : int
        Pixels times channels of a row, and columns of each level of codes.
    image_shape : (int, int, int)
        Channels, height and width of a row.
    hidden_layer_sizes : sequence of int
        Units of the dense layers between the levels, and at the decoder's start.
    output_bias : tensor of shape (D,) or None
        Where the decoder's outputs start; None for zero.
    generator : torch.Generator
        The only source of randomness.
    """

    def __init__(
        self, n_features, n_components, *, image_shape, hidden_layer_sizes, output_bias, generator
    ) -> None:
        super().__init__(n_components)
        sizes = tuple(hidden_layer_sizes)
        self.image_shape = tuple(image_shape)
        channels, height, width = self.image_shape
        n_hidden = UPPER_LAYERS[-1][0] * (height // REDUCTION) * (width // REDUCTION)
        # The widest layer of the decoder, before its gate and after.
        self.floats_per_row = 3 * DECODER_LAYERS[0][0] * height * width
        self.encoder = gated_convolutions(channels, UPPER_LAYERS, generator)
        self.encoder_head = NormalHead(n_hidden, n_components, generator)
        self.lower_from_row = gated_convolutions(channels, LOWER_LAYERS, generator)
        self.lower_from_code = GatedLinear(n_components, n_hidden, generator)
        self.lower_joint = gated_layers((2 * n_hidden, sizes[-1]), generator)
        self.lower_posterior_head = NormalHead(sizes[-1], n_components, generator)
        self.lower_prior_layers = gated_layers((n_components, *sizes), generator)
        self.lower_prior_head = NormalHead(sizes[-1], n_components, generator)
        self.row_from_lower = GatedLinear(n_components, sizes[0], generator)
        self.row_from_code = GatedLinear(n_components, sizes[0], generator)
        self.to_image = GatedLinear(2 * sizes[0], n_features, generator)
        self.decoder = gated_convolutions(channels, DECODER_LAYERS, generator)
        last = DECODER_LAYERS[-1][0]
        weight = math.sqrt(1.0 / last) * torch.randn(channels, last, 1, 1, generator=generator)
        self.output_weight = nn.Parameter(weight)
        self.output_bias = nn.Parameter(torch.zeros(n_features))
        if output_bias is not None:
            self.output_bias.data.copy_(output_bias)

    def encode(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance of q(z2 | x), each (n, d), of ``rows`` (n, D)."""
        mean, log_variance = self.encoder_head(self.of_images(self.encoder, rows))
        return mean.to(rows.dtype), log_variance.to(rows.dtype)

    def lower_posterior(self, rows, codes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance of q(z1 | x, z2)."""
        hidden = join(self.of_images(self.lower_from_row, rows), self.lower_from_code(codes))
        return self.lower_posterior_head(self.lower_joint(hidden))

    def lower_prior(self, codes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance of p(z1 | z2)."""
        return self.lower_prior_head(self.lower_prior_layers(codes))

    def decode_both(self, lower, codes) -> torch.Tensor:
        """Return the parameters of p(x | z1, z2)."""
        hidden = join(self.row_from_lower(lower), self.row_from_code(codes))
        outputs = self.of_images(self.to_pixels, self.to_image(hidden))
        return outputs.to(codes.dtype) + self.output_bias

    def to_pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Return the decoder's last layers, without the output's bias."""
        return F.conv2d(self.decoder(images), self.output_weight)

    def of_images(self, layers, rows: torch.Tensor) -> torch.Tensor:
        """Return the flat outputs (..., m) of ``layers`` for the rows (..., D) as images.

        A pixel's channels lie side by side, the order that convolutions are fastest in.
        """
        images = rows.reshape(-1, *self.image_shape).clone(memory_format=torch.channels_last)
        n_images = max(1, MAX_PIXELS[images.device.type] // (images.shape[-2] * images.shape[-1]))
        outputs = [layers(part).flatten(1) for part in images.split(n_images)]
        return torch.cat(outputs).view(*rows.shape[:-1], -1)


def gated_convolutions(n_inputs: int, layers, generator: torch.Generator) -> nn.Sequential:
    """Return gated convolutions of the (channels, kernel size, stride) in ``layers``."""
    inputs = [n_inputs, *(channels for channels, _, _ in layers[:-1])]
    pairs = zip(inputs, layers, strict=True)
    return nn.Sequential(*(GatedConvolution(n, *layer, generator) for n, layer in pairs))
