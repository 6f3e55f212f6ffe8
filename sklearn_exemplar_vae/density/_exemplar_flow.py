"""ExemplarFlow: an exact kernel density estimate in coordinates that an invertible map learns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral

import numpy as np

from .._sklearn_compat import Interval, StrOptions
from ..engine.flow import build_flow
from ..engine.initialization.flow import initialize_flow
from ..engine.priors import FLOW_PRIORS
from ..engine.training.fit import Initialization
from ..engine.training.loop import Schedule
from ..engine.workers import current_workers
from ..utils._rows import float_dtype
from ._background import fit_bounded_tail
from ._column_checks import (
    check_bounds,
    check_inside,
    check_integer_bounds,
    check_integer_columns,
    check_integers,
    points_of_unit,
)
from ._defaults import check_layer_sizes, plan_exemplars
from ._degenerate_columns import warn_of_degenerate_columns
from ._fitting import BaseTrainedDensity
from ._resolution import read_resolution
from ._scaling import ColumnScaling

# A step's rows are also its exemplars, and a quarter of all rows keeps a flow from memorizing
# (chosen on wine, diabetes and breast_cancer; see benchmarks/LOG.md).
BATCH_SHARE = 0.25
# More would cost time in proportion and gain little (chosen on power-plant; benchmarks/LOG.md).
MAX_DEFAULT_BATCH = 2000
# Points that the density is averaged over where columns are integers.
N_UNIT_POINTS = 16
# Rows times columns of a step, at most: a step holds a thousand times as many bytes.
MAX_DEFAULT_FLOATS = 2**17


class ExemplarFlow(BaseTrainedDensity):
    r"""Exact kernel density estimation in coordinates learned by an invertible network.

    For tables of numbers. The density is a mixture over the stored rows (exemplars) x_n, of kernels
    that are round in the coordinates f(x),

    .. math:: p(x) = \left|\det \frac{\partial f}{\partial x}\right| \Big[(1 - w) \sum_n w_n\,
              \mathcal N(f(x);\, f(x_n), s^2 I) + w\, \mathcal N(f(x);\, m, V)\Big],

    so that a kernel is narrow where rows are dense and bent where they lie along a curve. It is an
    exemplar model [1]_ with a normalizing flow [2]_ in the place of a variational autoencoder.
    `score_samples` is exact (except for integers). With f the identity and w = 0 it is that of
    `sklearn.neighbors.KernelDensity`. Training starts at a linear f: a kernel density estimate
    whose bandwidth and shape maximize the likelihood of left-out rows, mixed with the normal
    distribution of the rows. With early stopping the trained model is kept only if the left-out
    likelihood improves. Beside it stand a `background` and, where left-out rows gain by it, a
    Gaussian mixture (`max_gaussians`).

    Columns are standardized inside; log-densities are in the units of X. Values that repeat have no
    density: in fit a rounded column gets uniform noise of its step, so that scores do not depend on
    how narrow its kernels are.

    The guide is in docs/flow.md.

    Parameters
    ----------
    prior : {"mixed", "exemplar", "gaussian"}, default="mixed"
        The density of f(x). "mixed" is the density above, with w learned. "exemplar" has w = 0.
        "gaussian" has w = 1, the usual normalizing flow, for comparison: it has no kernels, so
        `sample_like` is an error, and it ignores `bandwidth`, `rtol`, `n_exemplars`, `n_neighbors`
        and `leave_one_out`.
    n_transforms : int, default=3
        Layers of splines, each with the columns in the reverse order of the one before.
    hidden_layer_sizes : int or sequence of int, default=(64, 64)
        Units of the network of each layer.
    bounds : sequence of (low, high), dict or None, default=None
        The open interval that a column's values are in; None or infinity for a missing end. Give
        one pair (or None) for each column, or a dict from positions or names of some columns to
        pairs. The column is mapped to the whole line: with one bound by a curve that is a logarithm
        near the bound and linear far from it, with two by the normal quantile function. A row
        outside has density zero; the values of fit must be inside.
    integer_columns : array-like of {bool, int, str} or None, default=None
        Columns of integers: a mask, positions, or names. In fit each value becomes a uniform draw
        from the unit around it, which turns a probability into a density; samples are rounded. The
        density of a value is the mean over the unit around it, at 16 points: scores of integers
        alone are log-probabilities, to a percent or two with one column and more roughly with
        several. Other values have density zero. Bounds of an integer column are integers that it
        may have. Values are at most 2**44. X must be in memory, and results are in double
        precision.
    n_exemplars : int, "auto", "batch" or None, default="auto"
        Exemplars M that a row sees at a training step. "batch" takes the other rows of its
        minibatch, which doubles after 60 % and again after 85 % of the epochs. An int draws that
        number without replacement, the minibatch among them. None takes all others. "auto" is
        "batch". Scores and samples always use all exemplars; the bandwidth is refitted for them.
    n_neighbors : int, "auto" or None, default="auto"
        How a row's exemplars come to be near it, as in `ExemplarVAE`.
    retrieval : {"auto", "exact", "pynndescent"}, default="auto"
        How nearest exemplars are found, in training and in `kneighbors`, as in `ExemplarVAE`. It
        may be changed after fit.
    leave_one_out : bool, default=True
        Whether a row, and every exact copy of it, is left out of its own density in training.
        Without it a model memorizes.
    bandwidth : float or {"loo", "scott", "silverman"}, default="loo"
        Bandwidth that initializes training, in standard deviations of the columns. "loo" takes the
        bandwidth, at least 0.01, the shape, and the share of the normal of the highest left-out
        likelihood. A float of at least 1e-6 or a rule of thumb starts at `KernelDensity`'s round
        kernel of that bandwidth.
    background : float or "auto", default="auto"
        Share of the density that a heavy-tailed background has. By the rule of succession a row
        unlike all N exemplars has probability about 1 / (N + 1), which is "auto"; N counts distinct
        rows, and grows with `extend_exemplars`. A row far from all others then has a low score and
        no absurd one, and does not pull the training. It is a Student t distribution of one degree
        of freedom with the covariance of the rows. No sample is drawn from it. 0 is to be without.
    max_gaussians : int, default=32
        Most components of a Gaussian mixture that may stand beside the trained model. Sizes of
        powers of two are fitted to the rows trained on; the size and its share are those of the
        highest left-out likelihood, and without a gain there is none. `sample` draws from it in
        proportion; codes, neighbors and `sample_like` are those of the exemplars. 0 is to be
        without, as is a fit without held-out rows.
    rtol : float, default=0
        Relative tolerance of the densities of `score_samples`, as in `ExemplarVAE`. It may be
        changed after fit.
    batch_size : int or "auto", default="auto"
        Rows of a step, at most M + 1 with an int `n_exemplars`. "auto" is a quarter of the rows
        trained on, few enough that a model cannot memorize, and at most 2000 (fewer with more than
        64 columns).
    learning_rate_init : float, default=0.003
        Adam's initial step size; it falls along a cosine to almost zero at `max_iter`.
    max_iter : int, default=100
        Maximum number of epochs. 0 keeps the start.
    early_stopping : bool, default=True
        Whether left-out rows judge the training: it stops when their log-density no longer rises,
        and keeps the best weights. Up to 400 distinct rows are divided into five folds: a model of
        each is trained on the others, the left-out rows of all choose the epoch, and the model of
        all rows is trained as long. With more rows, some are held out instead. All rows become
        exemplars afterwards. Fewer than 20 rows, or few distinct rows of many copies each, leave
        nothing to judge by; the start is then kept as it is.
    validation_fraction : float, default=0.1
        Share of the rows held out, above 400 of them, at least 10 rows and at most 2000 (1000 of 50
        000 rows, 500 of more than 100 000). Copies of a row stay together and count as one.
    n_iter_no_change : int, default=20
        Epochs without improvement before stopping; an epoch has few steps.
    tol : float, default=1e-3
        Improvement of the held-out log-density that counts, in nats a row. The start is given up
        only for a gain of more than two standard errors.
    warm_start : bool, default=False
        Whether a second call of fit trains on from the weights and scaling of the first. With the
        same rows it holds out the same of them, and no folds judge, if it is True both times. With
        other rows it may hold out some that the first trained on, and then stops later than it
        should. The first model is given up only for a gain of more than two standard errors.
    device : str, default="auto"
        Where to compute: "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:1".
    verbose : bool or int, default=False
        Whether to print a line an epoch.
    random_state : int, RandomState instance or None, default=None
        Seeds everything random in fit.

    Attributes
    ----------
    bandwidth_ : float
        Bandwidth s, in the units of codes. Not with the "gaussian" prior.
    normal_weight_ : float
        Share w of the normal. Only with the "mixed" prior.
    n_exemplars_ : int
        Exemplars kept: rows of positive weight.
    n_components_ : int
        Columns of a code: those of X.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if it had string names.
    background_weight_ : float
        Share of the background.
    gaussian_mixture_weight_ : float
        Share of the Gaussian mixture of what the background leaves; 0 if there is none.
    n_iter_ : int
        Epochs trained.
    loss_curve_ : list of float
        Negative mean log-density of the training rows of every epoch, under the exemplars they saw,
        nats a row in the units of X.
    validation_scores_ : list of float or None
        Mean held-out log-density of the start and after every epoch. None without early stopping,
        or if no rows could be held out.
    best_validation_score_ : float or None
        Mean held-out log-density of the weights kept, without the Gaussian mixture.
    device_ : str
        Where the model is.

    See Also
    --------
    ExemplarVAE : Images and other wide rows, and zeros and ones.
    sklearn.neighbors.KernelDensity : The fixed kernel.

    References
    ----------
    .. [1] Norouzi, S., Fleet, D. J. and Norouzi, M. (2020). Exemplar VAE: Linking generative
       models, nearest neighbor retrieval, and data augmentation. NeurIPS 33.
    .. [2] Durkan, C., Bekasov, A., Murray, I. and Papamakarios, G. (2019). Neural spline flows.
       NeurIPS 32.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.neighbors import KernelDensity
    >>> from sklearn_exemplar_vae import ExemplarFlow
    >>> X_train, X_test = train_test_split(load_wine().data, random_state=0)
    >>> model = ExemplarFlow(random_state=0).fit(X_train)
    >>> model.score_samples(X_test).shape
    (45,)
    >>> rival = KernelDensity(bandwidth="scott").fit(X_train)
    >>> bool(model.score(X_test) > rival.score(X_test))
    True
    >>> model.sample_like(X_test[:2], 3, random_state=0).shape
    (2, 3, 13)
    """

    _parameter_constraints: dict = {
        **BaseTrainedDensity._parameter_constraints,
        "prior": [StrOptions(set(FLOW_PRIORS))],
        "n_transforms": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "bounds": ["array-like", Mapping, None],
        "integer_columns": ["array-like", None],
    }

    def __init__(
        self,
        prior="mixed",
        *,
        n_transforms=3,
        hidden_layer_sizes=(64, 64),
        bounds=None,
        integer_columns=None,
        n_exemplars="auto",
        n_neighbors="auto",
        retrieval="auto",
        leave_one_out=True,
        bandwidth="loo",
        background="auto",
        max_gaussians=32,
        rtol=0.0,
        batch_size="auto",
        learning_rate_init=0.003,
        max_iter=100,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        tol=1e-3,
        warm_start=False,
        device="auto",
        verbose=False,
        random_state=None,
    ):
        self.prior = prior
        self.n_transforms = n_transforms
        self.hidden_layer_sizes = hidden_layer_sizes
        self.bounds = bounds
        self.integer_columns = integer_columns
        self.n_exemplars = n_exemplars
        self.n_neighbors = n_neighbors
        self.retrieval = retrieval
        self.leave_one_out = leave_one_out
        self.bandwidth = bandwidth
        self.background = background
        self.max_gaussians = max_gaussians
        self.rtol = rtol
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def _read_columns(self, X):
        names = getattr(self, "feature_names_in_", None)
        low, high, self._is_integer = self._column_kinds(X.shape[1])
        warn_of_degenerate_columns(X, ~self._is_integer, names)
        self._low, self._high = low - 0.5 * self._is_integer, high + 0.5 * self._is_integer

    def _column_kinds(self, n_features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return lower bounds, upper bounds and which columns are integers, (D,) each."""
        names = getattr(self, "feature_names_in_", None)
        low, high = check_bounds(self.bounds, names, n_features)
        is_integer = check_integer_columns(self.integer_columns, names, n_features)
        check_integer_bounds(low, high, is_integer, names)
        return low, high, is_integer

    def _dequantized(self, X, seed, in_file):
        if self._is_integer.any():
            if in_file:
                raise ValueError("integer_columns needs X in memory, got a numpy.memmap.")
            check_integers(X, self._is_integer, getattr(self, "feature_names_in_", None))
            X = X.astype(np.float64)  # single precision rounds noise on large integers away
        return super()._dequantized(X, seed, in_file)

    def _read_resolution(self, X, groups):
        return read_resolution(X, groups, self._is_integer)

    def _bounds(self):
        return self._low, self._high

    def _fitted_scaling(self, rows):
        return ColumnScaling.fitted(rows.X, rows.weights, self._low, self._high, self._is_integer)

    def _fit_tail(self, rows, weights):
        if self._scaling.is_bounded.any():
            return fit_bounded_tail(rows, weights, self._scaling)
        return super()._fit_tail(rows, weights)

    def _initialize(self, rows, generator):
        sample = self._initialization_rows(rows, generator)
        # A normal would explain once more the rows beside an atom, which would lose its share.
        start = "exemplar" if self.prior == "mixed" and self._resolution.atoms else self.prior
        model = build_flow(
            initialize_flow(sample, start, self.bandwidth, generator),
            self.prior,
            self.n_transforms,
            check_layer_sizes(self.hidden_layer_sizes),
            generator,
        ).to(self.device_)
        return Initialization(model, baseline=model)

    def _schedule(self, n_rows, initial):
        batch_size, n_exemplars = self.batch_size, self.n_exemplars
        if batch_size == "auto":
            batch_size = min(MAX_DEFAULT_BATCH, MAX_DEFAULT_FLOATS // self.n_features_in_)
            # For one process: together they see a step's rows as one alone does.
            n_own_rows = n_rows // current_workers().size
            batch_size = max(2, min(batch_size, math.ceil(BATCH_SHARE * n_own_rows)))
        has_exemplars = initial.model.prior.needs_exemplars
        if n_exemplars == "auto" or not has_exemplars:
            n_exemplars = "batch"
        n_neighbors = self.n_neighbors if has_exemplars else None
        plan = plan_exemplars(n_rows, batch_size, n_exemplars, n_neighbors, self.retrieval)
        return Schedule(
            n_epochs=self.max_iter,
            learning_rate=self.learning_rate_init,
            leave_one_out=self.leave_one_out,
            **plan._asdict(),
        )

    def _structure(self, n_features):
        low, high, is_integer = self._column_kinds(n_features)
        return {
            "prior": self.prior,
            "n_transforms": self.n_transforms,
            "hidden_layer_sizes": check_layer_sizes(self.hidden_layer_sizes),
            "bounds": list(zip(low.tolist(), high.tolist(), strict=True)),
            "integer_columns": np.flatnonzero(is_integer).tolist(),
        }

    def _check_rows(self, X, is_scored=False):
        X = super()._check_rows(X, is_scored)
        # Single precision has no room for parts of a large integer's unit.
        return X.astype(np.float64) if self._is_integer.any() else X

    def _check_domain(self, X, is_scored=False):
        if not is_scored:  # where a row cannot be its density is zero, which is an answer
            names = getattr(self, "feature_names_in_", None)
            check_inside(X, self._low, self._high, self._is_integer, names)

    def _score_part(self, X, cells):
        is_inside = self._scaling.contains(X)
        integers = X[:, self._is_integer]
        is_inside &= (integers == np.rint(integers)).all(1)
        scores = np.full(len(X), -np.inf, dtype=float_dtype(X))
        if is_inside.any():
            scores[is_inside] = self._score_units(X[is_inside], cells)
        return scores

    def _score_units(self, X, cells) -> np.ndarray:
        """Return log-densities of rows, averaged over the unit around the values of integers."""
        if not self._is_integer.any():
            return super()._score_part(X, cells)
        offsets = np.zeros((N_UNIT_POINTS, X.shape[1]))
        offsets[:, self._is_integer] = points_of_unit(N_UNIT_POINTS, int(self._is_integer.sum()))
        parts = [super(ExemplarFlow, self)._score_part(X + offset, cells) for offset in offsets]
        return np.logaddexp.reduce(parts, axis=0) - math.log(N_UNIT_POINTS)
