"""Which precision a fit runs with."""

import numpy as np
import pytest
import torch
from _models import small_vae

from sklearn_exemplar_vae.engine import devices


@pytest.mark.parametrize("architecture, n_bound_samples", [("mlp", 1), ("hierarchical", 3)])
def test_bfloat16_trains(architecture, n_bound_samples):
    X = (np.random.default_rng(0).random((100, 8)) < 0.3).astype(np.float32)
    settings = {"architecture": architecture, "n_bound_samples": n_bound_samples}
    precise, coarse = (
        small_vae(precision=precision, **settings).fit(X) for precision in ("float32", "bfloat16")
    )
    assert np.isfinite(coarse.score_samples(X)).all()
    assert precise.loss_curve_ != coarse.loss_curve_
    np.testing.assert_allclose(precise.loss_curve_, coarse.loss_curve_, rtol=0.02)


@pytest.mark.parametrize("is_fast", [True, False])
def test_precision(is_fast, monkeypatch):
    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: is_fast)
    for likelihood in ("gaussian", "bernoulli"):
        assert devices.choose_autocast("float32", likelihood, None) is None
        assert devices.choose_autocast("bfloat16", likelihood, None) is torch.bfloat16
    fast = torch.bfloat16 if is_fast else None
    assert devices.choose_autocast("auto", "bernoulli", None) is fast
    assert devices.choose_autocast("auto", "gaussian", None) is None
