"""Held-out log-density on tables: ExemplarVAE beside KernelDensity and GaussianMixture.

    python benchmarks/tabular.py --data ../shared/data

`--data` is a folder with the UCI tables as uci/*.txt.gz; without it the three tables that come with
scikit-learn are used.

Data. Exact duplicate rows are dropped, so that none is in both train and test. A density over a
rounded column is unbounded, so columns with repeated values get uniform noise of one step, the
smallest gap between two values, the same noise for all estimators. 80/20 splits.

Estimators. `ExemplarVAE()` with its defaults, `KernelDensity` with its bandwidth by grid search and
`GaussianMixture` with its components by BIC; see `_rivals.py`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, markdown_table
from _rivals import ESTIMATORS
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

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
        for estimator, fit in ESTIMATORS.items():
            start = time.perf_counter()
            scores[estimator] = fit(train, split).score_samples(test)
            seconds[estimator] += (time.perf_counter() - start) / n_splits
            means[estimator].append(scores[estimator].mean())
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
