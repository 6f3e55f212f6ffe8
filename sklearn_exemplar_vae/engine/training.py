"""The training loop: batches, exemplars, schedule, averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch

from .batches import BatchExemplars, RandomExemplars
from .candidates import Candidates
from .leave_one_out import own_exemplars
from .model import ExemplarModel
from .neighborhoods import Neighborhoods
from .refit import refit_bandwidth_without_held_out_rows
from .scoring import encode
from .training_rows import TrainingRows
from .workers import current_workers

# Adam's memory of squared gradients, 100 steps. The usual 1000 remembers the large gradients of the
# first epochs for too much of a short training.
SQUARES_DECAY = 0.99
# The averaged weights forget over min(1000, t / 9) steps, so that short runs average too.
MAX_AVERAGING_DECAY = 0.999
FINAL_LEARNING_RATE = 1e-3
# (share of the epochs, batch size in first batch sizes) where the exemplars are the minibatch. Few
# suffice while the codes take shape and teach too wide a bandwidth in the end; by then the learning
# rate is low enough for fewer, larger steps, which cost what the smaller ones did.
BATCH_GROWTH = ((0.0, 1), (0.6, 2), (0.85, 4))
# The same of a batch of neighbourhoods, which it takes more rows of to be like the data.
NEIGHBORHOODS_GROWTH = 2
# The share of the epochs before a row's bound has more than one sample. Early the time is better
# spent on more epochs: on MNIST, in 330 s, five samples throughout were 0.4 nats worse than one.
# Late it pays: of two trainings of 1200 s the one that ended with five samples had the higher test
# log-likelihood, -82.59 against -82.77.
BOUND_SAMPLES_FROM = 0.7


class Retrieved(NamedTuple):
    """How epochs retrieve each row's nearest exemplars."""

    n_exemplars: int  # M, exemplars drawn for an epoch
    n_neighbors: int  # k, exemplars retrieved for a row
    retrieval: str = "auto"  # see `retrieval`


