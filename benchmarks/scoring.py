"""Scores of images: beside the plain sum over all exemplars, and beside KernelDensity.

    python benchmarks/scoring.py plain --data ../shared/data
    python benchmarks/scoring.py kernel-density --data ../shared/data

`--data` is a folder with MNIST; without it the images come from OpenML. All 50000 training rows are
exemplars.

"plain": zeros and ones, S = 100 samples a row. The plain way sums over all exemplars at each
sample, once for the prior and once for the proposal that the sample was drawn from. It is timed on
`--plain-rows` rows, whose scores by both ways, from the same samples, are compared. The last way
draws from q(z | x) as the paper does, and sums at each sample for the prior alone; speeds are
compared with it. All take turns, `--rounds` times.

"kernel-density": 16 gray levels with noise of one step, 1000 test rows. KernelDensity has one leaf
(scikit-learn #25799) and standardized columns; its bandwidth is the best of a few by 1000
validation rows. Each fit and its scores are timed once.

Peak memory is measured in a process of its own, which loads the fitted model and scores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import joblib
import numpy as np
import torch
from _machine import describe, markdown_table, peak_memory, seconds
from _rivals import Standardized
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae import ExemplarVAE
from sklearn_exemplar_vae.datasets import load_mnist
from sklearn_exemplar_vae.engine.importance.estimate import ImportanceSampling, importance_noise
from sklearn_exemplar_vae.engine.numerics import log_mixture_density

N_SAMPLES = 100
BANDWIDTHS = (0.3, 0.5, 0.7, 1.0, 1.4, 2.0)  # of 784 columns, standardized
N_KERNEL_DENSITY_ROWS = 1000
DENSITIES = ("ExemplarVAE", "ExemplarVAE(max_iter=0)", "KernelDensity")


@torch.no_grad()
def plain_scores(model: ExemplarVAE, rows: np.ndarray, from_posterior: bool) -> np.ndarray:
    """Return importance-weighted log-densities, every term of every sum over exemplars taken.

    The samples are those of `score_samples`, or draws of q(z | x).
    """
    engine, exemplars = model._model, model._exemplars.to(torch.float32)
    prior, log_bandwidth = engine.prior, engine.prior.log_bandwidth
    sampling = ImportanceSampling(model.n_importance_samples, model._score_seed)
    noise = importance_noise(sampling, model.n_components_)
    scores = []
    for row in torch.from_numpy(rows).float():
        mean, log_variance = engine.network.encode(row[None])
        if from_posterior:
            posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
            codes = mean + posterior.stddev * noise.normals.float()
            log_proposal = posterior.log_prob(codes).sum(1)
        else:  # a mixture of normals between the row's code and each exemplar's
            proposal = prior.proposal(mean, log_variance, exemplars)
            codes = proposal.draw(noise.normals.float(), noise.uniforms)[0]
            scale = proposal.variance.sqrt()
            centers = exemplars.codes + proposal.shrinkage * (mean - exemplars.codes)
            overlaps = proposal._log_overlap(slice(None), exemplars)[0]
            scaled = exemplars._replace(codes=centers / scale, log_weights=overlaps)
            log_proposal = log_mixture_density(codes / scale, scaled, torch.zeros(()))
            log_proposal = log_proposal - scale.log().sum()
        log_prior = log_mixture_density(codes, exemplars, log_bandwidth)
        log_likelihood = engine.likelihood.log_prob(engine.network.decode(codes), row)
        log_weights = log_likelihood + log_prior - log_proposal
        scores.append(torch.logsumexp(log_weights, 0) - np.log(sampling.n_samples))
    return torch.stack(scores).double().numpy() + model._scaling.log_jacobian(rows)


def score_stored(path: str, rows: np.ndarray) -> float:
    """Return the peak memory, MiB, of a process that loads a model and scores."""
    joblib.load(path).score_samples(rows)
    return peak_memory()


def memory_of_scoring(model: ExemplarVAE, rows: np.ndarray) -> float:
    """Call `score_stored` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.joblib"
        joblib.dump(model, path)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(score_stored, path, rows).result()


