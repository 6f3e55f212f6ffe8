"""What every exemplar density shares: scaling, scores, samples, retrieval, persistence.

A row travels one way: validate, scale, encode, score or sample, unscale. A subclass supplies `fit`,
which ends in `_keep_exemplars`.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from numbers import Integral

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .engine.devices import choose_device
from .engine.model import ExemplarModel
from .engine.priors import Exemplars
from .engine.scoring import encode, importance_noise, log_density

FLOAT_DTYPES = (np.float64, np.float32)
# Rows that are scaled, moved to the device and back at a time.
ROWS_AT_A_TIME = 8192


class BaseExemplarDensity(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator
):
    """A density over rows whose state is a model and the codes of its exemplars.

    A subclass's fit sets ``_model``, an `ExemplarModel` of float32 weights; ``_scaler``, a fitted
    StandardScaler or None; ``_score_seed``; ``device_``; ``n_components_``. `_keep_exemplars` sets
    ``_exemplars``, codes and log-weights in the dtype of the X of fit; ``_exemplar_rows``, for
    every exemplar its row in the X of fit (and of `extend_exemplars` after that).
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ---------------------------------------------------------------- densities

    def score_samples(self, X):
        """Compute the log-density of each row under the model.

        An importance-weighted estimate with ``n_importance_samples`` samples (Burda et al. 2016),
        in expectation a lower bound that rises with their number. The noise is drawn from a seed
        kept at fit and shared by all rows: a row's score is always the same, whatever its company.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of fit.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Natural logarithm of the density in the units of X (nats), in the dtype of X. Densities
            are normalised, so values for wide rows are low.

        Raises
        ------
        ValueError
            If X has another number of columns than in fit, or values the likelihood cannot have.
        """
        X = self._check_rows(X)
        self._check_count("n_importance_samples", self.n_importance_samples)
        model, exemplars = self._model_as(X.dtype)
        noise = importance_noise(
            self.n_importance_samples, exemplars.codes.shape[1], self._score_seed
        )
        log_densities = np.empty(len(X), dtype=X.dtype)
        for part in gen_batches(len(X), ROWS_AT_A_TIME):
            rows = self._to_model(X[part])
            log_densities[part] = log_density(model, rows, exemplars, noise).cpu().numpy()
        return log_densities + self._log_jacobian()

    def score(self, X, y=None):
        """Compute the total log-likelihood of rows, as `KernelDensity` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        log_likelihood : float
            The sum of `score_samples`, in nats.
        """
        return float(np.sum(self.score_samples(X), dtype=np.float64))

    # ------------------------------------------------------------------ samples

    def sample(self, n_samples=1, random_state=None):
        """Draw rows from the model: an exemplar, a code near its code, a row from the code.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        self._check_count("n_samples", n_samples)
        generator = self._generator(random_state)
        model, exemplars = self._model_as(np.float32)
        parts = [
            self._from_model(model.sample(exemplars, size, generator))
            for size in _sizes(n_samples, ROWS_AT_A_TIME)
        ]
        return np.concatenate(parts)

    def sample_like(self, X, n_samples=1, random_state=None):
        """Draw rows near given rows, each row of X being its own exemplar.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows to sample near; they need not have been in fit.
        n_samples : int, default=1
            Draws for each row.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        samples : ndarray of shape (n, n_samples, n_features)
        """
        X = self._check_rows(X)
        self._check_count("n_samples", n_samples)
        generator = self._generator(random_state)
        samples = np.empty((len(X), n_samples, X.shape[1]), dtype=self._dtype())
        for part in gen_batches(len(X), max(1, ROWS_AT_A_TIME // n_samples)):
            rows = self._to_model(X[part]).float()
            drawn = self._model.sample_near(rows, n_samples, generator)
            flat = self._from_model(drawn.flatten(0, 1))
            samples[part] = flat.reshape(-1, n_samples, X.shape[1])
        return samples

    # -------------------------------------------------------------------- codes

    def transform(self, X):
        """Encode rows: the mean of q(z | x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            In the dtype of X.
        """
        X = self._check_rows(X)
        return self._encode(X).cpu().numpy()

    def inverse_transform(self, X):
        """Decode codes: the mean of p(x | z).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, such as `transform` returns.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)

        Raises
        ------
        ValueError
            If X has another number of columns than the codes have.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=FLOAT_DTYPES)
        if codes.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {codes.shape[1]} columns, but the codes of {type(self).__name__} have "
                f"n_components_={self.n_components_}."
            )
        model, _ = self._model_as(codes.dtype)
        rows = np.empty((len(codes), self.n_features_in_), dtype=codes.dtype)
        for part in gen_batches(len(codes), ROWS_AT_A_TIME):
            with torch.no_grad():
                outputs = model.network.decode(self._to_device(codes[part]))
                rows[part] = self._unscale(model.likelihood.mean(outputs).cpu().numpy())
        return rows

    def kneighbors(self, X=None, n_neighbors=5, return_distance=True):
        """Find the nearest exemplars of rows, by Euclidean distance between codes.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features) or None, default=None
            None asks for every exemplar's neighbours, itself left out.
        n_neighbors : int, default=5
        return_distance : bool, default=True

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Only if ``return_distance``.
        indices : ndarray of shape (n_queries, n_neighbors)
            Rows of the X of fit, followed by those of each `extend_exemplars`.
        """
        check_is_fitted(self)
        self._check_count("n_neighbors", n_neighbors)
        codes = self._exemplars.codes.cpu().numpy()
        queries = None if X is None else self._encode(self._check_rows(X)).cpu().numpy()
        index = NearestNeighbors(n_neighbors=n_neighbors).fit(codes)
        distances, positions = index.kneighbors(queries)
        indices = self._exemplar_rows[positions]
        return (distances, indices) if return_distance else indices

    def extend_exemplars(self, X, sample_weight=None):
        """Add exemplars without training: the non-parametric half of the model learns at once.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,) or None, default=None
            On the scale of the weights of fit, where None was one a row.

        Returns
        -------
        self : object
        """
        X = self._check_rows(X)
        weights = self._check_weights(sample_weight, X)
        kept = weights > 0
        added = self._make_exemplars(X[kept], weights[kept], self._exemplars.codes.dtype)
        rows = self._n_rows_seen + np.flatnonzero(kept)
        self._exemplars = Exemplars(
            *(torch.cat(pair) for pair in zip(self._exemplars, added, strict=True))
        )
        self._exemplar_rows = np.concatenate([self._exemplar_rows, rows])
        self._n_rows_seen += len(X)
        self.n_exemplars_ = len(self._exemplar_rows)
        return self

    # ---------------------------------------------------------- for subclasses

    @property
    def _n_features_out(self):
        return self.n_components_

    @contextmanager
    def _all_or_nothing(self):
        """A failed fit leaves the estimator as it was."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_weights(self, sample_weight, X) -> np.ndarray:
        """Weights (n,), float64, not negative and not all zero."""
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if np.any(weights < 0):
            raise ValueError(
                f"sample_weight must not be negative, got a smallest value of {weights.min()}."
            )
        if not np.any(weights > 0):
            raise ValueError("sample_weight is zero for every row, so there is no exemplar.")
        return weights

    def _check_domain(self, X) -> None:
        """Raise a ValueError if X holds values the density cannot have."""

    def _make_exemplars(self, X, weights, dtype: torch.dtype) -> Exemplars:
        codes = self._encode(X).to(dtype)
        return Exemplars(codes, self._to_device(np.log(weights)).to(dtype))

    def _keep_exemplars(self, X, weights, rows, n_rows: int) -> None:
        """Make X the exemplars: the ``rows`` of positive weight among ``n_rows`` of fit."""
        self._exemplars = self._make_exemplars(X, weights, _torch_dtype(X.dtype))
        self._exemplar_rows, self._n_rows_seen = rows, n_rows
        self.n_exemplars_ = len(rows)

    @staticmethod
    def _check_count(name: str, value) -> None:
        constraint = {name: [Interval(Integral, 1, None, closed="left")]}
        validate_parameter_constraints(constraint, {name: value}, caller_name="this method")

    # ---------------------------------------------------------------- the way of a row

    def _check_rows(self, X) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOAT_DTYPES, reset=False)
        self._check_domain(X)
        return X

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        # A copy: torch warns of read-only memory, and the caller's array stays the caller's.
        return torch.tensor(np.ascontiguousarray(array), device=self.device_)

    def _to_model(self, X: np.ndarray) -> torch.Tensor:
        """Standardised rows on the device, in the dtype of X."""
        if self._scaler is None:
            return self._to_device(X)
        standardised = (X - self._scaler.mean_) / self._scaler.scale_
        return self._to_device(standardised.astype(X.dtype, copy=False))

    def _unscale(self, rows: np.ndarray) -> np.ndarray:
        if self._scaler is None:
            return rows
        return rows * self._scaler.scale_ + self._scaler.mean_

    def _from_model(self, rows: torch.Tensor) -> np.ndarray:
        return self._unscale(rows.cpu().numpy().astype(np.float64)).astype(self._dtype())

    def _log_jacobian(self) -> float:
        """log |d standardised / d X|: what makes log-densities the user's."""
        return 0.0 if self._scaler is None else -float(np.log(self._scaler.scale_).sum())

    def _encode(self, X: np.ndarray) -> torch.Tensor:
        model = copy.deepcopy(self._model).to(_torch_dtype(X.dtype))
        parts = [
            encode(model, self._to_model(X[part])) for part in gen_batches(len(X), ROWS_AT_A_TIME)
        ]
        return torch.cat(parts)

    # ------------------------------------------------------------ dtype and device

    def _dtype(self) -> np.dtype:
        """That of the X of fit, in which exemplars are kept and samples returned."""
        return np.dtype(str(self._exemplars.codes.dtype).removeprefix("torch."))

    def _model_as(self, dtype) -> tuple[ExemplarModel, Exemplars]:
        """Model and exemplars for arithmetic in the dtype of the rows asked about."""
        dtype = _torch_dtype(dtype)
        exemplars = Exemplars(*(tensor.to(dtype) for tensor in self._exemplars))
        return copy.deepcopy(self._model).to(dtype), exemplars

    def _generator(self, random_state) -> torch.Generator:
        seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
        return torch.Generator(self.device_).manual_seed(int(seed))

    def __getstate__(self):
        state = super().__getstate__()
        if "_model" in state:
            state["_model"] = copy.deepcopy(state["_model"]).cpu()
            state["_exemplars"] = Exemplars(*(tensor.cpu() for tensor in state["_exemplars"]))
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "_model" in state:
            try:
                self.device_ = str(choose_device(self.device_))
            except ValueError:  # fitted on CUDA, loaded where there is none
                self.device_ = "cpu"
            self._model = self._model.to(self.device_)
            self._exemplars = Exemplars(*(t.to(self.device_) for t in self._exemplars))


def _sizes(total: int, at_most: int):
    """``total`` in parts of ``at_most``."""
    return [part.stop - part.start for part in gen_batches(total, at_most)]


def _torch_dtype(dtype) -> torch.dtype:
    return torch.float32 if dtype == np.float32 else torch.float64
