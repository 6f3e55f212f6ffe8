"""Images: the paper's models under its priors, at equal wall time.

    python benchmarks/density.py mnist --data ../shared/data --seconds 70 340
    python benchmarks/density.py fashion-mnist --data ../shared/data --seconds 1200 \\
        --architectures mlp hierarchical --plans exemplar vamp gaussian --results results.json

`--data` is a folder with the images (see `sklearn_exemplar_vae.datasets`); without it they come
from OpenML, but for Omniglot. The networks are the paper's, two gated layers of 300 units and 40
codes a level, or have other `--hidden-layer-sizes`. Training rows are drawn as zeros and ones at
every visit, validation and test rows once; the exemplars are the training rows as they are.

For each of `--seconds`, `--architectures`, `--plans` and `--seeds`: as many epochs as fit the
seconds (some are timed beforehand, which also compiles pynndescent), the single-sample validation
ELBO over all exemplars along the way, with the clock stopped and the bandwidth refitted as the
estimator does, when it passed `--target`, the peak memory of a process of its own that loads the
images, trains and evaluates that ELBO. What was the best model along the way on 500 validation rows
is tested: its test log-likelihood stands beside the paper's and is estimated as there, importance
weighted, by draws of q(z | x), but with each row's 2000 nearest exemplars, which can only lower it.
What chose the model stands beside, a rough log-likelihood of 16 samples: choose settings by it.
`--bound-samples` is `ExemplarVAE`'s `n_bound_samples`, `--weight-decay` by default what it uses.
What is done is written into `--results`, a JSON file, and is not done again with the same settings:
a table grows over many runs.

The plans are the default (exemplars of the minibatch, which is random first and made of neighbours
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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from _machine import describe, file_to_write, markdown_table, peak_memory

from sklearn_exemplar_vae._plan import WEIGHT_DECAY, plan_exemplars
from sklearn_exemplar_vae.datasets import load_fashion_mnist, load_mnist, load_omniglot
from sklearn_exemplar_vae.engine.devices import choose_autocast, choose_device
from sklearn_exemplar_vae.engine.importance import importance_noise
from sklearn_exemplar_vae.engine.model import build_model
from sklearn_exemplar_vae.engine.networks import NETWORKS
from sklearn_exemplar_vae.engine.refit import exemplars_of, refit_bandwidth
from sklearn_exemplar_vae.engine.scoring import evidence_lower_bound, log_density_by_posterior
from sklearn_exemplar_vae.engine.training import BOUND_SAMPLES_FROM, Schedule, train
from sklearn_exemplar_vae.engine.training_rows import TrainingRows

LOADERS = {"mnist": load_mnist, "fashion-mnist": load_fashion_mnist, "omniglot": load_omniglot}
# Test log-likelihoods of the paper, nats (table 2), by data set and architecture, under each prior.
PAPER = {
    ("mnist", "mlp"): {"gaussian": -84.45, "vamp": -82.43, "exemplar": -82.09},
    ("mnist", "hierarchical"): {"gaussian": -82.39, "vamp": -81.56, "exemplar": -81.22},
    ("mnist", "conv"): {"gaussian": -80.52, "vamp": -79.67, "exemplar": -79.58},
    ("fashion-mnist", "mlp"): {"gaussian": -228.70, "vamp": -227.35, "exemplar": -226.75},
    ("fashion-mnist", "hierarchical"): {"gaussian": -227.37, "vamp": -226.72, "exemplar": -226.53},
    ("fashion-mnist", "conv"): {"gaussian": -225.38, "vamp": -224.67, "exemplar": -224.63},
    ("omniglot", "mlp"): {"gaussian": -108.34, "vamp": -106.78, "exemplar": -105.22},
    ("omniglot", "hierarchical"): {"gaussian": -104.92, "vamp": -103.30, "exemplar": -102.25},
    ("omniglot", "conv"): {"gaussian": -98.12, "vamp": -97.30, "exemplar": -96.38},
}
# Training images of Omniglot in chardata.mat, the paper's, and how many of them validate there. Of
# a smaller set a tenth does, and the paper's figures do not belong to it.
N_OMNIGLOT, N_OMNIGLOT_VALIDATION = 24_345, 1_345
N_COMPONENTS, LAYERS = 40, (300, 300)
IMAGE_SHAPE, N_PSEUDO_INPUTS = (1, 28, 28), 500
# What a row of the table trains with: prior, M and k of the estimator's parameters.
PLANS = {
    "exemplar": ("exemplar", "batch", "auto"),
    "gaussian": ("gaussian", "batch", None),
    "vamp": ("vamp", "batch", None),
    "exemplar, in-batch": ("exemplar", "batch", None),
    "exemplar, in-batch, then retrieved": ("exemplar", "batch", 5),
    "exemplar, retrieved": ("exemplar", 25_000, 10),
    "exemplar, all of M = 25000": ("exemplar", 25_000, None),
}
# Of the budget: the larger minibatches of the last epochs cost more than the epoch that is timed.
RESERVE = 0.05


class Images:
    """Rows on the device: grey for training and as exemplars, binarised once for what is scored."""

    def __init__(self, name: str, folder: Path | None, device: torch.device) -> None:
        images = LOADERS[name](folder)
        if "X_valid" not in images:
            order = np.random.default_rng(0).permutation(len(images.X_train))
            n_valid = N_OMNIGLOT_VALIDATION if len(order) == N_OMNIGLOT else len(order) // 10
            rows = images.X_train[order]
            images.X_valid, images.X_train = rows[:n_valid], rows[n_valid:]
        generator = torch.Generator().manual_seed(0)

        def scaled(part):
            return torch.from_numpy(images[f"X_{part}"] / np.float32(255))

        def binarised(part):
            rows = scaled(part)
            return (torch.rand(rows.shape, generator=generator) < rows).float().to(device)

        grey = scaled("train").to(device)
        self.training = TrainingRows(
            grey, torch.ones(len(grey), device=device), torch.arange(len(grey), device=device)
        )
        self.validation, self.test = binarised("valid"), binarised("test")


def new_model(architecture: str, prior: str, images: Images, sizes: Sequence[int], seed: int):
    generator = torch.Generator().manual_seed(seed)
    n_rows, n_pixels = images.training.rows.shape
    chosen = torch.randperm(n_rows, generator=generator)[:N_PSEUDO_INPUTS]
    return build_model(
        n_pixels,
        N_COMPONENTS,
        architecture=architecture,
        hidden_layer_sizes=sizes,
        image_shape=IMAGE_SHAPE if architecture == "conv" else None,
        prior=prior,
        pseudo_inputs=images.training.rows[chosen].cpu(),
        likelihood="bernoulli",
        binary=False,  # grey rows, drawn as zeros and ones at every visit
        start=None,
        row_mean=images.training.rows.mean(0).cpu(),
        generator=generator,
    ).to(images.test.device)


def refit(model, images: Images) -> None:
    """What the estimator does after training with M < N - 1."""
    exemplars = exemplars_of(model, images.training)
    weights = torch.ones(len(images.validation), device=images.test.device)
    refit_bandwidth(model, exemplars, images.validation, weights, None, 0)


def validation_elbo(model, images: Images) -> float:
    exemplars = exemplars_of(model, images.training)
    return evidence_lower_bound(model, images.validation, exemplars, seed=0).mean().item()


def validation_score(model, images: Images) -> float:
    """What chooses the model to test: a rough log-likelihood, on the same rows and noise."""
    exemplars = exemplars_of(model, images.training)
    noise = importance_noise(16, model.n_noise, seed=0)
    return log_density_by_posterior(model, images.validation[:500], exemplars, noise).mean().item()


def make_schedule(plan: str, arguments, n_epochs: int, images: Images) -> Schedule:
    _, n_exemplars, n_neighbors = PLANS[plan]
    exemplars = plan_exemplars(
        len(images.training.rows), arguments.batch_size, n_exemplars, n_neighbors, "auto"
    )
    return Schedule(
        n_epochs=n_epochs,
        learning_rate=arguments.learning_rate,
        kl_warmup=arguments.kl_warmup,
        leave_one_out=True,
        autocast=choose_autocast("auto", "bernoulli", images.test.device),
        n_bound_samples=arguments.bound_samples,
        weight_decay=arguments.weight_decay,
        **exemplars._asdict(),
    )


def seconds_per_epoch(cell: Cell, images: Images, arguments) -> float:
    """Of a schedule's average epoch: those of near exemplars or several samples cost more."""
    schedule = make_schedule(cell.plan, arguments, 4, images)
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