def compare_with_plain(images, arguments) -> str:
    """Return a table of speeds and scores beside those of `plain_scores`."""
    rng = np.random.default_rng(0)

    def binarized(rows):
        return (rng.uniform(size=rows.shape) < rows / 255).astype(np.float32)

    train, test = binarized(images.X_train), binarized(images.X_test)
    model = ExemplarVAE(
        max_iter=arguments.epochs,
        batch_size=500,
        learning_rate_init=6e-3,
        n_importance_samples=N_SAMPLES,
        device="cpu",
        random_state=0,
    ).fit(train)
    few = test[: arguments.plain_rows]
    ours, plain, of_posterior = [], [], []
    for _ in range(arguments.rounds):
        taken, scores = seconds(model.score_samples, test)
        ours.append(len(test) / taken)
        taken, expected = seconds(plain_scores, model, few, False)
        plain.append(len(few) / taken)
        taken, from_posterior = seconds(plain_scores, model, few, True)
        of_posterior.append(len(few) / taken)
    slowest = statistics.median(of_posterior)
    shown = scores[: len(few)]
    rows = [
        ["score_samples", statistics.median(ours), len(test), scores.mean(), shown.mean(), 0.0],
        ["plain", statistics.median(plain), len(few), None, expected.mean(), shown - expected],
        ["plain, samples of q", slowest, len(few), None, from_posterior.mean(), None],
    ]
    table = [
        [
            name,
            f"{speed:.2f}",
            f"{speed / rows[2][1]:.1f}",
            str(n_rows),
            "" if mean is None else f"{mean:.3f}",
            f"{mean_of_few:.3f}",
            "" if gap is None else f"{np.abs(gap).max():.5f}",
        ]
        for name, speed, n_rows, mean, mean_of_few, gap in rows
    ]
    header = [
        "scores",
        "rows a second",
        "to the last",
        "rows",
        "mean, nats",
        f"mean of the first {len(few)}",
        "largest difference, nats",
    ]
    memory = memory_of_scoring(model, test)
    return markdown_table(header, table) + f"\n\nPeak memory of score_samples: {memory:.0f} MiB."


def compare_with_kernel_density(images, arguments) -> str:
    """Return a table of held-out log-densities beside that of KernelDensity."""
    rng = np.random.default_rng(0)

    def gray(rows):
        return (rows // 16 + rng.uniform(size=rows.shape)).astype(np.float32)

    train, validation = gray(images.X_train), gray(images.X_valid)[:N_KERNEL_DENSITY_ROWS]
    test = gray(images.X_test)[:N_KERNEL_DENSITY_ROWS]

    def kernel_density(bandwidth):
        return Standardized(KernelDensity(bandwidth=bandwidth, leaf_size=len(train)).fit, train)

    def searched_kernel_density():
        scores = [kernel_density(b).score_samples(validation).mean() for b in BANDWIDTHS]
        best = BANDWIDTHS[int(np.argmax(scores))]
        print(f"KernelDensity: bandwidth {best} of {BANDWIDTHS}")
        return kernel_density(best)

    fits = (
        lambda: ExemplarVAE(random_state=0).fit(train),
        lambda: ExemplarVAE(max_iter=0, random_state=0).fit(train),
        searched_kernel_density,
    )
    fits = dict(zip(DENSITIES, fits, strict=True))
    table = []
    for name in arguments.densities:
        fitting, density = seconds(fits[name])
        scoring, scores = seconds(density.score_samples, test)
        table.append([name, f"{fitting:.1f}", f"{scoring:.1f}", f"{scores.mean():.1f}"])
    header = ["density", "fit, s", "score 1000 rows, s", "held-out log-density, nats a row"]
    return markdown_table(header, table)


COMPARISONS = {"plain": compare_with_plain, "kernel-density": compare_with_kernel_density}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comparison", choices=COMPARISONS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--epochs", type=int, default=20, help="of the model of zeros and ones")
    parser.add_argument("--plain-rows", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--densities", nargs="+", choices=DENSITIES, default=DENSITIES, help="of kernel-density"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    table = COMPARISONS[arguments.comparison](load_mnist(arguments.data), arguments)
    print(f"{describe()}\n\n{table}")


if __name__ == "__main__":
    main()
