"""Rows redrawn near their own exemplars: what augmenter, over-sampler and classifier share."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, clone
from sklearn.frozen import FrozenEstimator

from .._sklearn_compat import HasMethods, InvalidParameterError, StrOptions
from ..density import ExemplarVAE
from ..engine.model import RESIDUAL_NOISES
from ..utils._rows import check_weights
from ._numeric_columns import NumericColumns, is_frame

# What a density is asked for, and how it redraws rows.
DENSITY_CONSTRAINTS: dict = {
    "per_class": ["boolean"],
    "noise": ["boolean", StrOptions({"auto", *RESIDUAL_NOISES})],
    "random_state": ["random_state"],
}
IS_DENSITY = [HasMethods(["fit", "sample_like"]), None]


def new_seed(random_state: np.random.RandomState) -> int:
    """Draw a seed."""
    return int(random_state.randint(np.iinfo(np.int32).max))


def seeded(estimator, random_state: np.random.RandomState):
    """Return ``estimator`` with seeds for the random states, its parts' too, that nobody set."""
    for name, value in sorted(estimator.get_params().items(), key=lambda item: item[0]):
        if value is None and name.split("__")[-1] == "random_state":
            estimator.set_params(**{name: new_seed(random_state)})
    return estimator


class BaseRedraw(OneToOneFeatureMixin, BaseEstimator):
    """A density of the number columns of X, or one for each class, that redraws rows near rows.

    A subclass has the parameters below.
    """

    _parameter_constraints: dict = {
        "estimator": IS_DENSITY,
        **DENSITY_CONSTRAINTS,
    }

    def _fit_density(self, X, labels, sample_weight, random_state, classes=None) -> None:
        """Set ``density_`` from a checked table.

        With ``per_class`` each of the ``classes`` gets one, from its own rows; None is all classes.
        """
        columns = NumericColumns.of(X)
        numbers = columns.take(X)
        weights = None
        if sample_weight is not None:
            weights = check_weights(sample_weight, numbers)
        density = ExemplarVAE() if self.estimator is None else self.estimator
        density = seeded(clone(density), random_state)
        if not self.per_class:
            density = fitted(density, columns.named(numbers, X), weights)
        elif labels is None:
            raise ValueError("per_class=True needs y, the classes of the rows.")
        elif isinstance(density, FrozenEstimator):
            raise ValueError(
                "per_class=True fits a density for each class; a frozen one cannot be."
            )
        else:
            rows = {label: labels == label for label in np.unique(labels)}
            density = {
                label: fitted_to_class(
                    density,
                    columns.named(numbers[own], X),
                    None if weights is None else weights[own],
                    label,
                )
                for label, own in rows.items()
                if classes is None or label in classes
            }
        self.density_, self._columns, self._is_per_class = density, columns, self.per_class

    def _redraw(self, X, labels, rows: np.ndarray, random_state: np.random.RandomState):
        """Redraw each of the ``rows`` of the table X near itself, in place; return X."""
        if len(rows) == 0:
            return X
        columns = self._columns.widened(X, rows)
        if not self._is_per_class:
            return columns.put(X, rows, self._near(self.density_, X, rows, random_state))
        unknown = set(np.unique(labels[rows]).tolist()) - {*self.density_}
        if unknown:
            raise ValueError(
                f"per_class=True has no density of class {min(unknown, key=str)!r}: fit saw the "
                f"classes {[*self.density_]}."
            )
        redrawn = np.empty((len(rows), len(self._columns.positions)))
        for label, density in self.density_.items():
            own = labels[rows] == label
            if own.any():
                redrawn[own] = self._near(density, X, rows[own], random_state)
        return columns.put(X, rows, redrawn)

    def _near(self, density, X, rows: np.ndarray, random_state) -> np.ndarray:
        """Return a synthetic neighbor (len(rows), k) of each of the ``rows``."""
        part = X.iloc[rows] if is_frame(X) else X[rows]
        numbers = self._columns.take(part)
        if hasattr(density, "feature_names_in_"):  # a frozen one may know none
            numbers = self._columns.named(numbers, X)
        noise = self.noise
        if noise == "auto":
            # Rounded to integers, other than gray levels, a row that has moved a little would
            # mostly be the row itself.
            levels = getattr(density, "likelihood_", "gaussian") == "logistic"
            noise = True if self._columns.are_integers and not levels else "random_residual"
        seed = new_seed(random_state)
        try:
            return density.sample_like(numbers, 1, random_state=seed, noise=noise)[:, 0]
        except ValueError as error:
            name = type(density).__name__
            raise ValueError(f"The density {name}(...) cannot redraw rows of X: {error}") from error


def fitted(density, numbers, weights: np.ndarray | None):
    """Return a fitted clone of ``density``; a frozen one as it is."""
    density = clone(density)
    if weights is None:
        return density.fit(numbers, None)
    return density.fit(numbers, None, sample_weight=weights)


def fitted_to_class(density, numbers, weights: np.ndarray | None, label):
    """Return a fitted clone of ``density``; an error of its rows names the class."""
    try:
        return fitted(density, numbers, weights)
    except InvalidParameterError:
        raise
    except (ValueError, FloatingPointError) as error:
        kind = FloatingPointError if isinstance(error, FloatingPointError) else ValueError
        raise kind(
            f"per_class=True fits a density to each class, and that of class {label}, "
            f"{len(numbers)} row(s), failed: {error}"
        ) from error
