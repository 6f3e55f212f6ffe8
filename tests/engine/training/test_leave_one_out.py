"""Copies of a row, the weight of the others, and the others that are drawn."""

import math

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.training.leave_one_out import (
    draw_others,
    duplicate_groups,
    log_weights_of_others,
    own_exemplars,
)


def test_duplicate_groups_name_the_first_of_equal_rows():
    rows = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0], [-0.0, 1.0], [3.0, 3.0], [1.0, 2.0]])
    np.testing.assert_array_equal(duplicate_groups(rows), [0, 1, 0, 1, 4, 0])
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4, size=(500, 3)).astype(np.uint8)
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(duplicate_groups(rows), first[inverse.ravel()])


def test_own_exemplars_are_those_of_the_same_group():
    own = own_exemplars(torch.tensor([4, 7]), torch.tensor([7, 4, 4, 1]))
    assert own.tolist() == [[False, True, True, False], [True, False, False, False]]


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_weights_of_others(leave_one_out):
    groups = torch.arange(50)
    groups[10:20] = groups[:10]
    weights = 0.5 + torch.rand(50, generator=torch.Generator().manual_seed(1))
    found = log_weights_of_others(weights, groups, leave_one_out)
    for row in range(50):
        is_own = groups == groups[row]
        expected = weights.sum() - (weights[is_own].sum() if leave_one_out else 0)
        assert found[row] == pytest.approx(expected.log().item(), abs=1e-5)


def test_what_is_left_beside_nearly_all_of_the_weight_is_not_rounded_away():
    weights, groups = torch.tensor([1.0, 1e-20, 1e-20]), torch.arange(3)
    others = log_weights_of_others(weights, groups, leave_one_out=True)
    expected = torch.tensor([2e-20, 1.0, 1.0]).log()
    torch.testing.assert_close(others, expected)


def test_exemplars_are_drawn_without_replacement_from_the_others():
    generator = torch.Generator().manual_seed(0)
    batch = torch.tensor([3, 7, 11])
    counts = torch.zeros(20)
    for _ in range(2000):
        others = draw_others(batch, 20, 9, generator)
        assert len(set(others.tolist()) | set(batch.tolist())) == 10
        counts[others] += 1
    drawn = counts[counts > 0]
    assert len(drawn) == 17
    # Uniform: 7 of 17, within five standard deviations.
    rate, deviation = 7 / 17, math.sqrt(7 / 17 * 10 / 17 / 2000)
    assert ((drawn / 2000 - rate).abs() < 5 * deviation).all()
    assert len(draw_others(batch, 20, 2, generator)) == 0
    assert len(draw_others(batch, 20, 19, generator)) == 17
