"""How an exemplar density comes to be fitted: what `ExemplarVAE` and `ExemplarFlow` share."""

from __future__ import annotations

import copy
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
from ..engine.initialization.kernel_density import InitializationRows
from ..engine.training.fit import Initialization, Stopping, fit
from ..engine.training.leave_one_out import duplicate_groups
from ..engine.training.loop import Schedule
from ..engine.training.rows import StoredRows, TrainingRows
from ..engine.workers import current_workers
from ..utils._rollback import rollback_on_error
from ..utils._rows import check_weights, input_dtypes, is_stored
from ._base import BaseExemplarDensity
from ._defaults import held_out_rows
from ._fit_rows import FitRows, rows_to_initialize_from, rows_with_weight
from ._scaling import mean_log_jacobian

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
            At least two rows. Columns may have any scale; they must have a density, or hold values
            that the likelihood of `ExemplarVAE` can have. A `numpy.memmap` of floats or integers is
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
            If training diverged or was interrupted; the model is the best until then.
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
            rows = self._divide(X, weights, seed, in_file, splitter)
            if is_warm_start:
                # A copy: training writes into it, and a failed fit must leave the old one.
                self._model = copy.deepcopy(self._model).to(self.device_)
                self._prepare_warm_start(X)
                initial = Initialization(self._model, baseline=self._model)
            else:
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

    def _duplicate_groups(self, as_given, dequantized) -> np.ndarray:
        """Return numbers (n,) that are equal for rows that are copies of each other."""
        return duplicate_groups(as_given)

    def _starts_from_density(self) -> bool:
        """Return whether an untrained model is a density estimate."""
        return True

    @abstractmethod
    def _initialize(self, rows: FitRows, generator: torch.Generator) -> Initialization:
        """Set ``_scaling``; return the untrained model, and the density to keep unless beaten."""

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

    def _divide(self, X, weights, seed: int, in_file: bool, splitter) -> FitRows:
        """Return the rows of the fit, some of them held out with early stopping."""
        as_given, X = X, self._dequantized(X, seed, in_file)
        groups = self._duplicate_groups(as_given, X)
        held_out = None
        if self.early_stopping:
            held_out = held_out_rows(groups, self.validation_fraction, splitter)
        return FitRows(X, weights, groups, held_out, in_file)

    def _initialization_rows(self, rows: FitRows, generator) -> InitializationRows:
        """Return the scaled rows that choose where training starts."""
        chosen = rows_to_initialize_from(rows.X, generator)
        return InitializationRows(
            self._to_model(rows.X[chosen].astype(np.float64)).cpu(),
            torch.from_numpy(rows.weights[chosen] / rows.weights.mean()),
            torch.from_numpy(rows.groups[chosen]),
            len(rows.X),
        )

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
        data, stopping = self._training_rows(rows, device), None
        # What brings objectives to the units of X: the mean log-Jacobian over the same rows.
        jacobian = mean_log_jacobian(self._scaling, rows.X, rows.trained_weights)
        held_out_jacobian = jacobian
        if rows.held_out is not None:
            judges, weights = rows.judges(splitter)
            held_out_jacobian = mean_log_jacobian(self._scaling, rows.X[judges], weights)
            stopping = Stopping(
                rows=data.rows[torch.from_numpy(judges).to(device)],
                weights=torch.tensor(weights, dtype=torch.float32, device=device),
                patience=self.n_iter_no_change,
                tolerance=self.tol,
                # Not the noise of scores, by which what was chosen would score too well.
                seed=generator.initial_seed() + 1,
            )
            data = data.select(torch.tensor(~rows.held_out, device=device))
        schedule = self._schedule(len(data.rows), initial)
        if self.early_stopping and stopping is None and self._starts_from_density():
            # With too few rows to hold some out, no gain over the estimate could be shown.
            schedule = schedule._replace(n_epochs=0)

        def report(epoch, bound, score):
            if self.verbose:
                line = f"[{type(self).__name__}] epoch {epoch}: bound {bound + jacobian:.4f}"
                if score is not None:
                    line = f"{line}, held out {score + held_out_jacobian:.4f}"
                print(line)

        self._model, history = fit(initial, data, schedule, stopping, generator, report)
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
        if stopping is not None:
            self.validation_scores_ = [s + held_out_jacobian for s in history.validation_scores]
            self.best_validation_score_ = history.best_validation_score + held_out_jacobian

    def _check_warm_start(self) -> None:
        """Raise a ValueError if parameters ask for another model than the one to go on from."""
        asked = self._structure(self.n_features_in_)
        for name, value in self._fitted_structure.items():
            if asked[name] != value:
                raise ValueError(
                    f"warm_start=True goes on from a model with {name}={value!r}, but {name}="
                    f"{asked[name]!r}. Use warm_start=False to start anew."
                )
