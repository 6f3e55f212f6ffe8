"""The table and the curves of `density.py`, beside the paper's figures."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

from _images import LAYERS, N_OMNIGLOT, N_OMNIGLOT_VALIDATION
from _machine import markdown_table

from sklearn_exemplar_vae.density._defaults import WEIGHT_DECAY

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
HEADER = [
    "model",
    "trained with",
    "training, s",
    "epochs",
    "validation ELBO",
    "s to {target}",
    "peak memory, MiB",
    "validation log-likelihood",
    "test log-likelihood",
    "the paper's",
    "scoring, s",
    "validation ELBO along the way",
]


class Cell(NamedTuple):
    """The place of one training in the table."""

    dataset: str
    architecture: str
    plan: str
    seconds: float
    seed: int


def table(results: list[dict], target: float) -> str:
    """Return one row a training; beside it the paper's figure for its architecture and prior."""
    header = [name.format(target=target) for name in HEADER]
    return markdown_table(header, [table_row(result, target) for result in results])


def table_row(result: dict, target: float) -> list[str]:
    """Return the cells of one training."""
    cell = Cell(*result["cell"])
    settings, n_rows = result["settings"], result["training rows"]
    paper = PAPER.get((cell.dataset, cell.architecture), {}).get(cell.plan)
    if cell.dataset == "omniglot" and n_rows != N_OMNIGLOT - N_OMNIGLOT_VALIDATION:
        paper = None
    score = f"{result['test log-likelihood']:.2f} ± {result['standard error']:.2f}"
    sizes = " and ".join(str(size) for size in settings["hidden_layer_sizes"])
    return [
        f"{cell.dataset}, {cell.architecture}, layers of {sizes}, seed {cell.seed}",
        f"{cell.plan}, K = {settings['bound_samples']}, rate {settings['learning_rate']:g}, "
        f"warm-up {settings['kl_warmup']:g}, decay {settings['weight_decay']:g}",
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


def draw(results: list[dict], path: Path) -> None:
    """Draw the validation ELBO against seconds of training, a line for each result."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for result in results:
        seconds, elbo = zip(*result["curve"], strict=True)
        axis.plot(seconds, elbo, marker=".", label=curve_label(result))
    best = max(elbo for result in results for _, elbo in result["curve"])
    axis.set(xlabel="seconds of training", ylabel="validation ELBO, nats")
    axis.set_ylim(best - 8, best + 0.5)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)


def curve_label(result: dict) -> str:
    """Return what distinguishes a training from the default one."""
    cell, settings = Cell(*result["cell"]), result["settings"]
    label = f"{cell.plan}, {result['epochs']} epochs, seed {cell.seed}, "
    label += f"K = {settings['bound_samples']}, rate {settings['learning_rate']:g}"
    if cell.architecture != "mlp":
        label = f"{cell.architecture}: {label}"
    if settings["hidden_layer_sizes"] != list(LAYERS):
        label += f", layers of {settings['hidden_layer_sizes']}"
    if settings["weight_decay"] != WEIGHT_DECAY:
        label += f", decay {settings['weight_decay']:g}"
    return label


def time_to(target: float, curve: list[tuple[float, float]]) -> str:
    """Return when the curve of (seconds, ELBO) first passes ``target``, between its points."""
    if curve[0][1] >= target:
        return f"at most {curve[0][0]:.0f}"
    for (start, below), (end, above) in itertools.pairwise(curve):
        if below < target <= above:
            return f"{start + (end - start) * (target - below) / (above - below):.0f}"
    return ""
