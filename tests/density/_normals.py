"""The normal distribution that a start has under a N(0, I) prior, by scipy and scikit-learn."""

import numpy as np
from scipy.stats import multivariate_normal

from tests._covariance import shrunk_covariance

# Of the shrinkage of Ledoit and Wolf; left-out rows choose.
SHARES = (0, 0.1, 1)


def assert_is_a_normal_of_the_rows(scores, X):
    """Compare scores of rows X with a normal distribution of their moments, shrunk."""
    mean, scale = X.mean(0), X.std(0)
    rows = (X - mean) / scale
    by_share = [
        multivariate_normal(np.zeros(X.shape[1]), shrunk_covariance(rows, share)).logpdf(rows)
        for share in SHARES
    ]
    gaps = [np.abs(scores - (by_rows - np.log(scale).sum())).max() for by_rows in by_share]
    assert min(gaps) < 1e-4
