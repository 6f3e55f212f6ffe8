"""Held-out log-density on tables: ExemplarVAE beside KernelDensity and GaussianMixture.

    python benchmarks/tabular.py --data ../shared/data

`--data` is a folder with the UCI tables as uci/*.txt.gz; without it the three tables that come with
scikit-learn are used.

Data. Exact duplicate rows are dropped, so that none is in both train and test. A density over a
rounded column is unbounded, so columns with repeated values get uniform noise of one step, the
smallest gap between two values, the same noise for all estimators. 80/20 splits.

Estimators. `ExemplarVAE()` with its defaults. `KernelDensity` on standardised columns, bandwidth by
5-fold grid search; with one leaf, because its tree sums are off by up to hundreds of nats a row in
many dimensions (scikit-learn #25799). `GaussianMixture` on standardised columns, components by BIC.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, markdown_table
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from sklearn_exemplar_vae import ExemplarVAE

BANDWIDTHS = np.geomspace(0.03, 2.0, 19)
N_COMPONENTS = (1, 2, 4, 8, 16, 32)
UCI = {
    "power-plant": ("power-plant", slice(None)),
    "protein": ("protein-tertiary-structure", slice(None)),
    "wine": ("wine-quality-red", slice(11)),  # the twelfth is a grade, an integer
}
BUNDLED = {
    "breast_cancer": lambda: load_breast_cancer().data,
    "digits": lambda: load_digits().data,
    "diabetes": lambda: load_diabetes(scaled=False).data,
}


def load(name: str, folder: Path | None) -> np.ndarray:
    """Rows of a table, without duplicates."""
    if name in UCI:
        file, columns = UCI[name]
        rows = np.loadtxt(folder / "uci" / f"{file}.txt.gz")[:, columns]
    else:
        rows = BUNDLED[name]()
    return np.unique(rows, axis=0)


def dequantise(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add uniform noise of one step to every column in which values repeat."""
    noisy = rows.astype(float)
    for column in range(rows.shape[1]):
        values = np.unique(rows[:, column])
        if len(values) < 0.9 * len(rows):
            step = np.diff(values).min() if len(values) > 1 else 1.0
            noisy[:, column] += rng.uniform(0, step, len(rows))
    return noisy


def fit_kernel_density(rows: np.ndarray) -> KernelDensity:
    estimator = KernelDensity(leaf_size=len(rows))
    return GridSearchCV(estimator, {"bandwidth": BANDWIDTHS}, cv=5, n_jobs=-1).fit(rows)


def fit_gaussian_mixture(rows: np.ndarray) -> GaussianMixture:
    fits = (GaussianMixture(k, random_state=0, reg_covar=1e-5).fit(rows) for k in N_COMPONENTS)
    return min(fits, key=lambda mixture: mixture.bic(rows))


def log_densities(name: str, train: np.ndarray, test: np.ndarray, seed: int):
    """(log-densities of the test rows in the units of the data, seconds of fit and score)."""
    start = time.perf_counter()
    if name == "ExemplarVAE":
        scores = ExemplarVAE(random_state=seed).fit(train).score_samples(test)
    else:
        fit = {"KernelDensity": fit_kernel_density, "GaussianMixture": fit_gaussian_mixture}[name]
        scaler = StandardScaler().fit(train)
        scores = fit(scaler.transform(train)).score_samples(scaler.transform(test))
        scores -= np.log(scaler.scale_).sum()
    return scores, time.perf_counter() - start


ESTIMATORS = ("ExemplarVAE", "KernelDensity", "GaussianMixture")


def compare(name: str, folder: Path | None, n_splits: int) -> list[str]:
    """One row of the table."""
    raw = load(name, folder)
    means = {estimator: [] for estimator in ESTIMATORS}
    seconds = {estimator: 0.0 for estimator in ESTIMATORS}
    margins = []
    for split in range(n_splits):
        rows = dequantise(raw, np.random.default_rng(split))
        train, test = train_test_split(rows, test_size=0.2, random_state=split)
        scores = {}
        for estimator in ESTIMATORS:
            scores[estimator], elapsed = log_densities(estimator, train, test, split)
            means[estimator].append(scores[estimator].mean())
            seconds[estimator] += elapsed / n_splits
        gains = scores["ExemplarVAE"] - scores["KernelDensity"]
        margins.append((gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))))
        print(
            f"{name} split {split}: "
            + ", ".join(f"{e} {means[e][-1]:.3f}" for e in ESTIMATORS)
            + f", gain over KDE {margins[-1][0]:.3f} ± {margins[-1][1]:.3f}",
            flush=True,
        )
    never_worse = sum(gain >= -error for gain, error in margins)
    worst = min(margins)
    return [
        f"{name} ({len(raw)} × {raw.shape[1]})",
        *(
            f"{np.mean(means[e]):.2f} ± {np.std(means[e], ddof=1) / np.sqrt(n_splits):.2f}"
            for e in ESTIMATORS
        ),
        f"{worst[0]:+.3f} ± {worst[1]:.3f}",
        f"{never_worse} of {n_splits}",
        " / ".join(f"{seconds[e]:.1f}" for e in ESTIMATORS),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with uci/*.txt.gz")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--sets", nargs="+", choices=[*UCI, *BUNDLED])
    arguments = parser.parse_args()
    names = arguments.sets or ([*UCI] if arguments.data else []) + [*BUNDLED]
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = [compare(name, arguments.data, arguments.splits) for name in names]
    header = [
        "table",
        *ESTIMATORS,
        "smallest gain over KDE",
        "splits not below KDE - 1 s.e.",
        "seconds " + " / ".join(ESTIMATORS),
    ]
    print(f"\n{describe()}\n\n{markdown_table(header, rows)}")


if __name__ == "__main__":
    main()
