"""What the benchmarks' scripts promise besides their figures."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from _models import small_vae

from sklearn_exemplar_vae.engine.importance import importance_noise
from sklearn_exemplar_vae.engine.scoring import log_density_by_posterior

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_plain_sums_are_the_scores(scripts):
    """The rival of `score_samples` in speed takes every term of every sum, and gives the same."""
    from scoring import N_SAMPLES, plain_scores

    X = (np.random.default_rng(0).random((60, 9)) < 0.5).astype(float)
    model = small_vae(n_importance_samples=N_SAMPLES, device="cpu").fit(X)
    expected = model.score_samples(X)
    np.testing.assert_allclose(plain_scores(model, X, False), expected, atol=1e-3)
    noise = importance_noise(N_SAMPLES, model.n_components_, model._score_seed)
    engine, exemplars = model._model.double(), model._exemplars
    of_posterior = log_density_by_posterior(engine, torch.from_numpy(X), exemplars, noise)
    model._model = engine.float()
    np.testing.assert_allclose(plain_scores(model, X, True), of_posterior, atol=1e-3)


def test_variants_of_convolutions_are_one_network(scripts):
    """Outputs and gradients depend neither on how images lie in memory nor on what gates keep."""
    from convolutions import VARIANTS, ConvolutionalNetwork

    generator = torch.Generator().manual_seed(0)
    network = ConvolutionalNetwork(
        3 * 8 * 12,
        4,
        image_shape=(3, 8, 12),
        hidden_layer_sizes=(5, 6),
        output_bias=None,
        generator=generator,
    ).double()
    rows = torch.randn(7, 288, dtype=torch.float64, generator=generator)
    codes, lower = torch.randn(2, 7, 4, dtype=torch.float64, generator=generator)

    def outputs_and_gradients():
        network.zero_grad()
        outputs = [*network.encode(rows), *network.lower_posterior(rows, codes)]
        outputs.append(network.render(lower, codes))
        sum((output.sin() * output).sum() for output in outputs).backward()
        gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        return [output.detach() for output in outputs] + gradients

    ours = outputs_and_gradients()
    for use in VARIANTS.values():
        use(network)
        for own, other in zip(ours, outputs_and_gradients(), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-9)


class Inline:
    """A pool of processes that is none."""

    def __init__(self, *arguments, **options):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, function, *arguments):
        self.result = lambda: function(*arguments)
        return self


def test_a_stopped_table_goes_on_and_grows(scripts, monkeypatch, tmp_path, capsys):
    import density

    ran = []

    def stub(cell, arguments):
        if len(ran) == 1:  # stopped in the second cell
            ran.append("stopped")
            raise KeyboardInterrupt
        ran.append(cell)
        return {
            "cell": cell,
            "settings": density.settings(arguments),
            "machine": "this machine",
            "training seconds": 1.0,
            "epochs": 2,
            "curve": [(0.5, -100.0), (1.0, -90.0)],
            "training rows": 50_000,
            "validation ELBO": -90.0,
            "peak memory": 1.0,
            "validation log-likelihood": -89.0,
            "test log-likelihood": -88.0,
            "standard error": 0.1,
            "scoring seconds": 1.0,
            "test rows": 1000,
            "samples": 10,
        }

    monkeypatch.setattr(density, "run", stub)
    monkeypatch.setattr(density, "ProcessPoolExecutor", Inline)
    path = tmp_path / "results.json"
    command = ["density.py", "mnist", "--seconds", "1", "--device", "cpu", "--results", str(path)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(KeyboardInterrupt):
        density.main()
    assert len(json.loads(path.read_text())) == 1
    density.main()  # the second cell alone
    assert [cell.plan for cell in ran if cell != "stopped"] == ["exemplar", "gaussian"]
    printed = capsys.readouterr().out
    assert "| -82.09 |" in printed and "| -84.45 |" in printed  # the paper's, beside
    for n_results, other in ((4, ["--learning-rate", "1e-3"]), (6, ["--hidden-layer-sizes", "8"])):
        monkeypatch.setattr(sys, "argv", [*command, *other])
        density.main()  # other settings are other cells
        assert len(json.loads(path.read_text())) == n_results
    assert "layers of 8" in capsys.readouterr().out


def test_a_cell_that_diverges_leaves_the_others(scripts, monkeypatch, tmp_path, capsys):
    import density

    monkeypatch.setattr(density, "run", lambda cell, arguments: None)
    monkeypatch.setattr(density, "ProcessPoolExecutor", Inline)
    path = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", ["density.py", "mnist", "--results", str(path)])
    density.main()
    assert not path.exists()  # nothing passes for done
    path.write_text('[{"cell": ["mnist", "mlp", "exemplar", 70.0, 0], "settings": {}}]')
    with pytest.raises(SystemExit):
        density.main()
    assert "earlier version" in capsys.readouterr().err


def test_a_target_is_passed_between_the_points_of_a_curve(scripts):
    from density import time_to

    curve = [(10, -100.0), (20, -90.0), (30, -80.0)]
    assert time_to(-95.0, curve) == "15"
    assert time_to(-110.0, curve) == "at most 10"
    assert time_to(-70.0, curve) == ""
