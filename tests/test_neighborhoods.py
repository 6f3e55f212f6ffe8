"""Batches of neighbours: what is in them, and the bound they train by against the exact one."""

import math

import numpy as np
import pytest
import torch
from _models import small_vae, two_moons

from sklearn_exemplar_vae.engine import neighborhoods
from sklearn_exemplar_vae.engine.leave_one_out import log_weights_of_others, own_exemplars
from sklearn_exemplar_vae.engine.neighborhoods import Neighborhoods, split_into_neighborhoods
from sklearn_exemplar_vae.engine.priors import Exemplars, log_mixture_density
from sklearn_exemplar_vae.engine.training_rows import TrainingRows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


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


def make_data(n_rows=400):
    rows = torch.randn(n_rows, 2, generator=generator())
    rows[10:20] = rows[:10]
    groups = torch.arange(n_rows)
    groups[10:20] = groups[:10]
    weights = 0.5 + torch.rand(n_rows, generator=generator(1))
    return TrainingRows(rows, weights, groups)


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_weights_of_others(leave_one_out):
    data = make_data(50)
    found = log_weights_of_others(data.weights, data.groups, leave_one_out)
    for row in range(50):
        is_own = data.groups == data.groups[row]
        expected = data.weights.sum() - (data.weights[is_own].sum() if leave_one_out else 0)
        assert found[row] == pytest.approx(expected.log().item(), abs=1e-5)


def test_what_is_left_beside_nearly_all_of_the_weight_is_not_rounded_away():
    weights, groups = torch.tensor([1.0, 1e-20, 1e-20]), torch.arange(3)
    others = log_weights_of_others(weights, groups, leave_one_out=True)
    expected = torch.tensor([2e-20, 1.0, 1.0]).log()
    torch.testing.assert_close(others, expected)


def test_every_row_is_in_one_batch():
    data = make_data()
    source = Neighborhoods(data, leave_one_out=True)
    for n_batches in (1, 7, 200):
        batches = source.start_epoch(lambda: data.rows, n_batches, generator())
        np.testing.assert_array_equal(torch.cat(batches).sort().values, np.arange(400))
        assert {len(batch) for batch in batches} <= {400 // n_batches, 400 // n_batches + 1}


def test_density_of_a_batch_is_a_bound_on_the_exact_one():
    """And far closer to it than that of a random batch is."""
    data, everything, log_bandwidth = make_data(), torch.arange(400), torch.tensor(-1.5)
    source = Neighborhoods(data, leave_one_out=True)

    def log_density(batch, seen, log_totals):
        own = own_exemplars(data.groups[batch], data.groups[seen])
        exemplars = Exemplars(data.rows[seen], data.weights[seen].log())
        return log_mixture_density(data.rows[batch], exemplars, log_bandwidth, own, log_totals)

    def gaps(batches):
        """What the densities of the rows of all batches lose by the rows not in their batch."""
        exact = torch.cat([log_density(batch, everything, None) for batch in batches])
        seen = [source.of_batch(batch) for batch in batches]
        of_batch = [
            log_density(b, s.seen, s.log_totals) for b, s in zip(batches, seen, strict=True)
        ]
        return exact - torch.cat(of_batch)

    of_neighbours = gaps(source.start_epoch(lambda: data.rows, 8, generator()))
    of_random = gaps(torch.randperm(400, generator=generator()).tensor_split(8))
    assert of_neighbours.min() > -1e-4 and of_random.min() > -1e-4
    assert of_neighbours.mean() < of_random.mean() / 2
    whole = gaps(source.start_epoch(lambda: data.rows, 1, generator()))
    torch.testing.assert_close(whole, torch.zeros(400), atol=1e-4, rtol=0)


def test_training_goes_from_random_batches_to_neighbours(monkeypatch):
    seen = []

    def spy(codes, *rest):
        seen.append(len(codes))
        return split_into_neighborhoods(codes, *rest)

    monkeypatch.setattr(neighborhoods, "split_into_neighborhoods", spy)
    monkeypatch.setattr("sklearn_exemplar_vae._plan.MAX_ROWS_IN_RANDOM_BATCHES", 600)
    X = (np.random.default_rng(0).uniform(size=(700, 12)) < 0.3).astype(float)
    parameters = {"max_iter": 4, "early_stopping": False}
    with_neighbours = small_vae(**parameters).fit(X)
    assert seen == [700]
    plain = small_vae(**parameters, n_neighbors=None).fit(X)
    assert seen == [700]
    monkeypatch.setattr("sklearn_exemplar_vae._plan.MAX_ROWS_IN_RANDOM_BATCHES", 700)
    few = small_vae(**parameters).fit(X)
    np.testing.assert_allclose(few.loss_curve_, plain.loss_curve_)
    np.testing.assert_allclose(with_neighbours.loss_curve_[:3], plain.loss_curve_[:3])
    assert with_neighbours.loss_curve_[3] != plain.loss_curve_[3]


def test_copies_and_weights_train_too(monkeypatch):
    monkeypatch.setattr("sklearn_exemplar_vae._plan.MAX_ROWS_IN_RANDOM_BATCHES", 500)
    X = np.repeat(two_moons(30), 20, axis=0)
    model = small_vae(n_exemplars="batch", early_stopping=False)
    model.fit(X, sample_weight=np.linspace(0.5, 2, 600))
    assert np.isfinite(model.loss_curve_).all() and np.isfinite(model.score_samples(X)).all()
