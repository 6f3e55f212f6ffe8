"""The Exemplar VAE as one torch module: network, likelihood and prior composed."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from .importance.estimate import ImportanceSampling, importance_noise, log_mean_weights
from .importance.proposals import Exemplars
from .initialization.kernel_density import KernelInitialization
from .likelihoods import LIKELIHOODS, RowSummary
from .minibatch import Minibatch
from .mixture import Mixture
from .networks import NETWORKS
from .networks.path_gradient import PathGradient
from .numerics import normal_log_prob, reparameterize
from .priors import VAE_PRIORS

# What `sample_near` adds to means in the place of a draw of the likelihood's noise.
RESIDUAL_NOISES = ("residual", "random_residual")


class Draws(NamedTuple):
    """The random numbers that a bound depends on."""

    noise: torch.Tensor  # (n, K, n_noise), standard normal, perturbs the codes of all levels
    observed: torch.Tensor | None = None  # (n, D), rows in the place of the minibatch's own


class ExemplarModel(nn.Module):
    """p(x | X) = 1/N sum_n int r(z | x_n) p(x | z) dz (Norouzi et al. 2020, equation 5).

    What scoring and the estimators ask of a model, they ask of a `FlowModel` too.

    Parameters
    ----------
    network : module, see `networks`
    likelihood : p(x | z), see `likelihoods`
    prior : p(z), see `priors`

    Attributes
    ----------
    mixture : Mixture
        What stands beside the model; fit sets it.
    """

    is_exact = False  # scores are estimated
    has_means = True  # of p(x | z), beside draws of it

    def __init__(self, network: nn.Module, likelihood: nn.Module, prior: nn.Module) -> None:
        super().__init__()
        self.network, self.likelihood, self.prior = network, likelihood, prior
        self.n_components, self.n_noise = network.n_components, network.n_noise
        self.floats_per_row, self.mixture = network.floats_per_row, Mixture()

    def encode(self, rows: torch.Tensor) -> torch.Tensor:
        """Return code means mu(x), (n, d)."""
        return self.network.encode(rows)[0]

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the means (n, D) of p(x | z)."""
        return self.likelihood.mean(self.network.decode(codes))

    def draw_observed(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor | None:
        """Draw what training sees for ``rows``; None where it sees the rows themselves."""
        return self.likelihood.draw_observed(rows, generator)

    def draw_codes(self, rows: torch.Tensor, seed: int) -> torch.Tensor:
        """Draw codes (n, d) from q(z | x) of rows as training sees them.

        The prior's density there is the prior's part of the bound.
        """
        observed = self.draw_observed(rows, torch.Generator(rows.device).manual_seed(seed))
        rows = rows if observed is None else observed
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(rows), self.n_noise, generator=generator).to(rows)
        mean, log_variance = self.network.encode(rows)
        return reparameterize(mean, log_variance, noise[:, : mean.shape[1]])

    def training_bound(
        self, minibatch: Minibatch, draws: Draws, kl_weight: float = 1.0
    ) -> torch.Tensor:
        """Return the bound on the log-density of the minibatch's own rows, (n,), in nats.

        A row that sees no exemplar has a meaningless bound. With ``draws.observed`` the bound is
        that of the draws; the exemplars are the rows as they are all the same: a draw of an
        exemplar is noise in the prior, which would have to be wider by it.
        """
        rows, n_drawn = minibatch.rows, 0
        if draws.observed is not None and self.prior.needs_exemplars:
            n_drawn, rows = len(draws.observed), torch.cat([draws.observed, rows])
        elif draws.observed is not None:
            rows = draws.observed
        mean, log_variance = self.network.encode(rows)
        centers = self.prior.centers(self.network, minibatch.exemplars(mean[n_drawn:]))
        log_prior = partial(self.prior.log_prob, centers=centers, left_out=minibatch.left_out)
        own = slice(minibatch.n_own)
        posterior = mean[own], log_variance[own]
        bound = self.bound(rows[own], posterior, draws.noise, log_prior, kl_weight)
        return self.mixture(bound, rows[own])

    def bound(self, rows, posterior, noise, log_prior, kl_weight: float = 1.0) -> torch.Tensor:
        """Return log 1/K sum_k p(x | z_k) p(z_k | X) / q(z_k | x), (n,), at K draws of q(z | x).

        In expectation a lower bound on log p(x) (Burda et al. 2016), with one draw the evidence
        lower bound E_q[log p(x | z)] - KL. Autograd's gradient by the parameters of q is not the
        derivative at this noise, but another of the same expectation, see `PathGradient`.

        Parameters
        ----------
        rows : tensor of shape (n, D)
        posterior : tuple of mean and log-variance of q(z | x), tensors of shape (n, d)
        noise : tensor of shape (n, K, n_noise)
        log_prior : callable, takes codes (n, K, d)
        kl_weight : float
        """
        rows, mean, log_variance = rows[:, None], *(part[:, None] for part in posterior)
        n_components = mean.shape[-1]
        codes = reparameterize(mean, log_variance, noise[..., :n_components])
        path = PathGradient(kl_weight)
        outputs, log_ratio = self.network.decode_posterior(
            codes, rows, noise[..., n_components:], path
        )
        codes = path.of_draws(codes)
        log_q = normal_log_prob(codes, mean.detach(), log_variance.detach())
        log_ratio = log_ratio + log_prior(codes) - log_q
        log_weights = self.likelihood.log_prob(outputs, rows) + kl_weight * log_ratio
        path.weigh(log_weights)
        return torch.logsumexp(log_weights, 1) - math.log(codes.shape[1])

    def scorer(self, exemplars, sampling: ImportanceSampling):
        """Return what gives rows' log-densities, and the floats that a row of it keeps in memory.

        ``log 1/S sum_s p(x | z_s) p(z_s | X) / q(z_s | x)`` (Burda et al. 2016), with the prior's
        own proposal in the place of q: in expectation a lower bound that rises with S.

        Parameters
        ----------
        exemplars : Exemplars or CellsWithin
        sampling : ImportanceSampling
        """
        if self.network.is_linear:  # all samples have the same weight: one is exact
            sampling = sampling._replace(n_samples=1)
        noise = importance_noise(sampling, self.n_noise)
        centers = self.prior.centers(self.network, exemplars)
        propose = partial(self.prior.proposal, centers=centers)

        def score(rows: torch.Tensor) -> torch.Tensor:
            return self.mixture(log_mean_weights(self, propose, noise, rows), rows)

        return score, 4 * centers.n_terms + self.floats_per_row

    @torch.no_grad()
    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Draw rows (n_samples, D): n ~ w, z ~ r(z | x_n), x ~ p(x | z)."""
        centers = self.prior.centers(self.network, exemplars)
        codes = self.prior.sample(centers, n_samples, generator)
        return self.likelihood.sample(self.network.decode_prior(codes, generator), generator)

    @torch.no_grad()
    def sample_near(self, rows: torch.Tensor, n_samples: int, noise: bool | str, generator):
        """Draw rows (n, n_samples, D) near the row they stand under, or means of p(x | z).

        A ``noise`` of `RESIDUAL_NOISES` adds (a part of) the reconstruction residual of the row to
        means.
        """
        mean, log_variance = self.network.encode(rows)
        codes = mean[:, None].expand(-1, n_samples, -1)
        codes = self.prior.sample_near(codes, log_variance[:, None], generator)
        outputs = self.network.decode_prior(codes, generator)
        if noise is True:
            return self.likelihood.sample(outputs, generator)
        means = self.likelihood.mean(outputs)
        if noise is False:
            return means
        residual = (rows - self.decode(mean))[:, None]
        if noise == "random_residual":
            shape = (len(rows), n_samples, 1)
            residual = residual * torch.rand(shape, generator=generator, device=rows.device)
        near = means + residual
        return near if self.likelihood.bounds is None else near.clamp(*self.likelihood.bounds)


class ModelStructure(NamedTuple):
    """The parameters that decide which weights a model has."""

    n_components: int
    architecture: str
    prior: str
    likelihood: str
    hidden_layer_sizes: tuple[int, ...]
    image_shape: tuple[int, int, int] | None = None


class ModelInitialization(NamedTuple):
    """The properties of rows that an untrained model depends on."""

    row_mean: torch.Tensor  # (D,), of the scaled columns
    is_binary: bool  # whether rows hold zeros and ones alone
    kernel: KernelInitialization | None = None  # a density estimate, if training starts at one
    pseudo_inputs: torch.Tensor | None = None  # (K, D), of a "vamp" prior


class PriorInitialization(NamedTuple):
    """The values that an untrained prior may ask for."""

    bandwidth: float
    pseudo_inputs: torch.Tensor | None
    bounds: tuple[float, float] | None


def build_model(
    structure: ModelStructure, initial: ModelInitialization, generator: torch.Generator
) -> ExemplarModel:
    """Return an untrained model on the CPU; with a kernel it is that kernel density estimate.

    Without, the decoder of zeros and ones or of gray levels starts at the columns' means: nothing
    is gained by spending the first epochs on them.
    """
    kernel = initial.kernel
    summary = RowSummary(
        initial.row_mean, initial.is_binary, 1.0 if kernel is None else kernel.noise_variance
    )
    likelihood = LIKELIHOODS[structure.likelihood].untrained(summary)
    options = {"hidden_layer_sizes": structure.hidden_layer_sizes}
    if kernel is not None:
        options["kernel"] = kernel
    if structure.image_shape is not None:
        options["image_shape"] = structure.image_shape
    network = NETWORKS[structure.architecture](
        len(initial.row_mean),
        structure.n_components,
        **options,
        output_bias=likelihood.initial_outputs(initial.row_mean),
        generator=generator,
    )
    bandwidth = 1.0 if kernel is None else kernel.bandwidth
    prior = VAE_PRIORS[structure.prior].untrained(
        PriorInitialization(bandwidth, initial.pseudo_inputs, likelihood.bounds)
    )
    return ExemplarModel(network, likelihood, prior)
