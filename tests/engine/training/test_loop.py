"""The training loop: batches, steps, averaged weights, and when exemplars come to be near a row."""

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.training.batches import BatchExemplars
from sklearn_exemplar_vae.engine.training.loop import Schedule, Trainer, train
from sklearn_exemplar_vae.engine.training.objectives import Moment, VariationalSchedule
from sklearn_exemplar_vae.engine.training.rows import TrainingRows
from tests._models import generator
from tests.engine._models import untrained_model


def schedule_of(n_epochs, batch_size, learning_rate, n_exemplars, **others):
    return Schedule(
        n_epochs,
        batch_size,
        learning_rate,
        n_exemplars,
        leave_one_out=True,
        variational=VariationalSchedule(kl_warmup=0),
        **others,
    )


def normal_rows(n_rows=60):
    rows = torch.randn(n_rows, 3, generator=generator())
    return TrainingRows(rows, torch.ones(n_rows), torch.arange(n_rows))


def binary_rows(n_rows=60):
    data = normal_rows(n_rows)
    return data._replace(rows=(data.rows > 0).float())


class CountedRows:
    """Rows that note how many of them are read at a time."""

    def __init__(self, rows):
        self.rows, self.counts = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        self.counts.append(len(index))
        return self.rows[index]


@pytest.mark.parametrize(
    "in_batch, counts", [(True, 12 * 8 * [10] + 5 * 4 * [20] + 3 * 2 * [40]), (False, 160 * [10])]
)
def test_a_batch_that_is_its_exemplars_doubles_at_three_fifths_and_at_85_percent(in_batch, counts):
    data = normal_rows(80)
    data = data._replace(rows=CountedRows(data.rows))
    schedule = schedule_of(20, 10, 1e-3, n_exemplars=9, in_batch=in_batch)
    for _ in train(untrained_model(), data, schedule, generator()):
        pass
    assert data.rows.counts == counts


@pytest.mark.parametrize("epoch, batch", [(0, 0), (1, 0), (2, 0), (2, 3), (3, 3)])
def test_learning_rate_falls_along_a_cosine(epoch, batch):
    """It is what the first step of Adam moves a scalar by."""
    data, model = normal_rows(), untrained_model()
    before = model.prior.log_bandwidth.item()
    trainer = Trainer(model, data, schedule_of(4, 60, 1e-2, n_exemplars=59), generator())
    everything = torch.arange(60)
    moment = Moment(n_epochs=4, epoch=epoch, batch=batch, n_batches=4, growth=1)
    trainer.step(everything, BatchExemplars(everything, None, None), moment)
    cosine = 0.5 * (1 + np.cos(np.pi * (epoch + batch / 4) / 4))
    expected = 1e-2 * (1e-3 + (1 - 1e-3) * cosine)
    assert abs(model.prior.log_bandwidth.item() - before) == pytest.approx(expected, rel=1e-3)


def test_averaged_weights_are_the_moving_average():
    """After one step the average is 0.1 of the start and 0.9 of the step."""
    data, model = normal_rows(), untrained_model()
    start = [parameter.detach().clone() for parameter in model.parameters()]
    (epoch,) = train(model, data, schedule_of(1, 60, 1e-2, n_exemplars=59), generator())
    pairs = zip(start, model.parameters(), epoch.model.parameters(), strict=True)
    for first, last, averaged in pairs:
        torch.testing.assert_close(averaged, 0.1 * first + 0.9 * last.detach())


@pytest.mark.parametrize("prior", ["exemplar", "vamp"])
def test_matrices_of_the_network_decay_and_nothing_else(prior):
    """One step with and without: they differ by rate times decay of where they started."""

    def shifted_model():
        """Return a model of which no parameter is zero, where decay would not show."""
        model = untrained_model(prior=prior, likelihood="bernoulli", is_binary=True)
        for parameter in model.parameters():
            parameter.data.add_(0.1)
        return model

    start, ends = dict(shifted_model().named_parameters()), []
    for weight_decay in (0.0, 0.5):
        model = shifted_model()
        schedule = schedule_of(1, 60, 1e-2, n_exemplars=59, weight_decay=weight_decay)
        list(train(model, binary_rows(), schedule, generator()))
        ends.append(dict(model.named_parameters()))
    n_decayed = 0
    for name, first in start.items():
        is_matrix = name.startswith("network") and name.endswith("weight")
        n_decayed += is_matrix
        decayed = 0.005 * first if is_matrix else torch.zeros_like(first)
        torch.testing.assert_close(ends[0][name] - ends[1][name], decayed, rtol=1e-3, atol=1e-6)
    assert n_decayed == 5


@pytest.mark.parametrize(
    "likelihood, data", [("gaussian", normal_rows(200)), ("bernoulli", binary_rows(200))]
)
def test_the_bound_rises(likelihood, data):
    model = untrained_model(likelihood=likelihood)
    epochs = train(model, data, schedule_of(30, 50, 5e-3, n_exemplars=49), generator())
    bounds = [epoch.bound for epoch in epochs]
    assert bounds[-1] > bounds[0] + 0.3


def test_batches_of_neighbors_follow_random_ones():
    def bounds(neighbors_from):
        schedule = schedule_of(4, 40, 1e-3, 39, in_batch=True, neighbors_from=neighbors_from)
        epochs = train(untrained_model(), normal_rows(200), schedule, generator())
        return [epoch.bound for epoch in epochs]

    plain, with_neighbors = bounds(1.0), bounds(0.7)
    assert with_neighbors[:3] == plain[:3]
    assert with_neighbors[3] != plain[3]


@pytest.mark.parametrize("neighbors_from", [0.0, 0.7])
def test_copies_and_weights_train_among_neighbors(neighbors_from):
    data = TrainingRows(
        normal_rows(30).rows.repeat_interleave(20, 0),
        torch.linspace(0.5, 2, 600),
        torch.arange(30).repeat_interleave(20),
    )
    schedule = schedule_of(4, 50, 1e-3, 49, in_batch=True, neighbors_from=neighbors_from)
    epochs = list(train(untrained_model(), data, schedule, generator()))
    assert np.isfinite([epoch.bound for epoch in epochs]).all()
    assert all(parameter.isfinite().all() for parameter in epochs[-1].model.parameters())


def test_bandwidth_is_refitted_where_neighbors_come_in():
    model = untrained_model()
    model.prior.log_bandwidth.data.fill_(0.5)
    schedule = schedule_of(60, 30, 1e-12, 29, in_batch=True, neighbors_from=0.5)
    bandwidths = []
    for epoch in train(model, normal_rows(120), schedule, generator()):
        bandwidths.append(epoch.model.prior.log_bandwidth.item())
    np.testing.assert_allclose(bandwidths[:30], 0.5, atol=1e-6)
    assert bandwidths[30] < 0.3
