"""How good codes are: nearest neighbors by them, and how many of their columns are active.

    python benchmarks/representation.py --data ../shared/data
    python benchmarks/representation.py --data ../shared/data --epochs 150 --picture codes.png

The paper's network (two gated layers of 300 units, 40 codes) under three priors on dynamic MNIST,
as many epochs each. k, from 3 to 15, is chosen on the validation rows, and the test rows are
classified once. A column of the codes is active if its variance over the test rows is above a
hundredth of the largest column's: the scale of codes is the model's own. The picture is a t-SNE of
the codes of 2000 test rows under the exemplar and the gaussian prior.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from _machine import describe, file_to_write, markdown_table
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier

from sklearn_exemplar_vae import ExemplarVAE
from sklearn_exemplar_vae.datasets import load_fashion_mnist, load_mnist

LOADERS = {"mnist": load_mnist, "fashion-mnist": load_fashion_mnist}
PRIORS = ("exemplar", "vamp", "gaussian")
NEIGHBORS = range(3, 16, 2)
ACTIVE_SHARE = 0.01
N_SHOWN = 2000


def fit(prior: str, rows: np.ndarray, n_epochs: int, seed: int) -> ExemplarVAE:
    """Fit a density of images, without held-out rows: they never stop it and double its time."""
    model = ExemplarVAE(
        40,
        prior=prior,
        likelihood="bernoulli",
        batch_size=500,
        learning_rate_init=3e-3,
        max_iter=n_epochs,
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(rows)


def classify(codes: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> tuple[int, float]:
    """Return the k chosen on validation rows, and the error on test rows."""

    def error(k, part):
        classifier = KNeighborsClassifier(k, algorithm="brute", n_jobs=-1)
        classifier.fit(codes["train"], labels["train"])
        return 1 - classifier.score(codes[part], labels[part])

    k = min(NEIGHBORS, key=lambda k: error(k, "valid"))
    return k, error(k, "test")


def draw(codes: dict[str, np.ndarray], labels: np.ndarray, path: Path) -> None:
    """Draw a t-SNE of each prior's codes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(codes), figsize=(5 * len(codes), 5), layout="constrained")
    for axis, (prior, rows) in zip(axes, codes.items(), strict=True):
        places = TSNE(random_state=0).fit_transform(rows)
        axis.scatter(*places.T, c=labels, cmap="tab10", s=4)
        axis.set_title(f"{prior} prior")
        axis.axis("off")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=LOADERS, default="mnist")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=file_to_write)
    arguments = parser.parse_args()
    images = LOADERS[arguments.dataset](arguments.data)
    parts = ("train", "valid", "test")
    rows = {part: (images[f"X_{part}"] / 255).astype(np.float32) for part in parts}
    labels = {part: images[f"y_{part}"] for part in parts}
    table, test_codes = [], {}
    for prior in PRIORS:
        start = time.perf_counter()
        model = fit(prior, rows["train"], arguments.epochs, arguments.seed)
        seconds = time.perf_counter() - start
        codes = {part: model.transform(rows[part]) for part in parts}
        test_codes[prior] = codes["test"]
        k, error = classify(codes, labels)
        variances = codes["test"].var(0)
        active = int((variances > ACTIVE_SHARE * variances.max()).sum())
        table.append([f"{prior} prior", f"{100 * error:.2f} %", str(k), f"{active} of 40"])
        table[-1].append(f"{seconds:.0f}")
        print(*table[-1], flush=True)
    k, error = classify(rows, labels)
    table.append(["pixels", f"{100 * error:.2f} %", str(k), "", ""])
    header = ["neighbors by", "test error", "k", "active columns", "fit, s"]
    print(f"\n{describe()}\n\n{markdown_table(header, table)}")
    if arguments.picture is not None:
        chosen = np.random.default_rng(0).choice(len(labels["test"]), N_SHOWN, replace=False)
        shown = {prior: test_codes[prior][chosen] for prior in ("exemplar", "gaussian")}
        draw(shown, labels["test"][chosen], arguments.picture)


if __name__ == "__main__":
    main()
