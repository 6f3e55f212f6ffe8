"""How long a small fit, a score and the import take, beside scikit-learn's.

    python benchmarks/speed.py

Medians over rounds in which the contenders take turns (A B A B), and the ratio of every round. Fits
and scores: `ExemplarVAE()` with its defaults on 1000 x 10, beside `KernelDensity` with Scott's
bandwidth and with a bandwidth by grid search, as one would use it. The import: whole processes that
import this package beside those that import torch and scikit-learn alone.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import warnings

import numpy as np
from _machine import describe, markdown_table, seconds
from _rivals import fit_exemplar_vae, fit_kernel_density
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KernelDensity

N_ROWS, N_COLUMNS = 1000, 10
FITS = {
    "ExemplarVAE": fit_exemplar_vae,
    "KernelDensity, grid search": fit_kernel_density,
    "KernelDensity": lambda rows, seed: KernelDensity(bandwidth="scott").fit(rows),
}
BASE_IMPORTS = "import torch, sklearn.neighbors, sklearn.preprocessing"
IMPORTS = {"torch and scikit-learn": BASE_IMPORTS}
IMPORTS["sklearn_exemplar_vae"] = f"{BASE_IMPORTS}; import sklearn_exemplar_vae"


def make_rows() -> tuple[np.ndarray, np.ndarray]:
    """Return rows to fit and rows to score: a curved cloud with correlated columns."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2 * N_ROWS, 3))
    rows = np.sin(factors @ rng.normal(size=(3, N_COLUMNS)))
    return np.split(rows + 0.1 * rng.normal(size=rows.shape), 2)


def time_fits(n_rounds: int) -> list[list[str]]:
    """Return a row for each estimator: seconds of fit and of score."""
    train, test = make_rows()
    fits = {name: [] for name in FITS}
    scores = {name: [] for name in FITS}
    for seed in range(n_rounds):
        for name, fit in FITS.items():
            taken, model = seconds(fit, train, seed)
            fits[name].append(taken)
            scores[name].append(seconds(model.score_samples, test)[0])
    return [
        [
            name,
            f"{statistics.median(fits[name]):.3f} (at most {max(fits[name]):.3f})",
            f"{statistics.median(scores[name]):.3f} (at most {max(scores[name]):.3f})",
            ratio_of_rounds(scores[name], scores["KernelDensity"]),
        ]
        for name in FITS
    ]


def time_imports(n_rounds: int) -> list[list[str]]:
    """Return a row for each import, and one for the difference."""
    taken = {name: [] for name in IMPORTS}
    for _ in range(n_rounds):
        for name, code in IMPORTS.items():
            command = [sys.executable, "-c", code]
            taken[name].append(seconds(subprocess.check_call, command)[0])
    pairs = zip(taken["sklearn_exemplar_vae"], taken["torch and scikit-learn"], strict=True)
    extra = statistics.median(ours - base for ours, base in pairs)
    rows = [[name, f"{statistics.median(times):.2f}"] for name, times in taken.items()]
    return [*rows, ["difference, median of rounds", f"{extra:.2f}"]]


def ratio_of_rounds(times: list[float], base: list[float]) -> str:
    """Return the median ratio of rounds."""
    return f"{statistics.median(t / b for t, b in zip(times, base, strict=True)):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    header = ["1000 x 10", "fit, s", "score 1000 rows, s", "score / KernelDensity's"]
    print(f"{describe()}\n\n{markdown_table(header, time_fits(arguments.rounds))}\n")
    print(markdown_table(["import", "seconds"], time_imports(arguments.rounds)))


if __name__ == "__main__":
    main()
