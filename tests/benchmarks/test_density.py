"""density.py keeps what is done, repeats nothing, and leaves no cell half done."""

import functools
import json
import math

import density
import numpy as np
import pytest
from _density_table import Cell

RESULT = {
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


def finished(ran, cell, arguments):
    """Return a result as if ``cell`` were trained, and add it to those that ``ran``."""
    ran.append(cell)
    return RESULT | {"cell": cell, "settings": density.settings_of(arguments)}


def test_a_stopped_table_goes_on_where_it_was(tmp_path, capsys):
    path, ran = tmp_path / "results.json", []
    command = ["mnist", "--seconds", "1", "--device", "cpu", "--results", str(path)]

    def stopped_in_the_second_cell(cell, arguments):
        if ran:
            raise KeyboardInterrupt
        return finished(ran, cell, arguments)

    with pytest.raises(KeyboardInterrupt):
        density.main(command, stopped_in_the_second_cell)
    assert len(json.loads(path.read_text())) == 1
    density.main(command, functools.partial(finished, ran))
    assert [cell.plan for cell in ran] == ["exemplar", "gaussian"]
    assert len(json.loads(path.read_text())) == 2
    printed = capsys.readouterr().out
    assert "| -82.09 |" in printed and "| -84.45 |" in printed  # the paper's, beside


def test_other_settings_are_other_cells(tmp_path, capsys):
    path, ran = tmp_path / "results.json", []
    command = ["mnist", "--seconds", "1", "--device", "cpu", "--results", str(path)]
    for other in ([], ["--learning-rate", "1e-3"], ["--hidden-layer-sizes", "8"]):
        before = len(ran)
        for _ in range(2):  # the second time nothing is left to do
            density.main([*command, *other], functools.partial(finished, ran))
        assert len(ran) == len(json.loads(path.read_text())) == before + 2
    assert "layers of 8" in capsys.readouterr().out


def test_a_cell_that_diverges_is_not_done(tmp_path):
    path = tmp_path / "results.json"
    density.main(["mnist", "--results", str(path)], lambda cell, arguments: None)
    assert not path.exists()


def test_results_of_an_earlier_version_are_refused(tmp_path, capsys):
    path = tmp_path / "results.json"
    path.write_text('[{"cell": ["mnist", "mlp", "exemplar", 70.0, 0], "settings": {}}]')
    with pytest.raises(SystemExit):
        density.main(["mnist", "--results", str(path)], lambda cell, arguments: None)
    assert "earlier version" in capsys.readouterr().err


@pytest.mark.parametrize("plan", ["exemplar", "gaussian"])
def test_a_small_training_is_a_row_of_the_table(tmp_path, plan, capsys):
    rng = np.random.default_rng(0)
    images = {f"x_{part}": rng.integers(0, 256, (60, 784), np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(60) for part in ("train", "test")}
    np.savez(tmp_path / "omniglot_small.npz", **images, **labels)
    command = f"omniglot --data {tmp_path} --seconds 0.01 --device cpu --hidden-layer-sizes 8 8"
    command += " --batch-size 20 --test-rows 5 --n-samples 3 --curve-points 1 --results"
    results = tmp_path / "results.json"
    density.main([*command.split(), str(results), "--plans", plan], density.run)
    (result,) = json.loads(results.read_text())
    assert Cell(*result["cell"]) == Cell("omniglot", "mlp", plan, 0.01, 0)
    # Noise of every gray level is nowhere near certain, nor worse than a coin by much.
    for name in ("validation ELBO", "validation log-likelihood", "test log-likelihood"):
        assert 1.5 * 784 * math.log(0.5) < result[name] < 0.5 * 784 * math.log(0.5)
    assert (result["test rows"], result["samples"], result["training rows"]) == (5, 3, 54)
    assert f"{result['test log-likelihood']:.2f}" in capsys.readouterr().out
