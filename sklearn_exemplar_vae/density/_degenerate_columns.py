"""Columns that a density can say little of: constant ones, and those that others determine."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import qr, solve_triangular

from ._column_checks import column_name, is_constant
from ._resolution import Atom

# Rows that say whether columns determine each other, at most.
MAX_ROWS_COMPARED = 2**12
# Fewer rows would find copies by chance.
MIN_ROWS_COMPARED = 5
# Beyond this many columns they are not compared: it would take longer than it helps.
MAX_COLUMNS_COMPARED = 1000
# What others leave of a column, in its standard deviations, where they determine it: single
# precision rounds to a hundredth of this.
TOLERANCE = 1e-5
# Columns of a smaller part in what determines another are not named.
NAMED_PART = 1e-3
MAX_NAMED = 3


def warn_of_degenerate_columns(X: np.ndarray, considered: np.ndarray, names) -> None:
    """Warn, naming them, of constant columns and of columns that others determine.

    Parameters
    ----------
    X : ndarray of shape (n, D)
    considered : boolean ndarray of shape (D,)
    names : ndarray of shape (D,) or None
    """
    constant = is_constant(X) & considered
    if constant.any():
        _warn(
            f"X is constant in {listed(np.flatnonzero(constant), names)}. A constant has no "
            "density: it gets noise one unit wide, and rows of another value a low score. Drop it "
            "unless that is what you want."
        )
    columns = np.flatnonzero(considered & ~constant)
    if not 2 <= len(columns) <= MAX_COLUMNS_COMPARED:
        return
    rows = X[:: -(-len(X) // MAX_ROWS_COMPARED)][:, columns]
    for column, others in determined_columns(rows):
        _warn(
            f"{listed(columns[[column]], names)} of X is a linear function of "
            f"{listed(columns[others], names)}. Together they have no density: scores depend on "
            "how narrow the kernels are, and rows that depart from the function get a very low "
            "one. Drop one of them."
        )


def warn_of_atoms(atoms: tuple[Atom, ...], names) -> None:
    """Warn, naming them, of columns in which many rows have one value."""
    if not atoms:
        return
    parts = [
        f"{column_name(column, names)} ({value + 0.0:g} in {share:.0%} of the rows)"
        for column, value, share, _ in atoms[:MAX_NAMED]
    ]
    more = f" and {len(atoms) - MAX_NAMED} more" if len(atoms) > MAX_NAMED else ""
    _warn(
        f"X has values that many rows share among others that do not repeat: {', '.join(parts)}"
        f"{more}. A density cannot hold such an atom: it is spread over a hundredth of the "
        "column's standard deviation, on which scores there depend. You might fit a density to "
        "the other rows alone."
    )


def determined_columns(rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return the columns (positions) that are affine functions of others, and those others.

    A pivoted QR decomposition orders the standardized columns by what the ones before leave of
    them. With no more rows than columns all columns determine each other; only affine copies of one
    column count then.
    """
    n_rows, n_columns = rows.shape
    rows = rows.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # see `check_scales_are_finite`
        mean, scale = rows.mean(0), rows.std(0)
    if not np.isfinite(scale).all():
        return []
    rows = (rows - mean) / np.maximum(scale, np.finfo(float).tiny)
    if n_rows <= n_columns + 1:
        return affine_copies(rows)
    triangle, order = qr(rows / np.sqrt(n_rows), mode="r", pivoting=True, check_finite=False)
    rank = int((np.abs(np.diag(triangle)) > TOLERANCE).sum())
    if rank == n_columns:
        return []
    parts = solve_triangular(triangle[:rank, :rank], triangle[:rank, rank:])
    found = []
    for column, part in zip(order[rank:], parts.T, strict=True):
        by_part = np.argsort(-np.abs(part))
        others = order[by_part[np.abs(part[by_part]) > NAMED_PART]]
        found.append((int(column), others))
    return sorted(found, key=lambda pair: pair[0])


def affine_copies(rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return standardized columns that are a column before them or its negative, and that one."""
    if len(rows) < MIN_ROWS_COMPARED:
        return []
    is_copy = np.abs(rows.T @ rows) / len(rows) > 1 - TOLERANCE**2
    first = is_copy.argmax(0)
    return [(int(j), first[[j]]) for j in np.flatnonzero(first < np.arange(len(first)))]


def listed(columns: np.ndarray, names) -> str:
    """Return how a warning names columns, a few of many."""
    text = ", ".join(column_name(column, names) for column in columns[:MAX_NAMED])
    more = len(columns) - MAX_NAMED
    return text + (f" and {more} more" if more > 0 else "")


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=5)
