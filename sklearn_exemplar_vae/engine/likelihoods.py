"""Likelihoods p(x | z): the log-density of rows given what the decoder says.

Adding one adds a class and a line in `LIKELIHOODS`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .numerics import LOG_2PI, randn_like

# The smallest standard deviation the decoder may claim, in units of a column's own. A decoder free
# to shrink its variance makes the likelihood unbounded (Mattei & Frellsen 2018).
SCALE_FLOOR = 1e-3
# Gray levels of the discretized logistic.
N_LEVELS = 256


class RowSummary(NamedTuple):
    """What an untrained likelihood is told of the rows."""

    mean: torch.Tensor  # (D,), of the columns
    is_binary: bool  # whether they hold zeros and ones alone
    noise_variance: float = 1.0  # of the columns around what a kernel density estimate decodes


class GaussianLikelihood(nn.Module):
    """N(x; decoder output, diag(sigma^2)), one learned standard deviation a column, with a floor.

    ``sigma^2 = SCALE_FLOOR^2 + exp(log_excess_variance)``.
    """

    bounds = None  # a row may hold any values

    def __init__(self, n_features: int, variance: float = 1.0) -> None:
        super().__init__()
        excess = max(variance - SCALE_FLOOR**2, 1e-4 * SCALE_FLOOR**2)
        self.log_excess_variance = nn.Parameter(torch.full((n_features,), math.log(excess)))

    @property
    def variance(self) -> torch.Tensor:
        return SCALE_FLOOR**2 + self.log_excess_variance.exp()

    @classmethod
    def untrained(cls, rows: RowSummary) -> GaussianLikelihood:
        """Return the likelihood with the noise that ``rows`` are summarized with."""
        return cls(len(rows.mean), rows.noise_variance)

    @staticmethod
    def initial_outputs(mean: torch.Tensor) -> None:
        """Return None: standardized columns need no bias of the decoder."""

    def draw_observed(self, rows: torch.Tensor, generator: torch.Generator) -> None:
        """Return None: training sees the ``rows`` themselves."""

    def log_prob(self, outputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return log p(x | z), summed over columns; ``outputs`` broadcasts against ``rows``."""
        variance = self.variance
        log_normalizer = variance.log().sum() + rows.shape[-1] * LOG_2PI
        return -0.5 * (((rows - outputs) ** 2 / variance).sum(-1) + log_normalizer)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs

    def sample(self, outputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return outputs + self.variance.sqrt() * randn_like(outputs, generator)


class BernoulliLikelihood(nn.Module):
    """Independent Bernoulli columns, the decoder giving the logits.

    Values strictly between 0 and 1 are read as probabilities of a one. In training such rows are
    drawn anew as zeros and ones at every visit ("dynamic binarization"), but not where they are the
    exemplars of others; in scoring they enter the cross-entropy as they are, which for binary rows
    is the log-likelihood.

    Parameters
    ----------
    binary : bool
        Whether the rows of fit held zeros and ones alone. Samples then are zeros and ones too, and
        otherwise probabilities: a sample looks like a row of the data.
    """

    bounds = (0.0, 1.0)

    def __init__(self, binary: bool) -> None:
        super().__init__()
        self.binary = binary

    @classmethod
    def untrained(cls, rows: RowSummary) -> BernoulliLikelihood:
        """Return the likelihood of binary rows or of probabilities."""
        return cls(rows.is_binary)

    @staticmethod
    def initial_outputs(mean: torch.Tensor) -> torch.Tensor:
        """Return the logits of columns with these means, none of them taken for impossible."""
        return torch.logit(mean, eps=1e-3)

    def draw_observed(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor | None:
        """Return zeros and ones for ``rows``, new at every call; None for rows that are binary."""
        return None if self.binary else draw_binary(rows, generator)

    def log_prob(self, outputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return log p(x | z), summed over columns; ``outputs`` broadcasts against ``rows``."""
        rows = rows.expand(outputs.shape)
        return -F.binary_cross_entropy_with_logits(outputs, rows, reduction="none").sum(-1)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(outputs)

    def sample(self, outputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        probabilities = torch.sigmoid(outputs)
        if not self.binary:
            return probabilities
        return torch.bernoulli(probabilities, generator=generator)


class LogisticLikelihood(nn.Module):
    """A logistic density with one learned scale a column, cut into `N_LEVELS` gray levels.

    Rows hold levels divided by ``N_LEVELS - 1``. A level's probability is what the density has
    within half a step of it, and of the outermost two all beyond, so that the probabilities of all
    levels add up to one (Kingma et al. 2016; Salimans et al. 2017).
    """

    bounds = (0.0, 1.0)

    def __init__(self, n_features: int, scale: float = 0.1) -> None:
        super().__init__()
        self.log_excess_scale = nn.Parameter(torch.full((n_features,), math.log(scale)))

    @property
    def scale(self) -> torch.Tensor:
        return SCALE_FLOOR + self.log_excess_scale.exp()

    @classmethod
    def untrained(cls, rows: RowSummary) -> LogisticLikelihood:
        """Return the likelihood with its usual scale."""
        return cls(len(rows.mean))

    @staticmethod
    def initial_outputs(mean: torch.Tensor) -> torch.Tensor:
        """Return the outputs that have these means."""
        return mean

    def draw_observed(self, rows: torch.Tensor, generator: torch.Generator) -> None:
        """Return None: training sees the ``rows`` themselves."""

    def log_prob(self, outputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return log p(x | z), summed over columns; ``outputs`` broadcasts against ``rows``."""
        scale, half_step = self.scale, 0.5 / (N_LEVELS - 1)
        upper = (rows + half_step - outputs) / scale
        lower = (rows - half_step - outputs) / scale
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), and u - l is known.
        log_masses = F.logsigmoid(upper) + F.logsigmoid(-lower)
        log_masses = log_masses + torch.log(-torch.expm1(-2 * half_step / scale))
        log_masses = torch.where(rows < half_step, F.logsigmoid(upper), log_masses)
        log_masses = torch.where(rows > 1 - half_step, F.logsigmoid(-lower), log_masses)
        return log_masses.sum(-1)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the center of the density, within the levels."""
        return outputs.clamp(*self.bounds)

    def sample(self, outputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        uniforms = torch.rand(
            outputs.shape, generator=generator, dtype=outputs.dtype, device=outputs.device
        )
        drawn = outputs + self.scale * torch.logit(uniforms, eps=1e-6)
        return (drawn.clamp(*self.bounds) * (N_LEVELS - 1)).round() / (N_LEVELS - 1)


def draw_binary(probabilities: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return zeros and ones, a one with the probability given, up to 2^-16.

    Every random integer gives four draws of 16 bits: drawing floats would be a noticeable part of a
    training step on images.
    """
    shape, n_draws = probabilities.shape, probabilities.numel()
    bits = torch.empty(-(-n_draws // 4), dtype=torch.int64, device=probabilities.device)
    bits.random_(-(2**63), None, generator=generator)
    draws = bits.view(torch.int16)[:n_draws].view(shape)
    return (draws < 2**16 * probabilities - 2**15).to(probabilities.dtype)


LIKELIHOODS = {
    "bernoulli": BernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "logistic": LogisticLikelihood,
}
