"""ConvHVAE: what its convolutions see, and the gradient of its gate."""

import torch
from torch.nn import functional as F

from sklearn_exemplar_vae.engine.networks.convolutional import (
    MAX_PIXELS,
    ConvolutionalNetwork,
    Gate,
)


def test_convolutions_see_where_a_pixel_is_and_all_channels():
    generator = torch.Generator().manual_seed(0)
    network = ConvolutionalNetwork(
        2 * 8 * 12,
        3,
        image_shape=(2, 8, 12),
        hidden_layer_sizes=(8, 8),
        output_bias=torch.arange(192.0),
        generator=generator,
    )
    rows = torch.randn(5, 192, generator=generator)
    codes, _ = network.encode(rows)
    assert codes.shape == (5, 3) and network.decode(codes).shape == (5, 192)
    for pixel in (0, 95, 96, 191):
        changed = rows.clone()
        changed[:, pixel] += 1
        assert (network.encode(changed)[0] - codes).abs().max() > 1e-6
    assert torch.corrcoef(torch.stack([network.decode(codes)[0], torch.arange(192.0)]))[0, 1] > 0.9


def test_images_are_convolved_a_few_at_a_time_as_all_at_once():
    generator = torch.Generator().manual_seed(0)
    network = ConvolutionalNetwork(
        4**2,
        2,
        image_shape=(1, 4, 4),
        hidden_layer_sizes=(4,),
        output_bias=None,
        generator=generator,
    )
    n_at_a_time = MAX_PIXELS["cpu"] // 16
    rows = torch.rand(n_at_a_time + 5, 16, generator=generator)
    with torch.no_grad():
        mean, _ = network.encode(rows)
        last, _ = network.encode(rows[-7:])
    torch.testing.assert_close(mean[-7:], last, rtol=1e-4, atol=1e-5)


def test_gate_and_its_gradient_are_those_of_a_gated_linear_unit():
    outputs = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Gate.apply(outputs.clone()), F.glu(outputs))
    assert torch.autograd.gradcheck(Gate.apply, outputs.requires_grad_())
