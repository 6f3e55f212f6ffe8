"""Untrained models of the engine, and what they start from."""

import torch

from sklearn_exemplar_vae.engine.initialization.left_out import InitializationRows
from sklearn_exemplar_vae.engine.model import (
    ExemplarModel,
    ModelInitialization,
    ModelStructure,
    build_model,
)
from tests._models import correlated, standardized


def untrained_model(
    n_features=3, *, n_components=None, is_binary=False, image_shape=None, **structure
) -> ExemplarModel:
    """Return an untrained model of the engine, small unless ``structure`` says otherwise."""
    defaults = {
        "architecture": "mlp",
        "prior": "exemplar",
        "likelihood": "gaussian",
        "hidden_layer_sizes": (8,),
    }
    structure = ModelStructure(
        n_components=n_features if n_components is None else n_components,
        image_shape=image_shape,
        **(defaults | structure),
    )
    initial = ModelInitialization(
        row_mean=torch.full((n_features,), 0.5),
        is_binary=is_binary,
        pseudo_inputs=torch.linspace(0.2, 0.8, 2 * n_features).view(2, n_features),
    )
    return build_model(structure, initial, torch.Generator().manual_seed(0))


def initialization_rows(n_rows=150, n_columns=3) -> InitializationRows:
    """Return standardized rows of equal weight, none a copy of another."""
    rows = standardized(correlated(n_rows, n_columns))
    weights = torch.ones(n_rows, dtype=torch.float64)
    return InitializationRows(rows, weights, torch.arange(n_rows), n_rows)
