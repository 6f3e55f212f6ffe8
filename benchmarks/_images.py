"""The paper's models of images and their training, shared by several benchmarks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sklearn_exemplar_vae.datasets import load_fashion_mnist, load_mnist, load_omniglot
from sklearn_exemplar_vae.density._defaults import WEIGHT_DECAY, plan_exemplars
from sklearn_exemplar_vae.engine.devices import choose_autocast
from sklearn_exemplar_vae.engine.model import (
    ExemplarModel,
    ModelInitialization,
    ModelStructure,
    build_model,
)
from sklearn_exemplar_vae.engine.training.loop import Schedule
from sklearn_exemplar_vae.engine.training.objectives import VariationalSchedule
from sklearn_exemplar_vae.engine.training.rows import TrainingRows

LOADERS = {"mnist": load_mnist, "fashion-mnist": load_fashion_mnist, "omniglot": load_omniglot}
# Training images of Omniglot in the paper's chardata.mat, and how many of them validate there. A
# tenth of a smaller set does, and the paper's figures do not belong to it.
N_OMNIGLOT, N_OMNIGLOT_VALIDATION = 24_345, 1_345
N_COMPONENTS, LAYERS = 40, (300, 300)
IMAGE_SHAPE, N_PSEUDO_INPUTS = (1, 28, 28), 500
# The estimator's parameters of a plan: prior, M and k.
PLANS = {
    "exemplar": ("exemplar", "batch", "auto"),
    "gaussian": ("gaussian", "batch", None),
    "vamp": ("vamp", "batch", None),
    "exemplar, in-batch": ("exemplar", "batch", None),
    "exemplar, in-batch, then retrieved": ("exemplar", "batch", 5),
    "exemplar, retrieved": ("exemplar", 25_000, 10),
    "exemplar, all of M = 25000": ("exemplar", 25_000, None),
}


class Images:
    """Rows on the device: gray for training and as exemplars, binarized once for scores."""

    def __init__(self, name: str, folder: Path | None, device: torch.device) -> None:
        images = LOADERS[name](folder)
        if "X_valid" not in images:
            order = np.random.default_rng(0).permutation(len(images.X_train))
            n_valid = N_OMNIGLOT_VALIDATION if len(order) == N_OMNIGLOT else len(order) // 10
            rows = images.X_train[order]
            images.X_valid, images.X_train = rows[:n_valid], rows[n_valid:]
        generator = torch.Generator().manual_seed(0)

        def scaled(part):
            return torch.from_numpy(images[f"X_{part}"] / np.float32(255))

        def binarized(part):
            rows = scaled(part)
            return (torch.rand(rows.shape, generator=generator) < rows).float().to(device)

        gray = scaled("train").to(device)
        self.training = TrainingRows(
            gray, torch.ones(len(gray), device=device), torch.arange(len(gray), device=device)
        )
        self.validation, self.test = binarized("valid"), binarized("test")


class Training(NamedTuple):
    """The options of a training, named as the command line names them."""

    batch_size: int = 500
    learning_rate: float = 6e-3
    kl_warmup: float = 3.0
    bound_samples: int = 1
    weight_decay: float = WEIGHT_DECAY

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Training:
        """Return the options that a parser with `add_training_options` read."""
        return cls(*(getattr(arguments, name) for name in cls._fields))


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Training`."""
    for name, default in Training()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)


def new_model(
    architecture: str, prior: str, images: Images, sizes: Sequence[int], seed: int
) -> ExemplarModel:
    """Return an untrained model of zeros and ones, on the device of the images."""
    generator = torch.Generator().manual_seed(seed)
    rows = images.training.rows
    chosen = torch.randperm(len(rows), generator=generator)[:N_PSEUDO_INPUTS]
    structure = ModelStructure(
        n_components=N_COMPONENTS,
        architecture=architecture,
        prior=prior,
        likelihood="bernoulli",
        hidden_layer_sizes=tuple(sizes),
        image_shape=IMAGE_SHAPE if architecture == "conv" else None,
    )
    initial = ModelInitialization(
        row_mean=rows.mean(0).cpu(),
        is_binary=False,  # gray rows, drawn as zeros and ones at every visit
        pseudo_inputs=rows[chosen].cpu(),
    )
    return build_model(structure, initial, generator).to(images.test.device)


def make_schedule(plan: str, training: Training, n_epochs: int, images: Images) -> Schedule:
    """Return the schedule that the estimator would make of a plan."""
    _, n_exemplars, n_neighbors = PLANS[plan]
    exemplars = plan_exemplars(
        len(images.training.rows), training.batch_size, n_exemplars, n_neighbors, "auto"
    )
    return Schedule(
        n_epochs=n_epochs,
        learning_rate=training.learning_rate,
        leave_one_out=True,
        variational=VariationalSchedule(training.kl_warmup, training.bound_samples),
        autocast=choose_autocast("auto", "bernoulli", images.test.device),
        weight_decay=training.weight_decay,
        **exemplars._asdict(),
    )
