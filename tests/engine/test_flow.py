"""The density that an exemplar flow trains by, beside the change of variables written out."""

import pytest
import torch

from sklearn_exemplar_vae.engine.flow import build_flow
from sklearn_exemplar_vae.engine.initialization.flow import initialize_flow
from sklearn_exemplar_vae.engine.minibatch import LeftOut, Minibatch
from tests.engine._models import initialization_rows
from tests.engine._oracles import mixture_log_density


@pytest.fixture
def model():
    """A flow that bends rows, with a prior of exemplars alone."""
    generator = torch.Generator().manual_seed(0)
    initial = initialize_flow(initialization_rows(40), "exemplar", 0.6, generator)
    model = build_flow(initial, "exemplar", 2, (8,), generator).double()
    for parameter in model.network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def test_density_of_a_minibatch_is_the_change_of_variables(model):
    """Each of its own rows sees all exemplars but its copies."""
    rows = initialization_rows(40).rows[:12]
    weights = torch.linspace(0.5, 2, 12, dtype=torch.float64)
    excluded = torch.eye(12, dtype=torch.bool)[:5]
    excluded[0, 7] = True  # said to be a copy of the first
    minibatch = Minibatch(rows, 5, 5, weights.log(), LeftOut(excluded), lambda codes: codes)
    with torch.no_grad():
        found, codes = model.log_density(minibatch), model.encode(rows)
    bandwidth = model.prior.log_bandwidth.exp().item()
    of_codes = mixture_log_density(codes[:5], codes, weights, bandwidth, ~excluded)
    jacobians = [
        torch.autograd.functional.jacobian(lambda x: model.encode(x[None])[0], row)
        for row in rows[:5]
    ]
    expected = of_codes + torch.linalg.slogdet(torch.stack(jacobians))[1]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert expected.sub(of_codes).std() > 0.01  # the rows are bent


def test_rows_of_codes_are_the_rows(model):
    rows = initialization_rows(40).rows
    with torch.no_grad():
        decoded = model.decode(model.encode(rows))
    torch.testing.assert_close(decoded, rows, atol=1e-5, rtol=0)
