"""ExemplarFlow's quality against fit time, its speed, and whether its samples pass for data.

    python benchmarks/flow_speed.py --data ../shared/data --picture flow_curve.png

Quality: held-out log-density on power-plant (5 % noise) after 0 to 100 epochs, against the seconds
of the fit, beside the same flow with a normal base; the two take turns. Speed: fit 10000 rows of
10 columns of protein, score 10000 others. Samples: a classifier (HistGradientBoosting, five folds)
distinguishes samples from as many held-out rows of power-plant; an area under the curve of 0.5 is
chance. `--max-iter` limits the epochs of every fit.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, file_to_write, markdown_table
from _tables import prepare
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score, train_test_split

from sklearn_exemplar_vae import ExemplarFlow

NOISE = 0.05
EPOCHS = (0, 3, 10, 30, 100)
N_SPEED = 10_000
BASES = {"ExemplarFlow": "mixed", "flow, normal base": "gaussian"}


def quality_curve(folder: Path, max_iter: int) -> dict[str, list[tuple[int, float, float]]]:
    """Return (epochs, seconds, held-out log-density) of both flows."""
    rows, _ = prepare("power-plant", folder, NOISE, 0)
    train, test = train_test_split(rows, test_size=0.2, random_state=0)
    curves: dict[str, list] = {name: [] for name in BASES}
    for n_epochs in epochs_up_to(max_iter):
        for name, prior in BASES.items():
            start = time.perf_counter()
            model = ExemplarFlow(prior, max_iter=n_epochs, random_state=0).fit(train)
            seconds = time.perf_counter() - start
            curves[name].append((model.n_iter_, seconds, model.score_samples(test).mean()))
    return curves


def epochs_up_to(max_iter: int) -> list[int]:
    """Return the epochs of the curve."""
    return [n_epochs for n_epochs in EPOCHS if n_epochs <= max_iter]


def speed(folder: Path, max_iter: int) -> list[list[str]]:
    """Return seconds of fit and score, over three runs."""
    rows, _ = prepare("protein", folder, NOISE, 0)
    rows = np.random.default_rng(0).permutation(rows)
    train, test = rows[:N_SPEED], rows[N_SPEED : 2 * N_SPEED]
    seconds = []
    for seed in range(3):
        start = time.perf_counter()
        model = ExemplarFlow(max_iter=max_iter, random_state=seed).fit(train)
        fitted = time.perf_counter()
        model.score_samples(test)
        seconds.append((fitted - start, time.perf_counter() - fitted))
    fit, score = np.array(seconds).T
    return [[f"{part.mean():.1f} (at most {part.max():.1f})" for part in (fit, score)]]


def two_sample_test(folder: Path, max_iter: int) -> list[list[str]]:
    """Return areas under the curve of a classifier between samples and held-out rows."""
    rows, _ = prepare("power-plant", folder, NOISE, 0)
    train, test = train_test_split(rows, test_size=0.2, random_state=0)
    table = []
    for name, prior in BASES.items():
        model = ExemplarFlow(prior, max_iter=max_iter, random_state=0).fit(train)
        X = np.concatenate([test, model.sample(len(test), random_state=0)])
        y = np.repeat([0, 1], len(test))
        classifier = HistGradientBoostingClassifier(random_state=0)
        area = cross_val_score(classifier, X, y, cv=5, scoring="roc_auc").mean()
        table.append([name, f"{area:.3f}"])
    X = np.concatenate([test, train[: len(test)]])
    area = cross_val_score(classifier, X, y, cv=5, scoring="roc_auc").mean()
    return [*table, ["rows of the training set", f"{area:.3f}"]]


def draw(curves: dict, path: Path) -> None:
    """Draw quality against seconds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for name, points in curves.items():
        _, seconds, scores = zip(*points, strict=True)
        axis.plot(seconds, scores, marker="o", label=name)
    axis.set(xlabel="seconds of fit", ylabel="held-out log-density, nats a row", xscale="log")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with uci/*.txt.gz")
    parser.add_argument("--max-iter", type=int, default=ExemplarFlow().max_iter)
    parser.add_argument("--picture", type=file_to_write)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe())
    curves = quality_curve(arguments.data, arguments.max_iter)
    rows = [
        [name, *(f"{score:.2f} ({n} epochs, {seconds:.1f} s)" for n, seconds, score in points)]
        for name, points in curves.items()
    ]
    header = ["power-plant", *(f"max_iter={n}" for n in epochs_up_to(arguments.max_iter))]
    print(f"\n{markdown_table(header, rows)}")
    header = [f"fit {N_SPEED} x 10, s", f"score {N_SPEED}, s"]
    print(f"\n{markdown_table(header, speed(arguments.data, arguments.max_iter))}")
    header = ["samples of", "area under the curve against held-out rows"]
    print(f"\n{markdown_table(header, two_sample_test(arguments.data, arguments.max_iter))}")
    if arguments.picture is not None:
        draw(curves, arguments.picture)


if __name__ == "__main__":
    main()
