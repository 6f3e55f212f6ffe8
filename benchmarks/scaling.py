"""The cost of a training step as exemplars become many: in-batch, near a row, and all of them.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --rows 10000 100000 --steps 50

Simulated rows of 64 columns around 100 places, 40 codes, a network of two gated layers of 300
units, 500 rows a step. In-batch exemplars are the 499 other rows of the step, drawn at random or
put together from neighborhoods. Retrieved exemplars are each row's ten nearest of half of all rows.
The exact prior encodes all rows at every step. Milliseconds a step are medians over `--steps` steps
(three with the exact prior). Every figure comes from a process of its own, with its peak memory,
and the kinds take turns, `--rounds` times. The preparation of an epoch (codes of all rows,
neighborhoods, retrieval) has a column, and another column shares it out over the steps.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from _machine import describe, file_to_write, markdown_table, peak_memory

from sklearn_exemplar_vae.engine.model import ModelInitialization, ModelStructure, build_model
from sklearn_exemplar_vae.engine.training.batches import RandomExemplars
from sklearn_exemplar_vae.engine.training.candidates import Candidates
from sklearn_exemplar_vae.engine.training.loop import Schedule, Trainer
from sklearn_exemplar_vae.engine.training.neighborhoods import Neighborhoods
from sklearn_exemplar_vae.engine.training.objectives import Moment, VariationalSchedule
from sklearn_exemplar_vae.engine.training.rows import TrainingRows

N_COLUMNS, N_COMPONENTS, LAYERS, N_PLACES = 64, 40, (300, 300), 100
BATCH_SIZE, N_NEIGHBORS = 500, 10
CPU = torch.device("cpu")
SOURCES = {
    "in-batch": lambda data: RandomExemplars(len(data.rows), BATCH_SIZE - 1, CPU),
    "in-batch, of neighbors": lambda data: Neighborhoods(data, True),
    "retrieved": lambda data: Candidates(data, len(data.rows) // 2, N_NEIGHBORS, "auto", True),
    "exact": lambda data: RandomExemplars(len(data.rows), len(data.rows) - 1, CPU),
}
KINDS = list(SOURCES)


def make_data(n_rows: int) -> TrainingRows:
    """Simulate rows around places."""
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(N_PLACES, N_COLUMNS, generator=generator)
    rows = places[torch.randint(N_PLACES, (n_rows,), generator=generator)]
    rows += 0.5 * torch.randn(n_rows, N_COLUMNS, generator=generator)
    return TrainingRows(rows, torch.ones(n_rows), torch.arange(n_rows))


def make_model():
    """Return an untrained model of continuous rows."""
    structure = ModelStructure(
        n_components=N_COMPONENTS,
        architecture="mlp",
        prior="exemplar",
        likelihood="gaussian",
        hidden_layer_sizes=LAYERS,
    )
    initial = ModelInitialization(row_mean=torch.zeros(N_COLUMNS), is_binary=False)
    return build_model(structure, initial, torch.Generator().manual_seed(0))


def measure(kind: str, n_rows: int, n_steps: int) -> tuple[float, float, float]:
    """Measure milliseconds a step, seconds before an epoch, and peak memory in MiB."""
    data, generator = make_data(n_rows), torch.Generator().manual_seed(0)
    schedule = Schedule(
        n_epochs=1,
        batch_size=BATCH_SIZE,
        learning_rate=1e-3,
        n_exemplars=BATCH_SIZE - 1,
        leave_one_out=True,
        variational=VariationalSchedule(kl_warmup=0),
    )
    trainer = Trainer(make_model(), data, schedule, generator)
    for _ in range(2):  # the first may compile
        source = SOURCES[kind](data)
        start = time.perf_counter()
        batches = source.start_epoch(trainer.codes, n_rows // BATCH_SIZE, generator)
        preparation = time.perf_counter() - start
    taken = []
    for batch in itertools.islice(itertools.cycle(batches), n_steps + 1):
        start = time.perf_counter()
        trainer.step(batch, source.of_batch(batch), Moment(1, 0, 0, len(batches), growth=1))
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken[1:]), preparation, peak_memory()


def in_own_process(*arguments):
    """Call `measure` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def draw(steps: dict[str, dict[int, float]], path: Path) -> None:
    """Draw milliseconds a step, its share of the epoch's preparation included, against N."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for kind, by_rows in steps.items():
        axis.plot(list(by_rows), list(by_rows.values()), marker="o", label=kind)
    axis.set(xscale="log", yscale="log", xlabel="rows N", ylabel="ms a training step")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--exact-up-to", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--picture", type=file_to_write)
    arguments = parser.parse_args()
    results, steps = {}, {}
    for _ in range(arguments.rounds):
        for n_rows in arguments.rows:
            for kind in arguments.kinds:
                if kind == "exact" and n_rows > arguments.exact_up_to:
                    continue
                n_steps = 3 if kind == "exact" else arguments.steps
                result = in_own_process(kind, n_rows, n_steps)
                print(kind, n_rows, *(f"{number:.1f}" for number in result), flush=True)
                results.setdefault((kind, n_rows), []).append(result)
    table = []
    for (kind, n_rows), rounds in sorted(results.items(), key=lambda item: KINDS.index(item[0][0])):
        step, preparation, peak = (
            statistics.median(column) for column in zip(*rounds, strict=True)
        )
        whole = step + 1000 * preparation / (n_rows / BATCH_SIZE)
        if kind not in steps:
            first, first_whole = step, whole
        steps.setdefault(kind, {})[n_rows] = whole
        table.append(
            [
                kind,
                f"{n_rows:,}",
                f"{step:.1f} ({step / first:.2f})",
                f"{preparation:.2f}",
                f"{whole:.1f} ({whole / first_whole:.2f})",
                f"{peak:.0f}",
            ]
        )
    header = [
        "exemplars",
        "rows N",
        "ms a step (to the first N)",
        "s before an epoch",
        "ms a step with its share of that",
        "peak memory, MiB",
    ]
    print(f"\n{describe()}\n\n{markdown_table(header, table)}")
    if arguments.picture is not None:
        draw(steps, arguments.picture)


if __name__ == "__main__":
    main()
