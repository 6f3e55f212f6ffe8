"""A covariance that few rows can give: shrunk towards uncorrelated columns."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Covariance(NamedTuple):
    """A covariance around zero, and how much too large its entries are by chance."""

    matrix: torch.Tensor  # (D, D)
    shrinkage: float

    def shrunk(self, share: float = 1.0) -> torch.Tensor:
        """Return the matrix with covariances smaller by a ``share`` of the shrinkage.

        Variances stay. With all of it there is an inverse unless a column is zero.
        """
        kept = 1 - share * self.shrinkage
        return self.matrix * kept + torch.diag(self.matrix.diagonal() * (1 - kept))


def fit_covariance(rows: torch.Tensor, weights: torch.Tensor, distinct=None) -> Covariance:
    """Return the weighted covariance of ``rows`` (n, D) around zero.

    Its shrinkage is that of the rows and weights of ``distinct``, of which no two are copies, where
    ``rows`` are not: copies tell nothing new.
    """
    matrix = (rows * weights[:, None]).T @ rows / weights.sum()
    if distinct is not None:
        rows, weights = distinct.rows, distinct.weights
    return Covariance(matrix, shrinkage(rows * (weights / weights.mean()).sqrt()[:, None]))


def shrinkage(rows: torch.Tensor) -> float:
    """Return the share that covariances of ``rows`` (n, D) around zero are too large by chance.

    It is that of Ledoit and Wolf (2004), at least 1 / (n + 1): of two rows theirs is zero.
    """
    n_rows, n_features = rows.shape
    covariance = rows.T @ rows / n_rows
    spread = (rows**2).sum(1).square().sum() / n_rows - (covariance**2).sum()
    distance = (covariance**2).sum() - covariance.trace() ** 2 / n_features
    if distance <= 0:  # all variances are equal and all covariances zero
        return 1.0
    return min(max((spread / n_rows / distance).item(), 1 / (n_rows + 1)), 1.0)
