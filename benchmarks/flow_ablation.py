"""The gain by each part of ExemplarFlow: leave-one-out, exemplar subsampling, the mixed prior.

    python benchmarks/flow_ablation.py --data ../shared/data

Held-out log-density on tables with 5 % noise on every column (see `_tables.py`), nats a row. For
the flow as it is, the table has the mean over random 80/20 splits; for a variant, its gain over
that flow on the same splits; both ± standard errors over the splits. All train with early stopping.
The loss of "untrained" is the gain by training itself.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, markdown_table
from _tables import TABLES, prepare
from joblib import Parallel, delayed, parallel_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_exemplar_vae import ExemplarFlow

NOISE = 0.05
AS_IT_IS = "as it is"
VARIANTS = {
    AS_IT_IS: {},
    "all other rows as exemplars": {"n_exemplars": None},
    "no leave-one-out": {"leave_one_out": False},
    "neither": {"n_exemplars": None, "leave_one_out": False},
    "exemplars alone": {"prior": "exemplar"},
    "normal alone": {"prior": "gaussian"},
    "untrained": {"max_iter": 0},
}


def run(name: str, folder: Path | None, split: int, variant: str) -> tuple[float, int]:
    """Return the mean held-out log-density, and the epoch of the best weights."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows, _ = prepare(name, folder, NOISE, split)
    train, test = train_test_split(rows, test_size=0.2, random_state=split)
    model = ExemplarFlow(random_state=split, **VARIANTS[variant]).fit(train)
    epoch = model.validation_scores_.index(model.best_validation_score_)
    return model.score_samples(test).mean(), epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with uci/*.txt.gz")
    parser.add_argument(
        "--sets", nargs="+", choices=TABLES, default=["wine", "diabetes", "breast_cancer"]
    )
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="fits side by side, one thread each")
    arguments = parser.parse_args()
    if arguments.splits < 2:
        parser.error("--splits must be at least 2: one has no standard error.")
    tasks = [
        (name, arguments.data, split, variant)
        for name in arguments.sets
        for variant in VARIANTS
        for split in range(arguments.splits)
    ]
    with parallel_config("loky", inner_max_num_threads=1):
        results = Parallel(arguments.jobs)(delayed(run)(*task) for task in tasks)
    measured = {}  # (scores, epochs) of every split
    for (name, _, _, variant), result in zip(tasks, results, strict=True):
        measured.setdefault((name, variant), []).append(result)
    rows = []
    for variant in VARIANTS:
        row = [variant]
        for name in arguments.sets:
            scores, epochs = np.array(measured[name, variant]).T
            sign = ""
            if variant != AS_IT_IS:
                scores, sign = scores - np.array(measured[name, AS_IT_IS])[:, 0], "+"
            error = scores.std(ddof=1) / np.sqrt(len(scores))
            row.append(f"{scores.mean():{sign}.2f} ± {error:.2f} ({np.median(epochs):.0f})")
        rows.append(row)
    header = ["variant", *(f"{name} (best epoch)" for name in arguments.sets)]
    print(f"{describe()}\n\n{markdown_table(header, rows)}")


if __name__ == "__main__":
    main()
