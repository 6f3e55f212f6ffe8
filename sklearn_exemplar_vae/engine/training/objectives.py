"""What training maximizes: a log-density where the model has one, else a bound on it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..minibatch import Minibatch
from ..model import Draws
from ..workers import current_workers

# The share of the epochs before a row's bound has more than one sample. Early the time is better
# spent on more epochs (chosen on MNIST; see benchmarks/LOG.md).
BOUND_SAMPLES_FROM = 0.7


class Moment(NamedTuple):
    """The place of a step in a training."""

    n_epochs: int
    epoch: int  # epochs finished
    batch: int  # batches of this epoch finished
    n_batches: int  # of this epoch
    growth: int  # how many first batches make one

    @property
    def progress(self) -> float:
        """The share of the epochs that are finished."""
        return self.epoch / self.n_epochs

    @property
    def epochs_before(self) -> float:
        """Epochs before this step, with the fraction of this one."""
        return self.epoch + self.batch / self.n_batches

    @property
    def epochs_after(self) -> float:
        """Epochs after this step, with the fraction of this one."""
        return self.epoch + (self.batch + 1) / self.n_batches


class VariationalSchedule(NamedTuple):
    """The plan of a bound along the way."""

    kl_warmup: float  # epochs over which the weight of the KL term rises from 0 to 1
    n_bound_samples: int = 1  # K, codes drawn from q(z | x) for a row's bound, in the end

    def kl_weight(self, moment: Moment) -> float:
        """Return the weight of the Kullback-Leibler term."""
        return min(1.0, moment.epochs_after / max(self.kl_warmup, 1 / moment.n_batches))

    def n_samples(self, moment: Moment) -> int:
        """Return the codes drawn for a row's bound."""
        return self.n_bound_samples if moment.progress >= BOUND_SAMPLES_FROM else 1


class ExactObjective:
    """The log-density of a row, of a model that has it.

    Parameters
    ----------
    model : FlowModel
    """

    def __init__(self, model) -> None:
        self.model = model

    def __call__(self, minibatch: Minibatch, moment: Moment) -> torch.Tensor:
        """Return the objective (n,) of the minibatch's own rows, in nats."""
        return self.model.log_density(minibatch)


class VariationalObjective:
    """A bound on the log-density of a row, at codes drawn from q(z | x).

    Parameters
    ----------
    model : ExemplarModel
    schedule : VariationalSchedule
    generator : torch.Generator, on the CPU
        Draws the noise where the device is the CPU; elsewhere its seed does.
    device : torch.device of the rows
    """

    def __init__(self, model, schedule: VariationalSchedule, generator, device) -> None:
        self.model, self.schedule, self.workers = model, schedule, current_workers()
        self.noise = self.row_noise = generator
        seed = generator.initial_seed()
        if device.type != "cpu":
            self.noise = self.row_noise = torch.Generator(device).manual_seed(seed)
        if self.workers.size > 1:  # each draws its own rows anew, and all draw the codes' noise
            self.row_noise = torch.Generator(device).manual_seed(seed + 1 + self.workers.rank)

    def __call__(self, minibatch: Minibatch, moment: Moment) -> torch.Tensor:
        """Return the objective (n,) of the minibatch's own rows, in nats."""
        rows = minibatch.rows[: minibatch.n_own]
        observed = self.model.draw_observed(rows, self.row_noise)
        shape = (minibatch.n_batch, self.schedule.n_samples(moment), self.model.n_noise)
        noise = torch.randn(shape, generator=self.noise, device=rows.device)
        draws = Draws(self.workers.shard(noise), observed)
        return self.model.training_bound(minibatch, draws, self.schedule.kl_weight(moment))
