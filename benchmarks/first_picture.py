"""The picture at the top of the README: one curved density, estimated three ways.

    python benchmarks/first_picture.py --output docs/densities.png

The rows lie along a wave that widens from left to right: x is uniform between -3 and 3, and y is
sin(2x) plus Gaussian noise whose standard deviation grows from 0.018 to 0.67. The script draws 2000
training rows and 10000 test rows. Each panel shows one estimated density and the training rows; the
figure under it is the mean log-density of the test rows, in nats (higher is better). All panels
share one color scale, in log-density. `KernelDensity` has its bandwidth and `GaussianMixture` its
number of components, up to 64, chosen by 5-fold cross-validation. `ExemplarFlow` has its defaults.
With `--seeds` the script repeats the experiment on other draws of the rows and prints a table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _machine import describe, file_to_write, markdown_table
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae import ExemplarFlow

N_TRAIN, N_TEST = 2000, 10_000
GRIDS = {
    "KernelDensity": {"bandwidth": np.geomspace(0.01, 1.0, 25)},
    "GaussianMixture": {"n_components": [1, 2, 4, 8, 12, 16, 24, 32, 48, 64]},
}


def widths(x: np.ndarray) -> np.ndarray:
    return np.exp(0.6 * x - 2.2)


def draw(n_rows: int, generator: np.random.Generator) -> np.ndarray:
    x = generator.uniform(-3, 3, n_rows)
    return np.column_stack([x, np.sin(2 * x) + widths(x) * generator.normal(size=n_rows)])


def true_log_density(rows: np.ndarray) -> np.ndarray:
    x, y = rows.T
    deviations = (y - np.sin(2 * x)) / widths(x)
    return -np.log(6 * widths(x) * np.sqrt(2 * np.pi)) - deviations**2 / 2


def fit_all(rows: np.ndarray, seed: int) -> dict:
    folds = KFold(5, shuffle=True, random_state=seed)
    rivals = {
        "KernelDensity": KernelDensity(leaf_size=len(rows)),
        "GaussianMixture": GaussianMixture(random_state=seed),
    }
    models = {}
    for name, rival in rivals.items():
        models[name] = GridSearchCV(rival, GRIDS[name], cv=folds).fit(rows)
        print(f"seed {seed}: {name}({models[name].best_params_})")
    models["ExemplarFlow"] = ExemplarFlow(random_state=seed).fit(rows)
    return {name: getattr(model, "best_estimator_", model) for name, model in models.items()}


def paint(models: dict, scores: dict, rows: np.ndarray, output: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x, y = np.linspace(-3.4, 3.4, 480), np.linspace(-2.7, 2.7, 360)
    grid = np.stack(np.meshgrid(x, y), -1)
    figure, axes = plt.subplots(1, len(models), figsize=(12, 3.9), layout="constrained")
    for axis, (name, model) in zip(axes, models.items(), strict=True):
        image = model.score_samples(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        extent = (x[0], x[-1], y[0], y[-1])
        axis.imshow(
            image, origin="lower", extent=extent, aspect="auto", cmap="magma", vmin=-6, vmax=1.5
        )
        axis.scatter(*rows[::4].T, s=3, c="white", alpha=0.3, linewidths=0)
        axis.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
        axis.set_title(name, fontsize=17)
        axis.set_xlabel(f"{scores[name]:.2f} nats a row", fontsize=15)
    figure.savefig(output, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=file_to_write, default=Path("densities.png"))
    arguments = parser.parse_args()

    table = []
    for seed in arguments.seeds:
        generator = np.random.default_rng(seed)
        rows, test = draw(N_TRAIN, generator), draw(N_TEST, generator)
        models = fit_all(rows, seed)
        scores = {name: model.score_samples(test).mean() for name, model in models.items()}
        if seed == arguments.seeds[0]:
            paint(models, scores, rows, arguments.output)
        scores["truth"] = true_log_density(test).mean()
        table.append([str(seed), *(f"{score:.3f}" for score in scores.values())])
    print(f"{describe()}\n\n{markdown_table(['seed', *scores], table)}")


if __name__ == "__main__":
    main()
