"""Two levels of codes: their bound, written out, and densities that add up to one."""

import itertools

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.importance.estimate import ImportanceSampling
from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.networks.hierarchical import HierarchicalNetwork
from sklearn_exemplar_vae.engine.numerics import normal_log_prob
from sklearn_exemplar_vae.engine.scoring import encode, log_density
from tests._models import two_moons
from tests.engine._models import untrained_model


def two_level_model(n_features, prior, likelihood):
    """Return an untrained model, each q so close to its p that some samples do."""
    model = untrained_model(
        n_features,
        n_components=2,
        architecture="hierarchical",
        hidden_layer_sizes=(8, 8),
        prior=prior,
        likelihood=likelihood,
        is_binary=True,
    )
    for head in ("encoder_head", "lower_posterior_head", "lower_prior_head"):
        for layer in getattr(model.network, head).children():
            layer.weight.data.mul_(0.1)
    return model.double()


def total_density(model, rows, exemplar_rows):
    """Return the sum of the densities of ``rows``."""
    codes = encode(model, torch.from_numpy(exemplar_rows))
    exemplars = Exemplars(codes, torch.zeros(len(codes), dtype=torch.float64))
    sampling = ImportanceSampling(1024, 0)
    return log_density(model, torch.from_numpy(rows), exemplars, sampling).exp().sum().item()


@pytest.mark.parametrize("prior", ["exemplar", "vamp", "gaussian"])
def test_probabilities_of_two_levels_add_up_to_one(prior):
    everything = np.array(list(itertools.product([0.0, 1.0], repeat=7)))
    chosen = everything[np.random.default_rng(0).integers(128, size=60)]
    model = two_level_model(7, prior, "bernoulli")
    assert total_density(model, everything, chosen) == pytest.approx(1, abs=0.03)


def test_density_of_two_levels_integrates_to_one():
    side = np.linspace(-9, 9, 61)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    model = two_level_model(2, "exemplar", "gaussian")
    integral = total_density(model, grid, two_moons(50)) * (side[1] - side[0]) ** 2
    assert integral == pytest.approx(1, abs=0.03)


def test_two_levels_explain_rows_by_their_own_bound():
    generator = torch.Generator().manual_seed(0)
    network = HierarchicalNetwork(
        6, 2, hidden_layer_sizes=(5, 4), output_bias=None, generator=generator
    )
    codes = torch.randn(3, 4, 2, generator=generator)
    rows, noise = torch.randn(3, 1, 6, generator=generator), torch.randn(4, 2, generator=generator)
    outputs, log_ratio = network.decode_posterior(codes, rows, noise)
    for row, sample in itertools.product(range(3), range(4)):
        code = codes[row, sample][None]
        mean, log_variance = network.lower_posterior(rows[row], code)
        lower = mean + torch.exp(0.5 * log_variance) * noise[sample]
        log_p = normal_log_prob(lower, *network.lower_prior(code))
        log_q = normal_log_prob(lower, mean, log_variance)
        torch.testing.assert_close(log_ratio[row, sample], (log_p - log_q)[0])
        torch.testing.assert_close(outputs[row, sample], network.decode_both(lower, code)[0])
