"""Our invertible network beside zuko's neural spline flow, in the same ExemplarFlow.

    pip install zuko
    python benchmarks/flow_network.py --data ../shared/data

Both are three autoregressive layers of rational-quadratic splines with 8 bins and networks of 64
and 64 units, start at the identity and are trained alike. One process measures the seconds of fit
and score, the two networks in turn (A B A B). Scores are held-out log-densities with 5 % noise.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import zuko
from _machine import describe, markdown_table
from _tables import TABLES, prepare
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_exemplar_vae import ExemplarFlow

NOISE = 0.05


class ZukoNetwork(nn.Module):
    """zuko's NSF in the place of our `InvertibleNetwork`."""

    def __init__(self, like, n_transforms: int, hidden_layer_sizes) -> None:
        super().__init__()
        n_features = len(like.linear)
        flow = zuko.flows.NSF(
            n_features, transforms=n_transforms, hidden_features=hidden_layer_sizes
        )
        self.transform, self.floats_per_row = flow.transform, like.floats_per_row
        for layer in self.transform.transforms:
            nn.init.zeros_(layer.hyper[-1].weight)
            nn.init.zeros_(layer.hyper[-1].bias)
        self.register_buffer("linear", like.linear)
        self.register_buffer("log_det_linear", like.log_det_linear)

    def forward(self, rows):
        codes, log_det = self.transform().call_and_ladj(rows)
        return codes @ self.linear, log_det + self.log_det_linear

    def inverse(self, codes):
        return self.transform().inv(torch.linalg.solve(self.linear, codes, left=False))


class ZukoFlow(ExemplarFlow):
    """ExemplarFlow with zuko's network."""

    def _initialize(self, rows, generator):
        initial = super()._initialize(rows, generator)
        torch.manual_seed(self.random_state)
        network = ZukoNetwork(initial.model.network, self.n_transforms, self.hidden_layer_sizes)
        initial.model.network = network.to(self.device_)
        return initial


FLOWS = {"ours": ExemplarFlow, "zuko": ZukoFlow}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with uci/*.txt.gz")
    parser.add_argument(
        "--sets", nargs="+", choices=TABLES, default=["wine", "breast_cancer", "power-plant"]
    )
    parser.add_argument("--splits", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.splits < 2:
        parser.error("--splits must be at least 2: one has no standard error.")
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for name in arguments.sets:
        measured = {flow: [] for flow in FLOWS}
        for split in range(arguments.splits):
            table, _ = prepare(name, arguments.data, NOISE, split)
            train, test = train_test_split(table, test_size=0.2, random_state=split)
            for flow, Flow in FLOWS.items():
                start = time.perf_counter()
                model = Flow(random_state=split).fit(train)
                fitted = time.perf_counter()
                score = model.score_samples(test).mean()
                scored = time.perf_counter()
                model.sample(1000, random_state=0)
                sampled = time.perf_counter() - scored
                seconds = fitted - start, (fitted - start) / model.n_iter_, scored - fitted, sampled
                measured[flow].append([score, *seconds])
        gains = np.array(measured["ours"])[:, 0] - np.array(measured["zuko"])[:, 0]
        gain = f"{gains.mean():+.2f} ± {gains.std(ddof=1) / np.sqrt(len(gains)):.2f}"
        for flow, own in measured.items():
            score, *seconds = np.mean(own, axis=0)
            numbers = [f"{value:.3f}" for value in seconds]
            rows.append([name, flow, f"{score:.2f}", gain if flow == "ours" else "", *numbers])
    header = [
        "table",
        "network",
        "held-out",
        "gain on the same splits",
        "fit, s",
        "an epoch, s",
        "score, s",
        "1000 samples, s",
    ]
    print(f"{describe()}\n\n{markdown_table(header, rows)}")


if __name__ == "__main__":
    main()
