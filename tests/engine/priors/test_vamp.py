"""The VampPrior beside the mixture it stands for."""

import pytest
import torch

from sklearn_exemplar_vae.engine.priors.vamp import VampPrior, draw_without_replacement

DOUBLE = {"dtype": torch.float64}


class Encoder:
    """Stands for a network: codes are the first columns, log-variances the next."""

    def encode(self, rows):
        return rows[:, :3], rows[:, 3:]


@pytest.mark.parametrize("bounds", [None, (-0.5, 0.5)])
def test_vamp_prior_is_the_mixture_of_its_pseudo_inputs(bounds):
    rows = torch.randn(7, 6, generator=torch.Generator().manual_seed(0), **DOUBLE)
    prior = VampPrior(rows, bounds)
    centers = prior.centers(Encoder(), None)
    if bounds is not None:
        torch.testing.assert_close(prior.rows(), rows.clamp(-0.45, 0.45))
    rows = prior.rows().detach()
    components = torch.distributions.Independent(
        torch.distributions.Normal(rows[:, :3], (0.5 * rows[:, 3:]).exp()), 1
    )
    expected = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(7, **DOUBLE)), components
    )
    codes = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1), **DOUBLE)
    torch.testing.assert_close(prior.log_prob(codes, centers), expected.log_prob(codes))
    drawn = prior.sample(centers, 100_000, torch.Generator().manual_seed(2))
    torch.testing.assert_close(drawn.mean(0), expected.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0), expected.variance, atol=0.05, rtol=0.05)


def test_draws_without_replacement_are_multinomial():
    """Of weights 1, 0, 2 and 4: the probability of a pair is that of either order."""
    weights, generator = torch.tensor([1.0, 0.0, 2.0, 4.0]).double(), torch.Generator()
    counts = torch.zeros(4, 4)
    for _ in range(20_000):
        first, second = sorted(draw_without_replacement(weights, 2, generator).tolist())
        counts[first, second] += 1
    assert counts[:, 1].sum() == counts[1].sum() == 0
    for (one, other), share in {
        (0, 2): 1 / 7 * 2 / 6 + 2 / 7 * 1 / 5,
        (0, 3): 1 / 7 * 4 / 6 + 4 / 7 * 1 / 3,
        (2, 3): 2 / 7 * 4 / 5 + 4 / 7 * 2 / 3,
    }.items():
        assert counts[one, other] / 20_000 == pytest.approx(share, abs=0.015)
