"""Training rows, in memory and in a file."""

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.training.rows import StoredRows, TrainingRows


class CountedRows:
    """An array that notes which of its rows are read."""

    def __init__(self, array):
        self.array, self.read = array, []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        self.read.extend(np.atleast_1d(index).tolist())
        return self.array[index]


@pytest.fixture
def counted():
    return CountedRows(np.arange(20, dtype=np.int16).reshape(10, 2))


def stored(array):
    return StoredRows(array, lambda rows: 0.5 * rows, torch.device("cpu"))


@pytest.mark.parametrize("index", [slice(2, 5), torch.tensor([7, 2, 2])])
def test_stored_rows_are_transformed_and_only_those_asked_for_are_read(counted, index):
    rows = stored(counted)[index]
    assert rows.dtype == torch.float32
    wanted = np.arange(10)[index]
    np.testing.assert_array_equal(rows, 0.5 * counted.array[wanted])
    assert counted.read == wanted.tolist()


def test_stored_rows_are_selected_unread(counted):
    rows = stored(counted)
    kept = rows[torch.arange(10) % 2 == 1]
    kept = kept[torch.tensor([True, False, True, True, False])]
    assert counted.read == []
    assert len(rows) == 10 and len(kept) == 3
    np.testing.assert_array_equal(kept[torch.tensor([2, 0])], 0.5 * counted.array[[7, 1]])


@pytest.mark.parametrize("in_file", [False, True])
def test_weights_and_groups_are_selected_with_their_rows(counted, in_file):
    rows = stored(counted) if in_file else torch.from_numpy(0.5 * counted.array).float()
    data = TrainingRows(rows, torch.linspace(1, 2, 10), torch.arange(10) // 2)
    mask = torch.arange(10) > 6
    selected = data.select(mask)
    np.testing.assert_array_equal(selected.rows[:], 0.5 * counted.array[7:])
    assert torch.equal(selected.weights, data.weights[7:])
    assert selected.groups.tolist() == [3, 4, 4]
