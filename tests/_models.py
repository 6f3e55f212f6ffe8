"""Small models and data that the tests share."""

import numpy as np
import torch

from sklearn_exemplar_vae import ExemplarFlow, ExemplarVAE

# A start equals KernelDensity, and other densities one knows, only with nothing beside it.
NOTHING_BESIDE = {"background": 0, "max_gaussians": 0}


def small_vae(**parameters) -> ExemplarVAE:
    """Return an ExemplarVAE that fits in a moment."""
    defaults = {
        "hidden_layer_sizes": (16,),
        "max_iter": 5,
        "n_iter_no_change": 5,
        "n_importance_samples": 8,
        **NOTHING_BESIDE,
        "random_state": 0,
    }
    return ExemplarVAE(**(defaults | parameters))


def small_flow(**parameters) -> ExemplarFlow:
    """Return an ExemplarFlow that fits in a moment."""
    defaults = {
        "n_transforms": 2,
        "hidden_layer_sizes": (16,),
        "max_iter": 5,
        "n_iter_no_change": 5,
        **NOTHING_BESIDE,
        "random_state": 0,
    }
    return ExemplarFlow(**(defaults | parameters))


def two_moons(n_rows: int, seed: int = 0) -> np.ndarray:
    """Return two half circles with noise, (n_rows, 2)."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, np.pi, n_rows)
    upper = rng.random(n_rows) < 0.5
    x = np.where(upper, np.cos(angles), 1 - np.cos(angles))
    y = np.where(upper, np.sin(angles), 0.5 - np.sin(angles))
    return np.column_stack([x, y]) + rng.normal(scale=0.1, size=(n_rows, 2))


def correlated(n_rows: int, n_columns: int, seed: int = 0) -> np.ndarray:
    """Return normal rows with correlated columns of different scales and places."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_columns)) @ rng.normal(size=(n_columns, n_columns))
    return rows * rng.uniform(0.5, 20, n_columns) + rng.uniform(-50, 50, n_columns)


def standardized(X: np.ndarray) -> torch.Tensor:
    """Return X with columns of mean zero and standard deviation one, as a tensor."""
    rows = torch.from_numpy(X)
    return (rows - rows.mean(0)) / rows.std(0)


def generator(seed: int = 0) -> torch.Generator:
    """Return torch's generator of a seed."""
    return torch.Generator().manual_seed(seed)
