"""Training by several processes at once: each has its share of a batch, and all see all codes.

The processes are those of torch.distributed's default group, started by ``torchrun``, which talk
through "gloo" or "nccl". Without a group a process is alone, and all of this is the identity.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import distributed


class Workers(NamedTuple):
    """The processes that train one model together."""

    rank: int
    size: int

    def shard(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return this process's part of the rows of ``tensor``, which all processes have."""
        return tensor if self.size == 1 else tensor.tensor_split(self.size)[self.rank]

    def gather(self, codes: torch.Tensor, n_batch: int, n_others: int) -> torch.Tensor:
        """Return all processes' codes, in the order of a single process, with gradient.

        ``codes`` are those of this process's shares of ``n_batch`` rows and of ``n_others`` more.
        """
        if self.size == 1:
            return codes
        in_batch, beyond = (shard_sizes(n, self.size) for n in (n_batch, n_others))
        sizes = [a + b for a, b in zip(in_batch, beyond, strict=True)]
        parts = GatherRows.apply(codes, sizes, self.rank)
        return torch.cat(
            [part[:n] for part, n in zip(parts, in_batch, strict=True)]
            + [part[n:] for part, n in zip(parts, in_batch, strict=True)]
        )

    def all_reduce(self, tensors: list[torch.Tensor]) -> None:
        """Put the sum over all processes into each of ``tensors``, by one message."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give all the first process's ``tensor``, where rounding could make them differ."""
        if self.size > 1:
            distributed.broadcast(tensor, 0)
        return tensor

    def broadcast_model(self, model: torch.nn.Module) -> None:
        """Put the first process's weights and buffers into ``model``."""
        for tensor in model.state_dict().values():
            self.broadcast(tensor)


class GatherRows(torch.autograd.Function):
    """The rows (sizes[r], d) of every process r; a row's gradient is the sum of all processes'."""

    @staticmethod
    def forward(ctx, rows, sizes, rank):
        ctx.sizes, ctx.rank = sizes, rank
        padded = rows.new_zeros(max(sizes), rows.shape[1])
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(gathered, padded)
        return tuple(part[:n] for part, n in zip(gathered, sizes, strict=True))

    @staticmethod
    def backward(ctx, *gradients):
        summed = torch.cat(gradients)
        distributed.all_reduce(summed)
        return summed.split(ctx.sizes)[ctx.rank], None, None


def shard_sizes(n_rows: int, n_workers: int) -> list[int]:
    """Return the sizes into which `torch.tensor_split` divides rows."""
    quotient, rest = divmod(n_rows, n_workers)
    return [quotient + (rank < rest) for rank in range(n_workers)]


def current_workers() -> Workers:
    """Return those of torch.distributed's default group, or this process alone."""
    if distributed.is_available() and distributed.is_initialized():
        return Workers(distributed.get_rank(), distributed.get_world_size())
    return Workers(0, 1)
