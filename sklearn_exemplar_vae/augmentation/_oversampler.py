"""ExemplarOverSampler: more rows of rare classes, by imbalanced-learn's contract."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from .._sklearn_compat import (
    Interval,
    RequestMethod,
    StrOptions,
    fit_context,
    safe_indexing,
    sampler_tags,
)
from ..utils._rollback import rollback_on_error
from ._base import BaseRedraw
from ._labels import check_labels
from ._numeric_columns import check_table
from ._sampling_strategy import STRATEGIES, rows_to_add


class ExemplarOverSampler(BaseRedraw):
    """Add rows to rare classes, each drawn near a row of its class.

    A sampler in imbalanced-learn's sense, for its Pipeline or alone; imbalanced-learn itself is not
    needed. It takes the place of SMOTE and RandomOverSampler.

    The guide is in docs/augmentation.md.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable, default="auto"
        Which classes grow, and to what size. "minority", "not minority", "not majority" and "all"
        bring these classes to the size of the largest; "auto" is "not majority", which adds nothing
        where all classes are equally large. A float, for two classes, is the size of the smaller
        over that of the larger. A dict contains sizes by class; a callable takes y and returns a
        dict.
    estimator : ExemplarVAE, ExemplarFlow or None, default=None
        The density, cloned and fitted to the rows of all classes. None is ``ExemplarVAE()``; a
        fitted density in `sklearn.frozen.FrozenEstimator` is used as it is.
    per_class : bool, default=False
        Whether to fit a density for each class that grows; a frozen ``estimator`` is then an error.
        If only some classes are rare, one density of all rows is usually better: it knows what
        large classes teach.
    noise : bool, {"auto", "residual", "random_residual"}, default="auto"
        How a row is drawn near its exemplar, as in `ExemplarAugmenter`.
    random_state : int, RandomState instance or None, default=None
        Picks exemplars and draws rows; seeds the density if that has no random state of its own.

    Attributes
    ----------
    density_ : ExemplarVAE, ExemplarFlow, FrozenEstimator or dict
        The fitted density; with ``per_class`` one for each label that gets rows.
    sampling_strategy_ : dict
        The number of rows to add, by class.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, only if they are all strings.

    See Also
    --------
    ExemplarAugmenter : The same number of rows, some of them redrawn.

    Notes
    -----
    Integer columns, and columns without numbers, are treated as in `ExemplarAugmenter`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_exemplar_vae import ExemplarOverSampler, ExemplarVAE
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> sampler = ExemplarOverSampler(estimator=ExemplarVAE(max_iter=5), random_state=0)
    >>> X_resampled, y_resampled = sampler.fit_resample(X, y)
    >>> np.bincount(y), np.bincount(y_resampled)
    (array([212, 357]), array([357, 357]))

    In a pipeline, where rows are added in fit and never in predict:

    >>> from imblearn.pipeline import make_pipeline
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> pipeline = make_pipeline(StandardScaler(), sampler, LogisticRegression())
    >>> bool(pipeline.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        "sampling_strategy": [
            StrOptions(set(STRATEGIES)),
            Interval(Real, 0, 1, closed="right"),
            dict,
            callable,
        ],
        **BaseRedraw._parameter_constraints,
    }

    # What imbalanced-learn's ensembles ask a sampler for.
    _sampling_type = "over-sampling"

    def __init__(
        self,
        sampling_strategy="auto",
        *,
        estimator=None,
        per_class=False,
        noise="auto",
        random_state=None,
    ):
        self.sampling_strategy = sampling_strategy
        self.estimator = estimator
        self.per_class = per_class
        self.noise = noise
        self.random_state = random_state

    # scikit-learn makes it only if imbalanced-learn, which lets fit_resample ask for metadata, was
    # imported before this class.
    set_fit_resample_request = RequestMethod("fit_resample", ["sample_weight"])

    def __sklearn_tags__(self):
        tags = sampler_tags(super().__sklearn_tags__())
        tags.target_tags.required = True
        return tags

    def fit(self, X, y, sample_weight=None):
        """Fit the density and count the rows to add.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Classes, or their one-hot encoding.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows in the density.

        Returns
        -------
        self : object
            The fitted sampler.

        Raises
        ------
        ValueError
            If y has one class or no classes at all, or ``sampling_strategy`` does not suit it.
        """
        self._fit(X, y, sample_weight)
        return self

    def fit_resample(self, X, y, sample_weight=None):
        """Fit the density and add rows to the classes that ``sampling_strategy`` names.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Classes, or their one-hot encoding.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows in the density.

        Returns
        -------
        X_resampled : ndarray, DataFrame or list of shape (n_samples_new, n_features)
            The rows of X, followed by the new ones, in the type of X; tables other than pandas'
            become arrays.
        y_resampled : array-like of shape (n_samples_new,)
            The classes of these rows, in the type of y.
        """
        was_list = isinstance(X, list)
        with rollback_on_error(self):
            X, labels, random_state = self._fit(X, y, sample_weight)
            exemplars = [np.arange(0)]
            for label, n_added in self.sampling_strategy_.items():
                own = np.flatnonzero(labels == label)
                # In turn: no row is an exemplar two times more often than another.
                exemplars.append(np.resize(random_state.permutation(own), n_added))
            rows = np.concatenate([np.arange(len(X)), *exemplars])
            X, y = safe_indexing(X, rows), safe_indexing(y, rows)
            added = np.arange(len(labels), len(rows))
            X = self._redraw(X, labels[rows], added, random_state)
        if was_list:
            X = X.tolist()
        return _numbered_anew(X), _numbered_anew(y)

    @fit_context(prefer_skip_nested_validation=False)
    def _fit(self, X, y, sample_weight):
        """Return the table, a label for every row, and the random state after the fit."""
        with rollback_on_error(self):
            X = check_table(self, X, reset=True)
            labels = check_labels(y, may_be_one_hot=True)
            check_consistent_length(X, labels)
            self.sampling_strategy_ = rows_to_add(self.sampling_strategy, labels)
            random_state = check_random_state(self.random_state)
            growing = [label for label, n_added in self.sampling_strategy_.items() if n_added]
            self._fit_density(X, labels, sample_weight, random_state, growing)
        return X, labels, random_state


def _numbered_anew(rows):
    """Return rows without their old pandas index, in which exemplars' labels would repeat."""
    return rows.reset_index(drop=True) if hasattr(rows, "iloc") else rows
