"""The gradient of the bound by way of the draws: unbiased, and exact where q is the posterior."""

import itertools
import math
import re
from collections import defaultdict
from functools import partial

import pytest
import torch

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.initialization.kernel_density import KernelInitialization
from sklearn_exemplar_vae.engine.model import ModelInitialization, ModelStructure, build_model
from sklearn_exemplar_vae.engine.numerics import normal_log_prob
from tests.engine._models import untrained_model

N_FEATURES = N_COMPONENTS = 4
N_PARTS, N_DRAWS = 50, 1000
# What is trained by way of q: all else has the same gradient, draw by draw.
OF_POSTERIORS = re.compile(r"encoder|mean_head|log_variance_head|lower_(from|joint|posterior)")


def whole_bound(model, rows, posterior, noise, log_prior, kl_weight):
    """Return `ExemplarModel.bound` written out, with everything that a gradient goes through."""
    rows, mean, log_variance = rows[:, None], *(part[:, None] for part in posterior)
    codes = mean + torch.exp(0.5 * log_variance) * noise[..., :N_COMPONENTS]
    log_ratio = log_prior(codes) - normal_log_prob(codes, mean, log_variance)
    if noise.shape[-1] == N_COMPONENTS:
        outputs = model.network.decode(codes)
    else:
        mean, log_variance = model.network.lower_posterior(rows, codes)
        lower = mean + torch.exp(0.5 * log_variance) * noise[..., N_COMPONENTS:]
        log_ratio = log_ratio - normal_log_prob(lower, mean, log_variance)
        log_ratio = log_ratio + normal_log_prob(lower, *model.network.lower_prior(codes))
        outputs = model.network.decode_both(lower, codes)
    log_weights = model.likelihood.log_prob(outputs, rows) + kl_weight * log_ratio
    return torch.logsumexp(log_weights, 1) - math.log(noise.shape[1])


def gradient_of(bound, model, noise, kl_weight):
    """Return one row's bound at each noise (n, K, n_noise), and the mean's gradients by name."""
    generator = torch.Generator().manual_seed(1)
    rows = (torch.rand(6, N_FEATURES, generator=generator) < 0.5).double()
    posterior = model.network.encode(rows)
    exemplars = Exemplars(posterior[0], torch.zeros(len(rows), dtype=rows.dtype))
    log_prior = partial(model.prior.log_prob, centers=model.prior.centers(model.network, exemplars))
    first, *own = (tensor[:1].expand(len(noise), -1) for tensor in (rows, *posterior))
    value = bound(first, own, noise, log_prior, kl_weight)
    model.zero_grad()
    value.mean().backward()
    return value.detach(), {k: p.grad for k, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("n_samples, kl_weight", [(1, 1.0), (1, 0.3), (4, 1.0), (4, 0.3)])
@pytest.mark.parametrize(
    "architecture, prior",
    [*itertools.product(["mlp"], ["exemplar", "gaussian", "vamp"]), ("hierarchical", "exemplar")],
)
def test_gradient_is_that_of_the_whole_bound_in_expectation(
    architecture, prior, n_samples, kl_weight
):
    model = untrained_model(
        N_FEATURES, prior=prior, likelihood="bernoulli", architecture=architecture
    ).double()
    generator = torch.Generator().manual_seed(2)
    differences, wholes = defaultdict(list), defaultdict(list)
    for _ in range(N_PARTS):
        shape = (N_DRAWS, n_samples, model.n_noise)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        value, gradient = gradient_of(model.bound, model, noise, kl_weight)
        whole_value, whole = gradient_of(partial(whole_bound, model), model, noise, kl_weight)
        torch.testing.assert_close(value, whole_value)
        for name in whole:
            differences[name].append(gradient[name] - whole[name])
            wholes[name].append(whole[name])
    n_changed = 0
    for name, values in differences.items():
        values, whole = torch.stack(values), torch.stack(wholes[name]).mean(0)
        errors = values.std(0) / N_PARTS**0.5
        assert (values.mean(0).abs() <= 5 * errors + 1e-12).all(), name
        if OF_POSTERIORS.search(name):
            n_changed += 1
            # It is another gradient, known well enough to tell a wrong one.
            assert 1e-6 < errors.max() < 0.1 * whole.abs().max(), name
        else:
            assert values.abs().max() < 1e-12, name
    assert n_changed >= 6


@pytest.mark.parametrize("n_samples", [1, 4])
def test_gradient_has_no_noise_where_q_is_the_posterior(n_samples):
    """z ~ N(0, I), x ~ N(z, v I): q(z | x) = N(x / (1 + v), v / (1 + v) I) before training."""
    variance = 0.25
    identity = torch.eye(N_COMPONENTS, dtype=torch.float64)
    kernel = KernelInitialization(
        encoder=identity / (1 + variance),
        decoder=identity,
        code_log_variance=torch.full((N_COMPONENTS,), variance / (1 + variance)).double().log(),
        bandwidth=1.0,
        noise_variance=variance,
    )
    model = build_model(
        ModelStructure(N_COMPONENTS, "mlp", "gaussian", "gaussian", (5,)),
        ModelInitialization(torch.zeros(N_COMPONENTS), False, kernel),
        torch.Generator().manual_seed(0),
    ).double()
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(1, N_COMPONENTS, generator=generator, dtype=torch.float64)
    shape = (1, n_samples, N_COMPONENTS)
    heads = (model.network.mean_head, model.network.log_variance_head)

    def by_heads(bound):
        model.zero_grad()
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        bound(rows, model.network.encode(rows), noise, model.prior.log_prob, 1.0).sum().backward()
        return torch.cat([head.bias.grad for head in heads])

    for _ in range(5):
        assert by_heads(model.bound).abs().max() < 1e-5
    whole = torch.stack([by_heads(partial(whole_bound, model)) for _ in range(5)])
    assert whole.std(0).max() > 0.1
