"""The Exemplar VAE as one torch module: network, likelihood and prior composed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from .kde_start import KernelStart
from .likelihoods import BernoulliLikelihood, GaussianLikelihood
from .networks import NETWORKS
from .priors import ExemplarPrior, Exemplars, GaussianPrior, normal_log_prob

PRIORS = {"exemplar": ExemplarPrior, "gaussian": GaussianPrior}


class ExemplarModel(nn.Module):
    """p(x | X) = 1/N sum_n int r(z | x_n) p(x | z) dz (Norouzi et al. 2020, equation 5).

    Parameters
    ----------
    network : module with ``encode`` (rows to mean and log-variance) and ``decode`` (codes to
    outputs) likelihood : p(x | z), see `likelihoods` prior : p(z), see `priors`
    """

    def __init__(self, network: nn.Module, likelihood: nn.Module, prior: nn.Module) -> None:
        super().__init__()
        self.network, self.likelihood, self.prior = network, likelihood, prior

    def training_bound(
        self,
        rows: torch.Tensor,
        noise: torch.Tensor,
        log_weights: torch.Tensor,
        excluded: torch.Tensor | None,
        log_totals: torch.Tensor | None,
        kl_weight: float,
        gather: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The evidence lower bound of the first n of ``rows``, (n,), in nats.

        Parameters
        ----------
        rows : tensor of shape (m, D)
            All of them are exemplars.
        noise : tensor of shape (n, d), standard normal, that perturbs the codes.
        log_weights : tensor of shape (M,), of the exemplars.
        excluded : boolean tensor of shape (n, M) or None
            Exemplars left out row by row. A row with none left has bound minus infinity.
        log_totals : tensor of shape (n,) or None, see `log_mixture_density`.
        kl_weight : float
        gather : callable or None
            Makes of the codes of ``rows`` those of all M exemplars, where other processes have
            some.
        """
        mean, log_variance = self.network.encode(rows)
        exemplars = Exemplars(mean if gather is None else gather(mean), log_weights)
        mean, log_variance = mean[: len(noise)], log_variance[: len(noise)]
        codes = mean + torch.exp(0.5 * log_variance) * noise
        reconstruction = self.likelihood.log_prob(self.network.decode(codes), rows[: len(noise)])
        log_q = normal_log_prob(codes, mean, log_variance)
        log_p = self.prior.log_prob(codes, exemplars, excluded, log_totals)
        return reconstruction - kl_weight * (log_q - log_p)

    @torch.no_grad()
    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Rows (n_samples, D): n ~ w, z ~ r(z | x_n), x ~ p(x | z)."""
        codes = self.prior.sample(exemplars, n_samples, generator)
        return self.likelihood.sample(self.network.decode(codes), generator)

    @torch.no_grad()
    def sample_near(self, rows: torch.Tensor, n_samples: int, generator) -> torch.Tensor:
        """Rows (n, n_samples, D), each drawn from the row it stands under."""
        mean, log_variance = self.network.encode(rows)
        mean = mean[:, None].expand(-1, n_samples, -1)
        codes = self.prior.sample_near(mean, log_variance[:, None], generator)
        return self.likelihood.sample(self.network.decode(codes), generator)


def build_model(
    n_features: int,
    n_components: int,
    *,
    architecture: str,
    hidden_layer_sizes,
    prior: str,
    likelihood: str,
    binary: bool,
    start: KernelStart | None,
    row_mean: torch.Tensor,
    generator: torch.Generator,
) -> ExemplarModel:
    """An untrained model on the CPU; with a ``start`` it is that kernel density estimate.

    Without, a Bernoulli decoder starts at the columns' means (D,): nothing is gained by spending
    the first epochs on them.
    """
    output_bias = None
    if likelihood == "bernoulli":
        output_bias = BernoulliLikelihood.outputs_with_mean(row_mean)
    network = NETWORKS[architecture](
        n_features,
        n_components,
        hidden_layer_sizes,
        start=start,
        output_bias=output_bias,
        generator=generator,
    )
    if likelihood == "bernoulli":
        likelihood = BernoulliLikelihood(binary)
    else:
        likelihood = GaussianLikelihood(n_features, 1.0 if start is None else start.noise_variance)
    if prior == "exemplar":
        prior = ExemplarPrior(1.0 if start is None else start.bandwidth)
    else:
        prior = GaussianPrior()
    return ExemplarModel(network, likelihood, prior)
