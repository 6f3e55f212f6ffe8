"""Priors on the codes of a flow: a normal, and a mixture of it and the exemplars."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from ..importance.proposals import Exemplars
from ..minibatch import LeftOut
from ..numerics import LOG_2PI, randn_like, reparameterize
from .exemplar import ExemplarPrior


class NormalBase(nn.Module):
    """A normal distribution of codes; its mean and its variances along fixed axes are learned.

    Parameters
    ----------
    axes : tensor of shape (D, D), orthonormal, one axis a column
    log_variances : tensor of shape (D,), where the variances start
    """

    def __init__(self, axes: torch.Tensor, log_variances: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("axes", axes.float())
        self.mean = nn.Parameter(torch.zeros(len(axes)))
        self.log_variances = nn.Parameter(log_variances.float())

    def log_prob(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the log-density (n,) at ``codes`` (n, D)."""
        along = codes @ self.axes - self.mean
        squares = (along**2 * torch.exp(-self.log_variances)).sum(-1)
        return -0.5 * (squares + self.log_variances.sum() + len(self.mean) * LOG_2PI)

    def sample(self, like: torch.Tensor, generator) -> torch.Tensor:
        """Draw codes of the shape of ``like``."""
        along = reparameterize(self.mean, self.log_variances, randn_like(like, generator))
        return along @ self.axes.T


class NormalPrior(nn.Module):
    """p(z) = N(z), the usual base of a flow, for comparison.

    Parameters
    ----------
    base : NormalBase
    """

    needs_exemplars = False

    def __init__(self, base: NormalBase) -> None:
        super().__init__()
        self.base = base

    @classmethod
    def untrained(cls, initial) -> NormalPrior:
        """Return the normal distribution of the codes of ``initial``."""
        return cls(NormalBase(initial.axes, initial.log_variances))

    def learned(self) -> dict[str, float]:
        """Return nothing: a fit tells no more than the density."""
        return {}

    def log_prob(self, codes, exemplars=None, left_out=None) -> torch.Tensor:
        """Return log p(z), (n,), at ``codes`` (n, D)."""
        return self.base.log_prob(codes)

    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Draw codes (n_samples, D)."""
        return self.base.sample(
            exemplars.codes.new_empty(n_samples, len(self.base.mean)), generator
        )

    def sample_near(self, mean, log_variance, generator) -> torch.Tensor:
        """Raise a ValueError: there is no kernel at a row, and no posterior of its code."""
        raise ValueError("sample_like draws from the kernel at a row; prior='gaussian' has none.")


class MixedPrior(ExemplarPrior):
    """p(z | X) = (1 - w) sum_n w_n N(z; f(x_n), s^2 I) + w N(z), with w learned.

    The normal holds what is smooth in the data, without the kernels' grain; the exemplars hold the
    rest.

    Parameters
    ----------
    bandwidth : float, s
    base : NormalBase
    share : float in (0, 1), where w starts
    """

    def __init__(self, bandwidth: float, base: NormalBase, share: float) -> None:
        super().__init__(bandwidth)
        self.base = base
        self.logit = nn.Parameter(torch.tensor(math.log(share) - math.log1p(-share)))

    @classmethod
    def untrained(cls, initial) -> MixedPrior:
        """Return the mixture that ``initial`` describes."""
        base = NormalBase(initial.axes, initial.log_variances)
        return cls(initial.bandwidth, base, initial.share)

    @property
    def share(self) -> torch.Tensor:
        """The share w of the normal."""
        return torch.sigmoid(self.logit)

    def learned(self) -> dict[str, float]:
        """Return what fit tells of the prior, by the name of the estimator's attribute."""
        return super().learned() | {"normal_weight_": self.share.item()}

    def log_prob(self, codes, exemplars, left_out: LeftOut | None = None) -> torch.Tensor:
        """Return log p(z | X), (n,), at ``codes`` (n, D); see `ExemplarPrior.log_prob`."""
        return self.add_base(super().log_prob(codes, exemplars, left_out), codes)

    def add_base(self, log_exemplar_density: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return log p(z), (n,), from the exemplars' part of it at ``codes`` (n, D)."""
        by_exemplars = F.logsigmoid(-self.logit) + log_exemplar_density
        return torch.logaddexp(by_exemplars, F.logsigmoid(self.logit) + self.base.log_prob(codes))

    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Draw codes (n_samples, D), from the normal with probability w."""
        codes = super().sample(exemplars, n_samples, generator)
        uniforms = torch.rand(len(codes), 1, generator=generator, device=codes.device)
        is_normal = uniforms < self.share
        return torch.where(is_normal, self.base.sample(codes, generator), codes)
