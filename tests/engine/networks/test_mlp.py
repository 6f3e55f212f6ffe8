"""The multilayer perceptron that starts as a kernel density estimate."""

import pytest
import torch

from sklearn_exemplar_vae.engine.initialization.kernel_density import KernelInitialization
from sklearn_exemplar_vae.engine.networks.mlp import LOG_VARIANCE_RANGE, MLPNetwork


@pytest.fixture
def kernel():
    generator = torch.Generator().manual_seed(0)
    return KernelInitialization(
        encoder=torch.randn(5, 3, generator=generator),
        decoder=torch.randn(3, 5, generator=generator),
        code_log_variance=torch.tensor([-1.0, -2.0, -3.0]),
        bandwidth=0.5,
        noise_variance=0.1,
    )


@pytest.fixture
def network(kernel):
    return MLPNetwork(
        5,
        3,
        hidden_layer_sizes=(8, 4),
        kernel=kernel,
        output_bias=None,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("is_autocast", [False, True])
def test_an_untrained_network_is_its_kernel_to_the_last_digit(network, kernel, is_autocast):
    """In bfloat16 too: a start that is rounded is another start."""
    rows = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
        mean, log_variance = network.encode(rows)
        decoded = network.decode(mean)
    assert mean.dtype == torch.float32 and decoded.dtype == torch.float32
    torch.testing.assert_close(mean, rows @ kernel.encoder)
    torch.testing.assert_close(log_variance, kernel.code_log_variance.expand(20, 3))
    torch.testing.assert_close(decoded, rows @ kernel.encoder @ kernel.decoder)


def test_variances_stay_within_a_range_around_those_of_the_kernel(network, kernel):
    rows = torch.zeros(1, 5)
    for bias, offset in zip((-1000.0, 1000.0), LOG_VARIANCE_RANGE, strict=True):
        network.log_variance_head.bias.data.fill_(bias)
        expected = kernel.code_log_variance[None] + offset
        torch.testing.assert_close(network.encode(rows)[1].detach(), expected)
