"""Few rows and no density estimate to start from: batches of 250 rows beside the default.

    python benchmarks/few_rows.py
    python benchmarks/few_rows.py --data ../shared/data

Where `ExemplarVAE` does not start at a density estimate, `batch_size="auto"` is a fiftieth of the
rows, at least 25 and at most 250. Both sizes take turns, a seed each; all other parameters are the
default. The rows are scikit-learn's digits as zeros and ones, as gray levels with a logistic
likelihood, and with noise of one step for two levels of codes; and breast_cancer, with two levels.
With `--data` there are also MNIST's first rows, gray. Test log-densities are nats a row; on MNIST
they are those of 1000 test rows drawn as zeros and ones.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, markdown_table
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_exemplar_vae import ExemplarVAE
from sklearn_exemplar_vae.datasets import load_mnist

BATCH_SIZES = (250, "auto")
MNIST_ROWS, N_TEST = (1000, 5000), 1000


def cases(folder: Path | None):
    """Yield (name, training rows, test rows, parameters) of every comparison."""
    digits, rng = load_digits().data, np.random.default_rng(0)
    binary = (digits > 7).astype(float)
    levels = np.minimum(16 * digits, 255)
    noisy = digits + rng.uniform(size=digits.shape)
    two_levels = {"architecture": "hierarchical"}
    yield "digits, 300 binary rows", *train_test_split(binary, train_size=300, random_state=0), {}
    yield "digits, binary", *train_test_split(binary, random_state=0), {}
    yield "digits, binary, two levels", *train_test_split(binary, random_state=0), two_levels
    logistic = {"likelihood": "logistic"}
    yield "digits, gray levels", *train_test_split(levels, random_state=0), logistic
    yield "digits, two levels", *train_test_split(noisy, random_state=0), two_levels
    table = load_breast_cancer().data
    yield "breast_cancer, two levels", *train_test_split(table, random_state=0), two_levels
    if folder is not None:
        images = load_mnist(folder)
        train, test = (images[f"X_{p}"].astype(np.float32) / 255 for p in ("train", "test"))
        test = (rng.random(test[:N_TEST].shape) < test[:N_TEST]).astype(np.float32)
        for n_rows in MNIST_ROWS:
            yield f"MNIST, {n_rows} rows", train[:n_rows], test, {"likelihood": "bernoulli"}


def compare(train, test, parameters: dict, n_seeds: int) -> list[str]:
    """Return the cells of a row: log-densities by both sizes, the gain, seconds of both."""
    scores, taken = np.empty((2, len(BATCH_SIZES), n_seeds))
    for seed in range(n_seeds):
        for place, size in enumerate(BATCH_SIZES):
            start = time.perf_counter()
            model = ExemplarVAE(batch_size=size, random_state=seed, **parameters).fit(train)
            taken[place, seed] = time.perf_counter() - start
            scores[place, seed] = model.score(test) / len(test)
    gains = scores[1] - scores[0]
    error = gains.std(ddof=1) / np.sqrt(n_seeds)
    means = [f"{mean:.2f}" for mean in scores.mean(1)]
    return [*means, f"{gains.mean():+.2f} ± {error:.2f}", *(f"{s:.1f}" for s in taken.mean(1))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: one has no standard error.")
    warnings.simplefilter("ignore", ConvergenceWarning)
    table = []
    for name, train, test, parameters in cases(arguments.data):
        cells = compare(train, test, parameters, arguments.seeds)
        table.append([f"{name} ({len(train)} × {train.shape[1]})", *cells])
        print(*table[-1], flush=True)
    header = ["rows", "250 a step", "default", "gain", "s, 250", "s, default"]
    print(f"\n{describe()}\n\n{markdown_table(header, table)}")


if __name__ == "__main__":
    main()
