"""The Exemplar VAE as one torch module: network, likelihood and prior composed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from .cells import CellProposal, Cells
from .importance import ImportanceNoise, defended, log_mean_weights
from .kde_start import KernelStart
from .likelihoods import BernoulliLikelihood, GaussianLikelihood, LogisticLikelihood
from .networks import NETWORKS
from .path_gradient import PathGradient
from .priors import ExemplarPrior, Exemplars, GaussianPrior, normal_log_prob
from .vamp import VampPrior

PRIORS = ("exemplar", "gaussian", "vamp")
LIKELIHOODS = ("bernoulli", "gaussian", "logistic")
# What `sample_near` adds to means in the place of a draw of the likelihood's noise.
RESIDUAL_NOISES = ("residual", "random_residual")


class ExemplarModel(nn.Module):
    """p(x | X) = 1/N sum_n int r(z | x_n) p(x | z) dz (Norouzi et al. 2020, equation 5).

    What training, scoring and the estimators ask of a model, they ask of a `FlowModel` too.

    Parameters
    ----------
    network : module, see `networks`
    likelihood : p(x | z), see `likelihoods`
    prior : p(z), see `priors`
    """

    has_means = True  # of p(x | z), beside draws of it

    def __init__(self, network: nn.Module, likelihood: nn.Module, prior: nn.Module) -> None:
        super().__init__()
        self.network, self.likelihood, self.prior = network, likelihood, prior
        self.n_components, self.n_noise = network.n_components, network.n_noise
        self.width = network.width

    def redraw(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor | None:
        """What training sees in the place of ``rows`` at a visit; None for the rows themselves."""
        return self.likelihood.redraw(rows, generator)

    def encode(self, rows: torch.Tensor) -> torch.Tensor:
        """Code means mu(x), (n, d)."""
        return self.network.encode(rows)[0]

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Means (n, D) of p(x | z)."""
        return self.likelihood.mean(self.network.decode(codes))

    def codes_to_score(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Codes whose prior density is the prior's part of the bound: drawn from q(z | x)."""
        return perturb(*self.network.encode(rows), noise)[0]

    def training_bound(
        self,
        rows: torch.Tensor,
        noise: torch.Tensor,
        log_weights: torch.Tensor,
        excluded: torch.Tensor | None,
        log_totals: torch.Tensor | None,
        kl_weight: float,
        gather: Callable[[torch.Tensor], torch.Tensor] | None = None,
        drawn: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The bound on the log-density of the first n of ``rows``, (n,), in nats.

        Parameters
        ----------
        rows : tensor of shape (m, D)
            All of them are exemplars.
        noise : tensor of shape (n, K, n_noise), standard normal, that perturbs the codes; what the
            network needs beyond d columns of it is for its lower level.
        log_weights : tensor of shape (M,), of the exemplars.
        excluded : boolean tensor of shape (n, M) or None
            Exemplars left out row by row. A row with none left has a bound of no meaning.
        log_totals : tensor of shape (n,) or None, see `log_mixture_density`.
        kl_weight : float
        gather : callable or None
            Makes of the codes of ``rows`` those of all M exemplars, where other processes have
            some.
        drawn : tensor of shape (n, D) or None
            What the bound is of, where that is not the first n of ``rows`` but a draw of them. The
            exemplars are the rows as they are all the same: a draw of an exemplar is noise in the
            prior, which would have to be so much wider.
        """
        n_drawn = 0
        if drawn is not None and self.prior.needs_exemplars:
            n_drawn, rows = len(drawn), torch.cat([drawn, rows])
        elif drawn is not None:
            rows = drawn
        mean, log_variance = self.network.encode(rows)
        codes = mean[n_drawn:]
        exemplars = Exemplars(codes if gather is None else gather(codes), log_weights)
        centres = self.prior.centres(self.network, exemplars)
        own = slice(len(noise))

        def log_prior(codes):
            return self.prior.log_prob(codes, centres, excluded, log_totals)

        return self.bound(rows[own], mean[own], log_variance[own], noise, log_prior, kl_weight)

    def bound(
        self, rows, mean, log_variance, noise, log_prior, kl_weight: float = 1.0
    ) -> torch.Tensor:
        """log 1/K sum_k p(x | z_k) p(z_k | X) / q(z_k | x), (n,), at K draws of q(z | x).

        In expectation a lower bound on log p(x) (Burda et al. 2016), with one draw the evidence
        lower bound E_q[log p(x | z)] - KL. ``noise`` is of shape (n, K, n_noise), and ``log_prior``
        takes codes (n, K, d). Autograd's gradient by the parameters of q is not the derivative at
        this noise, but another of the same expectation, see `PathGradient`.
        """
        rows, mean, log_variance = rows[:, None], mean[:, None], log_variance[:, None]
        codes, lower_noise = perturb(mean, log_variance, noise)
        path = PathGradient(kl_weight)
        outputs, log_ratio = self.network.explain(codes, rows, lower_noise, path)
        codes = path.of_draws(codes)
        log_q = normal_log_prob(codes, mean.detach(), log_variance.detach())
        log_ratio = log_ratio + log_prior(codes) - log_q
        log_weights = self.likelihood.log_prob(outputs, rows) + kl_weight * log_ratio
        path.weigh(log_weights)
        return torch.logsumexp(log_weights, 1) - math.log(codes.shape[1])

    def scorer(self, exemplars: Exemplars | Cells, noise: ImportanceNoise, rtol: float):
        """What gives rows' log-densities, and how many numbers a row of it keeps in memory.

        ``log 1/S sum_s p(x | z_s) p(z_s | X) / q(z_s | x)`` (Burda et al. 2016), with the prior's
        own proposal in the place of q: in expectation a lower bound that rises with S. Exemplars
        in cells are summed up to the relative tolerance ``rtol``, others all. What the encoder
        knows nothing of has a defence, see `defended`.
        """
        if isinstance(exemplars, Cells):
            log_bandwidth, n_terms = self.prior.log_bandwidth, len(exemplars.centres)
            propose = partial(CellProposal, cells=exemplars, log_bandwidth=log_bandwidth, rtol=rtol)
        else:
            centres = self.prior.centres(self.network, exemplars)
            n_terms, propose = len(centres[0]), partial(self.prior.proposal, exemplars=centres)
        estimate = partial(log_mean_weights, self, propose, noise)
        if isinstance(exemplars, Cells):
            exemplars = exemplars.original
        return defended(estimate, self, exemplars, noise), 4 * n_terms + self.width

    @torch.no_grad()
    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Rows (n_samples, D): n ~ w, z ~ r(z | x_n), x ~ p(x | z)."""
        outputs = self.draw_outputs(exemplars, n_samples, generator)
        return self.likelihood.sample(outputs, generator)

    def draw_outputs(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """What the decoder says, (n_samples, D), at draws of p(z | X)."""
        centres = self.prior.centres(self.network, exemplars)
        codes = self.prior.sample(centres, n_samples, generator)
        return self.network.generate(codes, generator)

    @torch.no_grad()
    def sample_near(self, rows: torch.Tensor, n_samples: int, noise: bool | str, generator):
        """Rows (n, n_samples, D) near the row they stand under: draws or means of p(x | z).

        With a ``noise`` of `RESIDUAL_NOISES`, means and (a part of) what is left of the row when
        its own mean is taken from it.
        """
        mean, log_variance = self.network.encode(rows)
        codes = mean[:, None].expand(-1, n_samples, -1)
        codes = self.prior.sample_near(codes, log_variance[:, None], generator)
        outputs = self.network.generate(codes, generator)
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


def perturb(
    mean: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (..., d) drawn from q(z | x) by the first d columns of ``noise``, and its others."""
    own, lower = noise[..., : mean.shape[-1]], noise[..., mean.shape[-1] :]
    return mean + torch.exp(0.5 * log_variance) * own, lower


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
    image_shape: tuple[int, int, int] | None = None,
    pseudo_inputs: torch.Tensor | None = None,
) -> ExemplarModel:
    """An untrained model on the CPU; with a ``start`` it is that kernel density estimate.

    Without, the decoder of zeros and ones or of grey levels starts at the columns' means (D,):
    nothing is gained by spending the first epochs on them.
    """
    if likelihood == "bernoulli":
        likelihood = BernoulliLikelihood(binary)
        output_bias = BernoulliLikelihood.outputs_with_mean(row_mean)
    elif likelihood == "logistic":
        likelihood = LogisticLikelihood(n_features)
        output_bias = LogisticLikelihood.outputs_with_mean(row_mean)
    else:
        likelihood = GaussianLikelihood(n_features, 1.0 if start is None else start.noise_variance)
        output_bias = None
    structure = {"hidden_layer_sizes": hidden_layer_sizes}
    if start is not None:
        structure["start"] = start
    if image_shape is not None:
        structure["image_shape"] = image_shape
    network = NETWORKS[architecture](
        n_features, n_components, **structure, output_bias=output_bias, generator=generator
    )
    if prior == "exemplar":
        prior = ExemplarPrior(1.0 if start is None else start.bandwidth)
    elif prior == "vamp":
        prior = VampPrior(pseudo_inputs, likelihood.bounds)
    else:
        prior = GaussianPrior()
    return ExemplarModel(network, likelihood, prior)
