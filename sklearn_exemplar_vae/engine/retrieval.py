"""Nearest codes: exactly, by matrix products, or nearly, by a graph of pynndescent's.

Both answer two questions: `query`, the nearest of the codes to given ones, and `graph`, the nearest
to each of the codes themselves, which includes the code itself.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager

import numpy as np
import torch

from .numerics import center_of

# Distances computed at a time: 8 MiB, most of which stays in a processor's cache.
DISTANCES_AT_A_TIME = 2**21
# Up to this many codes matrix products find a graph sooner, the compilation of the approximate
# search included (chosen on two cores, 40 columns; see benchmarks/LOG.md).
EXACT_UP_TO = 30_000
# A GPU multiplies matrices many times as fast.
EXACT_UP_TO_ON_GPU = 300_000
# Distances of which the least is kept in the first pass over them.
BLOCK = 128


class ExactRetrieval:
    """Exact Euclidean neighbors among ``codes`` (N, d), on any device."""

    def __init__(self, codes: torch.Tensor) -> None:
        padding = -len(codes) % BLOCK
        self.n_codes = len(codes)
        self.center = center_of(codes)
        centered = torch.nn.functional.pad(codes - self.center, (0, 0, 0, padding))
        self.transposed = centered.T.contiguous()
        self.half_norms = 0.5 * (centered**2).sum(1)
        self.half_norms[self.n_codes :] = math.inf

    def query(self, queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (distances, indices), each (n, k), of the k nearest codes, nearest first.

        The k smallest of a row's distances lie in the k blocks of smallest minima: one pass over
        all distances finds the minima, and the others are over k blocks, which is faster than
        `torch.topk` over all.
        """
        k = min(k, self.n_codes)
        queries = queries - self.center
        found = [
            self._nearest(part, k)
            for part in queries.split(max(1, DISTANCES_AT_A_TIME // len(self.half_norms)))
        ]
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    def graph(self, k: int) -> torch.Tensor:
        """Return indices (N, k) of the codes nearest to each code."""
        return self.query(self.transposed.T[: self.n_codes] + self.center, k)[1]

    def _nearest(self, queries, k):
        # Half the squared distance but for the query's own norm, which ranks nothing.
        ranks = torch.addmm(self.half_norms, queries, self.transposed, alpha=-1)
        ranks = ranks.view(len(queries), -1, BLOCK)
        n_blocks = min(k, ranks.shape[1])
        blocks = ranks.amin(-1).topk(n_blocks, largest=False, sorted=False).indices
        candidates = ranks.gather(1, blocks[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
        positions = candidates.topk(k, largest=False).indices
        indices = blocks.gather(1, positions // BLOCK) * BLOCK + positions % BLOCK
        # The distances asked for are taken by the difference, to the last digit.
        nearest = self.transposed.T[indices]
        distances = torch.linalg.vector_norm(nearest - queries[:, None], dim=-1)
        distances, order = distances.sort(dim=1, stable=True)
        return distances, indices.gather(1, order)


@contextmanager
def kept_threads():
    """Give torch back its number of threads, which numba's parallel code changes for a process."""
    n_threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != n_threads:
            torch.set_num_threads(n_threads)


class ApproximateRetrieval:
    """Nearly all of the nearest codes, by nearest neighbor descent (Dong et al. 2011).

    pynndescent and numba are imported here and not before: the import takes seconds, and the first
    graph of a process compiles for longer.

    Parameters
    ----------
    codes : tensor of shape (N, d)
    k : int
        Neighbors the graph keeps of each code, itself among them.
    seed : int
    """

    def __init__(self, codes: torch.Tensor, k: int, seed: int) -> None:
        from pynndescent import NNDescent

        self.codes, self.n_codes = codes, len(codes)
        with kept_threads():
            self._index = NNDescent(
                codes.float().cpu().numpy(), n_neighbors=min(k, self.n_codes), random_state=seed
            )
        self._lock = threading.Lock()  # queries write into the index

    def query(self, queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (distances, indices), each (n, k), nearest first; distances are exact."""
        k = min(k, self.n_codes)
        with self._lock, kept_threads():
            found, distances = self._index.query(queries.float().cpu().numpy(), k=k)
        indices = torch.from_numpy(found.astype("int64")).to(queries.device)
        # In a graph of several parts a search ends before it has found k: infinite distances.
        is_short = torch.from_numpy(np.isinf(distances).any(1)).to(queries.device)
        if is_short.any():
            indices[is_short] = ExactRetrieval(self.codes).query(queries[is_short], k)[1]
        distances = torch.linalg.vector_norm(self.codes[indices] - queries[:, None], dim=-1)
        distances, order = distances.sort(dim=1, stable=True)
        return distances, indices.gather(1, order)

    def graph(self, k: int) -> torch.Tensor:
        """Return indices (N, k) of codes near each code; k at most that of the construction."""
        indices = torch.from_numpy(self._index.neighbor_graph[0][:, :k].astype("int64"))
        indices = indices.to(self.codes.device)
        is_short = (indices < 0).any(1)
        if is_short.any():
            indices[is_short] = ExactRetrieval(self.codes).query(self.codes[is_short], k)[1]
        return indices


def leave_self_out(distances: torch.Tensor, indices: torch.Tensor):
    """Return what `query` found for the codes themselves, (N, k + 1), without each code: (N, k)."""
    keep = indices != torch.arange(len(indices), device=indices.device)[:, None]
    keep[keep.all(1), -1] = False  # among many copies a code may not have found itself
    return distances[keep].view(len(indices), -1), indices[keep].view(len(indices), -1)


def build_retrieval(
    retrieval: str, codes: torch.Tensor, k: int, seed: int
) -> ExactRetrieval | ApproximateRetrieval:
    """Return what finds the k nearest of ``codes`` to each; "auto" chooses by their number."""
    if retrieval == "auto":
        limit = EXACT_UP_TO if codes.device.type == "cpu" else EXACT_UP_TO_ON_GPU
        retrieval = "exact" if len(codes) <= limit else "pynndescent"
    if retrieval == "exact":
        return ExactRetrieval(codes)
    return ApproximateRetrieval(codes, k, seed)
