"""Held-out log-density on tables: ExemplarVAE beside KernelDensity and GaussianMixture.

    python benchmarks/tabular.py --data ../shared/data

`--data` is a folder with the UCI tables as uci/*.txt.gz; without it the three tables that come with
scikit-learn are used.

Data. Exact duplicate rows are dropped, so that none is in both train and test. A density over a
rounded column is unbounded, so columns with repeated values get uniform noise of one step, the
smallest gap between two values, the same noise for all estimators. 80/20 splits.

Estimators. `ExemplarVAE()` with its defaults, `KernelDensity` with its bandwidth by grid search and
`GaussianMixture` with its components by BIC; see `_rivals.py`. Seconds are of one thread.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, markdown_table
from _rivals import ESTIMATORS
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

UCI = {
    "protein": ("protein-tertiary-structure", slice(None)),
    "power-plant": ("power-plant", slice(None)),
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


def compare_on_split(name: str, folder: Path | None, split: int) -> dict[str, tuple]:
    """(log-densities of the test rows, seconds of fit and score) of every estimator."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = dequantise(load(name, folder), np.random.default_rng(split))
    train, test = train_test_split(rows, test_size=0.2, random_state=split)
    results = {}
    for estimator, fit in ESTIMATORS.items():
        start = time.perf_counter()
        scores = fit(train, split).score_samples(test)
        results[estimator] = scores, time.perf_counter() - start
    means = ", ".join(f"{e} {scores.mean():.3f}" for e, (scores, _) in results.items())
    print(f"{name} split {split}: {means}", flush=True)
    return results


def table_row(name: str, folder: Path | None, splits: list[dict[str, tuple]]) -> list[str]:
    """One row of the table, from the results of all splits."""
    raw = load(name, folder)
    means = {e: [results[e][0].mean() for results in splits] for e in ESTIMATORS}
    seconds = {e: np.mean([results[e][1] for results in splits]) for e in ESTIMATORS}
    gains = [results["ExemplarVAE"][0] - results["KernelDensity"][0] for results in splits]
    margins = [mean_and_error(gain) for gain in gains]
    never_worse = sum(gain >= -error for gain, error in margins)
    smallest, its_error = min(margins)
    return [
        f"{name} ({len(raw)} × {raw.shape[1]})",
        *("{:.2f} ± {:.2f}".format(*mean_and_error(means[e])) for e in ESTIMATORS),
        f"{smallest:+.3f} ± {its_error:.3f}",
        f"{never_worse} of {len(splits)}",
        " / ".join(f"{seconds[e]:.1f}" for e in ESTIMATORS),
    ]


def mean_and_error(values) -> tuple[float, float]:
    """Mean, and its standard error."""
    return np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with uci/*.txt.gz")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--sets", nargs="+", choices=[*UCI, *BUNDLED])
    parser.add_argument("--jobs", type=int, default=2, help="splits side by side, one thread each")
    arguments = parser.parse_args()
    names = arguments.sets or ([*UCI] if arguments.data else []) + [*BUNDLED]
    tasks = [(name, arguments.data, split) for name in names for split in range(arguments.splits)]
    with parallel_config("loky", inner_max_num_threads=1):
        results = Parallel(arguments.jobs)(delayed(compare_on_split)(*task) for task in tasks)
    rows = [
        table_row(
            name, arguments.data, [r for t, r in zip(tasks, results, strict=True) if t[0] == name]
        )
        for name in names
    ]
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
