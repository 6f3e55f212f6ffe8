"""Which rows choose the kernel that training starts from."""

from functools import partial

import pytest
import torch

from sklearn_exemplar_vae.engine.initialization.flow import choose_kernel_beside_normal
from sklearn_exemplar_vae.engine.initialization.kernel_density import (
    choose_kernel,
    left_out_folds,
    residual_variance,
)
from tests.engine._models import initialization_rows


@pytest.mark.parametrize(
    "choose",
    [partial(choose_kernel, n_components=3), partial(choose_kernel_beside_normal, normal=None)],
)
def test_left_out_rows_of_no_weight_choose_no_kernel(choose):
    sample = initialization_rows(150, 3)
    sample.rows[::2] *= 6
    folds = list(left_out_folds(sample, torch.Generator().manual_seed(0)))
    pairs = [(fold, fold.queries.abs().amax(1) < 2) for fold in folds]
    zeroed = [fold._replace(weights=kept.float()) for fold, kept in pairs]
    dropped = [
        fold._replace(queries=fold.queries[kept], weights=fold.weights[kept])
        for fold, kept in pairs
    ]
    assert choose(zeroed) == pytest.approx(choose(dropped))
    assert choose(zeroed) != pytest.approx(choose(folds))
    expected = residual_variance(dropped, 2)
    assert residual_variance(zeroed, 2) == pytest.approx(expected, rel=1e-5)
