"""Maps of bounded columns to the whole line, their inverses and their slopes.

One bound: y = log(exp(u) - 1), the inverse of softplus, of the distance u from the bound. It is a
logarithm near the bound and linear far from it, so that a tail stays the tail it was. Exponential
rows become logistic ones if u is in units of their mean.

Two bounds: y = Phi^-1(t), the quantile function of the normal distribution, of the place t between
them. Uniform rows become normal ones.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
# Units tried for a column with one bound, in mean distances: from nearly linear to nearly a
# logarithm of all values.
UNITS = 4.0 ** np.arange(-2, 6)


def distance_to_line(distance: np.ndarray) -> np.ndarray:
    """Return log(exp(u) - 1) of distances u > 0 from a bound, of any size."""
    return distance + np.log(-np.expm1(-distance))


def line_to_distance(line: np.ndarray) -> np.ndarray:
    """Return softplus, the distance from a bound that has this place on the line."""
    return np.logaddexp(0, line)


def log_slope_of_distance(distance: np.ndarray) -> np.ndarray:
    """Return the logarithm of the derivative of `distance_to_line`."""
    return -np.log(-np.expm1(-distance))


def share_to_line(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Return Phi^-1(t) of the shares t of an interval below and 1 - t above a value.

    Both are given because the smaller one has digits that a difference from one loses.
    """
    return np.where(below < above, ndtri(below), -ndtri(above))


def line_to_share(line: np.ndarray) -> np.ndarray:
    """Return Phi(y), the share of an interval below a value with this place on the line."""
    return ndtr(line)


def log_slope_of_share(line: np.ndarray) -> np.ndarray:
    """Return the logarithm of the derivative of `share_to_line`, at a place on the line."""
    return 0.5 * line**2 + LOG_SQRT_2PI


def best_unit(distances: np.ndarray, weights: np.ndarray) -> float:
    """Return the unit of distances (n,) from a bound under which the line is most nearly normal.

    It is the unit of the highest likelihood of a normal distribution on the line, as Box and Cox
    (1964) choose a power: near the mean for exponential rows, many means for lognormal ones.
    """
    shares = weights / weights.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = shares @ distances
    if not np.isfinite(mean) or mean == 0:
        return 1.0

    def log_likelihood(unit: float) -> float:
        scaled = distances / unit
        line = distance_to_line(scaled)
        variance = shares @ (line - shares @ line) ** 2
        log_slope = shares @ log_slope_of_distance(scaled) - math.log(unit)
        return log_slope - 0.5 * math.log(max(variance, np.finfo(np.float64).tiny))

    return max(mean * UNITS, key=log_likelihood)
