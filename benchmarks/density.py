"""Images: the paper's gated VAE with the exemplar and the gaussian prior, at equal wall time.

    python benchmarks/density.py mnist --data ../shared/data --seconds 70 340

`--data` is a folder with the images (see `sklearn_exemplar_vae.datasets`); without it they come
from OpenML. The network is the paper's: two gated layers of 300 units, 40 codes. Training rows are
drawn as zeros and ones at every visit; validation and test rows, and the exemplars of every
evaluation, are drawn once.

For each budget of seconds and each of `--plans`: as many epochs as fit the budget (some are timed
beforehand, which also compiles pynndescent), the single-sample validation ELBO over all exemplars
along the way, with the clock stopped and the bandwidth refitted as the estimator does, when it
passed `--target`, the memory that training took in a process of its own, and at the end the test
log-likelihood, importance weighted. The plans are the default (exemplars of the minibatch, which is
random first and made of neighbours later), the gaussian prior, and for an ablation random
minibatches to the end, the same with exemplars retrieved in the last tenth of the epochs, retrieved
ones only (k = 10 of M = 25000) and all of M = 25000 at every step.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from _machine import describe, markdown_table

from sklearn_exemplar_vae._plan import plan_exemplars
from sklearn_exemplar_vae.datasets import load_fashion_mnist, load_mnist
from sklearn_exemplar_vae.engine.devices import choose_autocast, choose_device
from sklearn_exemplar_vae.engine.model import build_model
from sklearn_exemplar_vae.engine.priors import Exemplars
from sklearn_exemplar_vae.engine.refit import refit_bandwidth
from sklearn_exemplar_vae.engine.scoring import (
    encode,
    evidence_lower_bound,
    importance_noise,
    log_density,
)
from sklearn_exemplar_vae.engine.training import Schedule, train
from sklearn_exemplar_vae.engine.training_rows import TrainingRows

LOADERS = {"mnist": load_mnist, "fashion-mnist": load_fashion_mnist}
N_COMPONENTS, LAYERS = 40, (300, 300)
# What a row of the table trains with: prior, M and k of the estimator's parameters.
PLANS = {
    "exemplar": ("exemplar", "batch", "auto"),
    "gaussian": ("gaussian", "batch", None),
    "exemplar, in-batch": ("exemplar", "batch", None),
    "exemplar, in-batch, then retrieved": ("exemplar", "batch", 5),
    "exemplar, retrieved": ("exemplar", 25_000, 10),
    "exemplar, all of M = 25000": ("exemplar", 25_000, None),
}
# Of the budget: the larger minibatches of the last epochs cost more than the epoch that is timed.
RESERVE = 0.05


class Images:
    """Rows on the device: grey for training, binarised once for everything else."""

    def __init__(self, name: str, folder: Path | None, device: torch.device) -> None:
        images = LOADERS[name](folder)
        generator = torch.Generator().manual_seed(0)

        def scaled(part):
            return torch.from_numpy(images[f"X_{part}"] / 255).float()

        def binarised(part):
            rows = scaled(part)
            return (torch.rand(rows.shape, generator=generator) < rows).float().to(device)

        grey = scaled("train").to(device)
        self.training = TrainingRows(
            grey, torch.ones(len(grey), device=device), torch.arange(len(grey), device=device)
        )
        self.exemplars = binarised("train")
        self.validation, self.test = binarised("valid"), binarised("test")


def new_model(prior: str, images: Images, seed: int):
    return build_model(
        images.test.shape[1],
        N_COMPONENTS,
        architecture="mlp",
        hidden_layer_sizes=LAYERS,
        prior=prior,
        likelihood="bernoulli",
        binary=False,  # grey rows, drawn as zeros and ones at every visit
        start=None,
        row_mean=images.training.rows.mean(0).cpu(),
        generator=torch.Generator().manual_seed(seed),
    ).to(images.test.device)


def as_exemplars(model, images: Images) -> Exemplars:
    return Exemplars(encode(model, images.exemplars), images.training.weights.log())


def refit(model, images: Images) -> None:
    """What the estimator does after training with M < N - 1."""
    weights = torch.ones(len(images.validation), device=images.test.device)
    refit_bandwidth(model, as_exemplars(model, images), images.validation, weights, None, 0)


def validation_elbo(model, images: Images) -> float:
    exemplars = as_exemplars(model, images)
    return evidence_lower_bound(model, images.validation, exemplars, seed=0).mean().item()


def make_schedule(plan: str, arguments, n_epochs: int, images: Images) -> Schedule:
    _, n_exemplars, n_neighbors = PLANS[plan]
    exemplars = plan_exemplars(
        len(images.exemplars), arguments.batch_size, n_exemplars, n_neighbors, "auto"
    )
    return Schedule(
        n_epochs=n_epochs,
        learning_rate=arguments.learning_rate,
        kl_warmup=arguments.kl_warmup,
        leave_one_out=True,
        autocast=choose_autocast("auto", "bernoulli", images.test.device),
        **exemplars._asdict(),
    )


def seconds_per_epoch(plan: str, images: Images, arguments) -> float:
    """Of a schedule's average epoch: those with near exemplars may cost several times more."""
    schedule = make_schedule(plan, arguments, 4, images)
    share = 1 - schedule.neighbors_from
    if share > 0:
        schedule = schedule._replace(neighbors_from=min(0.5, schedule.neighbors_from))
    epochs = train(
        new_model(PLANS[plan][0], images, 1), images.training, schedule, torch.Generator()
    )
    taken = []
    for _ in range(schedule.n_epochs if share > 0 else 2):
        start = time.perf_counter()
        next(epochs)
        taken.append(time.perf_counter() - start)
    return (1 - share) * taken[1] + share * taken[-1]


