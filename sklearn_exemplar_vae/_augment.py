"""ExemplarAugmenter: rows of a training set redrawn near themselves, inside a Pipeline."""

from __future__ import annotations

from numbers import Real

from sklearn.base import TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._all_or_nothing import all_or_nothing
from ._labels import check_labels
from ._number_columns import check_table, is_frame
from ._redraw import BaseRedraw


class ExemplarAugmenter(TransformerMixin, BaseRedraw):
    """Replace some of the training rows by synthetic ones, each drawn near the row it replaces.

    A step in front of a classifier. In `fit_transform` a random ``proportion`` of the rows is
    redrawn from an `ExemplarVAE`, each with its own row as the exemplar, so that its label stays
    true and X keeps its length, order, dtype and column names. `transform` changes nothing: what is
    predicted is never augmented. Therefore ``fit_transform(X)`` is not ``fit(X).transform(X)``, as
    with `sklearn.preprocessing.TargetEncoder`, and for the same reason: a training set is treated
    differently from the rows to predict.

    Parameters
    ----------
    estimator : ExemplarVAE, ExemplarFlow or None, default=None
        The density, cloned and fitted to X without y. None is ``ExemplarVAE()``. A fitted one in
        `sklearn.frozen.FrozenEstimator` is used as it is: fit it once, on rows without labels too
        if there are, and a grid search over the classifier does not train it again.
    proportion : float, default=0.5
        The share of the rows redrawn, in [0, 1].
    per_class : bool, default=False
        Fit a density for each class of y; a frozen ``estimator`` is then an error. The kernel at a
        row is as wide as the density's rows are apart, whatever their class: where rows are few,
        one density for all draws rows that lie far from their exemplars. If only some classes are
        rare, one density of all rows is mostly better.
    noise : bool, {"auto", "residual", "random_residual"}, default="auto"
        Whether a redrawn row is a draw of p(x | z), or its mean (as in the paper), or the row
        itself moved as that mean moves with the code ("residual"), or something between these two
        ("random_residual"; all as in `ExemplarVAE.sample_like`). "auto": the last, which is good
        both for densities of few rows, where means are too much alike, and of many; but a draw
        where all columns are integers other than grey levels, as the row would mostly be rounded to
        itself.
    random_state : int, RandomState instance or None, default=None
        Picks rows and redraws them; seeds the density if that has no random state of its own.

    Attributes
    ----------
    density_ : ExemplarVAE, ExemplarFlow, FrozenEstimator or dict
        The fitted density; with ``per_class`` one for each label.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if X has names that are all strings.

    See Also
    --------
    ExemplarOverSampler : More rows of rare classes.
    AugmentedClassifier : Fresh synthetic rows at every pass over the training set.

    Notes
    -----
    Of a pandas DataFrame the density learns the columns of numbers, under their names; positions in
    its parameters, such as `bounds` of ExemplarFlow, count these alone. Integer columns are rounded
    after a redraw and stay in the range they had; columns of booleans, categories and strings keep
    the exemplar's value. A column of floats is taken for continuous whatever its values. Arrays
    hold numbers only; of integers they are treated in the same way. Tables other than pandas'
    become arrays.

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
        y : array-like of shape (n_samples,) or None, default=None
            The classes; needed with ``per_class`` only.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows in the density.

        Returns
        -------
        self : object

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
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        X_augmented : ndarray or DataFrame of shape (n_samples, n_features)
            X with some rows redrawn, in the dtypes of X.
        """
        with all_or_nothing(self):
            X, labels, random_state = self._fit(X, y, sample_weight)
            n_redrawn = round(self.proportion * len(X))
            rows = random_state.choice(len(X), n_redrawn, replace=False)
            return self._redraw(X.copy(), labels, rows, random_state)

    def transform(self, X):
        """Return X unchanged, once it is known to have the columns of fit.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        # Not the frame itself: set_output renames the columns of what it is given.
        return X.copy(deep=False) if is_frame(X) else X

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit(self, X, y, sample_weight):
        """The table, its labels or None, and the random state after the fit."""
        with all_or_nothing(self):
            X = check_table(self, X, reset=True)
            random_state = check_random_state(self.random_state)
            labels = None
            if y is not None and self.per_class:
                labels = check_labels(y)
                check_consistent_length(X, labels)
            self._fit_density(X, labels, sample_weight, random_state)
        return X, labels, random_state
