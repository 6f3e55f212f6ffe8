"""Two processes that train together against one with the doubled batch."""

import pickle
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from sklearn_exemplar_vae.density import _defaults
from sklearn_exemplar_vae.engine.likelihoods import BernoulliLikelihood
from sklearn_exemplar_vae.engine.workers import Workers, current_workers, shard_sizes
from tests._models import small_flow, small_vae, two_moons

N_WORKERS = 2
VAE_PLANS = {
    "in-batch": {"n_exemplars": "batch", "n_neighbors": None},
    "grown, then of neighbors": {"n_exemplars": "batch"},
    "drawn": {"n_exemplars": 130},
    "retrieved": {"n_exemplars": 200, "n_neighbors": 3, "retrieval": "exact"},
    "grown, then retrieved": {"n_exemplars": "batch", "n_neighbors": 3, "retrieval": "exact"},
    "gaussian": {"prior": "gaussian"},
    "several samples a bound": {"n_exemplars": "batch", "n_bound_samples": 3},
    "held out": {"n_exemplars": "batch", "early_stopping": True},
    "gray": {"n_exemplars": "batch", "likelihood": "bernoulli", "kl_warmup": 3},
    "gray, drawn": {"n_exemplars": 130, "likelihood": "bernoulli", "kl_warmup": 3},
}
FLOW_PLANS = {
    "flow": {"n_neighbors": None},
    "flow, of neighbors": {},
    "flow, gaussian": {"prior": "gaussian"},
    "flow, a share of the rows": {"batch_size": "auto", "n_neighbors": None},
}
PLANS = {name: (small_vae, plan) for name, plan in VAE_PLANS.items()}
PLANS |= {name: (small_flow, plan) for name, plan in FLOW_PLANS.items()}
X = two_moons(301).astype(np.float32)
UNIT_X = (X - X.min(0)) / np.ptp(X, 0)
SAMPLE_WEIGHT = np.linspace(0.5, 2, len(X))


class RoundedBernoulli(BernoulliLikelihood):
    """Training sees rounded rows: draws would differ from process to process."""

    def draw_observed(self, rows, generator):
        return (rows > 0.5).float()


def rows_of(plan):
    return UNIT_X if "likelihood" in plan else X


def fit(make, plan, batch_size):
    defaults = {"early_stopping": False, "batch_size": batch_size, "max_iter": 12}
    model, rows = make(**(defaults | plan)), rows_of(plan)
    with patch.object(_defaults, "MAX_ROWS_IN_RANDOM_BATCHES", 0):
        if "likelihood" in plan:
            model.set_params(max_iter=0).fit(rows, sample_weight=SAMPLE_WEIGHT)
            model._model.likelihood = RoundedBernoulli(binary=False)
            model.set_params(warm_start=True, max_iter=12)
        return model.fit(rows, sample_weight=SAMPLE_WEIGHT)


def work(rank, folder):
    """Make every fit, as one of the processes, and write the models into a file."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=N_WORKERS
    )
    models = {name: fit(*plan, 40) for name, plan in PLANS.items()}
    with open(f"{folder}/{rank}.pickle", "wb") as file:
        pickle.dump(models, file)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def models_of_workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    multiprocessing.spawn(work, (str(folder),), nprocs=N_WORKERS)
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(N_WORKERS)]


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_two_workers_are_one_with_the_doubled_batch(models_of_workers, name):
    first, second = (models[name] for models in models_of_workers)
    make, plan = PLANS[name]
    X = rows_of(plan)
    np.testing.assert_array_equal(first.score_samples(X), second.score_samples(X))
    alone = fit(make, plan, N_WORKERS * 40)
    assert first.n_iter_ == alone.n_iter_
    np.testing.assert_allclose(first.loss_curve_, alone.loss_curve_, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(first.score_samples(X), alone.score_samples(X), atol=0.05)


def test_a_process_is_alone_without_a_group():
    assert current_workers() == Workers(0, 1)


def test_shards_are_all_rows_in_order():
    rows = torch.arange(11)
    shards = [Workers(rank, 3).shard(rows) for rank in range(3)]
    assert torch.equal(torch.cat(shards), rows)
    assert [len(shard) for shard in shards] == shard_sizes(11, 3)
