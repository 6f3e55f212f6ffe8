r"""Importance sampling among very many exemplars: far ones are bounded, not summed.

Exemplars are kept in cells of neighbors. By the triangle inequality no exemplar of a cell with
center c and radius r is closer to a row's m, in the row's own metric, than ``||m - c|| - r`` times
the metric's largest scale. A row sums over the cells that could matter, and leaves out those which
together could not add more than ``rtol`` of the sum.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..chunks import row_chunks
from ..numerics import LOG_2PI, invert_cumulative, shifted_exp
from ..retrieval import ExactRetrieval
from .proposals import ExemplarProposal, Exemplars

# Rounds of Lloyd's k-means: cells need to be small, not best.
N_ROUNDS = 4
# Cells summed before the others are judged: their sum is what a bound is compared with.
N_FIRST = 4


class Cells:
    """Exemplars sorted into about sqrt(N) cells by k-means of their codes.

    Parameters
    ----------
    exemplars : Exemplars, N of them
    seed : int
    """

    def __init__(self, exemplars: Exemplars, seed: int) -> None:
        codes, log_weights = exemplars
        n_cells = math.isqrt(len(codes) - 1) + 1
        generator = torch.Generator().manual_seed(seed)
        first = torch.randperm(len(codes), generator=generator)[:n_cells].to(codes.device)
        centers = codes[first]
        for _ in range(N_ROUNDS):
            cell_of = ExactRetrieval(centers).query(codes, 1)[1][:, 0]
            sums = torch.zeros_like(centers).index_add_(0, cell_of, codes)
            counts = torch.bincount(cell_of, minlength=n_cells)
            centers = torch.where(
                counts[:, None] > 0, sums / counts[:, None].clamp_min(1).to(sums), centers
            )
        order = cell_of.argsort(stable=True)
        self.exemplars = Exemplars(codes[order], log_weights[order])
        self.sizes = counts.tolist()
        self.starts = [0, *torch.tensor(self.sizes).cumsum(0).tolist()]
        self.centers = centers
        distances = torch.linalg.vector_norm(codes - centers[cell_of], dim=1)
        self.radii = torch.zeros_like(centers[:, 0]).scatter_reduce_(0, cell_of, distances, "amax")
        weights = torch.zeros(n_cells, dtype=torch.float64, device=codes.device)
        weights.index_add_(0, cell_of, log_weights.double().exp())
        self.log_weights = weights.log().to(codes)

    def members(self, cell: int) -> Exemplars:
        """Return the exemplars of a cell."""
        part = slice(self.starts[cell], self.starts[cell + 1])
        return Exemplars(*(tensor[part] for tensor in self.exemplars))


class CellsWithin(NamedTuple):
    """Exemplars in cells, summed up to a relative tolerance; see `Exemplars` for the questions."""

    cells: Cells
    rtol: float  # positive

    @property
    def n_terms(self) -> int:
        """How many terms a row's sum has, where it meets few cells."""
        return len(self.cells.centers)

    def log_density(self, codes: torch.Tensor, log_bandwidth: torch.Tensor) -> torch.Tensor:
        """Return log p(z | X), (n,), at ``codes`` (n, d)."""
        return CellSums(codes, self.cells, log_bandwidth, self.rtol).log_evidence

    def proposal(self, mean, log_variance, log_bandwidth) -> CellProposal:
        """Return the proposal for rows with posteriors of this mean and log-variance."""
        return CellProposal(mean, log_variance, self.cells, log_bandwidth, self.rtol)


