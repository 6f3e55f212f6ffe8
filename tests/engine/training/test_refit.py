"""The bandwidth for all exemplars, after training with some."""

import pytest
import torch

from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.initialization.bandwidth import best_bandwidth
from sklearn_exemplar_vae.engine.training.refit import (
    refit_bandwidth,
    refit_bandwidth_without_held_out_rows,
)
from sklearn_exemplar_vae.engine.training.rows import TrainingRows
from tests._models import generator
from tests.engine._models import untrained_model


def test_the_bandwidth_is_the_best_for_draws_of_the_posterior():
    model, rows = untrained_model(), torch.randn(60, 3, generator=generator(1))
    mean, log_variance = (part.detach() for part in model.network.encode(rows))
    exemplars = Exemplars(mean, torch.zeros(60))
    noise = torch.randn(60, 3, generator=generator(7))
    of_draws, of_means = (
        best_bandwidth(codes, torch.ones(60), exemplars, model.prior)
        for codes in (mean + torch.exp(0.5 * log_variance) * noise, mean)
    )
    refit_bandwidth(model, exemplars, rows, torch.ones(60), 7)
    assert model.prior.log_bandwidth.exp().item() == pytest.approx(of_draws, rel=1e-5)
    assert of_draws > 1.02 * of_means


def test_the_bandwidth_is_the_best_for_rows_as_they_are_drawn():
    model = untrained_model(likelihood="bernoulli")
    gray = torch.rand(60, 3, generator=generator(1))
    exemplars, weights = Exemplars(model.encode(gray), torch.zeros(60)), torch.ones(60)
    drawn = model.draw_observed(gray, generator(7))
    found = []
    for rows in (gray, drawn):
        model.prior.log_bandwidth.data.zero_()
        refit_bandwidth(model, exemplars, rows, weights, 7)
        found.append(model.prior.log_bandwidth.item())
    assert found[0] == found[1] != 0


def test_a_row_and_its_copies_do_not_choose_the_bandwidth_for_themselves():
    """With themselves in the sum the best kernel would be the narrowest."""
    rows = 30 * torch.randn(30, 3, generator=generator(1)).repeat(2, 1)  # far from each other
    bandwidths = []
    for groups in (torch.arange(30).repeat(2), torch.arange(60)):
        model = untrained_model()
        data = TrainingRows(rows, torch.ones(60), groups)
        for _ in range(10):  # each goes down to a third at most
            refit_bandwidth_without_held_out_rows(model, data, 0)
        bandwidths.append(model.prior.log_bandwidth.exp().item())
    assert bandwidths[0] > 5 * bandwidths[1]


def test_copies_of_one_row_change_nothing():
    model = untrained_model()
    before = model.prior.log_bandwidth.item()
    data = TrainingRows(torch.ones(20, 3), torch.ones(20), torch.zeros(20, dtype=torch.long))
    refit_bandwidth_without_held_out_rows(model, data, 0)
    assert model.prior.log_bandwidth.item() == before
