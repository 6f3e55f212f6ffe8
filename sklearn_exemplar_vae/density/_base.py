"""What every fitted exemplar density does: scores, samples, codes, retrieval.

A row travels one way: validate, scale, encode, score or sample, unscale. How a density comes to be
fitted is in `_fitting`, how it is saved in `_pickling`.
"""

from __future__ import annotations

import copy
from functools import partial
from numbers import Integral

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from .._sklearn_compat import Interval, StrOptions, validate_parameter_constraints
from ..engine.importance.cells import Cells, CellsWithin
from ..engine.importance.estimate import ImportanceSampling
from ..engine.importance.proposals import Exemplars
from ..engine.model import RESIDUAL_NOISES
from ..engine.retrieval import ApproximateRetrieval, ExactRetrieval, leave_self_out
from ..engine.scoring import encode, log_density
from ..engine.training.leave_one_out import duplicate_groups
from ..utils._rows import (
    FLOAT_DTYPES,
    ROWS_AT_A_TIME,
    check_weights,
    float_dtype,
    input_dtypes,
    is_stored,
    over_draws,
    over_rows,
    torch_dtype,
)
from ._background import background_share
from ._pickling import PortableState

# Neighbors of an exemplar that an approximate index keeps: pynndescent's own default.
INDEX_NEIGHBORS = 30
# Rows further out than this many standard deviations are taken to be there: a dtype cannot hold the
# squares of much more, over the variances of kernels.
FURTHEST = {torch.float32: 1e12, torch.float64: 1e120}