class CellProposal(ExemplarProposal):
    """`ExemplarProposal` over the cells that matter to a row.

    Its normalizer Z(x) is low by at most a share ``rtol`` of itself, and so is the density it
    estimates where q(z | x) is the posterior: at a density estimate's start exactly, and elsewhere
    as nearly as training made it so.

    Parameters
    ----------
    mean, log_variance : tensors of shape (n, d), of q(z | x).
    cells : Cells
    log_bandwidth : scalar tensor, log s.
    rtol : float, positive
    """

    def __init__(self, mean, log_variance, cells: Cells, log_bandwidth, rtol: float) -> None:
        self._divide_prior_out(mean, log_variance, log_bandwidth)
        self.cells = cells
        log_upper = self._upper_bounds()
        self.log_sums = torch.full_like(log_upper, -math.inf)
        first = log_upper.topk(min(N_FIRST, log_upper.shape[1])).indices
        is_first = torch.zeros_like(log_upper, dtype=torch.bool).scatter_(1, first, True)
        self._sum_cells(is_first)
        self._sum_cells(self._cells_that_matter(log_upper, is_first, rtol))
        self._normalize(self.log_sums, cells.log_weights)

    def _upper_bounds(self) -> torch.Tensor:
        """Return the logarithm of what each cell adds to a row's sum at most, (n, C)."""
        distances = self._squared_distances(slice(None), self.cells.centers).sqrt()
        scale = self.metric.amax(1, keepdim=True).sqrt()
        nearest = (distances - scale * self.cells.radii).clamp_min(0)
        return self.cells.log_weights + self.log_normalizer[:, None] - 0.5 * nearest**2

    def _sum_cells(self, wanted: torch.Tensor) -> None:
        """Sum each cell for the rows that want it."""
        for cell in wanted.any(0).nonzero()[:, 0].tolist():
            if self.cells.sizes[cell] == 0:
                continue
            members, wanting = self.cells.members(cell), wanted[:, cell].nonzero()[:, 0]
            for part in row_chunks(len(wanting), self.cells.sizes[cell]):
                rows = wanting[part]
                log_terms = self._log_overlap(rows, members)
                self.log_sums[rows, cell] = torch.logsumexp(log_terms, 1)

    def _cells_that_matter(self, log_upper, is_first, rtol: float) -> torch.Tensor:
        """Return a mask (n, C) without the cells that together are below ``rtol`` of the sum."""
        at_least = torch.logsumexp(self.log_sums, 1, keepdim=True)
        log_upper = log_upper.masked_fill(is_first, -math.inf)
        ascending, order = log_upper.sort(1)
        is_small = ascending.logcumsumexp(1) <= at_least + math.log(rtol)
        return ~torch.zeros_like(is_first).scatter_(1, order, is_small) & ~is_first

    def _draw_exemplars(self, uniforms: torch.Tensor) -> torch.Tensor:
        """Return codes (n, S, d) of exemplars, each drawn by its share of the row's sum."""
        cell_of = invert_cumulative(self.cumulative, uniforms)
        below = torch.nn.functional.pad(self.cumulative, (1, 0)).gather(1, cell_of)
        within = self.cumulative.gather(1, cell_of) - below
        levels = uniforms * self.cumulative[:, -1:] - below
        shares = (levels / within).clamp(0, 1)
        chosen = self.mean.new_empty(*cell_of.shape, self.mean.shape[1])
        for cell in cell_of.unique().tolist():
            is_inside, members = cell_of == cell, self.cells.members(cell)
            inside = is_inside.any(1).nonzero()[:, 0]
            for part in row_chunks(len(inside), self.cells.sizes[cell]):
                rows = inside[part]
                terms, _ = shifted_exp(self._log_overlap(rows, members))
                picked = invert_cumulative(terms.double().cumsum(1), shares[rows])
                row, sample = is_inside[rows].nonzero(as_tuple=True)
                chosen[rows[row], sample] = members.codes[picked[row, sample]]
        return chosen


class CellSums(CellProposal):
    """``log_evidence`` is log p(z | X) at codes z, low by at most a share ``rtol``.

    It is the normalizer of a proposal whose q(z | x) is a point, the code.

    Parameters
    ----------
    codes : tensor of shape (n, d)
    cells, log_bandwidth, rtol : as in `CellProposal`
    """

    def __init__(self, codes, cells: Cells, log_bandwidth, rtol: float) -> None:
        super().__init__(codes, torch.full_like(codes, -math.inf), cells, log_bandwidth, rtol)

    def _divide_prior_out(self, mean, log_variance, log_bandwidth) -> None:
        self.mean = mean
        self.metric = torch.exp(-2 * log_bandwidth).expand_as(mean)
        self.log_normalizer = -mean.shape[1] * (0.5 * LOG_2PI + log_bandwidth).expand(len(mean))
