"""The exemplar flow as one torch module: an invertible network and a prior composed."""

from __future__ import annotations

import torch
from torch import nn

from .cells import Cells, CellSums
from .flow_start import FlowStart
from .mixed import MixedPrior, NormalBase, NormalPrior
from .networks.invertible import InvertibleNetwork
from .priors import ExemplarPrior, Exemplars

PRIORS = ("mixed", "exemplar", "gaussian")


class FlowModel(nn.Module):
    """log p(x | X) = log p(f(x) | f(X)) + log |det df/dx|, f invertible: nothing is estimated.

    It answers what an `ExemplarModel` does, with codes that a row determines.

    Parameters
    ----------
    network : InvertibleNetwork, f
    prior : p(z), see `PRIORS`
    """

    n_noise = 0  # nothing perturbs a code
    has_means = False  # a code has one row

    def __init__(self, network: InvertibleNetwork, prior: nn.Module) -> None:
        super().__init__()
        self.network, self.prior = network, prior
        self.n_components, self.width = len(network.linear), network.width

    def redraw(self, rows: torch.Tensor, generator: torch.Generator) -> None:
        """Nothing is drawn in the place of ``rows``."""

    def encode(self, rows: torch.Tensor) -> torch.Tensor:
        """f(x), (n, D)."""
        return self.network(rows)[0]

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """The rows (n, D) that have these codes."""
        return self.network.inverse(codes)

    def codes_to_score(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Codes whose prior density is the rows' part of the objective: their own."""
        return self.encode(rows)

    def training_bound(
        self, rows, noise, log_weights, excluded, log_totals, kl_weight, gather=None, drawn=None
    ) -> torch.Tensor:
        """The log-density of the first n of ``rows``, (n,), in nats; see `ExemplarModel`.

        There is no Kullback-Leibler term to weight, and nothing is ``drawn``.
        """
        codes, log_det = self.network(rows)
        exemplars = Exemplars(codes if gather is None else gather(codes), log_weights)
        own = slice(len(noise))
        return self.prior.log_prob(codes[own], exemplars, excluded, log_totals) + log_det[own]

    def scorer(self, exemplars: Exemplars | Cells, noise, rtol: float):
        """What gives rows' log-densities, and how many numbers a row of it keeps in memory."""

        def score(rows: torch.Tensor) -> torch.Tensor:
            codes, log_det = self.network(rows)
            if isinstance(exemplars, Cells):
                sums = CellSums(codes, exemplars, self.prior.log_bandwidth, rtol)
                return log_det + self.prior.completed(sums.log_evidence, codes)
            return log_det + self.prior.log_prob(codes, exemplars)

        n_terms = 0
        if self.prior.needs_exemplars:
            n_terms = len(exemplars.centres if isinstance(exemplars, Cells) else exemplars.codes)
        return score, 4 * n_terms + self.width

    @torch.no_grad()
    def sample(self, exemplars: Exemplars, n_samples: int, generator) -> torch.Tensor:
        """Rows (n_samples, D): z ~ p(z | X), x = f^-1(z)."""
        return self.decode(self.prior.sample(exemplars, n_samples, generator))

    @torch.no_grad()
    def sample_near(self, rows: torch.Tensor, n_samples: int, noise: bool | str, generator):
        """Rows (n, n_samples, D) whose codes are drawn from the kernel at the row they stand under.

        All noise there is is that of the code.
        """
        codes = self.encode(rows)[:, None].expand(-1, n_samples, -1)
        codes = self.prior.sample_near(codes, None, generator)
        return self.decode(codes.flatten(0, 1)).unflatten(0, (len(rows), n_samples))


def build_flow(
    start: FlowStart, *, prior: str, n_transforms: int, hidden_layer_sizes, generator
) -> FlowModel:
    """An untrained flow on the CPU: the density of its ``start``."""
    network = InvertibleNetwork(start.linear, n_transforms, hidden_layer_sizes, generator)
    base = NormalBase(start.axes, start.log_variances)
    if prior == "exemplar":
        return FlowModel(network, ExemplarPrior(start.bandwidth))
    if prior == "mixed":
        return FlowModel(network, MixedPrior(start.bandwidth, base, start.share))
    return FlowModel(network, NormalPrior(base))
