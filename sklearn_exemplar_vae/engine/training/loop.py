"""The training loop: batches, exemplars, schedule, averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch

from ..minibatch import LeftOut, Minibatch
from ..scoring import encode
from ..workers import current_workers
from .batches import BatchExemplars, RandomExemplars
from .candidates import Candidates
from .leave_one_out import own_exemplars
from .neighborhoods import Neighborhoods
from .objectives import ExactObjective, Moment, VariationalObjective, VariationalSchedule
from .refit import refit_bandwidth_without_held_out_rows
from .rows import TrainingRows

# Adam remembers squared gradients for 100 steps. The usual 1000 would remember the large gradients
# of the first epochs for too much of a short training.
SQUARES_DECAY = 0.99
# The averaged weights forget over min(1000, t / 9) steps, so that short runs average too.
MAX_AVERAGING_DECAY = 0.999
FINAL_LEARNING_RATE = 1e-3


class Retrieved(NamedTuple):
    """Retrieval of each row's nearest exemplars."""

    n_exemplars: int  # M, exemplars drawn for an epoch
    n_neighbors: int  # k, exemplars retrieved for a row
    retrieval: str = "auto"  # see `retrieval`


class Schedule(NamedTuple):
    """The plan of a training."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    n_exemplars: int  # M, exemplars a row sees at a step
    leave_one_out: bool
    variational: VariationalSchedule | None = None  # None where the model's density is exact
    autocast: torch.dtype | None = None
    in_batch: bool = False  # whether the exemplars are the minibatch, which grows along the way
    neighbors_from: float = 1.0  # the share of the epochs after which exemplars are near a row
    retrieved: Retrieved | None = None  # how they are found; None makes neighbors a batch
    weight_decay: float = 0.0  # of the network's matrices, a step: times the learning rate


class Epoch(NamedTuple):
    """One pass over the rows."""

    number: int
    bound: float  # mean objective of the pass, nats a row, standardized units
    model: torch.nn.Module  # the averaged weights; changes in place as training goes on


def train(
    model, data: TrainingRows, schedule: Schedule, generator: torch.Generator
) -> Iterator[Epoch]:
    """Train ``model`` in place, yielding after each pass.

    The learning rate falls from its initial value to nearly zero along a cosine. The weights
    yielded are an exponential moving average, which scores better than the last weights at every
    moment but the first.

    A caller that stops listening stops the training. The bound of a diverged pass is not finite.

    Where several processes train together, with the same arguments, a batch is as many times larger
    and each has its share of it; the codes are everybody's exemplars.

    Parameters
    ----------
    model : ExemplarModel or FlowModel, on the device of ``data``
    data : TrainingRows
    schedule : Schedule
    generator : torch.Generator, on the CPU
        Orders the rows and draws exemplars; the noise too, where the device is the CPU.
    """
    trainer = Trainer(model, data, schedule, generator)
    device, n_rows, n_workers = data.weights.device, len(data.rows), trainer.workers.size
    source = RandomExemplars(n_rows, schedule.n_exemplars, device, grows=schedule.in_batch)
    are_near = False
    for number in range(1, schedule.n_epochs + 1):
        total = torch.zeros(2, device=device)  # bounds, and the weight of the rows that have one
        progress = (number - 1) / schedule.n_epochs
        if not are_near and progress >= schedule.neighbors_from:
            source, are_near = nearest_exemplars(data, schedule), True
            if number > 1:
                trainer.refit_bandwidth()
        growth = source.growth(progress)
        n_batches = math.ceil(n_rows / (growth * n_workers * schedule.batch_size))
        batches = source.start_epoch(trainer.codes, n_batches, generator)
        for index, batch in enumerate(batches):
            moment = Moment(schedule.n_epochs, number - 1, index, len(batches), growth)
            total += trainer.step(batch, source.of_batch(batch), moment)
        trainer.workers.all_reduce([total])
        bound, weight = total.tolist()
        # Without weight all rows were copies of one, and nothing was learned.
        yield Epoch(number, bound / weight if weight > 0 else 0.0, trainer.averaged)


def nearest_exemplars(data: TrainingRows, schedule: Schedule) -> Candidates | Neighborhoods:
    """Return the source of exemplars that are near a row."""
    if schedule.retrieved is None:
        return Neighborhoods(data, schedule.leave_one_out)
    return Candidates(data, *schedule.retrieved, schedule.leave_one_out)


class Trainer:
    """A model, its optimizer and its averaged weights, one step at a time.

    Parameters as in `train`.
    """

    def __init__(self, model, data, schedule: Schedule, generator: torch.Generator) -> None:
        self.model, self.data, self.schedule = model, data, schedule
        self.workers = current_workers()
        self.seed = generator.initial_seed()
        if schedule.variational is None:
            self.objective = ExactObjective(model)
        else:
            self.objective = VariationalObjective(
                model, schedule.variational, generator, data.weights.device
            )
        self.averaged = copy.deepcopy(model)
        self._averages = [parameter.data for parameter in self.averaged.parameters()]
        self._current = [parameter.data for parameter in model.parameters()]
        self._optimizer = torch.optim.AdamW(
            decayed_apart(model, schedule.weight_decay),
            schedule.learning_rate,
            betas=(0.9, SQUARES_DECAY),
            weight_decay=0.0,
            fused=True,
        )
        self._n_steps = 0

    def step(self, batch, exemplars: BatchExemplars, moment: Moment) -> torch.Tensor:
        """Follow the gradient of the rows ``batch``; return `_bound` of this process's share."""
        bound, weight = self._bound(batch, exemplars, moment)
        self._optimizer.zero_grad()
        (-bound / len(batch)).backward()
        parameters = list(self.model.parameters())
        self.workers.all_reduce([p.grad for p in parameters if p.grad is not None])
        scale_to_unit_norm(parameters)
        decay = cosine_decay(moment.epochs_before / moment.n_epochs)
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate * decay
        self._optimizer.step()
        self._n_steps += 1
        memory = min(MAX_AVERAGING_DECAY, self._n_steps / (9 + self._n_steps)) ** moment.growth
        torch._foreach_lerp_(self._averages, self._current, 1 - memory)
        return torch.stack([bound.detach(), weight])

    def refit_bandwidth(self) -> None:
        """Set the bandwidth, learned with few exemplars and too wide, to the best for many."""
        refit_bandwidth_without_held_out_rows(self.averaged, self.data, self.seed)
        self.workers.broadcast_model(self.averaged)
        self.model.prior.log_bandwidth.data.copy_(self.averaged.prior.log_bandwidth)

    def codes(self) -> torch.Tensor:
        """Return code means (n, d) of all rows, by the averaged weights."""
        return encode(self.averaged, self.data.rows)

    def _bound(
        self, batch, exemplars: BatchExemplars, moment: Moment
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weighted sum of the objective of this process's rows, and the weights'."""
        data, workers = self.data, self.workers
        seen, _, log_totals = exemplars
        own_rows, others = workers.shard(batch), seen[len(batch) :]
        weights, excluded = self._exclude(own_rows, exemplars)
        minibatch = Minibatch(
            rows=data.rows[torch.cat([own_rows, workers.shard(others)])],
            n_own=len(own_rows),
            n_batch=len(batch),
            log_weights=data.weights[seen].log(),
            left_out=LeftOut(excluded, None if log_totals is None else workers.shard(log_totals)),
            gather=partial(workers.gather, n_batch=len(batch), n_others=len(others)),
        )
        autocast = self.schedule.autocast
        with torch.autocast(minibatch.rows.device.type, autocast, enabled=autocast is not None):
            bound = self.objective(minibatch, moment)
        return (weights * bound).sum(), weights.sum()

    def _exclude(self, rows, exemplars: BatchExemplars):
        """Return the weights of ``rows`` (n,), and which exemplars they do not see, (n, M).

        A row whose every exemplar is a copy of itself has no bound: its weight is zero.
        """
        data, absent = self.data, exemplars.absent
        weights = data.weights[rows]
        excluded = None if absent is None else absent[None].expand(len(rows), -1)
        if self.schedule.leave_one_out and self.model.prior.needs_exemplars:
            own = own_exemplars(data.groups[rows], data.groups[exemplars.seen])
            excluded = own if excluded is None else own | excluded
        if excluded is None:
            return weights, None
        lonely = excluded.all(1)
        return weights.masked_fill(lonely, 0.0), excluded & ~lonely[:, None]


def decayed_apart(model, weight_decay: float) -> list[dict]:
    """Return two groups of parameters: the network's matrices, which decay, and the others.

    Biases, a bandwidth or pseudo-inputs are not the better for being near zero.
    """
    decayed = [parameter for parameter in model.network.parameters() if parameter.ndim > 1]
    ids = {id(parameter) for parameter in decayed}
    others = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others}]


def scale_to_unit_norm(parameters) -> None:
    """Divide the gradient of every parameter by its norm, as the paper does ahead of Adam."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.div_(parameter.grad.norm().clamp_min(1e-12))


def cosine_decay(progress: float) -> float:
    """Return 1 at ``progress`` 0 and `FINAL_LEARNING_RATE` at 1, along a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine
