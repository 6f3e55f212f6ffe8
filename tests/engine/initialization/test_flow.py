"""Where a flow starts, beside scipy and scikit-learn."""

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.initialization.flow import best_mixture
from sklearn_exemplar_vae.engine.initialization.kernel_density import log_density_along_axes
from sklearn_exemplar_vae.engine.initialization.left_out import left_out_folds, normal_log_density
from tests._kernel_density import kernel_density_scores
from tests._models import generator
from tests.engine._models import initialization_rows


@pytest.fixture
def fold():
    return left_out_folds(initialization_rows(), generator())[0]


def test_left_out_kernels_are_those_of_kernel_density(fold):
    others = fold.others / fold.others.std(0, correction=0)
    scores = log_density_along_axes(fold._replace(others=others), torch.full((3,), 0.4**2))
    expected = kernel_density_scores(others.numpy(), fold.queries.numpy(), 0.4)
    np.testing.assert_allclose(scores, expected, atol=1e-3)


def test_a_kernel_of_the_shape_of_the_data_at_zero_is_the_normal(fold):
    alone = fold._replace(others=torch.zeros(1, 3), log_weights=torch.zeros(1))
    kernel = log_density_along_axes(alone, alone.axes.variances)
    np.testing.assert_allclose(kernel, normal_log_density(fold), atol=1e-3)


def test_best_mixture_is_the_best_of_a_grid():
    rng = np.random.default_rng(0)
    kernels, normal = torch.from_numpy(rng.normal(size=(2, 400)))
    weights = torch.from_numpy(rng.uniform(0.5, 2, 400))
    scores, share = best_mixture(kernels, normal + 0.2, weights)
    grid = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)[:, None]
    on_grid = torch.logaddexp(torch.log1p(-grid) + kernels, grid.log() + normal + 0.2) @ weights
    assert abs(share - grid[on_grid.argmax()].item()) < 0.02
    assert (scores @ weights).item() > on_grid.max().item() - 0.01
