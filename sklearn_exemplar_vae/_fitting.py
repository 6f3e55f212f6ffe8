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
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from ._all_or_nothing import all_or_nothing
from ._base import BaseExemplarDensity
from ._plan import held_out_rows
from ._rows import check_weights, input_dtypes, is_stored, rows_to_start_from
from ._scaling import mean_log_jacobian
from .engine.devices import choose_device
from .engine.early_stopping import Stopping, fit
from .engine.flow import FlowModel
from .engine.leave_one_out import duplicate_groups
from .engine.model import ExemplarModel
from .engine.training import Schedule
from .engine.training_rows import StoredRows, TrainingRows
from .engine.workers import current_workers

# Twice the decoder's floor: a kernel of less could not be split between code and row.
MIN_BANDWIDTH = 2e-3
# Of the largest weight: what is below would be zero in single precision.
NEGLIGIBLE_WEIGHT = 1e-30


class BaseTrainedDensity(BaseExemplarDensity, metaclass=ABCMeta):
    """An exemplar density whose model is trained by gradients, from a density estimate if it can.

    A subclass has the parameters below, and says what an untrained model is (`_start`), which
    parameters decide its weights (`_structure`) and how it is trained (`_training_settings`).
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
            At least two rows, of columns of any scale that have a density, or of values that the
            likelihood of `ExemplarVAE` can have. A `numpy.memmap`, of floats or integers, is read
            as it is needed and never copied whole, so that it may be larger than memory (unless
            rows have weight zero: the others are then copied).
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the rows, as exemplars and in the objective. Rows of weight zero, or below
            1e-30 of the largest, are dropped.

        Returns
        -------
        self : object

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
        with all_or_nothing(self), torch.inference_mode(False), torch.enable_grad():
            self._validate_params()
            goes_on = self.warm_start and hasattr(self, "_model")
            in_file = is_stored(X)
            X = validate_data(
                self,
                X,
                dtype=input_dtypes(X),
                # A frame's order of memory would round differently, and training widens that.
                order=None if in_file else "C",
                ensure_min_samples=2,
                reset=not goes_on,
            )
            weights = check_weights(sample_weight, X)
            n_rows, kept = len(X), np.flatnonzero(weights > NEGLIGIBLE_WEIGHT * weights.max())
            if len(kept) < 2:
                raise ValueError(
                    f"sample_weight must be positive, and above {NEGLIGIBLE_WEIGHT} of the "
                    "largest, for at least two rows; it is for one."
                )
            if len(kept) < n_rows:
                X, weights = X[kept], weights[kept]
            # One draw from the random state: a RandomState used in two fits gives two fits.
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
            self.device_ = str(choose_device(self.device))
            seed = int(current_workers().agree(torch.tensor(seed, device=self.device_)))
            generator = torch.Generator().manual_seed(seed)
            self._structure(X.shape[1])  # raises where parameters and X do not agree
            if goes_on:
                self._check_warm_start()
                self._check_domain(X)
            else:
                self._check_new(X)
                self._split_seed = seed
            as_given, X = X, self._dequantised(X, seed, in_file)
            groups = self._duplicate_groups(as_given, X)
            held_out = None
            # Of its own seed, so that a warm start with the same rows holds out the same of them.
            splitter = torch.Generator().manual_seed(self._split_seed)
            if self.early_stopping:
                held_out = held_out_rows(groups, self.validation_fraction, splitter)
            if goes_on:
                # A copy: training writes into it, and a failed fit must leave the old one.
                self._model = copy.deepcopy(self._model).to(self.device_)
                self._go_on(X)
                floor = self._model
            else:
                floor = self._start(X, weights, groups, held_out, generator, in_file)
            self._train(X, weights, groups, held_out, splitter, generator, floor, in_file)
            self._score_seed = seed
            self._keep_exemplars(X, weights, kept, n_rows)
            for name, value in self._prior_attributes().items():
                vars(self).pop(name, None)  # of a fit before this one
                if value is not None:
                    setattr(self, name, value)
        return self

    def _prior_attributes(self) -> dict[str, float | None]:
        """What the prior has learned, by the attribute it is to be; None where it has no such."""
        prior = self._model.prior
        return {"bandwidth_": prior.log_bandwidth.exp().item() if prior.needs_exemplars else None}

    def _duplicate_groups(self, as_given, dequantised) -> np.ndarray:
        """Equal for rows, (n,), that are copies of each other, and no exemplars of each other."""
        return duplicate_groups(as_given)

    def _check_new(self, X) -> None:
        """Raise a ValueError where no model can be made of X."""

    def _go_on(self, X) -> None:
        """What a warm start changes in the model for the rows X."""

    @abstractmethod
    def _start(
        self, X, weights, groups, held_out, generator, in_file
    ) -> ExemplarModel | FlowModel | None:
        """Set ``_model``, untrained, and ``_scaling``; the density to keep unless it is beaten."""

    @abstractmethod
    def _structure(self, n_features: int) -> dict:
        """The parameters that decide which weights a model has."""

    def _has_start(self) -> bool:
        """Whether an untrained model is a density estimate."""
        return True

    def _resolved_structure(self, n_features: int) -> dict:
        """`_structure` with what fit chose where a parameter leaves it the choice."""
        return self._structure(n_features)

    @abstractmethod
    def _training_settings(self, n_rows: int, device: torch.device, floor) -> dict:
        """What of a `Schedule` a subclass decides."""

    def _rows_to_start_from(self, X, weights, groups, generator):
        """Scaled rows, weights and groups that choose where training starts."""
        rows = rows_to_start_from(X, generator)
        return (
            self._to_model(X[rows].astype(np.float64)).cpu(),
            torch.from_numpy(weights[rows] / weights.mean()),
            torch.from_numpy(groups[rows]),
        )

    def _train(self, X, weights, groups, held_out, splitter, generator, floor, in_file) -> None:
        device = torch.device(self.device_)
        if in_file:
            rows = StoredRows(X, self._scaling.transform, device)
        else:
            rows = self._to_model(X).float()
        # Mean one, so that a step size means the same for all scales of weights.
        data = TrainingRows(
            rows,
            torch.tensor(weights / weights.mean(), dtype=torch.float32, device=device),
            torch.tensor(groups, device=device),
        )
        stopping = None
        if held_out is not None:
            chosen, held_out_weights = without_copies(held_out, groups, weights / weights.mean())
            # In random order: the first of them choose the bandwidth.
            order = torch.randperm(len(chosen), generator=splitter).numpy()
            chosen, held_out_weights = chosen[order], held_out_weights[order]
            stopping = Stopping(
                rows=rows[torch.from_numpy(chosen).to(device)],
                weights=torch.tensor(held_out_weights, dtype=torch.float32, device=device),
                patience=self.n_iter_no_change,
                tolerance=self.tol,
                # Not the noise of scores, by which what was chosen would score too well.
                seed=generator.initial_seed() + 1,
            )
            data = data.select(torch.tensor(~held_out, device=device))
        # With too few rows to hold some out, no gain over a density estimate could be shown.
        unjudged = self.early_stopping and stopping is None and self._has_start()
        settings = self._training_settings(len(data.rows), device, floor)
        schedule = Schedule(
            n_epochs=0 if unjudged else self.max_iter,
            learning_rate=self.learning_rate_init,
            leave_one_out=self.leave_one_out,
            **settings,
        )
        # What brings the bounds to the units of X: its mean over the rows that they are means of.
        # (It knows nothing of rows that have no bound, whose every exemplar is a copy.)
        trained = weights if held_out is None else np.where(held_out, 0.0, weights)
        jacobian = held_out_jacobian = mean_log_jacobian(self._scaling, X, trained)
        if stopping is not None:
            held_out_jacobian = mean_log_jacobian(self._scaling, X[chosen], held_out_weights)

        def report(epoch, bound, score):
            if self.verbose:
                line = f"[{type(self).__name__}] epoch {epoch}: bound {bound + jacobian:.4f}"
                if score is not None:
                    line = f"{line}, held out {score + held_out_jacobian:.4f}"
                print(line)

        self._model, history = fit(self._model, data, schedule, stopping, floor, generator, report)
        self.n_components_ = self._model.n_components
        self._fitted_structure = self._resolved_structure(X.shape[1])
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
        asked = self._resolved_structure(self.n_features_in_)
        for name, value in self._fitted_structure.items():
            if asked[name] != value:
                raise ValueError(
                    f"warm_start=True goes on from a model with {name}={value!r}, but {name}="
                    f"{asked[name]!r}. Use warm_start=False to start anew."
                )


def without_copies(held_out: np.ndarray, groups: np.ndarray, weights: np.ndarray):
    """Indices of one row of each group that is held out, and the weights of the groups."""
    rows = np.flatnonzero(held_out)
    _, first, group_of_row = np.unique(groups[rows], return_index=True, return_inverse=True)
    return rows[first], np.bincount(group_of_row, weights=weights[rows])
