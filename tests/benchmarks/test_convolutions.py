"""The networks that convolutions.py times are one network."""

import pytest
import torch
from convolutions import VARIANTS, ConvolutionalNetwork


def small_network():
    return ConvolutionalNetwork(
        3 * 8 * 12,
        4,
        image_shape=(3, 8, 12),
        hidden_layer_sizes=(5, 6),
        output_bias=None,
        generator=torch.Generator().manual_seed(0),
    ).double()


def outputs_and_gradients(network):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(7, 288, dtype=torch.float64, generator=generator)
    codes, lower = torch.randn(2, 7, 4, dtype=torch.float64, generator=generator)
    outputs = [*network.encode(rows), *network.lower_posterior(rows, codes)]
    outputs.append(network.decode_both(lower, codes))
    sum((output.sin() * output).sum() for output in outputs).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return [output.detach() for output in outputs] + gradients


@pytest.mark.parametrize("use", VARIANTS.values(), ids=VARIANTS)
def test_outputs_and_gradients_depend_neither_on_order_in_memory_nor_on_gates(use):
    network = small_network()
    use(network)
    expected, found = outputs_and_gradients(small_network()), outputs_and_gradients(network)
    for ours, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, ours, rtol=1e-9, atol=1e-9)