class BaseExemplarDensity(
    PortableState, ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator
):
    """A density over rows whose state is a model and the codes of its exemplars.

    Fit sets ``_model``, an `ExemplarModel` or a `FlowModel` of float32 weights; ``_scaling``, see
    the module of that name; ``_score_seed``; ``device_``; ``n_components_``.
    `_keep_exemplars` sets ``_dtype``, that of the X of fit, in which samples are returned;
    ``_exemplars``, codes and log-weights in it; and ``_exemplar_rows``, for every exemplar its row
    in the X of fit (and of `extend_exemplars` after that).
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ---------------------------------------------------------------- densities

    def score_samples(self, X):
        """Compute the log-density of each row under the model.

        A row always gets the same score, up to rounding, whatever the other rows. The score of
        `ExemplarFlow` is exact. That of `ExemplarVAE` is estimated with noise from a seed kept at
        fit and shared by all rows (see its ``n_importance_samples``).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of fit.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Natural logarithm of the density in the units of X (nats), in the dtype of X. Densities
            are normalized, so values for wide rows are low.

        Raises
        ------
        ValueError
            If X has another number of columns than in fit, or values that it cannot have. For
            `ExemplarFlow` these values have density zero.
        """
        X = self._check_rows(X, is_scored=True)
        for name in self._scoring_params:
            self._check(name, getattr(self, name), self._parameter_constraints[name])
        dtype, cells = torch_dtype(float_dtype(X)), None
        exemplars = self._exemplars.to(dtype)
        if self.rtol > 0 and self._model.prior.needs_exemplars:
            cells = self._cached(f"cells {dtype}", Cells, exemplars, self._score_seed)
            cells = CellsWithin(cells, self.rtol)
        # With cells the parts need no other exemplars: they may go to other processes.
        kept = exemplars if cells is None else None
        density = self._with(_model=self._model_in(dtype), _exemplars=kept)
        return np.concatenate(over_rows(partial(density._score_part, cells=cells), X))

    def _score_part(self, X, cells: CellsWithin | None) -> np.ndarray:
        rows, sampling = self._to_model(X), self._importance_sampling()
        exemplars = self._exemplars if cells is None else cells
        log_densities = log_density(self._model, rows, exemplars, sampling)
        return log_densities.cpu().numpy() + self._scaling.log_jacobian(X)

    def _importance_sampling(self) -> ImportanceSampling:
        """Return how scores are estimated; an exact density has no use for it."""
        return ImportanceSampling(1, self._score_seed)

    def score(self, X, y=None):
        """Compute the total log-likelihood of rows, as `KernelDensity` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of fit.
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

        Under a "gaussian" or "vamp" prior the code is drawn from that prior. A Gaussian mixture
        beside the model has its share of the rows; the background has none.

        Parameters
        ----------
        n_samples : int, default=1
            Rows to draw.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows in the units of fit. Under a bernoulli likelihood, where the rows of fit were
            between 0 and 1, they are probabilities of a one, as those rows were.
        """
        check_is_fitted(self)
        self._check_count("n_samples", n_samples)
        density = self._with(_exemplars=self._exemplars.to(torch.float32))
        generator = self._generator(random_state)
        return np.concatenate(over_draws(density._sample_part, n_samples, generator))

    def _sample_part(self, n_samples: int, seed: int) -> np.ndarray:
        generator = self._generator(seed)
        draw = partial(self._model.sample, self._exemplars)
        return self._from_model(self._model.mixture.sample(draw, n_samples, generator))

    def sample_like(self, X, n_samples=1, random_state=None, *, noise=True):
        """Draw rows near given rows, each row of X being its own exemplar.

        Under a "gaussian" or "vamp" prior, which has no kernel at a row, the codes are drawn from
        q(z | x).

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows to sample near; they need not have been in fit.
        n_samples : int, default=1
            Draws for each row.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws.
        noise : bool, "residual" or "random_residual", default=True
            True draws a row from p(x | z). False takes its mean at the code z drawn: an image
            without grain, which is what the paper augments with. "residual" adds the reconstruction
            residual of the row of X, x - decode(encode(x)), to that mean, within the range of the
            likelihood: the row moves as the decoder does and keeps what the decoder does not know.
            "random_residual" adds a part of the residual, uniform in [0, 1] for every draw. A flow
            has no such choice. For probabilities of a one (bernoulli, X in fit not only zeros and
            ones) True is the mean too.

        Returns
        -------
        samples : ndarray of shape (n, n_samples, n_features)
            Rows near each row of X, in the units of X.

        Raises
        ------
        ValueError
            If X has another number of columns than in fit, or values it cannot have; for a flow
            with ``prior="gaussian"``, which has no kernel at a row.
        """
        X = self._check_rows(X)
        self._check_count("n_samples", n_samples)
        self._check("noise", noise, ["boolean", StrOptions(set(RESIDUAL_NOISES))])
        noise = noise if isinstance(noise, str) else bool(noise)
        generator = self._generator(random_state)
        samples = np.empty((len(X), n_samples, X.shape[1]), dtype=self._dtype)
        for part in gen_batches(len(X), max(1, ROWS_AT_A_TIME // n_samples)):
            rows = self._to_model(X[part], np.float32)
            draw = partial(self._sample_near, rows, noise)
            start = 0
            for drawn in over_draws(draw, n_samples, generator):
                samples[part, start : start + drawn.shape[1]] = drawn
                start += drawn.shape[1]
        return samples

    def _sample_near(self, rows: torch.Tensor, noise, n_samples: int, seed: int):
        drawn = self._model.sample_near(rows, n_samples, noise, self._generator(seed))
        is_drawn = noise is True or not self._model.has_means
        drawn = self._from_model(drawn.flatten(0, 1), is_drawn)
        return drawn.reshape(len(rows), n_samples, -1)

    # -------------------------------------------------------------------- codes

    def transform(self, X):
        """Encode rows: the mean of q(z | x), or for a flow f(x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of fit.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            The codes, in the dtype of X.

        Raises
        ------
        ValueError
            If X has another number of columns than in fit, or values it cannot have.
        """
        X = self._check_rows(X)
        return self._encode(X).cpu().numpy()

    def inverse_transform(self, X):
        """Decode codes: the mean of p(x | z), or for a flow the row that has the code.

        With two levels of codes the lower one is at its mean. With gray levels the result is the
        center of the logistic distribution, which is no integer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, such as `transform` returns.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
            Rows in the units of fit.

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
        model = self._model_in(torch_dtype(codes.dtype))
        rows = np.empty((len(codes), self.n_features_in_), dtype=codes.dtype)
        for part in gen_batches(len(codes), ROWS_AT_A_TIME):
            with torch.no_grad():
                decoded = model.decode(self._to_device(codes[part])).cpu().numpy()
            decoded = self._scaling.inverse_transform(decoded, is_drawn=False)
            rows[part] = self._scaling.brought_inside(decoded.astype(codes.dtype))
        return self._resolution.with_constants(rows)

    def kneighbors(self, X=None, n_neighbors=5, return_distance=True):
        """Find the nearest exemplars of rows, by Euclidean distance between codes.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features) or None, default=None
            Rows in the units of fit. None asks for every exemplar's neighbors, itself left out.
        n_neighbors : int, default=5
            Exemplars to find for each row.
        return_distance : bool, default=True
            Whether to return the distances too.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Distances between codes, ascending. Only if ``return_distance``.
        indices : ndarray of shape (n_queries, n_neighbors)
            Rows of the X of fit, followed by those of each `extend_exemplars`.

        Raises
        ------
        ValueError
            If ``n_neighbors`` is more than there are exemplars, or X is not as in fit.
        """
        check_is_fitted(self)
        self._check_count("n_neighbors", n_neighbors)
        self._check("retrieval", self.retrieval, self._parameter_constraints["retrieval"])
        leaves_out = X is None  # an exemplar is not its own neighbor
        codes = self._exemplars.codes
        if n_neighbors > len(codes) - leaves_out:
            raise ValueError(
                f"n_neighbors={n_neighbors} must be at most the number of exemplars to choose "
                f"from, {len(codes) - leaves_out}."
            )
        queries = codes if leaves_out else self._codes_to_compare(self._check_rows(X), codes.dtype)
        distances, positions = self._retrieval().query(queries, n_neighbors + leaves_out)
        if leaves_out:
            distances, positions = leave_self_out(distances, positions)
        distances, indices = distances.cpu().numpy(), self._exemplar_rows[positions.cpu().numpy()]
        return (distances, indices) if return_distance else indices

    def _retrieval(self) -> ExactRetrieval | ApproximateRetrieval:
        """Return what finds the nearest exemplars."""
        codes = self._exemplars.codes
        if self.retrieval == "pynndescent":
            return self._cached(
                "pynndescent", ApproximateRetrieval, codes, INDEX_NEIGHBORS, self._score_seed
            )
        return self._cached("exact", ExactRetrieval, codes)

    def extend_exemplars(self, X, sample_weight=None):
        """Add exemplars without training: the non-parametric half of the model learns at once.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of fit.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows, on the scale of the weights of fit, where None was one a row.

        Returns
        -------
        self : object
            The estimator, with more exemplars.

        Raises
        ------
        ValueError
            If X has another number of columns than in fit, or values it cannot have, or if a weight
            is negative or all are zero.
        """
        in_file = is_stored(X)
        X = self._check_rows(X)
        weights = check_weights(sample_weight, X)
        n_distinct = len(np.unique(duplicate_groups(X[weights > 0])))
        X = self._dequantized(X, self._score_seed + self._n_rows_seen, in_file)
        kept = np.flatnonzero(weights > 0)
        rows, n_rows_seen = self._n_rows_seen + kept, self._n_rows_seen + len(X)
        if len(kept) < len(X):
            X, weights = X[kept], weights[kept]
        added = self._make_exemplars(X, weights, self._exemplars.codes.dtype)
        exemplars = Exemplars(
            *(torch.cat(pair) for pair in zip(self._exemplars, added, strict=True))
        )
        rows = np.concatenate([self._exemplar_rows, rows])
        self._exemplars, self._exemplar_rows, self._n_rows_seen = exemplars, rows, n_rows_seen
        self.n_exemplars_ = len(rows)
        self._n_distinct += n_distinct
        if self._model.mixture.background is not None and self.background == "auto":
            self.background_weight_ = background_share(self.background, self._n_distinct)
            self._model.mixture.background_share.fill_(self.background_weight_)
        vars(self).pop("_cache", None)
        return self

    # ---------------------------------------------------------- for subclasses

    @property
    def _n_features_out(self):
        return self.n_components_

    _scoring_params: tuple[str, ...] = ("rtol",)  # parameters of scores, which may change after fit

    def _check_domain(self, X, is_scored: bool = False) -> None:
        """Raise a ValueError if X holds values that the density, or scores of it, cannot have."""

    def _dequantized(self, X: np.ndarray, seed: int, in_file: bool) -> np.ndarray:
        """Return rows that are to be exemplars, with noise where values of X repeat."""
        if in_file or self._resolution.is_none:
            return X
        return self._resolution.dequantized(X, *self._bounds(), seed)

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what values are strictly between, (D,) each."""
        unbounded = np.full(self.n_features_in_, np.inf)
        return -unbounded, unbounded

    # ---------------------------------------------------------------- exemplars

    def _make_exemplars(self, X, weights, dtype: torch.dtype) -> Exemplars:
        codes = self._codes_to_compare(X, dtype)
        return Exemplars(codes, self._to_device(np.log(weights)).to(dtype))

    def _codes_to_compare(self, X, dtype: torch.dtype) -> torch.Tensor:
        """Return codes (n, d) whose distances single precision can hold, for rows scored in it."""
        furthest = FURTHEST[torch.float32]
        return self._encode(X).clamp_(-furthest, furthest).to(dtype)

    def _keep_exemplars(self, X, weights, rows, n_rows: int) -> None:
        """Make X the exemplars: the ``rows`` of positive weight among ``n_rows`` of fit."""
        self._dtype = float_dtype(X)
        self._exemplars = self._make_exemplars(X, weights, torch_dtype(self._dtype))
        vars(self).pop("_cache", None)
        self._exemplar_rows, self._n_rows_seen = rows, n_rows
        self.n_exemplars_ = len(rows)

    def _cached(self, name: str, make, *arguments):
        """Return what is made from the exemplars when first asked for, and kept while they last."""
        cache = vars(self).setdefault("_cache", {})
        if name not in cache:
            cache[name] = make(*arguments)
        return cache[name]

    # ---------------------------------------------------------------- the way of a row

    def _check_count(self, name: str, value) -> None:
        self._check(name, value, [Interval(Integral, 1, None, closed="left")])

    @staticmethod
    def _check(name: str, value, constraints: list) -> None:
        validate_parameter_constraints(
            {name: constraints}, {name: value}, caller_name="this method"
        )

    def _check_rows(self, X, is_scored: bool = False) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=input_dtypes(X), reset=False)
        self._check_domain(X, is_scored)
        return X

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        # A copy: torch warns of read-only memory, and the caller's array stays the caller's.
        return torch.tensor(np.ascontiguousarray(array), device=self.device_)

    def _to_model(self, X: np.ndarray, dtype=None) -> torch.Tensor:
        """Return scaled rows on the device; None is the dtype of X if that is a float's."""
        with np.errstate(over="ignore"):
            rows = self._scaling.transform(X).astype(dtype or float_dtype(X), copy=False)
        rows = self._to_device(rows)
        return rows.clamp_(-FURTHEST[rows.dtype], FURTHEST[rows.dtype])

    def _from_model(self, rows: torch.Tensor, is_drawn: bool = True) -> np.ndarray:
        rows = self._scaling.inverse_transform(rows.cpu().numpy(), is_drawn)
        rows = self._scaling.brought_inside(rows.astype(self._dtype, copy=False))
        return self._resolution.with_constants(rows)

    def _encode(self, X: np.ndarray) -> torch.Tensor:
        density = self._with(_model=self._model_in(torch_dtype(float_dtype(X))), _exemplars=None)
        return torch.cat(over_rows(density._encode_part, X))

    def _encode_part(self, X) -> torch.Tensor:
        return encode(self._model, self._to_model(X))

    # ------------------------------------------------------------ dtype and device

    def _model_in(self, dtype: torch.dtype):
        """Return the model for arithmetic in ``dtype``, a copy unless that is its own."""
        if dtype == torch.float32:
            return self._model
        return copy.deepcopy(self._model).to(dtype)

    def _with(self, **state) -> BaseExemplarDensity:
        """Return this density with other attributes, for one call's parts; None takes one away."""
        density = object.__new__(type(self))
        kept = {name: value for name, value in vars(self).items() if name not in state}
        vars(density).update(kept)
        vars(density).update({name: value for name, value in state.items() if value is not None})
        return density

    def _generator(self, random_state) -> torch.Generator:
        seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
        return torch.Generator(self.device_).manual_seed(int(seed))