class Cell(NamedTuple):
    """What one training has in common with no other."""

    dataset: str
    architecture: str
    plan: str
    seconds: float
    seed: int


def settings(arguments) -> dict:
    """What else decides the figures of a cell."""
    names = (
        "batch_size",
        "learning_rate",
        "kl_warmup",
        "bound_samples",
        "weight_decay",
        "hidden_layer_sizes",
        "test_rows",
        "n_samples",
        "curve_points",
    )
    data = None if arguments.data is None else str(arguments.data.resolve())
    where = {"device": str(choose_device(arguments.device)), "data": data}
    return {name: getattr(arguments, name) for name in names} | where


def run(cell: Cell, arguments) -> dict | None:
    """Train within the budget and evaluate; None if training diverged before there was a model."""
    prior = PLANS[cell.plan][0]
    images = Images(cell.dataset, arguments.data, choose_device(arguments.device))
    affordable = (1 - RESERVE) * cell.seconds / seconds_per_epoch(cell, images, arguments)
    n_epochs = max(1, int(affordable))
    schedule = make_schedule(cell.plan, arguments, n_epochs, images)
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
    noise = importance_noise(arguments.n_samples, best.n_noise, seed=0)
    start = time.perf_counter()
    scores = log_density_by_posterior(best, rows, exemplars_of(best, images.training), noise)
    # One row that the encoder misplaces can outweigh all others.
    print(f"{cell}, lowest test rows: {scores.sort().values[:3].tolist()}", flush=True)
    return {
        "cell": cell,
        "settings": settings(arguments),
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


def table(results: list[dict], target: float) -> str:
    """One row a training; beside it the paper's figure for its architecture and prior."""
    rows = []
    for result in results:
        cell = Cell(*result["cell"])
        settings, n_rows = result["settings"], result["training rows"]
        paper = PAPER.get((cell.dataset, cell.architecture), {}).get(cell.plan)
        if cell.dataset == "omniglot" and n_rows != N_OMNIGLOT - N_OMNIGLOT_VALIDATION:
            paper = None
        score = f"{result['test log-likelihood']:.2f} ± {result['standard error']:.2f}"
        sizes = " and ".join(str(size) for size in settings["hidden_layer_sizes"])
        rows.append(
            [
                f"{cell.dataset}, {cell.architecture}, layers of {sizes}, seed {cell.seed}",
                f"{cell.plan}, K = {settings['bound_samples']}, rate "
                f"{settings['learning_rate']:g}, warm-up {settings['kl_warmup']:g}, decay "
                f"{settings['weight_decay']:g}",
                f"{result['training seconds']:.0f}",
                str(result["epochs"]),
                f"{result['validation ELBO']:.2f}",
                time_to(target, result["curve"]),
                f"{result['peak memory']:.0f}",
                f"{result['validation log-likelihood']:.2f}",
                f"{score} ({result['test rows']} rows, S = {result['samples']})",
                "" if paper is None else f"{paper:.2f}",
                f"{result['scoring seconds']:.0f}",
                ", ".join(f"{elbo:.2f} at {seconds:.0f} s" for seconds, elbo in result["curve"]),
            ]
        )
    header = [
        "model",
        "trained with",
        "training, s",
        "epochs",
        "validation ELBO",
        f"s to {target}",
        "peak memory, MiB",
        "validation log-likelihood",
        "test log-likelihood",
        "the paper's",
        "scoring, s",
        "validation ELBO along the way",
    ]
    return markdown_table(header, rows)


def draw(results: list[dict], path: Path) -> None:
    """Validation ELBO against seconds of training, a line for each result."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for result in results:
        cell, (seconds, elbo) = Cell(*result["cell"]), zip(*result["curve"], strict=True)
        settings = result["settings"]
        label = f"{cell.plan}, {result['epochs']} epochs, seed {cell.seed}, "
        label += f"K = {settings['bound_samples']}, rate {settings['learning_rate']:g}"
        if cell.architecture != "mlp":
            label = f"{cell.architecture}: {label}"
        if settings["hidden_layer_sizes"] != list(LAYERS):
            label += f", layers of {settings['hidden_layer_sizes']}"
        if settings["weight_decay"] != WEIGHT_DECAY:
            label += f", decay {settings['weight_decay']:g}"
        axis.plot(seconds, elbo, marker=".", label=label)
    best = max(elbo for result in results for _, elbo in result["curve"])
    axis.set(xlabel="seconds of training", ylabel="validation ELBO, nats")
    axis.set_ylim(best - 8, best + 0.5)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)


def time_to(target: float, curve: list[tuple[float, float]]) -> str:
    """Seconds at which the curve of (seconds, ELBO) first passes ``target``, between its points."""
    if curve[0][1] >= target:
        return f"at most {curve[0][0]:.0f}"
    for (start, below), (end, above) in itertools.pairwise(curve):
        if below < target <= above:
            return f"{start + (end - start) * (target - below) / (above - below):.0f}"
    return ""


def main() -> None:
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
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--learning-rate", type=float, default=6e-3)
    parser.add_argument("--kl-warmup", type=float, default=3)
    parser.add_argument("--bound-samples", type=int, default=1, help="K of the last epochs")
    parser.add_argument("--weight-decay", type=float, default=WEIGHT_DECAY)
    parser.add_argument("--hidden-layer-sizes", type=int, nargs="+", default=list(LAYERS))
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--n-samples", type=int, default=5000)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
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
    asked = settings(arguments)
    done = {Cell(*result["cell"]) for result in results if result["settings"] == asked}
    for seed, seconds, architecture, plan in itertools.product(
        arguments.seeds, arguments.seconds, arguments.architectures, arguments.plans
    ):
        cell = Cell(arguments.dataset, architecture, plan, seconds, seed)
        if cell in done:
            continue
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own_process:
            result = own_process.submit(run, cell, arguments).result()
        if result is None:
            continue
        results.append(result)
        if arguments.results is not None:  # stopped while it is written, the old one stands
            part = arguments.results.with_suffix(".part")
            part.write_text(json.dumps(results, indent=1))
            part.replace(arguments.results)
    machines = "\n\n".join(dict.fromkeys(result["machine"] for result in results))
    print(f"\n{machines}\n\n{table(results, arguments.target)}")
    if arguments.picture is not None:
        of_dataset = [result for result in results if result["cell"][0] == arguments.dataset]
        draw(of_dataset, arguments.picture)


if __name__ == "__main__":
    main()
