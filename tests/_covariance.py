"""The oracle: covariances shrunk as by scikit-learn's Ledoit and Wolf."""

import numpy as np
from sklearn.covariance import ledoit_wolf


def shrunk_covariance(rows, share=1.0):
    """Return the covariance whose correlations are less by a share of Ledoit and Wolf's shrinkage.

    Theirs counts as at least 1 / (n + 1).
    """
    covariance = np.cov(rows.T, bias=True).reshape(rows.shape[1], rows.shape[1])
    kept = 1 - share * max(ledoit_wolf(rows)[1], 1 / (len(rows) + 1))
    return np.where(np.eye(len(covariance)) == 1, covariance, kept * covariance)
