"""A million rows in a file, and a million more: the memory of a process along the way.

    python benchmarks/memory.py
    python benchmarks/memory.py --rows 100000 --columns 64

Simulated float32 rows are in two `numpy.memmap` files, in a folder that is removed at the end. One
pass of training reads the first file, the second becomes more exemplars; then come scores and
samples. Memory is the peak resident memory of the process since its start. It includes pages of the
files that the system keeps mapped; the last column has those at the end of a step. With rtol
exemplars are in another order, from which the same noise draws other importance samples: the error
of a tolerance alone is the difference to a far smaller tolerance.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, markdown_table, peak_memory
from sklearn.exceptions import ConvergenceWarning

from sklearn_exemplar_vae import ExemplarVAE

N_PLACES, N_ROWS_AT_A_TIME, N_ASKED, N_EXACT = 100, 50_000, 10_000, 500
NEARLY_EXACT = 1e-6


def write_rows(path: Path, n_rows: int, n_columns: int, seed: int) -> np.memmap:
    """Write rows around 100 places in parts; return them, opened for reading."""
    places = np.random.default_rng(0).normal(size=(N_PLACES, n_columns))
    rng = np.random.default_rng(seed)
    rows = np.memmap(path, np.float32, "w+", shape=(n_rows, n_columns))
    for start in range(0, n_rows, N_ROWS_AT_A_TIME):
        part = rows[start : start + N_ROWS_AT_A_TIME]
        part[:] = places[rng.integers(N_PLACES, size=len(part))]
        part += 0.5 * rng.normal(size=part.shape)
    rows.flush()
    del rows
    return np.memmap(path, np.float32, "r", shape=(n_rows, n_columns))


def resident_file_pages() -> str:
    """Return GiB of mapped files resident now, where the system tells."""
    status = Path("/proc/self/status")
    if not status.exists():
        return ""
    for line in status.read_text().splitlines():
        if line.startswith("RssFile"):
            return f"{int(line.split()[1]) / 2**20:.2f}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--rtol", type=float, default=0.01)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    with tempfile.TemporaryDirectory() as folder:
        shape = arguments.rows, arguments.columns
        rows = write_rows(Path(folder, "rows"), *shape, seed=1)
        more = write_rows(Path(folder, "more"), *shape, seed=2)
        asked = np.array(write_rows(Path(folder, "asked"), N_ASKED, arguments.columns, seed=3))
        model = ExemplarVAE(max_iter=1, random_state=0)
        table = [["before", "", f"{peak_memory() / 1024:.2f}", resident_file_pages()]]

        def step(name, function, *rest):
            start = time.perf_counter()
            result = function(*rest)
            taken = f"{time.perf_counter() - start:.1f}"
            table.append([name, taken, f"{peak_memory() / 1024:.2f}", resident_file_pages()])
            print(*table[-1], flush=True)
            return result

        step("fit, one pass", model.fit, rows)
        step("extend_exemplars", model.extend_exemplars, more)
        few = asked[:N_EXACT]
        exact = step(f"score_samples of {N_EXACT}", model.score_samples, few)
        model.set_params(rtol=arguments.rtol)
        near = step(f"cells, and {N_EXACT} with rtol={arguments.rtol}", model.score_samples, few)
        model.set_params(rtol=NEARLY_EXACT)
        closest = step(f"{N_EXACT} with rtol={NEARLY_EXACT}", model.score_samples, few)
        model.set_params(rtol=arguments.rtol)
        step(f"{N_ASKED} with rtol={arguments.rtol}", model.score_samples, asked)
        step(f"sample {N_ASKED}", model.sample, N_ASKED)
    size = rows.nbytes / 2**30
    print(f"\n{describe()}\n")
    print(markdown_table(["step", "seconds", "peak memory, GiB", "files mapped now, GiB"], table))
    print(
        f"\nEach file holds {arguments.rows:,} x {arguments.columns} numbers, {size:.2f} GiB. "
        f"{model.n_exemplars_:,} exemplars in the end; mean score {exact.mean():.3f} nats; "
        f"largest difference between rtol={arguments.rtol} and {NEARLY_EXACT} "
        f"{np.abs(near - closest).max():.4f}, and to the exact score, of other importance samples, "
        f"{np.abs(exact - near).max():.4f} (mean {(near - exact).mean():.4f})."
    )


if __name__ == "__main__":
    main()
