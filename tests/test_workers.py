"""Two processes that train together against one with the doubled batch."""

import pickle
from unittest.mock import patch

import numpy as np
import pytest
import torch
from _models import small_vae, two_moons
from torch import distributed, multiprocessing

from sklearn_exemplar_vae import _plan
from sklearn_exemplar_vae.engine.likelihoods import BernoulliLikelihood
from sklearn_exemplar_vae.engine.workers import Workers, current_workers, share_sizes

N_WORKERS = 2
PLANS = {
    "in-batch": {"n_exemplars": "batch", "n_neighbors": None},
    "grown, then of neighbours": {"n_exemplars": "batch"},
    "drawn": {"n_exemplars": 130},
    "retrieved": {"n_exemplars": 200, "n_neighbors": 3, "retrieval": "exact"},
    "grown, then retrieved": {"n_exemplars": "batch", "n_neighbors": 3, "retrieval": "exact"},
    "gaussian": {"prior": "gaussian"},
    "several samples a bound": {"n_exemplars": "batch", "n_bound_samples": 3},
    "held out": {"n_exemplars": "batch", "early_stopping": True},
    "grey": {"n_exemplars": "batch", "likelihood": "bernoulli"},
    "grey, drawn": {"n_exemplars": 130, "likelihood": "bernoulli"},
}
X = two_moons(301).astype(np.float32)
UNIT_X = (X - X.min(0)) / np.ptp(X, 0)


def rows_of(plan):
    return UNIT_X if "likelihood" in plan else X


def rounded(self, rows, generator):
    """In the place of a draw, which differs from process to process."""
    return (rows > 0.5).float()


def fit(plan, batch_size):
    defaults = {"early_stopping": False, "batch_size": batch_size, "max_iter": 12}
    model = small_vae(**(defaults | plan))
    few = patch.object(_plan, "MAX_ROWS_IN_RANDOM_BATCHES", 0)
    with few, patch.object(BernoulliLikelihood, "redraw", rounded):
        return model.fit(rows_of(plan), sample_weight=np.linspace(0.5, 2, len(X)))


def work(rank, folder):
    """What each process does: every fit, and what came of it into a file."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=N_WORKERS
    )
    models = {name: fit(plan, 40) for name, plan in PLANS.items()}
    with open(f"{folder}/{rank}.pickle", "wb") as file:
        pickle.dump(models, file)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def models_of_workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    multiprocessing.spawn(work, (str(folder),), nprocs=N_WORKERS)
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(N_WORKERS)]


@pytest.mark.parametrize("name", PLANS)
def test_two_workers_are_one_with_the_doubled_batch(models_of_workers, name):
    first, second = (models[name] for models in models_of_workers)
    X = rows_of(PLANS[name])
    np.testing.assert_array_equal(first.score_samples(X), second.score_samples(X))
    alone = fit(PLANS[name], N_WORKERS * 40)
    assert first.n_iter_ == alone.n_iter_
    np.testing.assert_allclose(first.loss_curve_, alone.loss_curve_, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(first.score_samples(X), alone.score_samples(X), atol=0.05)


def test_a_process_is_alone_without_a_group():
    assert current_workers() == Workers(0, 1)


def test_shares_are_all_rows_in_order():
    rows = torch.arange(11)
    shares = [Workers(rank, 3).share(rows) for rank in range(3)]
    assert torch.equal(torch.cat(shares), rows)
    assert [len(share) for share in shares] == share_sizes(11, 3)
