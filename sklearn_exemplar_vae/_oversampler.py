"""ExemplarOverSampler: more rows of rare classes, by imbalanced-learn's contract."""

from __future__ import annotations

import sys
from numbers import Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._metadata_requests import RequestMethod
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, column_or_1d

from ._all_or_nothing import all_or_nothing
from ._labels import check_labels_are_there
from ._number_columns import check_table
from ._redraw import BaseRedraw
from ._sampling_strategy import STRATEGIES, rows_to_add


class ExemplarOverSampler(BaseRedraw):
    """Add rows to rare classes, each drawn near a row of its class.

    A sampler in imbalanced-learn's sense, for its Pipeline or alone; imbalanced-learn itself is not
    needed. It takes the place of SMOTE and RandomOverSampler.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable, default="auto"
        Which classes grow, and to what size. "minority", "not minority", "not majority", "all":
        these classes, to the size of the largest; "auto" is "not majority", which adds nothing
        where all classes are equally large. A float, for two classes: the size of the smaller over
        that of the larger. A dict: sizes by class. A callable: a function of y that returns such a
        dict.
    estimator : ExemplarVAE, ExemplarFlow or None, default=None
        The density, cloned and fitted to the rows of all classes. None is ``ExemplarVAE()``; a
        fitted one in `sklearn.frozen.FrozenEstimator` is used as it is.
    per_class : bool, default=False
        Fit a density for each class that grows; a frozen ``estimator`` is then an error. If only
        some classes are rare, one of all rows is mostly better: it knows what large classes teach.
    noise : bool, {"auto", "residual", "random_residual"}, default="auto"
        Whether a row is a draw of p(x | z), its mean, or its exemplar moved; as in
        `ExemplarAugmenter`.
    random_state : int, RandomState instance or None, default=None
        Picks exemplars and draws rows; seeds the density if that has no random state of its own.

    Attributes
    ----------
    density_ : ExemplarVAE, ExemplarFlow, FrozenEstimator or dict
        The fitted density; with ``per_class`` one for each label that gets rows.
    sampling_strategy_ : dict
        The number of rows to add, by class.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if X has names that are all strings.

    See Also
    --------
    ExemplarAugmenter : The same number of rows, some of them redrawn.

    Notes
    -----
    Columns that hold no numbers, or integers, are treated as in `ExemplarAugmenter`.

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

    # Scikit-learn writes it where imbalanced-learn, which makes fit_resample a method that can ask
    # for metadata, was imported before this class.
    set_fit_resample_request = RequestMethod("fit_resample", ["sample_weight"])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # imbalanced-learn's checks read tags of its own; who runs them has imported it.
        extended = sys.modules.get("imblearn.utils._tags")
        if extended is not None:
            tags = extended.Tags(estimator_type=None, target_tags=tags.target_tags)
            tags.input_tags = extended.InputTags(dataframe=True)
            tags.sampler_tags = extended.SamplerTags()
        tags.estimator_type = "sampler"
        tags.target_tags.required = True
        return tags

    def fit(self, X, y, sample_weight=None):
        """Fit the density and count the rows to add.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Classes, or their one-hot encoding.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows in the density.

        Returns
        -------
        self : object

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
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        X_resampled : ndarray, DataFrame or list of shape (n_samples_new, n_features)
            The rows of X, followed by the new ones; what X came as, tables other than pandas' as
            arrays.
        y_resampled : array-like of shape (n_samples_new,)
            Their classes; what y came as.
        """
        was_list = isinstance(X, list)
        with all_or_nothing(self):
            X, labels, random_state = self._fit(X, y, sample_weight)
            exemplars = [np.arange(0)]
            for label, n_added in self.sampling_strategy_.items():
                own = np.flatnonzero(labels == label)
                # In turn: no row stands for its class more than once more often than another.
                exemplars.append(np.resize(random_state.permutation(own), n_added))
            rows = np.concatenate([np.arange(len(X)), *exemplars])
            X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
            added = np.arange(len(labels), len(rows))
            X = self._redraw(X, labels[rows], added, random_state)
        if was_list:
            X = X.tolist()
        return _numbered_anew(X), _numbered_anew(y)

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit(self, X, y, sample_weight):
        """The table, a label for every row, and the random state after the fit."""
        with all_or_nothing(self):
            X = check_table(self, X, reset=True)
            labels = class_labels(y)
            check_consistent_length(X, labels)
            self.sampling_strategy_ = rows_to_add(self.sampling_strategy, labels)
            random_state = check_random_state(self.random_state)
            growing = [label for label, n_added in self.sampling_strategy_.items() if n_added]
            self._fit_density(X, labels, sample_weight, random_state, growing)
        return X, labels, random_state


def class_labels(y) -> np.ndarray:
    """A label for every row, (n,), of classes or of their one-hot encoding.

    Raises
    ------
    ValueError
        If y is continuous, lacks labels or has rows of several classes.
    """
    check_labels_are_there(y)
    check_classification_targets(y)
    if type_of_target(y) != "multilabel-indicator":
        return column_or_1d(y)
    encoded = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
    if np.any(encoded.sum(1) > 1):
        raise ValueError("Multilabel and multioutput targets are not supported.")
    return encoded.argmax(1)


def _numbered_anew(rows):
    """Without the old index of a pandas object, in which exemplars' labels would repeat."""
    return rows.reset_index(drop=True) if hasattr(rows, "iloc") else rows
