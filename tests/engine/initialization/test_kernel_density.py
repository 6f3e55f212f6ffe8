"""Which rows choose the kernel that training starts from."""

from functools import partial

import pytest

from sklearn_exemplar_vae.engine.initialization.flow import choose_kernel_beside_normal
from sklearn_exemplar_vae.engine.initialization.kernel_density import (
    choose_kernel,
    residual_variance,
)
from sklearn_exemplar_vae.engine.initialization.left_out import left_out_folds
from tests._models import generator
from tests.engine._models import initialization_rows

CHOICES = [
    partial(choose_kernel, n_components=3),
    partial(choose_kernel_beside_normal, normal=None),
]


@pytest.mark.parametrize("choose", CHOICES)
def test_a_few_far_rows_do_not_widen_kernels_beside_a_background(choose):
    sample = initialization_rows(150, 3)
    near = choose(left_out_folds(sample, generator()))[1]
    sample.rows[:2] += 30
    alone, beside = (
        choose(left_out_folds(sample._replace(background_share=share), generator()))[1]
        for share in (0.0, 1 / 151)
    )
    assert beside == pytest.approx(near, rel=0.5) and alone > 2 * beside


@pytest.mark.parametrize("choose", CHOICES)
def test_left_out_rows_of_no_weight_choose_no_kernel(choose):
    sample = initialization_rows(150, 3)
    sample.rows[::2] *= 6
    folds = left_out_folds(sample, generator())
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
