"""ConvHVAE: an epoch by the paper's own code and by ours, in turns.

    git clone https://github.com/sajadn/Exemplar-VAE paper_code
    python benchmarks/paper_code.py --paper-code paper_code --data ../shared/data

Both train on dynamic MNIST, 50000 rows, as their authors do: the paper's code in batches of 100,
each row's exemplars the 10 nearest of 25000 drawn ones, encoded anew, by codes that a pass over all
rows sets at the epoch's start; ours in batches of 500 whose rows are each other's exemplars, in
bfloat16 where the processor has it. A turn is 5000 rows of each, and ten turns are the first epoch.
The paper's code encodes as many rows at a step as different ones are near: few before the codes
have taken shape.

Neither time has an evaluation in it. How good a model an epoch makes is not compared; `density.py`
has curves.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from _images import IMAGE_SHAPE, LAYERS, N_COMPONENTS, Images
from _machine import describe, markdown_table, seconds
from convolutions import training, use_ours
from torch.utils.data import TensorDataset

from sklearn_exemplar_vae.engine.devices import choose_autocast

N_TURNS, ROWS_OF_A_TURN = 10, 5000
# The defaults of the paper's density_estimation.py, and of the command in its README.
PAPER_BATCH_SIZE, PAPER_LEARNING_RATE, N_WARMUP = 100, 5e-4, 100
N_EXEMPLARS, N_NEIGHBORS = 25_000, 10


class PaperTraining:
    """The paper's model and optimizer, an epoch in pieces.

    Parameters
    ----------
    folder : Path
        A checkout of the paper's code.
    rows : tensor of shape (N, D)
        Gray levels from 0 to 1.
    """

    def __init__(self, folder: Path, rows: torch.Tensor) -> None:
        sys.path.insert(0, str(folder))
        arguments = SimpleNamespace(
            model_name="convhvae_2level",
            dataset_name="dynamic_mnist",
            prior="exemplar_prior",
            input_type="binary",
            input_size=list(IMAGE_SHAPE),
            z1_size=N_COMPONENTS,
            z2_size=N_COMPONENTS,
            hidden_size=LAYERS[0],
            no_attention=False,
            no_mask=False,
            use_logit=False,
            approximate_prior=True,
            approximate_k=N_NEIGHBORS,
            number_components=N_EXEMPLARS,
            training_set_size=len(rows),
            device="cpu",
        )
        self.model = import_module("models.convHVAE_2level").VAE(arguments)
        optimizer = import_module("utils.optimizer").AdamNormGrad
        self.optimizer = optimizer(self.model.parameters(), lr=PAPER_LEARNING_RATE)
        numbers = torch.arange(len(rows))[:, None]
        self.data = TensorDataset(rows, numbers, numbers)
        self.n_encoded = []  # exemplars of a step
        self.model.q_z_layers.register_forward_hook(self._count)

    def _count(self, layers, inputs, outputs) -> None:
        self.n_encoded.append(len(outputs))

    def start_epoch(self) -> None:
        """Encode all rows."""
        with torch.no_grad():
            self.cache = self.model.cache_z(self.data)

    def train(self, numbers: torch.Tensor) -> None:
        """Take a step for every batch of the row ``numbers``."""
        self.n_encoded.clear()
        for batch in numbers.split(PAPER_BATCH_SIZE):
            rows, own, _ = self.data[batch]
            drawn = torch.bernoulli(rows), own
            self.optimizer.zero_grad()
            loss, _, _ = self.model.calculate_loss(
                drawn, 1 / N_WARMUP, average=True, cache=self.cache, dataset=self.data
            )
            loss.backward()
            self.optimizer.step()
            self.cache = tuple(codes.detach() for codes in self.cache)

    def mean_exemplars(self) -> float:
        """Return how many were encoded at a step of the last turn.

        Every other pass through the encoder is the batch itself.
        """
        return float(np.mean(self.n_encoded[1::2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper-code", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    if not (arguments.paper_code / "models" / "convHVAE_2level.py").exists():
        parser.error(f"no models/convHVAE_2level.py in --paper-code {arguments.paper_code}")
    warnings.simplefilter("ignore")  # of calls that PyTorch has deprecated since
    torch.manual_seed(0)
    images = Images("mnist", arguments.data, torch.device("cpu"))
    paper = PaperTraining(arguments.paper_code, images.training.rows)
    autocast = choose_autocast("auto", "bernoulli", torch.device("cpu"))
    train_ours = training(images, ROWS_OF_A_TURN, use_ours, autocast, 1 + N_TURNS)
    train_ours()  # what a process does first takes longer
    cache, _ = seconds(paper.start_epoch)
    table = [["a pass over all rows", f"{cache:.1f}", "50000 once", "", ""]]
    theirs = ours = 0.0
    for number, part in enumerate(torch.randperm(len(images.training.rows)).split(ROWS_OF_A_TURN)):
        taken, own = seconds(paper.train, part)[0], seconds(train_ours)[0]
        theirs, ours = theirs + taken, ours + own
        exemplars = f"{paper.mean_exemplars():.0f} a step"
        table.append(line(f"rows {ROWS_OF_A_TURN * (number + 1)}", taken, exemplars, own))
        print(" ".join(table[-1]), file=sys.stderr)
    table.append(line("the epoch", cache + theirs, "", ours))
    header = ["", "the paper's code, s", "exemplars it encodes", "ours, s", "ratio"]
    print(f"{describe()}\n\n{markdown_table(header, table)}")


def line(label: str, theirs: float, exemplars: str, ours: float) -> list[str]:
    """Return a row of the table."""
    return [label, f"{theirs:.1f}", exemplars, f"{ours:.1f}", f"{theirs / ours:.2f}"]


if __name__ == "__main__":
    main()
