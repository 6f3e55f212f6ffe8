"""A Gaussian mixture beside a trained model, of the share that makes left-out rows likeliest.

Where clusters are normal and rows are few, a Gaussian mixture is hard to beat; elsewhere it is not.
Stacking (Smyth and Wolpert 1999) takes the better of both, or more: each explains the rows that it
explains better.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ..engine.components import NormalMixture
from ..engine.mixture import likeliest_share, log_mix

# As narrow as a normal distribution may be: a variance of standardized columns.
MIN_VARIANCE = 1e-5
# Rows that a mixture is fitted to while its size is searched, and values in the end, at most.
MAX_SEARCH_ROWS, MAX_FIT_VALUES = 2**13, 2**20
# Rows times normals times squared columns of a step of expectation-maximization, at most.
MAX_STEP_SIZE = 2**31
# Steps of expectation-maximization that find the share; the likelihood is flat around the best.
N_STEPS = 50
# Nats that all left-out rows gain together by a mixture worth having (Akaike's one a parameter),
# and a row on average.
MIN_TOTAL_GAIN, MIN_MEAN_GAIN = 1.0, 1e-3


class LeftOut(NamedTuple):
    """Rows to fit a mixture to and the rows that judge it, in the units of the model."""

    trained: np.ndarray  # (m, D), float64
    judges: np.ndarray  # (n, D)


def stacked_share(
    log_model: np.ndarray, log_normals: np.ndarray, weights: np.ndarray
) -> tuple[float, float]:
    """Return the normals' share of the highest left-out likelihood, and the mean gain by it.

    The prior of the share is a Dirichlet distribution of one count, half of it each.
    """
    first, second, weights = (
        torch.from_numpy(part) for part in (log_model, log_normals, weights / weights.mean())
    )
    share = likeliest_share(first, second, weights, n_steps=N_STEPS, n_counts=1)
    gains = log_mix(first, second, torch.tensor(share)) - first
    return share, (weights @ gains).item() / len(weights)


def search_stack(
    left_out: list[LeftOut], log_model: np.ndarray, with_background, weights, sizes, seed: int
) -> tuple[GaussianMixture, float] | None:
    """Return the mixture to stack with a model, and its share, or None if none is worth it.

    Sizes are tried in turn until two have gained nothing over the best before.

    Parameters
    ----------
    left_out : list of LeftOut
    log_model : ndarray of shape (n,)
        The model's log-densities of all judges in turn.
    with_background : callable
        Mixes the background into log-densities (n,) of the judges, as the model's have it.
    weights : ndarray of shape (n,), of the judges
    sizes : iterable of int
        Numbers of normal distributions.
    seed : int
    """
    best, best_gain, n_worse = None, 0.0, 0
    for size in sizes:
        mixtures = [fit_normals(rows.trained, size, seed) for rows in left_out]
        if None in mixtures:
            break
        log_normals = with_background(
            np.concatenate(
                [
                    mixture.score_samples(rows.judges)
                    for mixture, rows in zip(mixtures, left_out, strict=True)
                ]
            )
        )
        share, gain = stacked_share(log_model, log_normals, weights)
        if gain > best_gain:
            best, best_gain, n_worse = (mixtures[0], share), gain, 0
        else:
            n_worse += 1
            if n_worse == 2:
                break
    total = best_gain * len(weights)
    return best if total > MIN_TOTAL_GAIN and best_gain > MIN_MEAN_GAIN else None


def fit_normals(rows: np.ndarray, size: int, seed: int, start: GaussianMixture | None = None):
    """Return a GaussianMixture of ``rows``, evenly thinned if many.

    None if they are too few, or such that a covariance has no inverse in double precision.

    With a ``start`` it goes on from that one's normals.
    """
    n_features = rows.shape[1]
    n_rows = MAX_SEARCH_ROWS if start is None else len(rows)
    n_rows = min(n_rows, MAX_STEP_SIZE // (size * n_features**2))
    rows = rows[:: -(-len(rows) // max(1, n_rows))]
    if size * (n_features + 3) > len(rows):  # as many parameters as half of the values
        return None
    initial = {}
    if start is not None:
        initial = {
            "weights_init": start.weights_,
            "means_init": start.means_,
            "precisions_init": start.precisions_,
        }
    mixture = GaussianMixture(size, reg_covar=MIN_VARIANCE, random_state=seed, **initial)
    # The arrays are numpy's, whatever those of the caller.
    with warnings.catch_warnings(), config_context(array_api_dispatch=False):
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return mixture.fit(rows)
        except ValueError:  # scikit-learn's word for it
            return None


def resampled(weights: np.ndarray, n_features: int) -> np.ndarray:
    """Return the positions of rows that a mixture is fitted to, of at most `MAX_FIT_VALUES`.

    Each comes as often as its weight asks for: GaussianMixture has no weights.
    """
    n_rows = min(np.count_nonzero(weights), MAX_FIT_VALUES // n_features)
    shares = (np.arange(n_rows) + 0.5) / n_rows
    # In random order: at even steps a pattern in the weights would choose.
    order = np.random.default_rng(0).permutation(len(weights))
    cumulated = np.cumsum(weights[order])
    return np.sort(order[np.searchsorted(cumulated / cumulated[-1], shares)])


def as_component(mixture: GaussianMixture) -> NormalMixture:
    """Return the density of a GaussianMixture for the engine."""
    parts = mixture.weights_, mixture.means_, mixture.precisions_cholesky_
    return NormalMixture(*(torch.from_numpy(part) for part in parts))
