"""Rows that are left out of a start to judge it, and the principal axes of the others."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..components import StudentTail
from ..likelihoods import SCALE_FLOOR
from ..mixture import log_mix
from ..numerics import LOG_2PI
from .covariance import Covariance, fit_covariance

N_FOLDS = 5
MIN_QUERIES, MAX_QUERIES = 100, 500
# At most this many left-out rows times other rows in one evaluation, if that leaves `MIN_QUERIES`.
MAX_PAIRS = 2**23
# Shares of Ledoit and Wolf's shrinkage. Theirs suits few rows a column; where columns are all but
# functions of each other it hides that.
SHRINKAGES = (0.0, 0.1, 1.0)


class InitializationRows(NamedTuple):
    """The standardized rows that choose where training starts."""

    rows: torch.Tensor  # (n, D), float64
    weights: torch.Tensor  # (n,), float64, positive
    groups: torch.Tensor  # (n,), int64, equal for exact duplicates, which are left out together
    n_exemplars: int  # rows the estimate will stand on, of which ``rows`` may be a part
    background_share: float = 0.0  # of a Student t beside the estimate, see `Mixture`

    def narrowed(self, bandwidth: float, n_components: int) -> float:
        """Return a bandwidth chosen from these rows for all exemplars, by Scott's rate."""
        return bandwidth * (len(self.rows) / self.n_exemplars) ** (1 / (n_components + 4))

    def distinct(self) -> InitializationRows:
        """Return the first of every row's copies, with the weight of all."""
        groups = torch.unique(self.groups, return_inverse=True)[1]
        n_groups = int(groups.max()) + 1
        if n_groups == len(groups):
            return self._replace(groups=groups)
        totals = self.weights.new_zeros(n_groups).index_add_(0, groups, self.weights)
        first = groups.new_full((n_groups,), len(groups))
        first.scatter_reduce_(0, groups, torch.arange(len(groups), device=groups.device), "amin")
        first = first.sort().values
        groups = groups[first]
        return self._replace(rows=self.rows[first], weights=totals[groups], groups=groups)


class PrincipalAxes(NamedTuple):
    """Weighted principal axes of rows centered at zero, largest variance first."""

    variances: torch.Tensor  # (D,)
    axes: torch.Tensor  # (D, D), one axis a column


class Background(NamedTuple):
    """The background's share, and its log-density (n,) at rows left out."""

    share: torch.Tensor
    log_density: torch.Tensor


class Fold(NamedTuple):
    """Rows left out, and what is left."""

    queries: torch.Tensor  # (n, D), less the mean of the others
    weights: torch.Tensor  # (n,)
    others: torch.Tensor  # (N, D), of mean zero
    log_weights: torch.Tensor  # (N,), of the others; the weights add up to one
    covariance: Covariance  # of the others, (D, D)
    axes: PrincipalAxes  # of the covariance, shrunk
    background: Background | None  # at the queries

    def shrunk(self, share: float) -> Fold:
        """Return the fold with axes of another shrinkage."""
        axes = principal_axes(self.covariance.shrunk(share))
        return self._replace(axes=PrincipalAxes(*(tensor.float() for tensor in axes)))

    def with_background(self, log_density: torch.Tensor) -> torch.Tensor:
        """Return the ``log_density`` (n,) of the queries with the background mixed in."""
        if self.background is None:
            return log_density
        return log_mix(log_density, self.background.log_density, self.background.share)


def principal_axes(covariance: torch.Tensor) -> PrincipalAxes:
    """Return the axes of a ``covariance`` (D, D); variances are at least the decoder's floor.

    The first large entry of an axis is made positive, so that rounding does not choose between two
    directions, from which the networks would learn two models. (The largest would not do: the axes
    of two standardized columns have two entries of one size.)
    """
    variances, axes = torch.linalg.eigh(covariance)
    is_large = axes.abs() > 0.5 * axes.abs().amax(0)
    first_large = axes.gather(0, is_large.int().argmax(0, keepdim=True))
    axes = axes * first_large.sign()
    return PrincipalAxes(variances.flip(0).clamp_min(SCALE_FLOOR**2), axes.flip(1))


def axes_and_folds(
    sample: InitializationRows, generator: torch.Generator
) -> tuple[PrincipalAxes, list[Fold]]:
    """Return the axes of all rows and the folds, of one shrinkage.

    It is the share of `SHRINKAGES` under which the left-out rows are likeliest in the normal
    distribution of the others; all of it where nothing can be left out.
    """
    folds, best, share = left_out_folds(sample, generator), None, 1.0
    for candidate in SHRINKAGES if folds else ():
        shrunk = [fold.shrunk(candidate) for fold in folds]
        score = sum((fold.weights @ normal_log_density(fold)).item() for fold in shrunk)
        if best is None or score > best[0]:
            best, share = (score, shrunk), candidate
    covariance = fit_covariance(sample.rows, sample.weights, sample.distinct())
    return principal_axes(covariance.shrunk(share)), [] if best is None else best[1]


def left_out_folds(sample: InitializationRows, generator: torch.Generator) -> list[Fold]:
    """Leave every row out once, or some where there are many, copies of a row together.

    Copies count as one row of their weight together (where integers have noise, as the first of
    them), because a long table may be copies of very few rows. Few rows make a fold's axes noisy
    and are cheap, so they get five folds; from 5 * `MAX_QUERIES` rows on, one fold says enough.
    Single precision is enough for a search for a maximum.
    """
    rows, weights, groups, *_ = sample.distinct()
    n_rows = len(rows)
    if n_rows < 2:
        return []
    order = torch.randperm(n_rows, generator=generator).to(groups.device)
    if n_rows > N_FOLDS * MAX_QUERIES:
        n_queries = min(max(MAX_PAIRS // n_rows, MIN_QUERIES), MAX_QUERIES)
        n_folds, fold_of_group = 1, (order >= n_queries).long()
    else:
        n_folds = min(N_FOLDS, n_rows)
        fold_of_group = order % n_folds
    fold_of_row, folds = fold_of_group[groups], []
    for number in range(n_folds):
        out = fold_of_row == number
        kept = weights[~out]
        # Around their own mean: around that of all, few rows determine the row left out.
        mean = kept @ rows[~out] / kept.sum()
        queries, others = rows[out] - mean, rows[~out] - mean
        covariance = fit_covariance(others, kept)
        log_weights = (kept / kept.sum()).log().float()
        parts = queries.float(), weights[out].float(), others.float(), log_weights
        background = None
        if sample.background_share > 0:
            background = Background(
                torch.tensor(sample.background_share),
                student_tail(torch.zeros_like(mean), covariance).log_prob(parts[0]),
            )
        folds.append(Fold(*parts, covariance, None, background).shrunk(1.0))
    return folds


def student_tail(mean: torch.Tensor, covariance: Covariance) -> StudentTail:
    """Return the tail around standardized rows; a column without variance has scale one."""
    matrix = covariance.shrunk()
    is_constant = matrix.diagonal() <= torch.finfo(torch.float32).eps
    matrix[is_constant], matrix[:, is_constant] = 0, 0
    matrix[is_constant, is_constant] = 1
    return StudentTail(mean, matrix)


def normal_log_density(fold: Fold) -> torch.Tensor:
    """Return the log-density (n,) of the queries under the normal distribution of the others."""
    variances, axes = fold.axes
    squares = ((fold.queries @ axes) ** 2 / variances).sum(1)
    return -0.5 * (squares + (LOG_2PI + variances.log()).sum())
