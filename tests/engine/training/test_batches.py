"""Random batches, and the exemplars drawn for them."""

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.training.batches import RandomExemplars, random_batches

CPU = torch.device("cpu")


@pytest.mark.parametrize("n_batches, sizes", [(1, {23}), (4, {5, 6}), (23, {1})])
def test_every_row_is_in_one_batch_of_even_size(n_batches, sizes):
    batches = random_batches(23, n_batches, torch.Generator(), CPU)
    assert {len(batch) for batch in batches} == sizes
    np.testing.assert_array_equal(torch.cat(batches).sort().values, np.arange(23))


@pytest.mark.parametrize("n_exemplars, n_seen", [(5, 6), (20, 21), (79, 80), (2, 4)])
def test_a_row_and_as_many_others_as_asked_for_are_seen(n_exemplars, n_seen):
    """The batch is part of them; a larger batch is all there is."""
    source = RandomExemplars(80, n_exemplars, CPU)
    for batch in source.start_epoch(None, 20, torch.Generator()):
        seen, absent, log_totals = source.of_batch(batch)
        assert len(seen) == len(seen.unique()) == n_seen
        np.testing.assert_array_equal(seen[: len(batch)], batch)
        assert absent is None and log_totals is None


def test_exemplars_are_drawn_anew_for_every_batch():
    source = RandomExemplars(80, 20, CPU)
    source.start_epoch(None, 20, torch.Generator())
    one, two = (source.of_batch(torch.arange(4)).seen for _ in range(2))
    assert set(one.tolist()) != set(two.tolist())
