"""How an exemplar density comes to be fitted: what `ExemplarVAE` and `ExemplarFlow` share."""

from __future__ import annotations

import copy
import math
import warnings
from abc import ABCMeta, abstractmethod
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from .._sklearn_compat import Interval, StrOptions
from ..engine.devices import choose_device
from ..engine.initialization.left_out import InitializationRows
from ..engine.mixture import Mixture
from ..engine.training.fit import Initialization, Stopping, fit
from ..engine.training.folds import Fold, fit_by_folds
from ..engine.training.leave_one_out import duplicate_groups
from ..engine.training.loop import Schedule
from ..engine.training.rows import StoredRows, TrainingRows
from ..engine.workers import current_workers
from ..utils._rollback import rollback_on_error
from ..utils._rows import check_weights, input_dtypes, is_stored
from ._background import background_share, fit_student_tail, tail_rows
from ._base import BaseExemplarDensity
from ._column_checks import check_scales_are_finite
from ._defaults import fold_of_rows, held_out_rows
from ._degenerate_columns import warn_of_atoms
from ._fit_rows import FitRows, Split, rows_to_initialize_from, rows_with_weight
from ._resolution import Resolution, no_noise, read_resolution
from ._scaling import Unscaled, mean_log_jacobian
from ._stacking import LeftOut, as_component, fit_normals, resampled, search_stack

# Single precision has no room for the precision of a much narrower kernel.
MIN_BANDWIDTH = 1e-6
# What priors may learn that fit tells of; see their ``learned``.
PRIOR_ATTRIBUTES = ("bandwidth_", "normal_weight_")


