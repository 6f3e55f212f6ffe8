"""Columns with bounds and of integers, for the tests of both."""

import numpy as np

BOUNDS = [(0, None), (0, 1)]  # of the columns of `positive`


def positive(n_rows=400) -> np.ndarray:
    """Return rows of a positive column and of one between zero and one."""
    rng = np.random.default_rng(0)
    return np.column_stack([rng.gamma(1.5, 2.0, n_rows), rng.beta(0.8, 2.0, n_rows)])


def counts(n_rows=500) -> np.ndarray:
    """Return rows of a count and of a number that follows it."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(2.0, 2.0, n_rows)
    return np.column_stack([rng.poisson(rate), rate + rng.normal(scale=0.3, size=n_rows)])
