"""Folds of few rows near a curve, and flows that are kernel density estimates of them."""

import copy

import numpy as np
import torch
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae.engine.flow import build_flow
from sklearn_exemplar_vae.engine.initialization.flow import initialize_flow
from sklearn_exemplar_vae.engine.initialization.left_out import InitializationRows
from sklearn_exemplar_vae.engine.training.fit import Initialization, Stopping
from sklearn_exemplar_vae.engine.training.folds import Fold, fit_by_folds
from sklearn_exemplar_vae.engine.training.loop import Schedule, train
from sklearn_exemplar_vae.engine.training.rows import TrainingRows
from tests._models import generator, standardized

N_ROWS, N_FOLDS, BANDWIDTH = 60, 5, 0.5
ROWS_OF_FOLD = N_ROWS // N_FOLDS
# Weights of which no two folds have the same.
WEIGHTS = torch.linspace(0.5, 1.5, N_ROWS)
FOLD = torch.arange(N_ROWS) % N_FOLDS
JUDGES_IN_TURN = torch.cat([(FOLD == number).nonzero()[:, 0] for number in range(N_FOLDS)])
# An epoch of one step, of which every row sees all others.
SCHEDULE = Schedule(6, N_ROWS, 1e-2, N_ROWS - 1, True)
FEW_EXEMPLARS = Schedule(6, N_ROWS, 1e-2, 10, True)
ALWAYS_BETTER, NEVER_BETTER = -1e9, 1e9


def curve():
    """Return standardized rows near a parabola, which training soon finds."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, N_ROWS)
    return standardized(np.column_stack([x, x**2 + 0.1 * rng.normal(size=N_ROWS)])).float()


def flow(rows, bandwidth=BANDWIDTH):
    """Return a flow that is a kernel density estimate of the rows."""
    n_rows = len(rows)
    weights = torch.ones(n_rows, dtype=torch.float64)
    sample = InitializationRows(rows.double(), weights, torch.arange(n_rows), n_rows)
    initial = initialize_flow(sample, "exemplar", bandwidth, generator())
    return build_flow(initial, "exemplar", 2, (8,), generator())


def training_rows(rows, kept):
    """Return the rows where boolean ``kept`` holds, with their weights."""
    return TrainingRows(rows[kept], WEIGHTS[kept], torch.arange(N_ROWS)[kept])


def all_rows():
    """Return the rows of all folds."""
    return training_rows(curve(), torch.ones(N_ROWS, dtype=torch.bool))


def fold_of(rows, number, schedule, tolerance, make=flow):
    """Return a fold that judges the rows of this number."""
    kept = number != FOLD
    model = make(rows[kept])
    n_rows = N_ROWS - ROWS_OF_FOLD
    schedule = schedule._replace(n_exemplars=min(schedule.n_exemplars, n_rows - 1))
    stopping = Stopping(rows[~kept], WEIGHTS[~kept], patience=3, tolerance=tolerance, seed=1)
    initial = Initialization(model, model)
    return Fold(initial, training_rows(rows, kept), schedule, stopping)


def folds_of(rows, schedule=SCHEDULE, tolerance=0.0, make=flow):
    """Return the folds that judge all rows in turn."""
    return [fold_of(rows, number, schedule, tolerance, make) for number in range(N_FOLDS)]


def silent(*epoch):
    """Report nothing."""


def fitted(folds, model, schedule=SCHEDULE, report=silent):
    """Return what a training judged by folds ends with."""
    initial = Initialization(model, model)
    return fit_by_folds(folds, initial, all_rows(), schedule, generator(), report)


def trained_on_all(n_epochs, schedule=SCHEDULE):
    """Return the weights after as many epochs of a training that nothing judges."""
    for epoch in train(flow(curve()), all_rows(), schedule, generator()):
        if epoch.number == n_epochs:
            return copy.deepcopy(epoch.model)


def kernel_density_of_other_folds(rows):
    """Return log-densities of the judges in turn by `KernelDensity` of the other folds' rows."""
    rows, scores = rows.double().numpy(), []
    for number in range(N_FOLDS):
        kept = (number != FOLD).numpy()
        estimator = KernelDensity(bandwidth=BANDWIDTH, leaf_size=N_ROWS)
        estimator.fit(rows[kept], sample_weight=WEIGHTS[kept].numpy())
        scores.append(estimator.score_samples(rows[~kept]))
    return np.concatenate(scores)


def assert_equal_weights(found, expected):
    """Compare the parameters of two models."""
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(found.get_parameter(name), parameter, rtol=1e-5, atol=1e-6)


def differs(one, two):
    """Return whether any parameter of two models is not the same."""
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    return any(not torch.equal(a, b) for a, b in pairs)
