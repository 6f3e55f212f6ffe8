"""ExemplarAugmenter: rows of a training set redrawn near themselves, inside a Pipeline."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._sklearn_compat import Interval, fit_context
from ..utils._rollback import rollback_on_error
from ._base import BaseRedraw
from ._labels import check_labels
from ._numeric_columns import check_table, is_frame


class ExemplarAugmenter(TransformerMixin, BaseRedraw):
    """Replace some of the training rows by synthetic ones, each drawn near the row it replaces.

    A step in front of a classifier. `fit_transform` redraws a random ``proportion`` of the rows
    from a density, each with its own row as the exemplar: its label stays true, and X keeps its
    length, order, dtype and column names. `transform` changes nothing: rows to predict are never
    augmented. So ``fit_transform(X)`` is not ``fit(X).transform(X)``, as with
    `sklearn.preprocessing.TargetEncoder`, and for the same reason: training rows are treated
    differently from rows to predict.

    The guide is in docs/augmentation.md.

    Parameters
    ----------
    estimator : ExemplarVAE, ExemplarFlow or None, default=None
        The density, cloned and fitted to X without y. None is ``ExemplarVAE()``. A fitted density
        in `sklearn.frozen.FrozenEstimator` is used as it is: fit it once, with unlabeled rows if
        there are any, and a grid search over the classifier does not train it again.
    proportion : float, default=0.5
        The share of the rows redrawn, in [0, 1].
    per_class : bool, default=False
        Whether to fit a density for each class of y; a frozen ``estimator`` is then an error. A
        kernel is as wide as the rows of its density are apart, whatever their class. With few rows
        in all, one density draws rows far from their exemplars. If only some classes are rare, one
        density of all rows is usually better.
    noise : bool, {"auto", "residual", "random_residual"}, default="auto"
        How a row is redrawn, as in `ExemplarVAE.sample_like`: a draw from p(x | z) (True), its mean
        as in the paper (False), the row itself moved as that mean moves with the code ("residual"),
        or something between the last two ("random_residual"). "auto" is "random_residual", which is
        good for densities of few rows, whose means are too similar, and of many. Where all columns
        are integers other than gray levels it is True: a moved row would mostly be rounded to
        itself.
    random_state : int, RandomState instance or None, default=None
        Picks and redraws rows; seeds the density if that has no random state of its own.

    Attributes
    ----------
    density_ : ExemplarVAE, ExemplarFlow, FrozenEstimator or dict
        The fitted density; with ``per_class`` one for each label.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, only if they are all strings.

    See Also
    --------
    ExemplarOverSampler : More rows of rare classes.
    AugmentedClassifier : Fresh synthetic rows at every pass over the training set.

    Notes
    -----
    The density learns the columns of numbers of a pandas DataFrame, under their names; positions in
    its parameters, for example in `bounds` of ExemplarFlow, count these columns alone. Integer
    columns are rounded after a redraw and stay in the range they had; columns of booleans,
    categories and strings keep the exemplar's value. A column of floats counts as continuous,
    whatever its values. Arrays must hold numbers; arrays of integers are treated as integer
    columns. Tables other than pandas' become arrays.

    References
    ----------
    .. [1] S. Norouzi, D. J. Fleet, M. Norouzi, "Exemplar VAE: Linking Generative Models, Nearest
       Neighbor Retrieval, and Data Augmentation", NeurIPS 2020, section 5.4.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_exemplar_vae import ExemplarAugmenter, ExemplarVAE
    >>> X, y = load_digits(return_X_y=True)
    >>> augmenter = ExemplarAugmenter(ExemplarVAE(max_iter=5, random_state=0), random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), augmenter, MLPClassifier(random_state=0))
    >>> search = GridSearchCV(pipeline, {"exemplaraugmenter__proportion": [0.0, 0.5]}, cv=2)
    >>> bool(search.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **BaseRedraw._parameter_constraints,
        "proportion": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self, estimator=None, proportion=0.5, *, per_class=False, noise="auto", random_state=None
    ):
        self.estimator = estimator
        self.proportion = proportion
        self.per_class = per_class
        self.noise = noise
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None):
        """Fit the density.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The training rows.
        y : array-like of shape (n_samples,) or None, default=None
            The classes; needed with ``per_class`` only.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows in the density.

        Returns
        -------
        self : object
            The fitted augmenter.

        Raises
        ------
        ValueError
            If X holds no numbers or values the density cannot have, or a parameter is out of range.
        """
        self._fit(X, y, sample_weight)
        return self

    def fit_transform(self, X, y=None, sample_weight=None):
        """Fit the density and redraw a ``proportion`` of the rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The training rows.
        y : array-like of shape (n_samples,) or None, default=None
            The classes; needed with ``per_class`` only.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows in the density.

        Returns
        -------
        X_augmented : ndarray or DataFrame of shape (n_samples, n_features)
            A copy of X with some rows redrawn, in the dtypes of X.
        """
        with rollback_on_error(self):
            X, labels, random_state = self._fit(X, y, sample_weight)
            n_redrawn = round(self.proportion * len(X))
            rows = random_state.choice(len(X), n_redrawn, replace=False)
            return self._redraw(X.copy(), labels, rows, random_state)

    def transform(self, X):
        """Return X unchanged, once it is known to have the columns of fit.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with the columns of fit.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            The same rows.
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        # Not the frame itself: set_output renames the columns of what it is given.
        return X.copy(deep=False) if is_frame(X) else X

    def redraw(self, X, y=None, rows=None, random_state=None, *, copy=True):
        """Redraw rows near themselves with the fitted density, whatever the ``proportion``.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows like those of fit, in its dtypes; they need not have been in fit.
        y : array-like of shape (n_samples,) or None, default=None
            The classes; needed with ``per_class`` only.
        rows : array-like of int or bool, or None, default=None
            Indices of the rows to redraw, or a mask. None redraws all of them.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws.
        copy : bool, default=True
            Whether to leave X as it is. False redraws the rows of a given array or DataFrame in
            place.

        Returns
        -------
        X_redrawn : ndarray or DataFrame of shape (n_samples, n_features)
            X, with the ``rows`` redrawn.

        Raises
        ------
        ValueError
            If X is not as in fit, ``rows`` are not rows of X, or ``per_class`` lacks y or knows no
            such class.
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        labels = None if y is None else check_labels(y)
        check_consistent_length(X, labels)
        if labels is None and self._is_per_class:
            raise ValueError("per_class=True needs y, the classes of the rows.")
        rows = check_rows(rows, len(X))
        X = X.copy() if copy else X
        return self._redraw(X, labels, rows, check_random_state(random_state))

    @fit_context(prefer_skip_nested_validation=False)
    def _fit(self, X, y, sample_weight):
        """Return the table, its labels or None, and the random state after the fit."""
        with rollback_on_error(self):
            X = check_table(self, X, reset=True)
            random_state = check_random_state(self.random_state)
            labels = None
            if y is not None and self.per_class:
                labels = check_labels(y)
                check_consistent_length(X, labels)
            self._fit_density(X, labels, sample_weight, random_state)
        return X, labels, random_state


def check_rows(rows, n_rows: int) -> np.ndarray:
    """Return indices of rows from indices, a mask, or None for all of them.

    Raises
    ------
    ValueError
        If they are neither, or a row is not there.
    """
    if rows is None:
        return np.arange(n_rows)
    given = np.asarray(rows)
    if given.dtype == bool and given.shape == (n_rows,):
        return np.flatnonzero(given)
    if given.size == 0:
        return np.arange(0)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise ValueError(
            f"rows must be indices or a mask of {n_rows} rows, got an array of {given.dtype} of "
            f"shape {given.shape}."
        )
    if given.min() < 0 or given.max() >= n_rows:
        raise ValueError(
            f"rows must be from 0 to {n_rows - 1}, got {given.min()} to {given.max()}."
        )
    return given
