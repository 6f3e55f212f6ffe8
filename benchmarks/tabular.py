"""Held-out log-density on tables: ExemplarFlow and ExemplarVAE beside other densities.

    python benchmarks/tabular.py --data ../shared/data --results tabular.joblib
    python benchmarks/tabular.py --data ../shared/data --results tabular.joblib --noise 0.05

`--data` is a folder with the UCI tables as uci/*.txt.gz; without it the tables that come with
scikit-learn and the two synthetic ones are used.

Data. Exact duplicate rows are dropped, so that none is in both train and test. A density over a
rounded column is unbounded, so columns with repeated values get uniform noise of one step, the
smallest gap between two values; with `--noise` instead every column gets Gaussian noise of that
share of its standard deviation. The noise is the same for all estimators. 80/20 splits.

Estimators. See `_rivals.py`. Each has one thread, and `--jobs` run side by side. Finished fits are
kept in `--results` and not repeated.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from _machine import describe, file_to_write, markdown_table
from _rivals import DEFAULT_ESTIMATORS, ESTIMATORS
from _tables import SYNTHETIC, TABLES, UCI, load, prepare
from joblib import Parallel, delayed, parallel_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split


def run(name: str, noise: float, split: int, estimator: str, folder: Path | None) -> dict:
    """Return log-densities of the test rows, and seconds of fit and of score."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows, scale = prepare(name, folder, noise, split)
    train, test = train_test_split(rows, test_size=0.2, random_state=split)
    if estimator == TRUTH:
        return {"scores": SYNTHETIC[name].score_samples(test, scale), "fit": 0.0, "score": 0.0}
    start = time.perf_counter()
    density = ESTIMATORS[estimator](train, split)
    fitted = time.perf_counter()
    scores = density.score_samples(test)
    seconds = {"fit": fitted - start, "score": time.perf_counter() - fitted}
    print(
        f"{name}, noise {noise}, split {split}: {estimator} {scores.mean():.3f}, {seconds}",
        flush=True,
    )
    return {"scores": scores, **seconds}


TRUTH = "truth"


def mean_and_error(values) -> tuple[float, float]:
    """Return the mean, and its standard error."""
    return np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))


def table_row(name: str, folder: Path | None, results: dict, estimators: list[str]) -> list[str]:
    """Return one row of the table; ``results`` by estimator, one for each split."""
    raw = load(name, folder)
    cells = {}
    for estimator in estimators:
        means = [result["scores"].mean() for result in results.get(estimator, [])]
        cells[estimator] = mean_and_error(means) if len(means) > 1 else (*means, np.nan)[:2]
    rivals = [e for e in estimators if e != TRUTH and results.get(e)]
    best, error = max(cells[e] for e in rivals)
    texts = []
    for estimator in estimators:
        if not results.get(estimator):
            texts.append("")
            continue
        mean, own_error = cells[estimator]
        text = f"{mean:.2f} ± {own_error:.2f}" if own_error == own_error else f"{mean:.2f}"
        is_best = estimator != TRUTH and mean >= best - (0 if error != error else error)
        texts.append(f"**{text}**" if is_best else text)
    return [f"{name} ({len(raw)} × {raw.shape[1]})", *texts]


def gain_row(name: str, results: dict, ours: str) -> list[str]:
    """Compare ``ours`` with KernelDensity on the same rows, split by split."""
    gains = [
        mean_and_error(one["scores"] - other["scores"])
        for one, other in zip(results[ours], results["KernelDensity"], strict=True)
    ]
    means = [gain for gain, _ in gains]
    mean, mean_error = mean_and_error(means) if len(means) > 1 else (*means, np.nan)
    smallest, error = min(gains)
    never_worse = sum(gain >= -error for gain, error in gains)
    return [
        name,
        ours,
        f"{mean:+.3f} ± {mean_error:.3f}",
        f"{smallest:+.3f} ± {error:.3f}",
        f"{never_worse} of {len(gains)}",
    ]


def seconds_row(name: str, results: dict, estimators: list[str]) -> list[str]:
    """Return one row of mean seconds of fit and score."""
    texts = []
    for estimator in estimators:
        own = results.get(estimator, [])
        fit, score = (np.mean([result[part] for result in own]) for part in ("fit", "score"))
        texts.append(f"{fit:.1f} / {score:.2f}" if own else "")
    return [name, *texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with uci/*.txt.gz")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--sets", nargs="+", choices=TABLES)
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=DEFAULT_ESTIMATORS)
    parser.add_argument("--jobs", type=int, default=2, help="fits side by side, one thread each")
    parser.add_argument("--results", type=file_to_write, help="to go on from and to write into")
    arguments = parser.parse_args()
    names = arguments.sets or [name for name in TABLES if arguments.data or name not in UCI]
    done = {}
    if arguments.results is not None and arguments.results.exists():
        done = joblib.load(arguments.results)
    tasks = [
        (name, arguments.noise, split, estimator)
        for name in names
        for split in range(arguments.splits)
        for estimator in arguments.estimators + ([TRUTH] if name in SYNTHETIC else [])
    ]
    missing = [task for task in tasks if task not in done]
    with parallel_config("loky", inner_max_num_threads=1):
        parallel = Parallel(arguments.jobs, return_as="generator")
        results = parallel(delayed(run)(*task, arguments.data) for task in missing)
        for task, result in zip(missing, results, strict=True):
            done[task] = result
            if arguments.results is not None:
                joblib.dump(done, arguments.results)
    by_name = {name: {} for name in names}
    for task in tasks:
        name, _, _, estimator = task
        by_name[name].setdefault(estimator, []).append(done[task])
    columns = [e for e in [*ESTIMATORS, TRUTH] if any(e in by_name[name] for name in names)]
    print(f"\n{describe()}\n")
    rows = [table_row(name, arguments.data, by_name[name], columns) for name in names]
    print(markdown_table(["table", *columns], rows))
    ours = [e for e in ("ExemplarFlow", "ExemplarVAE") if e in columns]
    if "KernelDensity" in columns:
        header = [
            "table",
            "",
            "gain over KernelDensity",
            "smallest gain",
            "splits with a gain above -1 s.e.",
        ]
        rows = [gain_row(name, by_name[name], e) for name in names for e in ours]
        print(f"\n{markdown_table(header, rows)}")
    rivals = [e for e in columns if e != TRUTH]
    rows = [seconds_row(name, by_name[name], rivals) for name in names]
    print(f"\n{markdown_table(['seconds, fit / score', *rivals], rows)}")


if __name__ == "__main__":
    main()
