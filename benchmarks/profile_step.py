"""Where the time of a training step goes: matrix products at the machine's peak, and the rest.

    python benchmarks/profile_step.py --data ../shared/data

The default plan on dynamic MNIST (see density.py), one epoch of random minibatches and one of
neighbors. The peak is measured with products of the layers' own shapes; an ideal step would take
the products' operations at that peak. The rest includes the cost of the profiler, a few percent.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from _images import (
    LAYERS,
    N_COMPONENTS,
    Images,
    Training,
    add_training_options,
    make_schedule,
    new_model,
)
from _machine import describe, markdown_table
from torch.profiler import ProfilerActivity, profile

from sklearn_exemplar_vae.engine.devices import choose_autocast
from sklearn_exemplar_vae.engine.training.loop import train

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm")
N_SHOWN = 8


def operations_of_a_row(n_features: int) -> float:
    """Count floating point operations of the layers' products; back takes twice forward's."""
    pairs = zip((n_features, *LAYERS[:-1]), LAYERS, strict=True)
    encoder = sum(2 * inputs * outputs for inputs, outputs in pairs) + 2 * LAYERS[-1] * N_COMPONENTS
    pairs = zip((N_COMPONENTS, *reversed(LAYERS[1:])), reversed(LAYERS), strict=True)
    decoder = sum(2 * inputs * outputs for inputs, outputs in pairs) + LAYERS[0] * n_features
    # Nothing is propagated to the rows themselves. They are encoded as drawn and as exemplars.
    return 2 * (2 * (3 * encoder - n_features * 2 * LAYERS[0]) + 3 * decoder)


def peak(dtype: torch.dtype, n_rows: int) -> float:
    """Measure operations a second of a product of the first layer's shape."""
    rows = torch.randn(n_rows, 784, dtype=dtype)
    weights = torch.randn(2 * LAYERS[0], 784, dtype=dtype)
    for _ in range(20):
        rows @ weights.T
    start = time.perf_counter()
    for _ in range(200):
        rows @ weights.T
    return 200 * 2 * rows.numel() * len(weights) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    add_training_options(parser)
    arguments = parser.parse_args()
    images = Images("mnist", arguments.data, torch.device("cpu"))
    dtype = choose_autocast("auto", "bernoulli", torch.device("cpu")) or torch.float32
    operations = operations_of_a_row(images.test.shape[1]) * len(images.training.rows)
    at_peak = operations / peak(dtype, arguments.batch_size)
    schedule = make_schedule("exemplar", Training.of(arguments), 6, images)
    schedule = schedule._replace(neighbors_from=0.5)
    generator = torch.Generator().manual_seed(0)
    model = new_model("mlp", "exemplar", images, LAYERS, 0)
    epochs = train(model, images.training, schedule, generator)
    table = []
    for number in range(1, 7):
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            start = time.perf_counter()
            next(epochs)
            taken = time.perf_counter() - start
        if number not in (3, 6):
            continue
        events = sorted(profiler.key_averages(), key=lambda e: -e.self_cpu_time_total)
        spent = {event.key: event.self_cpu_time_total / 1e6 for event in events}
        products = sum(spent.get(name, 0.0) for name in PRODUCTS)
        rest = [f"{key} {s:.2f}" for key, s in spent.items() if key not in PRODUCTS][:N_SHOWN]
        table.append(
            [
                "random" if number == 3 else "of neighbors",
                f"{taken:.2f}",
                f"{products:.2f} ({products / taken:.0%})",
                f"{at_peak:.2f} ({at_peak / taken:.0%})",
                ", ".join(rest),
            ]
        )
    header = [
        "minibatches",
        "seconds an epoch",
        "products",
        f"layers' products at {operations / at_peak / 1e9:.0f} GFLOP/s ({dtype})",
        "the rest, largest first",
    ]
    print(f"{describe()}\n\n{markdown_table(header, table)}")


if __name__ == "__main__":
    main()
