"""Images: the paper's models under its priors, at equal wall time.

    python benchmarks/density.py mnist --data ../shared/data --seconds 70 340
    python benchmarks/density.py fashion-mnist --data ../shared/data --seconds 1200 \\
        --architectures mlp hierarchical --plans exemplar vamp gaussian --results results.json

`--data` is a folder with the images (see `sklearn_exemplar_vae.datasets`); without it MNIST and
Fashion-MNIST come from OpenML. The networks are the paper's, two gated layers of 300 units and 40
codes a level, or have other `--hidden-layer-sizes`. Training rows are drawn as zeros and ones at
every visit, validation and test rows once; the exemplars are the training rows as they are.

One training is done for each of `--seconds`, `--architectures`, `--plans` and `--seeds`, in a
process of its own. It has as many epochs as fit into the seconds; a few are timed beforehand, which
also compiles pynndescent. Along the way the clock stops for the single-sample validation ELBO over
all exemplars, after a refit of the bandwidth as in the estimator. The table has the seconds until
that ELBO passed `--target`, and the peak memory of the process until then.

Tested is the model that was best on 500 validation rows, by a rough log-likelihood of 16 samples:
choose settings by that figure. The test log-likelihood is estimated as in the paper, importance
weighted, by draws of q(z | x), but with each row's 2000 nearest exemplars, which can only lower it.

`--bound-samples` is `ExemplarVAE`'s `n_bound_samples`. Finished trainings are written into
`--results`, a JSON file, and are not repeated with the same settings: a table grows over many runs.

The plans are the default (exemplars of the minibatch, which is random first and made of neighbors
later), the gaussian prior and the VampPrior, and for an ablation random minibatches to the end, the
same with exemplars retrieved in the last tenth of the epochs, retrieved ones only (k = 10 of M =
25000) and all of M = 25000 at every step.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from _density_table import Cell, draw, table
from _images import (
    LAYERS,
    LOADERS,
    PLANS,
    Images,
    Training,
    add_training_options,
    make_schedule,
    new_model,
)
from _machine import describe, file_to_write, peak_memory
from _paper_estimates import evidence_lower_bound, log_density_by_posterior

from sklearn_exemplar_vae.engine.devices import choose_device
from sklearn_exemplar_vae.engine.importance.estimate import ImportanceSampling, importance_noise
from sklearn_exemplar_vae.engine.networks import NETWORKS
from sklearn_exemplar_vae.engine.training.loop import train
from sklearn_exemplar_vae.engine.training.objectives import BOUND_SAMPLES_FROM
from sklearn_exemplar_vae.engine.training.refit import exemplars_of, refit_bandwidth

# The share of the budget kept back: the larger minibatches of the last epochs cost more than the
# epoch that is timed.
RESERVE = 0.05
# Validation rows that choose the model to test, and the samples of their log-likelihood.
N_CHOOSING_ROWS, N_CHOOSING_SAMPLES = 500, 16


def refit(model, images: Images) -> None:
    """Refit the bandwidth as the estimator does after training with M < N - 1."""
    exemplars = exemplars_of(model, images.training)
    weights = torch.ones(len(images.validation), device=images.test.device)
    refit_bandwidth(model, exemplars, images.validation, weights, seed=0)


def validation_elbo(model, images: Images) -> float:
    """Return the mean ELBO of the validation rows."""
    exemplars = exemplars_of(model, images.training)
    return evidence_lower_bound(model, images.validation, exemplars, seed=0).mean().item()


def validation_score(model, images: Images) -> float:
    """Return a rough log-likelihood, always of the same rows and noise."""
    exemplars = exemplars_of(model, images.training)
    noise = importance_noise(ImportanceSampling(N_CHOOSING_SAMPLES, 0), model.n_noise)
    rows = images.validation[:N_CHOOSING_ROWS]
    return log_density_by_posterior(model, rows, exemplars, noise).mean().item()


def seconds_per_epoch(cell: Cell, images: Images, arguments) -> float:
    """Time an average epoch: those of near exemplars or of several samples cost more."""
    schedule = make_schedule(cell.plan, Training.of(arguments), 4, images)
    near_from, several_from = schedule.neighbors_from, 1.0
    if arguments.bound_samples > 1:
        several_from = BOUND_SAMPLES_FROM  # within the last of four epochs
    if 0 < near_from < 1:
        schedule = schedule._replace(neighbors_from=0.5)  # from the third epoch on
    model = new_model(
        cell.architecture, PLANS[cell.plan][0], images, arguments.hidden_layer_sizes, 1
    )
    epochs = train(model, images.training, schedule, torch.Generator())
    taken = []
    for _ in range(2 if near_from == several_from == 1 else 4):
        start = time.perf_counter()
        next(epochs)
        taken.append(time.perf_counter() - start)
    # Where several samples come before near exemplars their epochs pass for those of both.
    plain = min(near_from, several_from)
    last = 1 - (several_from if several_from < 1 else near_from)
    return plain * taken[1] + (1 - plain - last) * taken[-2] + last * taken[-1]


def settings_of(arguments) -> dict:
    """Return everything but the cell that decides a training's figures."""
    names = (*Training._fields, "hidden_layer_sizes", "test_rows", "n_samples", "curve_points")
    data = None if arguments.data is None else str(arguments.data.resolve())
    where = {"device": str(choose_device(arguments.device)), "data": data}
    return {name: getattr(arguments, name) for name in names} | where


