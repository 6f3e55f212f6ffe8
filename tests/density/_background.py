"""The background of a density, computed by hand beside scipy and scikit-learn."""

import numpy as np
from scipy.stats import multivariate_t

from tests._covariance import shrunk_covariance


def student_scores(X, queries, standardized_by=None):
    """Return log-densities of the Student t around X, in the units of X.

    It is that of columns that are standardized, by those of ``standardized_by`` if it is given.
    """
    others = X if standardized_by is None else standardized_by
    mean, scale = others.mean(0), others.std(0)
    rows = (X - mean) / scale
    tail = multivariate_t(rows.mean(0), shrunk_covariance(rows), df=1)
    return tail.logpdf((queries - mean) / scale) - np.log(scale).sum()


def mixed(by_model, by_background, share):
    """Return the log of (1 - share) p_model + share p_background."""
    return np.logaddexp(np.log1p(-share) + by_model, np.log(share) + by_background)


def share_of(model) -> float:
    """Return the share of a fitted density's background."""
    share = model._model.mixture.background_share.item()
    assert share == model.background_weight_
    return share
