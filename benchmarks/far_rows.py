"""Scores of rows far outside the range of a table: finite, and none below KernelDensity's.

    python benchmarks/far_rows.py --data ../shared/data --sets development

For every table `ExemplarFlow`, `ExemplarVAE` and `KernelDensity` (bandwidth by search, see
`_rivals.py`) are fitted to one split and score 100 000 rows: half of them rows of the test part
with one column moved beyond its range, half with all of them, by one to 2, 10 or 1000 times the
range. Told are the scores that are not finite; and for either half the rows that are less likely
than under KernelDensity, and the largest gap. Tables as in `tables.py`.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, markdown_table
from _rivals import ESTIMATORS
from _tables import available, expand, prepare
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import train_test_split

N_ROWS = 100_000
RANGES = (2, 10, 1000)
OURS = ("ExemplarFlow", "ExemplarVAE")


def far_rows(train: np.ndarray, test: np.ndarray, rng: np.random.Generator):
    """Return ``N_ROWS`` rows, and which are outside the range of ``train`` in every column."""
    low, high = train.min(0), train.max(0)
    rows = test[rng.integers(len(test), size=N_ROWS)]
    most = rng.choice(RANGES, size=(N_ROWS, 1))
    beyond = (1 + (most - 1) * rng.uniform(size=rows.shape)) * (high - low)
    outside = np.where(rng.random(rows.shape) < 0.5, low - beyond, high + beyond)
    is_all = np.arange(N_ROWS) < N_ROWS // 2
    is_one = rng.integers(rows.shape[1], size=(N_ROWS, 1)) == np.arange(len(low))
    return np.where(is_all[:, None] | is_one, outside, rows), is_all


def run(name: str, folder: Path | None) -> list[str]:
    """Return a line of the report."""
    warnings.simplefilter("ignore")
    rows, _ = prepare(name, folder, 0.0, 0)
    train, test = train_test_split(rows, test_size=0.2, random_state=0)
    far, is_all = far_rows(train, test, np.random.default_rng(0))
    rival = ESTIMATORS["KernelDensity"](train, 0).score_samples(far)
    cells = [f"{name} ({rows.shape[0]} × {rows.shape[1]})"]
    for estimator in OURS:
        scores = ESTIMATORS[estimator](train, 0).score_samples(far)
        gaps = [np.minimum(scores - rival, 0)[rows] for rows in (is_all, ~is_all)]
        below = [f"{np.count_nonzero(gap)} ({gap.min():.1f})" for gap in gaps]
        cells += [str(np.count_nonzero(~np.isfinite(scores))), *below]
    return cells


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with uci/*.txt.gz, keel/balanced/*.dat")
    parser.add_argument("--sets", nargs="+", help='names, "development" or "judged"')
    parser.add_argument("--jobs", type=int, default=2, help="tables side by side, one thread each")
    arguments = parser.parse_args(argv)
    try:
        names = expand(arguments.sets or available(arguments.data), arguments.data)
    except ValueError as error:
        parser.error(str(error))
    with parallel_config("loky", inner_max_num_threads=1):
        lines = Parallel(arguments.jobs)(delayed(run)(name, arguments.data) for name in names)
    told = ("not finite", "below, all columns", "below, one column")
    header = ["table", *(f"{name}: {what}" for name in OURS for what in told)]
    print(f"{describe()}\n\n{markdown_table(header, lines)}")


if __name__ == "__main__":
    main()
