"""The paper's augmentation experiment: an MLP with and without synthetic neighbours of its rows.

    python benchmarks/augmentation.py mnist --data ../shared/data
    python benchmarks/augmentation.py fashion-mnist --data ../shared/data --seeds 0
    python benchmarks/augmentation.py mnist --data ../shared/data --width 8192

The protocol is the paper's: an MLP of two ReLU layers on pixels, label smoothing 0.1, stochastic
gradient descent with momentum 0.9 from a rate of 0.1 down to a hundredth of it, minibatches of 100,
100 epochs. With augmentation every row of a minibatch has a synthetic partner with its label, fresh
at every visit: a code is drawn around the row's own, and the decoder's mean at that is the partner.
The loss is 0.4 of the real rows' and 0.6 of the synthetic ones'. The density is fitted once,
without labels, to the 50000 training rows. The classifier tested is the one after the last epoch;
validation and test errors are taken once, at the end.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from _machine import describe, markdown_table
from representation import LOADERS, fit
from torch import nn

from sklearn_exemplar_vae import ExemplarVAE
from sklearn_exemplar_vae.engine.devices import choose_autocast

LEARNING_RATE, LAST_SHARE, MOMENTUM, SMOOTHING = 0.1, 0.01, 0.9, 0.1
BATCH_SIZE, REAL_WEIGHT = 100, 0.4
AUGMENTED = {"no augmentation": False, "synthetic neighbours": True}


def train_classifier(
    rows: np.ndarray,
    labels: np.ndarray,
    density: ExemplarVAE | None,
    width: int,
    n_epochs: int,
    seed: int,
) -> nn.Module:
    """The MLP after the last epoch; without a ``density`` there is no augmentation."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n_columns, n_classes = rows.shape[1], labels.max() + 1
    classifier = nn.Sequential(
        nn.Linear(n_columns, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, int(n_classes)),
    )
    optimizer = torch.optim.SGD(classifier.parameters(), LEARNING_RATE, MOMENTUM, fused=True)
    n_steps = n_epochs * (len(rows) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, LAST_SHARE, n_steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    dtype = choose_autocast("auto", "bernoulli", torch.device("cpu"))
    real, targets = torch.from_numpy(rows), torch.from_numpy(labels.astype(np.int64))
    for _ in range(n_epochs):
        if density is not None:
            seed_of_codes = int(rng.integers(2**31))
            partners = density.sample_like(rows, 1, random_state=seed_of_codes, noise=False)
            partners = torch.from_numpy(partners[:, 0])
        order = torch.from_numpy(rng.permutation(len(rows)))
        for batch in order[: len(order) // BATCH_SIZE * BATCH_SIZE].split(BATCH_SIZE):
            inputs, wanted = real[batch], targets[batch]
            if density is not None:
                inputs = torch.cat([inputs, partners[batch]])
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                outputs = classifier(inputs)
            outputs = outputs.float()
            loss = loss_of(outputs[: len(batch)], wanted)
            if density is not None:
                synthetic_loss = loss_of(outputs[len(batch) :], wanted)
                loss = REAL_WEIGHT * loss + (1 - REAL_WEIGHT) * synthetic_loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return classifier


@torch.no_grad()
def error(classifier: nn.Module, rows: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows classified wrongly, in per cent."""
    predicted = classifier(torch.from_numpy(rows)).argmax(1).numpy()
    return 100 * float(np.mean(predicted != labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=("mnist", "fashion-mnist"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--density-epochs", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    start = time.perf_counter()
    images = LOADERS[arguments.dataset](arguments.data)
    rows = {
        part: (images[f"X_{part}"] / 255).astype(np.float32) for part in ("train", "valid", "test")
    }
    density = fit("exemplar", rows["train"], arguments.density_epochs, seed=0)
    print(f"density: {time.perf_counter() - start:.0f} s", flush=True)
    results: dict[str, list] = {name: [] for name in AUGMENTED}
    for seed in arguments.seeds:
        for name, augmented in AUGMENTED.items():
            begin = time.perf_counter()
            classifier = train_classifier(
                rows["train"],
                images.y_train,
                density if augmented else None,
                arguments.width,
                arguments.epochs,
                seed,
            )
            taken = time.perf_counter() - begin
            errors = [error(classifier, rows[p], images[f"y_{p}"]) for p in ("valid", "test")]
            results[name].append([*errors, taken])
            print(f"seed {seed}, {name}: {errors[0]:.2f} {errors[1]:.2f} {taken:.0f} s", flush=True)
    table = []
    for name, measured in results.items():
        valid, test, taken = np.array(measured).T
        each = ", ".join(f"{value:.2f}" for value in test)
        table.append(
            [name, f"{test.mean():.2f} ({each})", f"{valid.mean():.2f}", f"{taken.mean():.0f}"]
        )
    header = ["MLP", "test error, %, mean (each seed)", "validation error, %", "s a seed"]
    print(f"\n{describe()}\n\n{markdown_table(header, table)}")
    print(f"\nAll of it, the density included: {(time.perf_counter() - start) / 60:.0f} minutes.")


if __name__ == "__main__":
    main()
