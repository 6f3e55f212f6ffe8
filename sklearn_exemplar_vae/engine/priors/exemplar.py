"""The exemplar prior: a kernel density estimate of the codes."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..importance.proposals import Exemplars
from ..minibatch import LeftOut
from ..numerics import invert_cumulative, log_mixture_density, randn_like


class ExemplarPrior(nn.Module):
    """p(z | X) = sum_n w_n N(z; mu(x_n), s^2 I) (Norouzi et al. 2020, section 3).

    The bandwidth s is one learned scalar, shared by all exemplars and dimensions.

    Parameters
    ----------
    bandwidth : float, where s starts
    """

    needs_exemplars = True

    def __init__(self, bandwidth: float = 1.0) -> None:
        super().__init__()
        self.log_bandwidth = nn.Parameter(torch.tensor(math.log(bandwidth)))

    @classmethod
    def untrained(cls, initial) -> ExemplarPrior:
        """Return the prior with the bandwidth of ``initial``."""
        return cls(initial.bandwidth)

    def learned(self) -> dict[str, float]:
        """Return what fit tells of the prior, by the name of the estimator's attribute."""
        return {"bandwidth_": self.log_bandwidth.exp().item()}

    def centers(self, network, exemplars):
        """Return what the prior is centered on: the exemplars themselves."""
        return exemplars

    def log_prob(self, codes, centers, left_out: LeftOut | None = None) -> torch.Tensor:
        """Return log p(z), at codes (n, d), or (n, K, d) of which K are a row's.

        Parameters
        ----------
        codes : tensor
        centers : Exemplars, or in scoring whatever sums over them
        left_out : LeftOut or None
            Exemplars that a row does not see; see `log_mixture_density`.
        """
        shape, n_draws = codes.shape[:-1], math.prod(codes.shape[1:-1])
        codes = codes.reshape(-1, codes.shape[-1])
        if left_out is None:
            return centers.log_density(codes, self.log_bandwidth).view(shape)
        if n_draws > 1:
            left_out = left_out.repeat(n_draws)
        return log_mixture_density(codes, centers, self.log_bandwidth, *left_out).view(shape)

    def add_base(self, log_exemplar_density: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return log p(z), (n,), from the exemplars' part of it: here that is all there is."""
        return log_exemplar_density

    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Draw n ~ w, then z ~ N(mu_n, s^2 I)."""
        weights = torch.softmax(exemplars.log_weights.to(generator.device, torch.float64), 0)
        uniforms = torch.rand(
            n_samples, generator=generator, dtype=torch.float64, device=generator.device
        )
        chosen = invert_cumulative(weights[None].cumsum(1), uniforms)[0]
        codes = exemplars.codes[chosen.to(exemplars.codes.device)]
        return self.sample_near(codes, None, generator)

    def sample_near(self, mean, log_variance, generator) -> torch.Tensor:
        """Draw z ~ r(z | x) = N(mu(x), s^2 I): the row is its own exemplar."""
        return mean + self.log_bandwidth.exp() * randn_like(mean, generator)

    def proposal(self, mean, log_variance, centers):
        """Return the proposal for rows with posteriors of this mean and log-variance."""
        return centers.proposal(mean, log_variance, self.log_bandwidth)
