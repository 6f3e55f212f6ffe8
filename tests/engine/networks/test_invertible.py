"""The invertible network: its inverse, its Jacobian, its order, its identity."""

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.networks.invertible import (
    N_BINS,
    REACH,
    AutoregressiveSplines,
    InvertibleNetwork,
    spline,
)


def perturbed(module, scale=0.1):
    """Return the module in double precision, every parameter moved from where it starts."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return module.double()


def network(n_features, scale=0.1):
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(n_features, n_features, generator=generator).double()
    linear = square @ square.T / n_features + torch.eye(n_features)
    return perturbed(InvertibleNetwork(linear, 3, (16, 16), generator), scale)


def rows_of(n_rows, n_features):
    generator = torch.Generator().manual_seed(2)
    return 2.5 * torch.randn(n_rows, n_features, generator=generator, dtype=torch.float64)


def random_parameters(n_rows):
    generator = torch.Generator().manual_seed(3)
    return 2 * torch.randn(n_rows, 3 * N_BINS - 1, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("sizes", [(1,), (8, 8), (30, 9), (64, 64)])
def test_every_column_is_seen_by_those_after_it_alone(sizes):
    n_features, generator = 20, torch.Generator().manual_seed(0)
    splines = perturbed(AutoregressiveSplines(torch.arange(n_features), sizes, generator))
    slopes = torch.autograd.functional.jacobian(splines.parameters_of, rows_of(1, n_features))
    sees = (slopes[0, :, :, 0] != 0).any(1)  # column i sees column j
    assert not sees.triu().any()
    assert sees[-1, :-1].all()


def test_spline_is_inverted_and_its_slope_is_its_derivative():
    parameters = random_parameters(4000)
    inputs = torch.linspace(-6, 6, 4000, dtype=torch.float64, requires_grad=True)
    outputs, log_slopes = spline(inputs, parameters)
    derivative = torch.autograd.grad(outputs.sum(), inputs)[0]
    torch.testing.assert_close(log_slopes, derivative.log())
    back, same_slopes = spline(outputs, parameters, inverse=True)
    torch.testing.assert_close(back, inputs, atol=1e-7, rtol=0)
    torch.testing.assert_close(same_slopes, log_slopes, atol=1e-5, rtol=0)


def test_one_spline_rises_through_its_interval_and_is_the_identity_beyond():
    parameters = random_parameters(1).expand(10_000, -1)
    inputs = torch.linspace(-7, 7, 10_000, dtype=torch.float64)
    outputs, log_slopes = spline(inputs, parameters)
    assert (outputs.diff() > 0).all()
    assert (outputs.diff() < 0.1).all()  # no jumps at the knots nor at the ends
    beyond = inputs.abs() >= REACH
    assert torch.equal(outputs[beyond], inputs[beyond]) and not log_slopes[beyond].any()


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_jacobian_is_that_of_autograd(n_features):
    flow, rows = network(n_features), rows_of(20, n_features)
    _, log_det = flow(rows)
    for row, value in zip(rows, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0][0], row)
        assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(value.item(), abs=1e-5)


@pytest.mark.parametrize("n_features", [1, 2, 5, 30])
def test_rows_come_back_from_their_codes(n_features):
    flow, rows = network(n_features), rows_of(200, n_features)
    np.testing.assert_allclose(flow.inverse(flow(rows)[0]).detach(), rows, atol=1e-4)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_column_sees_those_before_it(is_reversed):
    positions = torch.arange(4)
    if is_reversed:
        positions = positions.flip(0)
    layer = AutoregressiveSplines(positions, (16, 16), torch.Generator().manual_seed(0))
    layer = perturbed(layer, 1.0)
    row = rows_of(1, 4)[0] / 2.5
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0][0], row)
    jacobian = jacobian[positions.argsort()][:, positions.argsort()]
    assert not jacobian.triu(1).any()
    assert (jacobian.tril(-1).abs() > 0).sum() == 6  # and all of those


def test_untrained_splines_are_the_identity():
    flow = InvertibleNetwork(torch.eye(3), 3, (8,), torch.Generator().manual_seed(0)).double()
    rows = rows_of(100, 3)
    codes, log_det = flow(rows)
    np.testing.assert_allclose(codes.detach(), rows, atol=1e-6)
    np.testing.assert_allclose(log_det.detach(), 0, atol=1e-5)
