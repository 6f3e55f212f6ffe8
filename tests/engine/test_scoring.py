"""Codes and scores of rows, in parts and at once."""

import pytest
import torch

from sklearn_exemplar_vae.engine.importance.estimate import ImportanceSampling
from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.scoring import encode, log_density
from tests.engine._models import untrained_model


@pytest.mark.parametrize("prior", ["exemplar", "gaussian"])
def test_rows_in_parts_have_the_codes_and_scores_of_all_at_once(prior):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(30, 3, dtype=torch.float64, generator=generator)
    model, sampling = untrained_model(prior=prior).double(), ImportanceSampling(16, 0)
    codes = encode(model, rows)
    exemplars = Exemplars(codes, torch.linspace(-1, 1, 30, dtype=torch.float64))
    scores = log_density(model, rows, exemplars, sampling)
    model.floats_per_row = 2**30  # so large that a part has as few rows as it may have
    torch.testing.assert_close(encode(model, rows), codes)
    torch.testing.assert_close(log_density(model, rows, exemplars, sampling), scores)