class BaseTrainedDensity(BaseExemplarDensity, metaclass=ABCMeta):
    """An exemplar density whose model is trained by gradients, from a density estimate if it can.

    A subclass has the parameters below. It says what X is (`_read_columns`), where training starts
    (`_initialize`), how it goes on (`_schedule`) and which parameters decide a model's weights
    (`_structure`).
    """

    _parameter_constraints: dict = {
        "n_exemplars": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto", "batch"}),
            None,
        ],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "retrieval": [StrOptions({"auto", "exact", "pynndescent"})],
        "leave_one_out": ["boolean"],
        "bandwidth": [
            Interval(Real, MIN_BANDWIDTH, None, closed="left"),
            StrOptions({"loo", "scott", "silverman"}),
        ],
        "background": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "max_gaussians": [Interval(Integral, 0, None, closed="left")],
        "rtol": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def fit(self, X, y=None, sample_weight=None):
        """Fit the density to rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least two rows. Columns may have any scale, and hold any numbers that the likelihood
            of `ExemplarVAE` can have. A `numpy.memmap` of floats or integers is
            read as it is needed and never copied whole, so it may be larger than memory. If rows
            have weight zero, however, the others are copied.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows, as exemplars and in the objective. Rows of weight zero, or below
            1e-30 of the largest, are dropped.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or X is out of its range; the estimator is then left as it was.
        FloatingPointError
            If training diverged in its first epoch and there was no density estimate to keep.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` ended before early stopping did; the model is the best of its epochs.
        UserWarning
            If a column is constant, or others determine it, or many rows have one value of a column
            whose other values do not repeat: it is named. If training diverged or was interrupted;
            the model is the best until then.
        """
        # Training needs gradients, whatever the caller's code around it does without.
        with rollback_on_error(self), torch.inference_mode(False), torch.enable_grad():
            self._validate_params()
            is_warm_start = self.warm_start and hasattr(self, "_model")
            in_file = is_stored(X)
            X = validate_data(
                self,
                X,
                dtype=input_dtypes(X),
                # A frame's order of memory would round differently, and training widens that.
                order=None if in_file else "C",
                ensure_min_samples=2,
                reset=not is_warm_start,
            )
            weights = check_weights(sample_weight, X)
            n_rows, kept = len(X), rows_with_weight(weights)
            if len(kept) < n_rows:
                X, weights = X[kept], weights[kept]
            seed = self._draw_seed()
            generator = torch.Generator().manual_seed(seed)
            if is_warm_start:
                self._check_warm_start()
            else:
                self._read_columns(X)
                self._structure(X.shape[1])  # raises where parameters and X do not agree
                self._split_seed = seed
            self._check_domain(X)
            # With a seed of its own, a warm start on the same rows holds out the same of them.
            splitter = torch.Generator().manual_seed(self._split_seed)
            rows = self._divide(X, weights, seed, in_file, splitter, is_warm_start)
            if is_warm_start:
                # A copy: training writes into it, and a failed fit must leave the old one.
                self._model = copy.deepcopy(self._model).to(self.device_)
                self._prepare_warm_start(X)
                initial = Initialization(self._model, baseline=self._model)
            else:
                self._scaling = self._fitted_scaling(rows)
                scale = getattr(self._scaling, "scale", np.ones(1))
                check_scales_are_finite(scale, getattr(self, "feature_names_in_", None))
                initial = self._initialize(rows, generator)
            self._train(rows, initial, generator, splitter)
            self._score_seed = seed
            self._keep_exemplars(rows.X, rows.weights, kept, n_rows)
            for name in PRIOR_ATTRIBUTES:  # of a fit before this one
                vars(self).pop(name, None)
            vars(self).update(self._model.prior.learned())
        return self

    # ---------------------------------------------------------- for subclasses

    def _read_columns(self, X) -> None:
        """Take note of what X holds; raise a ValueError where no model can be made of it."""

    def _read_resolution(self, X, groups) -> Resolution:
        """Return the noise of values that repeat; copies of a row have equal ``groups`` (n,)."""
        return read_resolution(X, groups, np.zeros(X.shape[1], dtype=bool))

    def _starts_from_density(self) -> bool:
        """Return whether an untrained model is a density estimate."""
        return True

    @abstractmethod
    def _fitted_scaling(self, rows: FitRows) -> Unscaled:
        """Return how columns come to one scale."""

    @abstractmethod
    def _initialize(self, rows: FitRows, generator: torch.Generator) -> Initialization:
        """Return the untrained model, and the density to keep unless beaten."""

    def _prepare_warm_start(self, X) -> None:
        """Change in the model what depends on the rows X of a warm start."""

    @abstractmethod
    def _structure(self, n_features: int) -> dict:
        """Return the parameters that decide which weights a model has, as fit resolved them."""

    @abstractmethod
    def _schedule(self, n_rows: int, initial: Initialization) -> Schedule:
        """Return the plan of a training on ``n_rows`` rows."""

    # ------------------------------------------------------------------- steps of a fit

    def _draw_seed(self) -> int:
        """Set ``device_``; return the seed of everything random in this fit.

        It is one draw from the random state: a RandomState used in two fits gives two fits.
        """
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self.device_ = str(choose_device(self.device))
        return int(current_workers().broadcast(torch.tensor(seed, device=self.device_)))

    def _divide(self, X, weights, seed: int, in_file: bool, splitter, is_warm_start) -> FitRows:
        """Return the rows of the fit, some of them held out with early stopping."""
        groups = duplicate_groups(X)
        if not is_warm_start:
            self._resolution = no_noise(X.shape[1])
            if not in_file:
                self._resolution = self._read_resolution(X, groups)
            warn_of_atoms(self._resolution.atoms, getattr(self, "feature_names_in_", None))
        # Where all values of a row get noise, rows repeat because there are no others.
        if not in_file:
            groups = np.where(self._resolution.spreads_all_of(X), np.arange(len(X)), groups)
        X = self._dequantized(X, seed, in_file)
        split = None
        # A warm start would judge folds by a model that has seen all of them.
        if self.early_stopping and self._starts_from_density() and not self.warm_start:
            split = fold_of_rows(groups, splitter)
        if self.early_stopping and split is None:
            held_out = held_out_rows(groups, self.validation_fraction, splitter)
            split = None if held_out is None else np.where(held_out, 0, -1)
        return FitRows(X, weights, groups, split, in_file)

    def _initialization_rows(self, rows: FitRows, generator) -> InitializationRows:
        """Return the scaled rows that choose where training starts."""
        chosen = rows_to_initialize_from(rows.X, generator)
        return InitializationRows(
            self._to_model(rows.X[chosen].astype(np.float64)).cpu(),
            torch.from_numpy(rows.weights[chosen] / rows.weights.mean()),
            torch.from_numpy(rows.groups[chosen]),
            len(rows.X),
            background_share(self.background, len(np.unique(rows.groups))),
        )

    def _set_background(self, model, rows: FitRows, weights: np.ndarray) -> None:
        """Give ``model`` what explains rows unlike all ``rows`` of positive ``weights`` (n,)."""
        model.mixture = Mixture()
        self._n_distinct = len(np.unique(rows.groups[weights > 0]))
        self.background_weight_ = background_share(self.background, self._n_distinct)
        if self.background_weight_ > 0:
            background = self._fit_background(rows.X, weights)
            model.mixture.set_background(background, self.background_weight_)
        model.mixture.to(self.device_)

    def _fit_background(self, X, weights) -> torch.nn.Module:
        """Return a component with heavy tails for scaled rows like those of X."""
        chosen = tail_rows(weights, X.shape[1])
        rows = self._to_model(X[chosen].astype(np.float64)).cpu().numpy()
        return self._fit_tail(rows, weights[chosen])

    def _fit_tail(self, rows: np.ndarray, weights: np.ndarray) -> torch.nn.Module:
        return fit_student_tail(rows, weights)

    def _stack(self, rows: FitRows, splits: list[Split], log_model: np.ndarray, seed: int) -> None:
        """Put a Gaussian mixture beside the model if left-out rows gain by it."""

        def scaled(positions):
            return self._to_model(rows.X[positions].astype(np.float64)).cpu().numpy()

        left_out = [
            LeftOut(
                scaled(resampled(np.where(split.trained, rows.weights, 0.0), rows.X.shape[1])),
                scaled(split.judges),
            )
            for split in splits
        ]
        judges = self._to_device(np.concatenate([part.judges for part in left_out]))
        mixture = self._model.mixture

        def with_background(log_normals):
            return mixture(self._to_device(log_normals), judges).cpu().numpy()

        weights = np.concatenate([split.weights for split in splits])
        sizes = 2 ** np.arange(int(math.log2(self.max_gaussians)) + 1)
        found = search_stack(left_out, log_model, with_background, weights, sizes.tolist(), seed)
        if found is not None:
            start, share = found
            positions = resampled(rows.weights, rows.X.shape[1])
            normals = fit_normals(scaled(positions), len(start.means_), seed, start)
            if normals is not None:
                self.gaussian_mixture_weight_ = share
                mixture.set_normals(as_component(normals), share)
                mixture.to(self.device_)

    def _is_continuous(self) -> bool:
        """Return whether rows have a density, and no probabilities."""
        return True

    def _training_rows(self, rows: FitRows, device: torch.device) -> TrainingRows:
        """Return the scaled rows on the device, or what reads them from their file."""
        if rows.in_file:
            scaled = StoredRows(rows.X, self._scaling.transform, device)
        else:
            scaled = self._to_model(rows.X).float()
        weights = torch.tensor(rows.relative_weights, dtype=torch.float32, device=device)
        return TrainingRows(scaled, weights, torch.tensor(rows.groups, device=device))

    def _train(self, rows: FitRows, initial: Initialization, generator, splitter) -> None:
        """Set ``_model`` to the best of a training, and what fit tells of it."""
        device = torch.device(self.device_)
        data = self._training_rows(rows, device)
        # What brings objectives to the units of X: the mean log-Jacobian over the same rows.
        jacobian = mean_log_jacobian(self._scaling, rows.X, rows.trained_weights)
        splits, held_out_jacobian = rows.splits(splitter), jacobian
        if splits:
            judges, weights = (np.concatenate(part) for part in list(zip(*splits, strict=True))[1:])
            held_out_jacobian = mean_log_jacobian(self._scaling, rows.X[judges], weights)

        def report(epoch, bound, score):
            if self.verbose:
                line = f"[{type(self).__name__}] epoch {epoch}: bound {bound + jacobian:.4f}"
                if score is not None:
                    line = f"{line}, held out {score + held_out_jacobian:.4f}"
                print(line)

        for model in filter(None, initial):
            self._set_background(model, rows, rows.trained_weights)
        if len(splits) > 1:
            folds = [self._fold(rows, data, split, generator) for split in splits]
            schedule = self._schedule(len(data.rows), initial)
            fitted = fit_by_folds(folds, initial, data, schedule, generator, report)
        else:
            stopping = self._stopping(data, splits[0], generator) if splits else None
            if splits:
                data = data.select(torch.from_numpy(splits[0].trained).to(device))
            schedule = self._schedule(len(data.rows), initial)
            if self.early_stopping and stopping is None and self._starts_from_density():
                # With too few rows to hold some out, no gain over the estimate could be shown.
                schedule = schedule._replace(n_epochs=0)
            fitted = fit(initial, data, schedule, stopping, generator, report)
        self._model, history, held_out = fitted
        self._set_background(self._model, rows, rows.weights)
        self.gaussian_mixture_weight_ = 0.0
        if held_out is not None and self.max_gaussians > 0 and self._is_continuous():
            self._stack(rows, splits, held_out.double().cpu().numpy(), generator.initial_seed())
        self.n_components_ = self._model.n_components
        self._fitted_structure = self._structure(rows.X.shape[1])
        if not history.converged:
            warnings.warn(
                f"max_iter={self.max_iter} epochs ended before n_iter_no_change="
                f"{self.n_iter_no_change} of them passed without improvement.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.n_iter_ = len(history.bounds)
        self.loss_curve_ = [-(bound + jacobian) for bound in history.bounds]
        self.validation_scores_ = self.best_validation_score_ = None
        if splits:
            self.validation_scores_ = [s + held_out_jacobian for s in history.validation_scores]
            self.best_validation_score_ = history.best_validation_score + held_out_jacobian

    def _stopping(self, data: TrainingRows, split: Split, generator) -> Stopping:
        """Return the rows that judge a training, and when they end it."""
        device = data.weights.device
        return Stopping(
            rows=data.rows[torch.from_numpy(split.judges).to(device)],
            weights=torch.tensor(split.weights, dtype=torch.float32, device=device),
            patience=self.n_iter_no_change,
            tolerance=self.tol,
            # Not the noise of scores, by which what was chosen would score too well.
            seed=generator.initial_seed() + 1,
        )

    def _fold(self, rows: FitRows, data: TrainingRows, split: Split, generator) -> Fold:
        """Return the training of a fold, from a start that knows nothing of the rows left out."""
        trained = rows.trained_on(split)
        seed = generator.initial_seed()
        initial = self._initialize(trained, torch.Generator().manual_seed(seed))
        for model in filter(None, initial):
            self._set_background(model, trained, trained.weights)
        schedule = self._schedule(len(trained.X), initial)
        chosen = torch.from_numpy(split.trained).to(data.weights.device)
        stopping = self._stopping(data, split, generator)
        return Fold(initial, data.select(chosen), schedule, stopping)

    def _check_warm_start(self) -> None:
        """Raise a ValueError if parameters ask for another model than the one to go on from."""
        asked = self._structure(self.n_features_in_)
        for name, value in self._fitted_structure.items():
            if asked[name] != value:
                raise ValueError(
                    f"warm_start=True goes on from a model with {name}={value!r}, but {name}="
                    f"{asked[name]!r}. Use warm_start=False to start anew."
                )
