"""Batches of neighbors: what is in them, and the bound they train by against the exact one."""

import math

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.numerics import log_mixture_density
from sklearn_exemplar_vae.engine.training.leave_one_out import own_exemplars
from sklearn_exemplar_vae.engine.training.neighborhoods import (
    Neighborhoods,
    split_into_neighborhoods,
)
from sklearn_exemplar_vae.engine.training.rows import TrainingRows
from tests._models import generator


@pytest.fixture
def data():
    """Return 400 weighted rows, ten of them copies."""
    rows = torch.randn(400, 2, generator=generator())
    rows[10:20] = rows[:10]
    groups = torch.arange(400)
    groups[10:20] = groups[:10]
    return TrainingRows(rows, 0.5 + torch.rand(400, generator=generator(1)), groups)


@pytest.mark.parametrize("n_codes, size", [(1000, 60), (129, 64), (7, 2), (50, 50), (3, 100)])
def test_neighborhoods_are_a_partition_of_even_sizes(n_codes, size):
    codes = torch.randn(n_codes, 3, generator=generator())
    cells = split_into_neighborhoods(codes, size, generator())
    np.testing.assert_array_equal(torch.cat(cells).sort().values, np.arange(n_codes))
    sizes = [len(cell) for cell in cells]
    assert math.log2(len(cells)).is_integer()
    assert size / 2 < max(sizes) <= size or len(cells) == 1


def test_copies_are_cut_too():
    cells = split_into_neighborhoods(torch.zeros(100, 2), 10, generator())
    assert max(len(cell) for cell in cells) <= 10


def test_neighborhoods_hold_what_is_near():
    """Of 16 clusters far apart, cut into 16, no two are put together."""
    places = 100 * torch.randn(16, 5, generator=generator())
    labels = torch.arange(16).repeat(32)
    codes = places[labels] + torch.randn(512, 5, generator=generator(1))
    cells = split_into_neighborhoods(codes, 32, generator())
    purity = np.mean([torch.bincount(labels[cell]).max() / len(cell) for cell in cells])
    assert purity > 0.8
    distances = torch.cdist(codes, codes).fill_diagonal_(torch.inf)
    nearest = distances.argmin(1)
    cell_of = torch.empty(512, dtype=torch.int64)
    for number, cell in enumerate(cells):
        cell_of[cell] = number
    assert (cell_of == cell_of[nearest]).float().mean() > 0.7  # 1 / 16 at random


@pytest.mark.parametrize("n_batches", [1, 7, 200])
def test_every_row_is_in_one_batch(data, n_batches):
    source = Neighborhoods(data, leave_one_out=True)
    batches = source.start_epoch(lambda: data.rows, n_batches, generator())
    np.testing.assert_array_equal(torch.cat(batches).sort().values, np.arange(400))
    assert {len(batch) for batch in batches} <= {400 // n_batches, 400 // n_batches + 1}


def test_density_of_a_batch_is_a_bound_on_the_exact_one(data):
    """And far closer to it than that of a random batch is."""
    everything, log_bandwidth = torch.arange(400), torch.tensor(-1.5)
    source = Neighborhoods(data, leave_one_out=True)

    def log_density(batch, seen, log_totals):
        own = own_exemplars(data.groups[batch], data.groups[seen])
        exemplars = Exemplars(data.rows[seen], data.weights[seen].log())
        return log_mixture_density(data.rows[batch], exemplars, log_bandwidth, own, log_totals)

    def gaps(batches):
        """Return what the densities of all rows lose by the rows not in their batch."""
        exact = torch.cat([log_density(batch, everything, None) for batch in batches])
        seen = [source.of_batch(batch) for batch in batches]
        of_batch = [
            log_density(b, s.seen, s.log_totals) for b, s in zip(batches, seen, strict=True)
        ]
        return exact - torch.cat(of_batch)

    of_neighbors = gaps(source.start_epoch(lambda: data.rows, 8, generator()))
    of_random = gaps(torch.randperm(400, generator=generator()).tensor_split(8))
    assert of_neighbors.min() > -1e-4 and of_random.min() > -1e-4
    assert of_neighbors.mean() < of_random.mean() / 2
    whole = gaps(source.start_epoch(lambda: data.rows, 1, generator()))
    torch.testing.assert_close(whole, torch.zeros(400), atol=1e-4, rtol=0)
