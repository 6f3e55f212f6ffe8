"""Columns whose values repeat."""

import numpy as np


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def recorded(n_rows=400, n_columns=2, step=0.1):
    """Return normal rows in multiples of a step."""
    return np.rint(normal(n_rows, n_columns) / step) * step


def zeros_and_normals(n_zeros=800, n_normals=200):
    """Return one column in random order."""
    column = np.append(np.zeros(n_zeros), normal(n_normals))
    return np.random.default_rng(1).permutation(column)[:, None]