def run(plan: str, seconds: float, arguments) -> list[str]:
    """Train within the budget; one row of the table."""
    prior = PLANS[plan][0]
    images = Images(arguments.dataset, arguments.data, choose_device(arguments.device))
    affordable = (1 - RESERVE) * seconds / seconds_per_epoch(plan, images, arguments)
    n_epochs = max(1, int(affordable))
    schedule = make_schedule(plan, arguments, n_epochs, images)
    model = new_model(prior, images, arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    epochs = train(model, images.training, schedule, generator)
    elapsed, curve = 0.0, []
    for _ in range(n_epochs):
        start = time.perf_counter()
        epoch = next(epochs)
        elapsed += time.perf_counter() - start
        every = max(1, n_epochs // arguments.curve_points)
        if epoch.number % every == 0 or epoch.number == n_epochs:
            model = copy.deepcopy(epoch.model)
            if prior == "exemplar":
                refit(model, images)
            curve.append((elapsed, validation_elbo(model, images)))
            elbo = f"{curve[-1][1]:.2f} at {elapsed:.0f} s"
            print(f"{plan}, epoch {epoch.number} of {n_epochs}: {elbo}", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = torch.randperm(len(images.test), generator=torch.Generator().manual_seed(0))
    rows = images.test[rows[: arguments.test_rows].to(images.test.device)]
    noise = importance_noise(arguments.n_samples, N_COMPONENTS, seed=0)
    start = time.perf_counter()
    scores = log_density(model, rows, as_exemplars(model, images), noise)
    scoring = time.perf_counter() - start
    error = scores.std().item() / len(scores) ** 0.5
    return [
        plan,
        f"{elapsed:.0f}",
        str(n_epochs),
        f"{curve[-1][1]:.2f}",
        time_to(arguments.target, curve),
        f"{memory:.0f}",
        f"{scores.mean().item():.2f} ± {error:.2f}",
        f"{scoring:.0f}",
        ", ".join(f"{elbo:.2f} at {seconds:.0f} s" for seconds, elbo in curve),
    ]


def time_to(target: float, curve: list[tuple[float, float]]) -> str:
    """Seconds at which the curve of (seconds, ELBO) first passes ``target``, between its points."""
    for (start, below), (end, above) in itertools.pairwise(curve):
        if below < target <= above:
            return f"{start + (end - start) * (target - below) / (above - below):.0f}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=LOADERS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[70.0, 340.0])
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=["exemplar", "gaussian"])
    parser.add_argument("--target", type=float, default=-90.6)
    parser.add_argument("--curve-points", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--learning-rate", type=float, default=6e-3)
    parser.add_argument("--kl-warmup", type=float, default=3)
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--n-samples", type=int, default=5000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    for seconds, plan in itertools.product(arguments.seconds, arguments.plans):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own_process:
            rows.append(own_process.submit(run, plan, seconds, arguments).result())
    header = [
        "trained with",
        "training, s",
        "epochs",
        "validation ELBO",
        f"s to {arguments.target}",
        "peak memory, MiB",
        f"test log-likelihood, S = {arguments.n_samples}, {arguments.test_rows} rows",
        "scoring, s",
        "validation ELBO along the way",
    ]
    print(f"\n{describe()}\n\n{markdown_table(header, rows)}")


if __name__ == "__main__":
    main()