def run(cell: Cell, arguments) -> dict | None:
    """Train within the budget and evaluate; None if training diverged before there was a model."""
    prior = PLANS[cell.plan][0]
    images = Images(cell.dataset, arguments.data, choose_device(arguments.device))
    affordable = (1 - RESERVE) * cell.seconds / seconds_per_epoch(cell, images, arguments)
    n_epochs = max(1, int(affordable))
    schedule = make_schedule(cell.plan, Training.of(arguments), n_epochs, images)
    model = new_model(cell.architecture, prior, images, arguments.hidden_layer_sizes, cell.seed)
    generator = torch.Generator().manual_seed(cell.seed)
    epochs = train(model, images.training, schedule, generator)
    elapsed, curve, best, best_score, best_elbo = 0.0, [], None, -math.inf, math.nan
    points = np.linspace(0, n_epochs, arguments.curve_points + 1)[1:].round()
    for _ in range(n_epochs):
        start = time.perf_counter()
        epoch = next(epochs)
        elapsed += time.perf_counter() - start
        if not math.isfinite(epoch.bound):
            print(f"{cell} diverged in epoch {epoch.number}", flush=True)
            break
        if epoch.number in points:
            model = copy.deepcopy(epoch.model)
            if prior == "exemplar":
                refit(model, images)
            curve.append((elapsed, validation_elbo(model, images)))
            score = validation_score(model, images)
            if score > best_score:
                best, best_score, best_elbo = model, score, curve[-1][1]
            elbo = f"{curve[-1][1]:.2f} at {elapsed:.0f} s"
            print(f"{cell}, epoch {epoch.number} of {n_epochs}: {elbo}", flush=True)
    if best is None:
        return None
    memory = peak_memory()
    rows = torch.randperm(len(images.test), generator=torch.Generator().manual_seed(0))
    rows = images.test[rows[: arguments.test_rows].to(images.test.device)]
    noise = importance_noise(ImportanceSampling(arguments.n_samples, 0), best.n_noise)
    start = time.perf_counter()
    scores = log_density_by_posterior(best, rows, exemplars_of(best, images.training), noise)
    # One row that the encoder misplaces can outweigh all others.
    print(f"{cell}, lowest test rows: {scores.sort().values[:3].tolist()}", flush=True)
    return {
        "cell": cell,
        "settings": settings_of(arguments),
        "machine": describe(),
        "training seconds": elapsed,
        "epochs": epoch.number,
        "curve": curve,
        "training rows": len(images.training.rows),
        "validation ELBO": best_elbo,
        "peak memory": memory,
        "validation log-likelihood": best_score,
        "test log-likelihood": scores.mean().item(),
        "standard error": scores.std().item() / len(scores) ** 0.5,
        "lowest row": scores.min().item(),
        "scoring seconds": time.perf_counter() - start,
        "test rows": len(scores),
        "samples": arguments.n_samples,
    }


def run_in_own_process(cell: Cell, arguments) -> dict | None:
    """Call `run` in a process of its own, whose peak memory is that of one training."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own_process:
        return own_process.submit(run, cell, arguments).result()


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[dict]]:
    """Return the command line's arguments, and the results so far."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=LOADERS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[70.0, 340.0])
    parser.add_argument("--architectures", nargs="+", choices=NETWORKS, default=["mlp"])
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=["exemplar", "gaussian"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--results", type=file_to_write, help="JSON to go on from, write into")
    parser.add_argument("--picture", type=file_to_write, help="of the data set's curves")
    parser.add_argument("--target", type=float, default=-90.6)
    parser.add_argument("--curve-points", type=int, default=8)
    add_training_options(parser)
    parser.add_argument("--hidden-layer-sizes", type=int, nargs="+", default=list(LAYERS))
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--n-samples", type=int, default=5000)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args(argv)
    if arguments.dataset == "omniglot" and arguments.data is None:
        parser.error("omniglot needs --data: there is nowhere to fetch it from.")
    if min(arguments.hidden_layer_sizes) < 1:
        parser.error("--hidden-layer-sizes must be positive.")
    if arguments.weight_decay < 0:
        parser.error("--weight-decay must not be negative.")
    if arguments.curve_points < 1:
        parser.error("--curve-points must be at least 1: the model tested is one of them.")
    results = []
    if arguments.results is not None and arguments.results.exists():
        results = json.loads(arguments.results.read_text())
        if not all("weight_decay" in result.get("settings", {}) for result in results):
            parser.error(f"{arguments.results} is of an earlier version: name another file.")
    return arguments, results


def write(results: list[dict], path: Path) -> None:
    """Write the results; if interrupted meanwhile, the old file stands."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1))
    part.replace(path)


def main(argv: Sequence[str] | None = None, run_cell: Callable = run_in_own_process) -> None:
    """Train the cells that are not done yet by ``run_cell(cell, arguments)``; print the table."""
    arguments, results = parse(argv)
    asked = settings_of(arguments)
    done = {Cell(*result["cell"]) for result in results if result["settings"] == asked}
    for seed, seconds, architecture, plan in itertools.product(
        arguments.seeds, arguments.seconds, arguments.architectures, arguments.plans
    ):
        cell = Cell(arguments.dataset, architecture, plan, seconds, seed)
        if cell in done:
            continue
        result = run_cell(cell, arguments)
        if result is None:
            continue
        results.append(result)
        if arguments.results is not None:
            write(results, arguments.results)
    machines = "\n\n".join(dict.fromkeys(result["machine"] for result in results))
    print(f"\n{machines}\n\n{table(results, arguments.target)}")
    if arguments.picture is not None:
        of_dataset = [result for result in results if result["cell"][0] == arguments.dataset]
        draw(of_dataset, arguments.picture)


if __name__ == "__main__":
    main()
