"""An invertible network with an exact Jacobian: autoregressive splines ahead of a linear map."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from .mlp import he_normal

# Bins of a spline, and the interval [-REACH, REACH] in standard deviations that it bends: beyond,
# where there are too few rows to learn from, it is the identity.
N_BINS = 8
REACH = 5.0
# The least width and height of a bin, as shares of the interval, and the least slope at its ends.
MIN_SHARE = 1e-3
MIN_SLOPE = 1e-3
# softplus(SLOPE_OFFSET) + MIN_SLOPE = 1: parameters of zero make the identity.
SLOPE_OFFSET = math.log(math.expm1(1 - MIN_SLOPE))
# The share of He's weights that a network starts with: a smooth network that starts flat bends
# little where rows are few (chosen on five tables; see benchmarks/LOG.md).
WEIGHT_SCALE = 0.2


def spline(
    inputs: torch.Tensor, parameters: torch.Tensor, inverse: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return monotone rational-quadratic splines (Durkan et al. 2019) and their slopes' logarithms.

    Parameters
    ----------
    inputs : tensor of shape (..., D)
    parameters : tensor of shape (..., D, 3 * N_BINS - 1)
        The widths, heights and inner slopes; zeros are the identity.
    inverse : bool
        Whether the splines are run from outputs to inputs; the slopes are still those of the
        forward direction.
    """
    widths, heights, slopes = parameters.split([N_BINS, N_BINS, N_BINS - 1], -1)
    x_knots, y_knots = knots(widths), knots(heights)
    slopes = F.pad(MIN_SLOPE + F.softplus(slopes + SLOPE_OFFSET), (1, 1), value=1.0)
    is_inside = inputs.abs() < REACH
    points = torch.where(is_inside, inputs, 0.0)
    edges = y_knots if inverse else x_knots
    bins = (points[..., None] >= edges[..., 1:-1]).sum(-1, keepdim=True)
    ends = torch.cat([bins, bins + 1], -1)
    x_left, x_right = x_knots.gather(-1, ends).unbind(-1)
    y_left, y_right = y_knots.gather(-1, ends).unbind(-1)
    left, right = slopes.gather(-1, ends).unbind(-1)
    width, height = x_right - x_left, y_right - y_left
    slope = height / width
    bend = left + right - 2 * slope
    if inverse:
        above = points - y_left
        square = height * (slope - left) + above * bend
        linear = height * left - above * bend
        root = (linear**2 + 4 * square * slope * above).clamp_min(0).sqrt()
        share = 2 * slope * above / (linear + root)
        outputs = x_left + share * width
    else:
        share = (points - x_left) / width
    product = share * (1 - share)
    denominator = slope + bend * product
    if not inverse:
        outputs = y_left + height * (slope * share**2 + left * product) / denominator
    numerator = slope**2 * (right * share**2 + 2 * slope * product + left * (1 - share) ** 2)
    log_slopes = numerator.log() - 2 * denominator.log()
    return torch.where(is_inside, outputs, inputs), torch.where(is_inside, log_slopes, 0.0)


def knots(parameters: torch.Tensor) -> torch.Tensor:
    """Return knots (..., N_BINS + 1) from -REACH to REACH, at distances of a softmax."""
    shares = MIN_SHARE + (1 - N_BINS * MIN_SHARE) * torch.softmax(parameters, -1)
    inner = 2 * REACH * shares[..., :-1].cumsum(-1) - REACH
    return F.pad(F.pad(inner, (1, 0), value=-REACH), (0, 1), value=REACH)


class MaskedLinear(nn.Module):
    """An affine map without the connections where boolean ``mask`` (outputs, inputs) is False."""

    def __init__(self, mask: torch.Tensor, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.zeros(len(weight)))
        self.register_buffer("mask", mask.to(weight))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return F.linear(inputs, self.weight * self.mask, self.bias)


