"""What may stand beside a model in a `Mixture`: densities of rows that need no exemplars."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import nn

from .likelihoods import N_LEVELS
from .numerics import LOG_2PI


class Component(nn.Module, ABC):
    """A density of rows, whose buffers all have one dtype."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that rows are to have."""
        return next(self.buffers()).dtype

    @abstractmethod
    def log_prob(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the log-density (n,) of ``rows`` (n, D)."""


class StudentTail(Component):
    """A multivariate Student t with one degree of freedom, for continuous rows.

    Parameters
    ----------
    mean : tensor of shape (D,)
    covariance : tensor of shape (D, D) or (D,)
        Of the scale, not of the rows, which have none; positive definite, or a diagonal.
    """

    def __init__(self, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        super().__init__()
        n_features = len(mean)
        whitening, log_det = whitened(covariance)
        log_normalizer = math.lgamma(0.5 * (n_features + 1)) - math.lgamma(0.5)
        log_normalizer -= 0.5 * (n_features * math.log(math.pi) + log_det)
        self.register_buffer("mean", mean.float())
        self.register_buffer("whitening", whitening.float())
        self.register_buffer("log_normalizer", torch.tensor(log_normalizer))

    def log_prob(self, rows):
        # In parts of the largest entry, so that squares of far rows do not overflow.
        centered = rows - self.mean
        largest = centered.abs().amax(-1, keepdim=True).clamp_min(1)
        scaled = centered / largest
        white = scaled * self.whitening if self.whitening.ndim == 1 else scaled @ self.whitening
        squares = (white**2).sum(-1) + largest[..., 0] ** -2
        log_one_plus = squares.log() + 2 * largest[..., 0].log()
        return self.log_normalizer - 0.5 * (rows.shape[-1] + 1) * log_one_plus


class BoundedTail(Component):
    """Independent columns with bounds: uniform between two, half a Cauchy distribution off one.

    Rows are places on the line that a bounded column is mapped to, standardized: the softplus of a
    place is the distance from the one bound, its normal probability the share below two.

    Parameters
    ----------
    mean, scale : tensors of shape (D,), of the line
    side : tensor of shape (D,), 1 for a lower bound, -1 for an upper one, 0 for both
    spread : tensor of shape (D,), of the distance from the one bound
    """

    def __init__(self, mean, scale, side, spread) -> None:
        super().__init__()
        for name, value in {"mean": mean, "scale": scale, "side": side, "spread": spread}.items():
            self.register_buffer(name, value.float())

    def log_prob(self, rows):
        line = rows * self.scale + self.mean
        inwards = self.side * line
        ratio = nn.functional.softplus(inwards) / self.spread
        log_half_cauchy = math.log(2 / math.pi) - self.spread.log() - torch.log1p(ratio**2)
        off_one = log_half_cauchy + nn.functional.logsigmoid(inwards)
        between_two = -0.5 * (line**2 + LOG_2PI)
        log_densities = torch.where(self.side == 0, between_two, off_one) + self.scale.log()
        return log_densities.sum(-1)


class Independent(Component):
    """Groups of columns that are independent of each other.

    Parameters
    ----------
    parts : sequence of (columns, component)
        Positions, a tensor, and the density of these columns.
    """

    def __init__(self, parts) -> None:
        super().__init__()
        self.components = nn.ModuleList(component for _, component in parts)
        for number, (columns, _) in enumerate(parts):
            self.register_buffer(f"columns_{number}", columns)

    @property
    def dtype(self) -> torch.dtype:
        return self.components[0].dtype

    def log_prob(self, rows):
        return sum(
            component.log_prob(rows[:, self.get_buffer(f"columns_{number}")])
            for number, component in enumerate(self.components)
        )


def whitened(covariance: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the upper triangle W or diagonal with x W of unit covariance, and log |covariance|."""
    if covariance.ndim == 1:
        return covariance.rsqrt(), covariance.log().sum().item()
    factor = torch.linalg.cholesky(covariance)
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse.T.contiguous(), 2 * factor.diagonal().log().sum().item()


class NormalMixture(Component):
    """A mixture of K normal distributions.

    Parameters
    ----------
    weights : tensor of shape (K,)
    means : tensor of shape (K, D)
    whitenings : tensor of shape (K, D, D)
        Upper triangles W with (x - mean) W of unit covariance.
    """

    def __init__(
        self, weights: torch.Tensor, means: torch.Tensor, whitenings: torch.Tensor
    ) -> None:
        super().__init__()
        log_dets = whitenings.diagonal(dim1=1, dim2=2).log().sum(1)
        log_factors = weights.log() + log_dets - 0.5 * means.shape[1] * LOG_2PI
        self.register_buffer("weights", weights.double())
        self.register_buffer("means", means.double())
        self.register_buffer("whitenings", whitenings.double())
        self.register_buffer("log_factors", log_factors.double())

    def log_prob(self, rows):
        log_terms = []
        for mean, whitening, log_factor in zip(
            self.means, self.whitenings, self.log_factors, strict=True
        ):  # one at a time, whose rows are all that memory holds
            squares = (((rows - mean) @ whitening) ** 2).sum(-1)
            log_terms.append(log_factor - 0.5 * squares)
        return torch.logsumexp(torch.stack(log_terms), 0)

    def sample(self, n_samples: int, generator: torch.Generator) -> torch.Tensor:
        """Draw rows (n_samples, D)."""
        if n_samples == 0:
            return self.means.new_empty((0, self.means.shape[1]))
        chosen = torch.multinomial(self.weights, n_samples, replacement=True, generator=generator)
        shape = (n_samples, self.means.shape[1])
        rows = torch.randn(shape, generator=generator, device=generator.device).to(self.means)
        for component in chosen.unique():
            own = chosen == component
            centered = torch.linalg.solve_triangular(
                self.whitenings[component], rows[own], upper=True, left=False
            )
            rows[own] = centered + self.means[component]
        return rows


class BinaryFrequencies(Component):
    """Independent columns of zeros and ones, or of probabilities of a one.

    Parameters
    ----------
    probabilities : tensor of shape (D,), of a one, none of them 0 or 1
    """

    def __init__(self, probabilities: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", torch.logit(probabilities).float())

    def log_prob(self, rows):
        """Return the log-probability (n,) of ``rows`` (n, D), for grays the cross-entropy."""
        return rows @ self.logits - nn.functional.softplus(self.logits).sum()


class LevelFrequencies(Component):
    """Independent columns of gray levels.

    Parameters
    ----------
    probabilities : tensor of shape (D, N_LEVELS), of the levels, none of them 0
    """

    def __init__(self, probabilities: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("log_probabilities", probabilities.log().float())

    def log_prob(self, rows):
        """Return the log-probability (n,) of ``rows`` (n, D), levels divided by the largest."""
        levels = (rows * (N_LEVELS - 1)).round().long()
        columns = torch.arange(rows.shape[-1], device=rows.device)
        return self.log_probabilities[columns, levels].sum(-1)
