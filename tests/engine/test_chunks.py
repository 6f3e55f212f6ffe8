"""Rows a part at a time."""

import pytest

from sklearn_exemplar_vae.engine.chunks import CHUNK_FLOATS, MIN_ROWS, row_chunks


@pytest.mark.parametrize("n_rows", [10, 10**6, 10**9])
def test_a_chunk_is_bounded_whatever_the_number_of_rows(n_rows):
    first = next(row_chunks(n_rows, 5000))
    assert (first.stop - first.start) * 5000 <= CHUNK_FLOATS


@pytest.mark.parametrize("floats_per_row", [0, 10**5, 10**9])
def test_chunks_are_all_rows_in_order(floats_per_row):
    chunks = list(row_chunks(100, floats_per_row))
    assert [row for chunk in chunks for row in range(100)[chunk]] == list(range(100))
    assert all(chunk.stop - chunk.start >= MIN_ROWS for chunk in chunks[:-1])
