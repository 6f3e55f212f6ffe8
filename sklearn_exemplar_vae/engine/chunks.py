"""Rows a part at a time, so that temporaries do not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterator

# Floats one temporary array may hold: 2^22 doubles are 32 MiB.
CHUNK_FLOATS = 2**22
# Rows scored together at least, so that each reading of millions of exemplars serves several.
MIN_ROWS = 8


def row_chunks(n_rows: int, floats_per_row: int) -> Iterator[slice]:
    """Yield slices of `MIN_ROWS` rows, or of more if temporaries stay within `CHUNK_FLOATS`."""
    step = max(MIN_ROWS, CHUNK_FLOATS // max(1, floats_per_row))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
