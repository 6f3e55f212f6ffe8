"""Small models that the tests share."""

import numpy as np
import torch

from sklearn_exemplar_vae import ExemplarFlow, ExemplarVAE
from sklearn_exemplar_vae.engine.model import ExemplarModel, build_model


def small_vae(**parameters) -> ExemplarVAE:
    """An ExemplarVAE that fits in a moment."""
    defaults = {
        "hidden_layer_sizes": (16,),
        "max_iter": 5,
        "n_iter_no_change": 5,
        "n_importance_samples": 8,
        "random_state": 0,
    }
    return ExemplarVAE(**(defaults | parameters))


def small_flow(**parameters) -> ExemplarFlow:
    """An ExemplarFlow that fits in a moment."""
    defaults = {
        "n_transforms": 2,
        "hidden_layer_sizes": (16,),
        "max_iter": 5,
        "n_iter_no_change": 5,
        "random_state": 0,
    }
    return ExemplarFlow(**(defaults | parameters))


def torch_model(
    n_features=3, prior="exemplar", likelihood="gaussian", architecture="mlp"
) -> ExemplarModel:
    """An untrained model of the engine."""
    return build_model(
        n_features,
        n_features,
        architecture=architecture,
        hidden_layer_sizes=(8,),
        prior=prior,
        likelihood=likelihood,
        binary=False,
        start=None,
        row_mean=torch.full((n_features,), 0.5),
        pseudo_inputs=torch.linspace(0.2, 0.8, 2 * n_features).view(2, n_features),
        generator=torch.Generator().manual_seed(0),
    )


def two_moons(n_rows: int, seed: int = 0) -> np.ndarray:
    """Two half circles with noise, (n_rows, 2)."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, np.pi, n_rows)
    upper = rng.random(n_rows) < 0.5
    x = np.where(upper, np.cos(angles), 1 - np.cos(angles))
    y = np.where(upper, np.sin(angles), 0.5 - np.sin(angles))
    return np.column_stack([x, y]) + rng.normal(scale=0.1, size=(n_rows, 2))


def correlated(n_rows: int, n_columns: int, seed: int = 0) -> np.ndarray:
    """Normal rows with columns of different scales and places, correlated."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_columns)) @ rng.normal(size=(n_columns, n_columns))
    return rows * rng.uniform(0.5, 20, n_columns) + rng.uniform(-50, 50, n_columns)


def folds_of(n_rows=150, n_columns=3):
    """What `left_out_folds` takes: standardised rows, weights, groups, a generator."""
    rows = torch.from_numpy(correlated(n_rows, n_columns))
    rows = (rows - rows.mean(0)) / rows.std(0)
    weights, groups = torch.ones(n_rows, dtype=torch.float64), torch.arange(n_rows)
    return rows, weights, groups, torch.Generator().manual_seed(0)