def hidden_degrees(size: int, n_features: int) -> torch.Tensor:
    """Return how many columns after the first each of ``size`` units sees: all numbers, in turn.

    Where there are more numbers than units they are spread out, up to the last: no column is seen
    by none.
    """
    n_degrees = max(1, n_features - 1)
    if size < n_degrees:
        return torch.linspace(n_degrees - 1, 0, size).round().long()
    return torch.arange(size) % n_degrees


class AutoregressiveSplines(nn.Module):
    """y_j = spline(x_j; theta_j), theta_j a masked network's of the columns before j.

    The network is that of a masked autoencoder (Germain et al. 2015): one pass gives the parameters
    of all columns, and the Jacobian is triangular. Its last layer starts at zero, the identity.

    Parameters
    ----------
    positions : int64 tensor of shape (D,)
        The places of the columns in the order in which they see each other.
    hidden_layer_sizes : sequence of int
    generator : torch.Generator
    """

    def __init__(self, positions: torch.Tensor, hidden_layer_sizes, generator) -> None:
        super().__init__()
        self.order, degrees = positions.argsort().tolist(), positions
        n_features, layers = len(positions), []
        for size in hidden_layer_sizes:
            hidden = hidden_degrees(size, n_features)
            mask = hidden[:, None] >= degrees
            weight = WEIGHT_SCALE * he_normal(*mask.shape, generator)
            layers += [MaskedLinear(mask, weight), nn.GELU()]
            degrees = hidden
        mask = (positions[:, None] > degrees).repeat_interleave(3 * N_BINS - 1, 0)
        layers.append(MaskedLinear(mask, torch.zeros(mask.shape)))
        self.network = nn.Sequential(*layers)

    def parameters_of(self, rows: torch.Tensor) -> torch.Tensor:
        """Return theta, (n, D, 3 * N_BINS - 1)."""
        return self.network(rows).unflatten(-1, (len(self.order), -1))

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs, log_slopes = spline(rows, self.parameters_of(rows))
        return outputs, log_slopes.sum(-1)

    def inverse(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return rows, column by column: the columns before one give its parameters."""
        rows = torch.zeros_like(outputs)
        hidden_layers, last = self.network[:-1], self.network[-1]
        weight, n_parameters = last.weight * last.mask, 3 * N_BINS - 1
        for column in self.order:
            own = slice(column * n_parameters, (column + 1) * n_parameters)
            parameters = F.linear(hidden_layers(rows), weight[own], last.bias[own])
            rows[..., column] = spline(outputs[..., column], parameters, inverse=True)[0]
        return rows


class InvertibleNetwork(nn.Module):
    """Splines, every second of them with the columns in reverse order, then a fixed linear map.

    Parameters
    ----------
    linear : tensor of shape (D, D), symmetric, positive definite
        The map of an untrained network, whose splines are the identity: rows to ``rows @ linear``.
    n_transforms : int
    hidden_layer_sizes : sequence of int
        Units of the network of each transform.
    generator : torch.Generator
    """

    def __init__(self, linear: torch.Tensor, n_transforms, hidden_layer_sizes, generator) -> None:
        super().__init__()
        n_features = len(linear)
        forward = torch.arange(n_features)
        self.transforms = nn.ModuleList(
            AutoregressiveSplines(
                forward.flip(0) if i % 2 else forward, hidden_layer_sizes, generator
            )
            for i in range(n_transforms)
        )
        self.register_buffer("linear", linear.float())
        self.register_buffer("log_det_linear", torch.linalg.slogdet(linear)[1].float())
        # Floats a row puts in memory on its way through a transform.
        self.floats_per_row = 6 * 3 * N_BINS * n_features + sum(hidden_layer_sizes)

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return codes (n, D) and log |det d code / d row|, (n,)."""
        log_det = self.log_det_linear
        for transform in self.transforms:
            rows, log_slopes = transform(rows)
            log_det = log_det + log_slopes
        return rows @ self.linear, log_det.expand(rows.shape[:-1])

    def inverse(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the rows (n, D) that have these codes."""
        rows = torch.linalg.solve(self.linear, codes, left=False)
        for transform in reversed(self.transforms):
            rows = transform.inverse(rows)
        return rows
