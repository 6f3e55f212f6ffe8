"""The bound that an Exemplar VAE trains by."""

import itertools
import math

import pytest
import torch

from sklearn_exemplar_vae.engine.minibatch import LeftOut, Minibatch
from sklearn_exemplar_vae.engine.model import Draws
from tests.engine._models import untrained_model


@pytest.mark.parametrize(
    "architecture, prior",
    list(itertools.product(("mlp", "hierarchical", "conv"), ("exemplar", "vamp", "gaussian"))),
)
def test_bound_of_several_samples_is_the_mean_of_their_weights(architecture, prior):
    model = untrained_model(
        16,
        n_components=3,
        architecture=architecture,
        prior=prior,
        likelihood="bernoulli",
        image_shape=(1, 4, 4) if architecture == "conv" else None,
    )
    generator = torch.Generator().manual_seed(0)
    rows = (torch.rand(20, 16, generator=generator) < 0.3).float()
    noise = torch.randn(6, 4, model.n_noise, generator=generator)
    left_out = LeftOut(torch.rand(6, 20, generator=generator) < 0.5, torch.linspace(2, 4, 6))
    minibatch = Minibatch(rows, 6, 6, torch.linspace(-1, 1, 20), left_out, lambda codes: codes)
    with torch.no_grad():
        several = model.training_bound(minibatch, Draws(noise), 0.7)
        single = [model.training_bound(minibatch, Draws(noise[:, [k]]), 0.7) for k in range(4)]
    expected = torch.logsumexp(torch.stack(single), 0) - math.log(4)
    torch.testing.assert_close(several, expected, rtol=1e-5, atol=1e-4)
    assert torch.stack(single).std(0).min() > 1e-3  # the samples are not one
