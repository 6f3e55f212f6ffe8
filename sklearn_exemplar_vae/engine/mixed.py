"""Priors on the codes of a flow: a normal, and a mixture of it and the exemplars."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from .priors import LOG_2PI, ExemplarPrior, Exemplars, randn_like


class NormalBase(nn.Module):
    """A normal distribution of codes, its mean and its variances along fixed axes learned.

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
        """(n,), in nats, of ``codes`` (n, D)."""
        along = codes @ self.axes - self.mean
        squares = (along**2 * torch.exp(-self.log_variances)).sum(-1)
        return -0.5 * (squares + self.log_variances.sum() + len(self.mean) * LOG_2PI)

    def sample(self, like: torch.Tensor, generator) -> torch.Tensor:
        """Codes of the shape of ``like``."""
        along = self.mean + torch.exp(0.5 * self.log_variances) * randn_like(like, generator)
        return along @ self.axes.T


class NormalPrior(nn.Module):
    """p(z) = N(z): what is usually under a flow, for comparison."""

    needs_exemplars = False

    def __init__(self, base: NormalBase) -> None:
        super().__init__()
        self.base = base

    def log_prob(self, codes, exemplars=None, excluded=None, log_totals=None) -> torch.Tensor:
        return self.base.log_prob(codes)

    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        return self.base.sample(
            exemplars.codes.new_empty(n_samples, len(self.base.mean)), generator
        )

    def sample_near(self, mean, log_variance, generator) -> torch.Tensor:
        """There is no kernel at a row, and no posterior of its code."""
        raise ValueError("sample_like draws from the kernel at a row; prior='gaussian' has none.")


class MixedPrior(ExemplarPrior):
    """p(z | X) = (1 - w) sum_n w_n N(z; f(x_n), s^2 I) + w N(z), w learned.

    What is smooth in the data the normal holds without the kernels' grain; the exemplars hold the
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

    @property
    def share(self) -> torch.Tensor:
        """w"""
        return torch.sigmoid(self.logit)

    def log_prob(self, codes, exemplars, excluded=None, log_totals=None) -> torch.Tensor:
        return self.completed(super().log_prob(codes, exemplars, excluded, log_totals), codes)

    def completed(self, log_exemplar_density: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        by_exemplars = F.logsigmoid(-self.logit) + log_exemplar_density
        return torch.logaddexp(by_exemplars, F.logsigmoid(self.logit) + self.base.log_prob(codes))

    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        codes = super().sample(exemplars, n_samples, generator)
        uniforms = torch.rand(len(codes), 1, generator=generator, device=codes.device)
        is_normal = uniforms < self.share
        return torch.where(is_normal, self.base.sample(codes, generator), codes)