class Schedule(NamedTuple):
    """How a model is trained."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    kl_warmup: float  # epochs over which the weight of the KL term rises from 0 to 1
    n_exemplars: int  # M, exemplars a row sees at a step
    leave_one_out: bool
    autocast: torch.dtype | None = None
    in_batch: bool = False  # whether the exemplars are the minibatch, which grows along the way
    neighbors_from: float = 1.0  # the share of the epochs after which exemplars are near a row
    retrieved: Retrieved | None = None  # how they are found; None makes neighbours a batch
    n_bound_samples: int = 1  # K, codes drawn from q(z | x) for a row's bound, in the end
    weight_decay: float = 0.0  # of the network's matrices, a step: times the learning rate


class Epoch(NamedTuple):
    """One pass over the rows."""

    number: int
    bound: float  # mean training bound of the pass, nats a row, standardised units
    model: ExemplarModel  # the averaged weights; changes in place as training goes on


def train(
    model: ExemplarModel, data: TrainingRows, schedule: Schedule, generator: torch.Generator
) -> Iterator[Epoch]:
    """Train ``model`` in place, yielding after each pass.

    The learning rate falls from its initial value to nearly zero along a cosine, and an exponential
    moving average of the weights is what is yielded: it scores better than the last weights at
    every moment but the first.

    A caller that stops listening stops the training. The bound of a diverged pass is not finite.

    Where several processes train together, with the same arguments, a batch is as many times larger
    and each has its share of it; the codes are everybody's exemplars.

    Parameters
    ----------
    model : ExemplarModel on the device of ``data``
    data : TrainingRows
    schedule : Schedule
    generator : torch.Generator, on the CPU
        Orders the rows and draws exemplars; the noise too, where the device is the CPU.
    """
    trainer = Trainer(model, data, schedule, generator)
    device, n_rows, n_workers = data.weights.device, len(data.rows), trainer.workers.size
    source = RandomExemplars(n_rows, schedule.n_exemplars, device)
    for number in range(1, schedule.n_epochs + 1):
        total = torch.zeros(2, device=device)  # bounds, and the weight of the rows that have one
        progress = (number - 1) / schedule.n_epochs
        if isinstance(source, RandomExemplars) and progress >= schedule.neighbors_from:
            source = nearest_exemplars(data, schedule)
            if number > 1:
                trainer.refit_bandwidth()
        growth = batch_growth(schedule, source, progress)
        n_samples = schedule.n_bound_samples if progress >= BOUND_SAMPLES_FROM else 1
        n_batches = math.ceil(n_rows / (growth * n_workers * schedule.batch_size))
        batches = source.start_epoch(trainer.codes, n_batches, generator)
        for index, batch in enumerate(batches):
            epochs_before = number - 1 + index / len(batches)
            epochs_after = number - 1 + (index + 1) / len(batches)
            rate = schedule.learning_rate * cosine_decay(epochs_before / schedule.n_epochs)
            kl_weight = min(1.0, epochs_after / max(schedule.kl_warmup, 1 / len(batches)))
            exemplars = source.of_batch(batch)
            total += trainer.step(batch, exemplars, kl_weight, rate, growth, n_samples)
        trainer.workers.add([total])
        bound, weight = total.tolist()
        # Without weight all rows were copies of one, and nothing was learned.
        yield Epoch(number, bound / weight if weight > 0 else 0.0, trainer.averaged)


def nearest_exemplars(data: TrainingRows, schedule: Schedule) -> Candidates | Neighborhoods:
    """The source of exemplars that are near a row."""
    if schedule.retrieved is None:
        return Neighborhoods(data, schedule.leave_one_out)
    return Candidates(data, *schedule.retrieved, schedule.leave_one_out)


class Trainer:
    """A model, its optimiser and its averaged weights, one step at a time.

    Parameters as in `train`.
    """

    def __init__(self, model, data, schedule: Schedule, generator: torch.Generator) -> None:
        self.model, self.data, self.schedule = model, data, schedule
        self.workers = current_workers()
        self.seed = generator.initial_seed()
        device = data.weights.device
        self.noise = self.row_noise = generator
        if device.type != "cpu":
            self.noise = self.row_noise = torch.Generator(device).manual_seed(self.seed)
        if self.workers.size > 1:  # each draws its own rows anew, and all draw the codes' noise
            self.row_noise = torch.Generator(device).manual_seed(self.seed + 1 + self.workers.rank)
        self.averaged = copy.deepcopy(model)
        self._averages = [parameter.data for parameter in self.averaged.parameters()]
        self._current = [parameter.data for parameter in model.parameters()]
        self._optimiser = torch.optim.AdamW(
            decayed_apart(model, schedule.weight_decay),
            schedule.learning_rate,
            betas=(0.9, SQUARES_DECAY),
            weight_decay=0.0,
            fused=True,
        )
        self._n_steps = 0

    def step(
        self,
        batch,
        exemplars: BatchExemplars,
        kl_weight: float,
        learning_rate: float,
        growth: int,
        n_samples: int,
    ) -> torch.Tensor:
        """Follow the gradient of the rows ``batch``; `_bound` of this process's share of them."""
        bound, weight = self._bound(batch, exemplars, kl_weight, n_samples)
        self._optimiser.zero_grad()
        (-bound / len(batch)).backward()
        parameters = list(self.model.parameters())
        self.workers.add([p.grad for p in parameters if p.grad is not None])
        scale_to_unit_norm(parameters)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.step()
        self._n_steps += 1
        memory = min(MAX_AVERAGING_DECAY, self._n_steps / (9 + self._n_steps)) ** growth
        torch._foreach_lerp_(self._averages, self._current, 1 - memory)
        return torch.stack([bound.detach(), weight])

    def refit_bandwidth(self) -> None:
        """Learned with few exemplars, the bandwidth is too wide for many."""
        refit_bandwidth_without_held_out_rows(self.averaged, self.data, self.seed)
        self.workers.agree_on_model(self.averaged)
        self.model.prior.log_bandwidth.data.copy_(self.averaged.prior.log_bandwidth)

    def codes(self) -> torch.Tensor:
        """Code means (n, d) of all rows, by the averaged weights."""
        return encode(self.averaged, self.data.rows)

    def _bound(
        self, batch, exemplars: BatchExemplars, kl_weight: float, n_samples: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted sum of the bounds of this process's rows of ``batch``, and the weights'."""
        model, data, schedule, workers = self.model, self.data, self.schedule, self.workers
        seen, absent, log_totals = exemplars
        others = seen[len(batch) :]
        own_rows = workers.share(batch)
        weights = data.weights[own_rows]
        excluded = None if absent is None else absent[None].expand(len(own_rows), -1)
        if schedule.leave_one_out and model.prior.needs_exemplars:
            own = own_exemplars(data.groups[own_rows], data.groups[seen])
            excluded = own if excluded is None else own | excluded
        if excluded is not None:
            # A row whose every exemplar is a copy of itself has no bound: it is skipped.
            lonely = excluded.all(1)
            weights = weights.masked_fill(lonely, 0.0)
            excluded = excluded & ~lonely[:, None]
        rows = data.rows[torch.cat([own_rows, workers.share(others)])]
        drawn = model.redraw(rows[: len(own_rows)], self.row_noise)
        shape = (len(batch), n_samples, model.n_noise)
        noise = torch.randn(shape, generator=self.noise, device=rows.device)
        with torch.autocast(
            rows.device.type, schedule.autocast, enabled=schedule.autocast is not None
        ):
            bound = model.training_bound(
                rows,
                workers.share(noise),
                data.weights[seen].log(),
                excluded,
                None if log_totals is None else workers.share(log_totals),
                kl_weight,
                partial(workers.gather, n_batch=len(batch), n_others=len(others)),
                drawn,
            )
        return (weights * bound).sum(), weights.sum()


def decayed_apart(model, weight_decay: float) -> list[dict]:
    """Groups of the parameters of ``model``: what decays, the network's matrices, and what not.

    Biases, a bandwidth or pseudo-inputs are not the better for being near zero.
    """
    decayed = [parameter for parameter in model.network.parameters() if parameter.ndim > 1]
    ids = {id(parameter) for parameter in decayed}
    others = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others}]


def batch_growth(schedule: Schedule, source, progress: float) -> int:
    """How many first batches make one at ``progress``."""
    if isinstance(source, Neighborhoods):
        return NEIGHBORHOODS_GROWTH
    if isinstance(source, Candidates) or not schedule.in_batch:
        return 1
    return max(factor for share, factor in BATCH_GROWTH if progress >= share)


def scale_to_unit_norm(parameters) -> None:
    """Divide the gradient of every parameter by its norm, as the paper does ahead of Adam."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.div_(parameter.grad.norm().clamp_min(1e-12))


def cosine_decay(progress: float) -> float:
    """From 1 at ``progress`` 0 to `FINAL_LEARNING_RATE` at 1."""
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine
