"""Five panels of one model: samples, samples near exemplars, and three walks through codes.

    python benchmarks/pictures.py --data ../shared/data --epochs 100 --picture pictures.png

An `ExemplarVAE` of dynamic MNIST or Fashion-MNIST. From left to right: samples; an exemplar (first
column) and samples near it; interpolation between the codes of two exemplars; cyclic generation,
each sample the exemplar of the next; rows (odd columns) and their reconstructions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _machine import describe, file_to_write
from representation import LOADERS, fit

from sklearn_exemplar_vae import ExemplarVAE
from sklearn_exemplar_vae.engine.priors import VAE_PRIORS

SIDE, N = 28, 10  # pixels of an image; images of a panel's row and column


def make_panels(model: ExemplarVAE, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the images (10, 10, 784) of every panel; ``rows`` are at least 50 exemplars."""
    exemplars = rows[:N]
    near = model.sample_like(exemplars, N - 1, random_state=0)
    start, end = model.transform(exemplars), model.transform(rows[N : 2 * N])
    shares = np.linspace(0, 1, N)[None, :, None]
    path = (1 - shares) * start[:, None] + shares * end[:, None]
    cycle = [exemplars]
    for step in range(N - 1):
        cycle.append(model.sample_like(cycle[-1], 1, random_state=step)[:, 0])
    shown = rows[: N * N // 2]
    again = model.inverse_transform(model.transform(shown))
    return {
        "samples": model.sample(N * N, random_state=0).reshape(N, N, -1),
        "near exemplars": np.concatenate([exemplars[:, None], near], 1),
        "interpolation": model.inverse_transform(path.reshape(N * N, -1)).reshape(N, N, -1),
        "each the next one's exemplar": np.stack(cycle, 1),
        "rows and reconstructions": np.stack([shown, again], 1).reshape(N, N, -1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=LOADERS, default="mnist")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--prior", choices=VAE_PRIORS, default="exemplar")
    parser.add_argument("--picture", type=file_to_write, default=Path("pictures.png"))
    arguments = parser.parse_args()

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    images = LOADERS[arguments.dataset](arguments.data)
    rows = (images.X_train / 255).astype(np.float32)
    model = fit(arguments.prior, rows, arguments.epochs, seed=0)
    panels = make_panels(model, rows)
    size = (4 * len(panels), 4.3)
    figure, axes = plt.subplots(1, len(panels), figsize=size, layout="constrained")
    for axis, (title, tiles) in zip(axes, panels.items(), strict=True):
        picture = tiles.reshape(N, N, SIDE, SIDE).swapaxes(1, 2).reshape(N * SIDE, N * SIDE)
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        axis.set_title(title)
        axis.axis("off")
    figure.get_layout_engine().set(wspace=0.04)  # panels of images need a gap to be told apart
    figure.savefig(arguments.picture, dpi=80)
    print(f"{arguments.picture}\n{describe()}")


if __name__ == "__main__":
    main()
