"""HVAE's paths, for every number of layers."""

import pytest
import torch

from sklearn_exemplar_vae.engine.networks.hierarchical import HierarchicalNetwork


@pytest.mark.parametrize("sizes", [(5,), (5, 4), (6, 5, 4)])
def test_every_output_depends_on_all_its_inputs(sizes):
    generator = torch.Generator().manual_seed(0)
    mean = torch.linspace(-1, 1, 6)
    network = HierarchicalNetwork(
        6, 2, hidden_layer_sizes=sizes, output_bias=mean, generator=generator
    )
    row, code, lower = (torch.randn(n, generator=generator) for n in (6, 2, 2))
    jacobian = torch.autograd.functional.jacobian
    for paths, inputs in (
        (lambda row: torch.cat(network.encode(row)), (row,)),
        (lambda row, code: torch.cat(network.lower_posterior(row, code)), (row, code)),
        (lambda code: torch.cat(network.lower_prior(code)), (code,)),
        (network.decode_both, (lower, code)),
    ):
        for slopes in jacobian(paths, inputs):
            assert (slopes.abs().amax(0) > 0).all() and (slopes.abs().amax(1) > 0).all()


def test_decoded_rows_start_at_the_output_bias():
    mean = torch.linspace(-100, 100, 6)
    network = HierarchicalNetwork(
        6,
        2,
        hidden_layer_sizes=(5, 4),
        output_bias=mean,
        generator=torch.Generator().manual_seed(0),
    )
    codes = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    assert (network.decode(codes) - mean).abs().max() < 20
