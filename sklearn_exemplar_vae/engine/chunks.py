"""Rows a part at a time, so that temporaries do not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterator

# Numbers one temporary array may hold: 2^22 doubles are 32 MiB.
CHUNK_NUMBERS = 2**22
# Rows scored together at least, so that each reading of millions of exemplars serves several.
MIN_ROWS = 8


def row_chunks(n_rows: int, numbers_per_row: int) -> Iterator[slice]:
    """Slices of `MIN_ROWS` rows, or as many more as keep temporaries within `CHUNK_NUMBERS`."""
    step = max(MIN_ROWS, CHUNK_NUMBERS // max(1, numbers_per_row))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
