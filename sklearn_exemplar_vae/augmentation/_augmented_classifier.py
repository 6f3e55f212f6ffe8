"""AugmentedClassifier: a classifier that sees every row with a synthetic partner."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    raise_for_params,
    routing_enabled,
    safe_indexing,
)
from ..utils._rollback import rollback_on_error
from ..utils._rows import check_weights
from ._augmenter import ExemplarAugmenter
from ._base import DENSITY_CONSTRAINTS, IS_DENSITY, seeded
from ._inner_classifier import check_classifier, fit_method, takes_weights, without_holding_out
from ._labels import check_labels
from ._numeric_columns import check_table

# What n_passes="auto" is with partial_fit, the paper's number of epochs, and with fit.
PASSES_OF_PARTIAL_FIT, PASSES_OF_FIT = 100, 5


def _has(method: str):
    """Return what `available_if` asks: whether the classifier has ``method``, fitted or not."""

    def check(self) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), method)  # raises its own error
        return True

    return check


class AugmentedClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Fit a classifier to real rows and to synthetic neighbors of them, fresh at every pass.

    At every pass over the training set each row gets a partner with its label, drawn near it from
    an exemplar density [1]_. A classifier with ``partial_fit`` sees new partners at every pass, any
    other one sees all of them at once. Real rows weigh ``real_weight`` and synthetic ones the rest.
    Rows to predict are never augmented.

    The guide is in docs/augmentation.md.

    Parameters
    ----------
    estimator : classifier
        The classifier, cloned and fitted.
    density : ExemplarVAE, ExemplarFlow or None, default=None
        The density that partners are drawn from, cloned and fitted to X. None is ``ExemplarVAE()``;
        a fitted one in `sklearn.frozen.FrozenEstimator` is used as it is.
    per_class : bool, default=False
        Fit a density for each class of y, as in `ExemplarAugmenter`.
    noise : bool, {"auto", "residual", "random_residual"}, default="auto"
        How a partner is drawn from the density, as in `ExemplarAugmenter`.
    n_passes : int or "auto", default="auto"
        Passes over the training set with ``partial_fit``, in the place of the classifier's own
        ``max_iter``; otherwise the partners of a row (at most, on average, if the classifier takes
        no weights). "auto" is 100 with ``partial_fit``, else 5.
    real_weight : float, default=0.4
        Share of the real rows in the loss, in [0, 1]. A classifier that takes no ``sample_weight``
        gets rows in this proportion instead: a random part of the kind with more rows is drawn at
        every pass, in proportion to the weights if rows have any.
    random_state : int, RandomState instance or None, default=None
        Draws partners and shuffles; seeds density and classifier where they have no random state of
        their own.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    density_ : ExemplarVAE, ExemplarFlow, FrozenEstimator or dict
        The fitted density; with ``per_class`` one for each label.
    classes_ : ndarray of shape (n_classes,)
        The classes of y.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, only if they are all strings.

    See Also
    --------
    ExemplarAugmenter : One draw for some of the rows, in a Pipeline.

    Notes
    -----
    A row given twice gets two partners; a row of weight two gets one that weighs twice as much, if
    the classifier takes weights. So scikit-learn's check that the two are the same does not hold.
    Tables other than pandas' become arrays.

    If the classifier held rows out, partners of these rows would be among its training rows. Model
    selection, calibration and early stopping therefore belong around this estimator and not inside
    it: ``early_stopping=True`` of the classifier is an error, as is ``n_iter_no_change`` of
    `GradientBoostingClassifier`, and ``early_stopping="auto"`` is taken for False.
    scikit-learn's ``partial_fit`` refuses ``class_weight="balanced"``; a classifier with it is
    fitted once, to all rows. A classifier that counts rows, like `BernoulliNB`, counts those of
    every pass; a pass or two are enough for it.

    References
    ----------
    .. [1] S. Norouzi, D. J. Fleet, M. Norouzi, "Exemplar VAE: Linking Generative Models, Nearest
       Neighbor Retrieval, and Data Augmentation", NeurIPS 2020, section 5.4.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_exemplar_vae import AugmentedClassifier, ExemplarVAE
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = AugmentedClassifier(
    ...     LogisticRegression(max_iter=1000), ExemplarVAE(max_iter=5), random_state=0
    ... )
    >>> bool(classifier.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "density": IS_DENSITY,
        **DENSITY_CONSTRAINTS,
        "n_passes": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "real_weight": [Interval(Real, 0, 1, closed="both")],
    }

    # A weight of score is the classifier's to ask for.
    __metadata_request__score = {"sample_weight": UNUSED}

    def __init__(
        self,
        estimator,
        density=None,
        *,
        per_class=False,
        noise="auto",
        n_passes="auto",
        real_weight=0.4,
        random_state=None,
    ):
        self.estimator = estimator
        self.density = density
        self.per_class = per_class
        self.noise = noise
        self.n_passes = n_passes
        self.real_weight = real_weight
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).classifier_tags
        if inner is not None:
            tags.classifier_tags = replace(inner, multi_label=False)
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit the density, then the classifier on real and synthetic rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The training rows.
        y : array-like of shape (n_samples,)
            Their classes.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows, in the density and in the classifier; a partner has the weight of
            its row. For a classifier that takes none, for example a pipeline, rows are drawn in
            proportion to their weights, as many as without weights.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If X or y is not what density and classifier take, or ``estimator`` is no classifier or
            holds rows out.
        """
        with rollback_on_error(self):
            check_classifier(self.estimator)
            X = check_table(self, X, reset=True)
            y = check_labels(y, warn=True)
            check_consistent_length(X, y)
            weights = None
            if sample_weight is not None:
                weights = check_weights(sample_weight, y)
            random_state = check_random_state(self.random_state)
            augmenter = ExemplarAugmenter(self.density, per_class=self.per_class, noise=self.noise)
            self._augmenter = seeded(clone(augmenter), random_state).fit(X, y, weights)
            self.density_ = self._augmenter.density_
            self.estimator_ = seeded(without_holding_out(clone(self.estimator)), random_state)
            if fit_method(self.estimator_) == "partial_fit":
                self._fit_in_passes(X, y, weights, random_state)
            else:
                self._fit_at_once(X, y, weights, random_state)
            # Not those of y: of a semi-supervised classifier -1 is none.
            self.classes_ = getattr(self.estimator_, "classes_", np.unique(y))
        return self

    def _fit_in_passes(self, X, y, weights, random_state) -> None:
        n_passes = PASSES_OF_PARTIAL_FIT if self.n_passes == "auto" else self.n_passes
        weighs, classes = takes_weights(self.estimator_), np.unique(y)
        for _ in range(n_passes):
            rows, n_real = self._choose_rows(len(y), 1, weighs, weights, random_state)
            options = {}
            if weighs:
                options["sample_weight"] = self._share_weights(rows, n_real, len(y), weights)
                # Mean one where rows have no weights: a step's size is that without partners.
                options["sample_weight"] *= len(rows) / len(y)
            order = random_state.permutation(len(rows))
            rows, redrawn = rows[order], np.flatnonzero(order >= n_real)
            options = {name: values[order] for name, values in options.items()}
            mixed = self._with_partners(X, y, rows, redrawn, random_state)
            self.estimator_.partial_fit(mixed, y[rows], classes=classes, **options)

    def _fit_at_once(self, X, y, weights, random_state) -> None:
        n_passes = PASSES_OF_FIT if self.n_passes == "auto" else self.n_passes
        weighs = takes_weights(self.estimator_)
        rows, n_real = self._choose_rows(len(y), n_passes, weighs, weights, random_state)
        options = {}
        if weighs:
            # The sum without partners: a penalty weighs what it does without them.
            options["sample_weight"] = self._share_weights(rows, n_real, len(y), weights)
        redrawn = np.arange(n_real, len(rows))
        mixed = self._with_partners(X, y, rows, redrawn, random_state)
        self.estimator_.fit(mixed, y[rows], **options)

    def _choose_rows(self, n_rows: int, n_partners: int, weighs: bool, weights, random_state):
        """Return indices of real rows, then of synthetic ones' exemplars; and how many are real."""
        real, exemplars = np.arange(n_rows), np.tile(np.arange(n_rows), n_partners)
        share = self.real_weight
        if not weighs:
            weights = np.ones(n_rows) if weights is None else weights
            n_real, n_synthetic = counts_by_share(n_rows, len(exemplars), share)
            # Partners from the rows, not from the tiles of them: a row's number is to be rounded.
            exemplars = drawn(real, n_synthetic, weights, random_state)
            real = drawn(real, n_real, weights, random_state)
        else:  # rows of weight zero would only take time
            real = real if share > 0 else real[:0]
            exemplars = exemplars if share < 1 else exemplars[:0]
        return np.concatenate([real, exemplars]), len(real)

    def _share_weights(self, rows: np.ndarray, n_real: int, n_rows: int, weights) -> np.ndarray:
        """Return weights that sum to the real rows' own, ``real_weight`` of it on these rows."""
        weights = np.ones(n_rows) if weights is None else weights
        shares = np.full(len(rows), float(self.real_weight))
        n_synthetic = len(rows) - n_real
        shares[n_real:] = (1 - self.real_weight) * n_rows / max(n_synthetic, 1)
        return shares * weights[rows]

    def _with_partners(self, X, y, rows: np.ndarray, redrawn: np.ndarray, random_state):
        """Return the ``rows`` of X, those at the places ``redrawn`` redrawn near themselves."""
        mixed = safe_indexing(X, rows)  # a copy, to be written into
        return self._augmenter.redraw(mixed, y[rows], redrawn, random_state, copy=False)

    # ---------------------------------------------------------------- the classifier's own

    @available_if(_has("predict"))
    def predict(self, X, **params):
        """Predict classes with the fitted classifier.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with the columns of fit.
        **params : dict
            Metadata for the classifier's method, where metadata routing is enabled.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The predicted classes.
        """
        return self._ask("predict", X, params)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X, **params):
        """Predict probabilities of the classes with the fitted classifier.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with the columns of fit.
        **params : dict
            Metadata for the classifier's method, where metadata routing is enabled.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            One column for each of ``classes_``.
        """
        return self._ask("predict_proba", X, params)

    @available_if(_has("predict_log_proba"))
    def predict_log_proba(self, X, **params):
        """Predict log-probabilities of the classes with the fitted classifier.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with the columns of fit.
        **params : dict
            Metadata for the classifier's method, where metadata routing is enabled.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            One column for each of ``classes_``.
        """
        return self._ask("predict_log_proba", X, params)

    @available_if(_has("decision_function"))
    def decision_function(self, X, **params):
        """Compute the fitted classifier's decision function.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with the columns of fit.
        **params : dict
            Metadata for the classifier's method, where metadata routing is enabled.

        Returns
        -------
        decisions : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The classifier's confidence in each class.
        """
        return self._ask("decision_function", X, params)

    @available_if(_has("score"))
    def score(self, X, y, sample_weight=None, **params):
        """Compute the fitted classifier's own score.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with the columns of fit.
        y : array-like of shape (n_samples,)
            Their classes.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows.
        **params : dict
            Metadata for the classifier's method, where metadata routing is enabled.

        Returns
        -------
        score : float
            The classifier's score, mostly its accuracy.
        """
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        if routing_enabled():
            return self._ask("score", X, params | weights, y)
        return self._ask("score", X, params, y, **weights)

    def _ask(self, method: str, X, params: dict, *arguments, **options):
        check_is_fitted(self)
        raise_for_params(params, self, method)
        X = check_table(self, X, reset=False)
        if params:
            options = process_routing(self, method, **params).estimator[method]
        return getattr(self.estimator_, method)(X, *arguments, **options)

    def get_metadata_routing(self):
        """Describe which metadata goes where: fit's weights to itself, others to the classifier.

        Returns
        -------
        routing : MetadataRouter
            The routing of fit, predict and score.
        """
        mapping = MethodMapping()
        for method in (
            "predict",
            "predict_proba",
            "predict_log_proba",
            "decision_function",
            "score",
        ):
            mapping = mapping.add(caller=method, callee=method)
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=mapping)


def drawn(rows: np.ndarray, n_drawn: int, weights: np.ndarray, random_state) -> np.ndarray:
    """Draw ``n_drawn`` of the indices ``rows`` in proportion to their weights (n,); sort them.

    Systematic sampling draws one as often as its share of ``n_drawn``, rounded up or down.
    """
    rows = random_state.permutation(rows)
    cumulative = weights[rows].cumsum()
    levels = (np.arange(n_drawn) + random_state.uniform()) * (cumulative[-1] / max(n_drawn, 1))
    chosen = np.searchsorted(cumulative, levels, side="right")
    return np.sort(rows[np.minimum(chosen, len(rows) - 1)])


def counts_by_share(n_real: int, n_synthetic: int, share: float) -> tuple[int, int]:
    """Return the largest numbers of real and synthetic rows of which ``share`` is real."""
    if share == 0:
        return 0, n_synthetic
    wanted = round(n_real * (1 - share) / share)
    if wanted <= n_synthetic:
        return n_real, wanted
    return max(1, round(n_synthetic * share / (1 - share))), n_synthetic
