"""The exemplar flow as one torch module: an invertible network and a prior composed."""

from __future__ import annotations

import torch
from torch import nn

from .importance.estimate import ImportanceSampling
from .importance.proposals import Exemplars
from .initialization.flow import FlowInitialization
from .minibatch import Minibatch
from .mixture import Mixture
from .networks.invertible import InvertibleNetwork
from .priors import FLOW_PRIORS


class FlowModel(nn.Module):
    """log p(x | X) = log p(f(x) | f(X)) + log |det df/dx|, f invertible: nothing is estimated.

    It answers what scoring and the estimators ask of an `ExemplarModel`, with codes that a row
    determines.

    Parameters
    ----------
    network : InvertibleNetwork, f
    prior : p(z), see `FLOW_PRIORS`

    Attributes
    ----------
    mixture : Mixture
        What stands beside the model; fit sets it.
    """

    is_exact = True
    has_means = False  # a code has one row

    def __init__(self, network: InvertibleNetwork, prior: nn.Module) -> None:
        super().__init__()
        self.network, self.prior, self.mixture = network, prior, Mixture()
        self.n_components = len(network.linear)
        self.floats_per_row = network.floats_per_row

    def encode(self, rows: torch.Tensor) -> torch.Tensor:
        """Return f(x), (n, D)."""
        return self.network(rows)[0]

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the rows (n, D) that have these codes."""
        return self.network.inverse(codes)

    def draw_codes(self, rows: torch.Tensor, seed: int) -> torch.Tensor:
        """Return f(x), (n, D): rows determine their codes, whatever the seed."""
        return self.encode(rows)

    def log_density(self, minibatch: Minibatch) -> torch.Tensor:
        """Return the log-density of the minibatch's own rows, (n,), given what each sees."""
        codes, log_det = self.network(minibatch.rows)
        exemplars, own = minibatch.exemplars(codes), slice(minibatch.n_own)
        log_density = self.prior.log_prob(codes[own], exemplars, minibatch.left_out) + log_det[own]
        return self.mixture(log_density, minibatch.rows[own])

    def scorer(self, exemplars, sampling: ImportanceSampling):
        """Return what gives rows' log-densities, and the floats that a row of it keeps in memory.

        Parameters
        ----------
        exemplars : Exemplars or CellsWithin
        sampling : ImportanceSampling
            An exact density needs no samples.
        """

        def score(rows: torch.Tensor) -> torch.Tensor:
            codes, log_det = self.network(rows)
            return self.mixture(log_det + self.prior.log_prob(codes, exemplars), rows)

        n_terms = exemplars.n_terms if self.prior.needs_exemplars else 0
        return score, 4 * n_terms + self.floats_per_row

    @torch.no_grad()
    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Draw rows (n_samples, D): z ~ p(z | X), x = f^-1(z)."""
        return self.decode(self.prior.sample(exemplars, n_samples, generator))

    @torch.no_grad()
    def sample_near(self, rows: torch.Tensor, n_samples: int, noise: bool | str, generator):
        """Draw rows (n, n_samples, D) whose codes are from the kernel at the row they stand under.

        All ``noise`` is that of the code: a code has one row.
        """
        codes = self.encode(rows)[:, None].expand(-1, n_samples, -1)
        codes = self.prior.sample_near(codes, None, generator)
        return self.decode(codes.flatten(0, 1)).unflatten(0, (len(rows), n_samples))


def build_flow(
    initial: FlowInitialization,
    prior: str,
    n_transforms: int,
    hidden_layer_sizes,
    generator: torch.Generator,
) -> FlowModel:
    """Return an untrained flow on the CPU: the density of ``initial``."""
    network = InvertibleNetwork(initial.linear, n_transforms, hidden_layer_sizes, generator)
    return FlowModel(network, FLOW_PRIORS[prior].untrained(initial))
