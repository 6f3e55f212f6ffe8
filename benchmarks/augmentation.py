"""The paper's augmentation experiment: an MLP with and without synthetic neighbors of its rows.

    python benchmarks/augmentation.py mnist --data ../shared/data
    python benchmarks/augmentation.py fashion-mnist --data ../shared/data --seeds 0
    python benchmarks/augmentation.py mnist --data ../shared/data --width 8192
    python benchmarks/augmentation.py mnist --data ../shared/data --noise mean --real-weight 0.4

The protocol is the paper's, with two differences below: an MLP of two ReLU layers on pixels, label
smoothing 0.1, stochastic gradient descent with momentum 0.9 from a rate of 0.1 down to a hundredth
of it, minibatches of 100, 100 passes. With augmentation, by `AugmentedClassifier`, every row has a
synthetic partner with its label, fresh at every pass: a code is drawn around the row's own, and the
paper's partner is the decoder's mean at that code. A minibatch has 100 real and 100 synthetic rows,
on average. The density is fitted once, without labels, to the 50000 training rows. The classifier
is tested after the last pass; validation and test errors are computed once, at the end.

The differences: a random part of the reconstruction residual is added to the partner, and real and
synthetic rows have shares of 0.2 and 0.8 in the loss, in the place of the paper's 0.4 and 0.6. The
last command above is the paper's protocol in both.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from _machine import describe, markdown_table
from representation import LOADERS, fit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from torch import nn

from sklearn_exemplar_vae import AugmentedClassifier
from sklearn_exemplar_vae.engine.devices import choose_autocast

LEARNING_RATE, LAST_SHARE, MOMENTUM, SMOOTHING = 0.1, 0.01, 0.9, 0.1
BATCH_SIZE = 100
WAYS = ("no augmentation", "synthetic neighbors")
NOISES = {"mean": False, "residual": "residual", "random_residual": "random_residual"}


class SmoothedMLP(ClassifierMixin, BaseEstimator):
    """Two ReLU layers; ``n_passes`` calls of `partial_fit` are a training, or one call of `fit`."""

    def __init__(self, width=1024, n_passes=100, batch_size=BATCH_SIZE, random_state=0):
        self.width = width
        self.n_passes = n_passes
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X, y):
        rng = np.random.default_rng(self.random_state)
        for _ in range(self.n_passes):
            order = rng.permutation(len(X))
            self.partial_fit(X[order], y[order], classes=np.unique(y))
        return self

    def partial_fit(self, X, y, classes, sample_weight=None):
        """Take a pass over the rows in their order."""
        if not hasattr(self, "network_"):
            self.classes_ = np.asarray(classes)
            self._start(X.shape[1], self.n_passes * -(-len(X) // self.batch_size))
        targets = torch.from_numpy(np.searchsorted(self.classes_, y))
        weights = np.ones(len(X)) if sample_weight is None else sample_weight
        parts = [torch.from_numpy(X), targets, torch.from_numpy(weights).float()]
        loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING, reduction="none")
        for rows, wanted, weight in zip(*(p.split(self.batch_size) for p in parts), strict=True):
            with torch.autocast("cpu", self._dtype, enabled=self._dtype is not None):
                outputs = self.network_(rows)
            loss = (weight * loss_of(outputs.float(), wanted)).mean()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self._schedule.step()
        return self

    def _start(self, n_columns: int, n_steps: int) -> None:
        torch.manual_seed(self.random_state)
        self.network_ = nn.Sequential(
            nn.Linear(n_columns, self.width),
            nn.ReLU(),
            nn.Linear(self.width, self.width),
            nn.ReLU(),
            nn.Linear(self.width, len(self.classes_)),
        )
        parameters = self.network_.parameters()
        self._optimizer = torch.optim.SGD(parameters, LEARNING_RATE, MOMENTUM, fused=True)
        self._schedule = torch.optim.lr_scheduler.LinearLR(
            self._optimizer, 1.0, LAST_SHARE, n_steps
        )
        self._dtype = choose_autocast("auto", "bernoulli", torch.device("cpu"))

    @torch.no_grad()
    def predict(self, X):
        return self.classes_[self.network_(torch.from_numpy(X)).argmax(1).numpy()]


def make_classifier(way: str, density, arguments, seed: int):
    """Return the MLP, alone or with as many synthetic rows as real ones in a minibatch."""
    width, n_passes = arguments.width, arguments.epochs
    if way == "no augmentation":
        return SmoothedMLP(width, n_passes, BATCH_SIZE, seed)
    return AugmentedClassifier(
        SmoothedMLP(width, n_passes, 2 * BATCH_SIZE, seed),
        FrozenEstimator(density),
        noise=NOISES[arguments.noise],
        n_passes=n_passes,
        real_weight=arguments.real_weight,
        random_state=seed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=("mnist", "fashion-mnist"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--density-epochs", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--noise", choices=NOISES, default="random_residual")
    parser.add_argument("--real-weight", type=float, default=0.2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    start = time.perf_counter()
    images = LOADERS[arguments.dataset](arguments.data)
    rows = {
        part: (images[f"X_{part}"] / 255).astype(np.float32) for part in ("train", "valid", "test")
    }
    density = fit("exemplar", rows["train"], arguments.density_epochs, seed=0)
    print(f"density: {time.perf_counter() - start:.0f} s", flush=True)
    results: dict[str, list] = {way: [] for way in WAYS}
    for seed in arguments.seeds:
        for way in WAYS:
            begin = time.perf_counter()
            classifier = make_classifier(way, density, arguments, seed)
            classifier.fit(rows["train"], images.y_train)
            taken = time.perf_counter() - begin
            errors = [
                100 * (1 - classifier.score(rows[part], images[f"y_{part}"]))
                for part in ("valid", "test")
            ]
            results[way].append([*errors, taken])
            print(f"seed {seed}, {way}: {errors[0]:.2f} {errors[1]:.2f} {taken:.0f} s", flush=True)
    table = []
    for way, measured in results.items():
        valid, test, taken = np.array(measured).T
        each = ", ".join(f"{value:.2f}" for value in test)
        table.append(
            [way, f"{test.mean():.2f} ({each})", f"{valid.mean():.2f}", f"{taken.mean():.0f}"]
        )
    header = ["MLP", "test error, %, mean (each seed)", "validation error, %", "s a seed"]
    print(f"\n{describe()}\n\n{markdown_table(header, table)}")
    print(f"\nIn all, with the density: {(time.perf_counter() - start) / 60:.0f} minutes.")


if __name__ == "__main__":
    main()
