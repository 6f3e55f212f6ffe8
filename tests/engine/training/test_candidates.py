"""Exemplars retrieved for a batch, and the bound they make against the exact one."""

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine.minibatch import LeftOut, Minibatch
from sklearn_exemplar_vae.engine.model import Draws
from sklearn_exemplar_vae.engine.retrieval import ExactRetrieval
from sklearn_exemplar_vae.engine.training.candidates import Candidates
from sklearn_exemplar_vae.engine.training.leave_one_out import own_exemplars
from sklearn_exemplar_vae.engine.training.loop import Retrieved, Schedule, train
from sklearn_exemplar_vae.engine.training.objectives import VariationalSchedule
from sklearn_exemplar_vae.engine.training.refit import refit_bandwidth_without_held_out_rows
from sklearn_exemplar_vae.engine.training.rows import TrainingRows
from tests.engine._models import untrained_model

BATCH = torch.arange(0, 120, 10)


def normal(n_rows, n_columns, seed=0):
    return torch.randn(n_rows, n_columns, generator=torch.Generator().manual_seed(seed))


class Setting:
    """Rows with copies and weights, a model, and the bounds of all rows by chosen exemplars."""

    def __init__(self, n_rows=120):
        self.rows = normal(n_rows, 3)
        self.rows[10:20] = self.rows[:10]
        groups = torch.arange(n_rows)
        groups[10:20] = groups[:10]
        weights = 0.5 + torch.rand(n_rows, generator=torch.Generator().manual_seed(1))
        self.data = TrainingRows(self.rows, weights, groups)
        self.model = untrained_model()
        self.model.prior.log_bandwidth.data.fill_(-1.0)
        self.codes = self.model.encode(self.rows).detach()

    def candidates(self, k, n_exemplars=None, codes=None, leave_one_out=True):
        n_exemplars = len(self.rows) - 1 if n_exemplars is None else n_exemplars
        found = Candidates(self.data, n_exemplars, k, "exact", leave_one_out)
        codes = self.codes if codes is None else codes
        found.start_epoch(lambda: codes, 10, torch.Generator().manual_seed(0))
        return found

    @torch.no_grad()
    def bounds(self, batch, seen, excluded, log_totals=None):
        minibatch = Minibatch(
            rows=self.rows[seen],
            n_own=len(batch),
            n_batch=len(batch),
            log_weights=self.data.weights[seen].log(),
            left_out=LeftOut(excluded, log_totals),
            gather=lambda codes: codes,
        )
        return self.model.training_bound(minibatch, Draws(normal(len(batch), 3, seed=3)[:, None]))

    def exact(self, batch):
        """Return the bounds with every other row an exemplar, copies left out."""
        rest = torch.tensor(sorted(set(range(len(self.rows))) - set(batch.tolist())))
        seen = torch.cat([batch, rest])
        own = own_exemplars(self.data.groups[batch], self.data.groups[seen])
        return self.bounds(batch, seen, own)

    def retrieved(self, batch, found):
        """Return the bounds with the exemplars ``found`` gives."""
        seen, absent, log_totals = found.of_batch(batch)
        own = own_exemplars(self.data.groups[batch], self.data.groups[seen])
        return self.bounds(batch, seen, own | absent, log_totals)


@pytest.mark.parametrize("n_exemplars", [5, 12, 40])
def test_few_exemplars_are_retrieved_from_those_drawn(n_exemplars):
    """Of 1.5 k N / M rows that could be fetched for a row, no more than there are exemplars."""
    setting = Setting()
    found = setting.candidates(n_exemplars + 1, n_exemplars)  # enough to leave nothing out
    assert found.nearest.shape[1] == n_exemplars + 1
    drawn = found.eligible.nonzero()[:, 0]
    assert len(drawn) == n_exemplars + 1
    assert found.eligible[found.nearest.long()].all()
    seen = torch.cat([BATCH, drawn[~torch.isin(drawn, BATCH)]])
    own = own_exemplars(setting.data.groups[BATCH], setting.data.groups[seen])
    absent = ~found.eligible[seen]
    expected = setting.bounds(BATCH, seen, own | absent)
    torch.testing.assert_close(setting.retrieved(BATCH, found), expected, rtol=1e-4, atol=1e-4)


def test_retrieved_bound_rises_to_the_exact_one():
    setting = Setting()
    exact = setting.exact(BATCH)
    gaps = []
    for k in (1, 3, 10, 120):
        gap = exact - setting.retrieved(BATCH, setting.candidates(k))
        assert (gap > -1e-5).all()
        gaps.append(gap.mean().item())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 1e-3 and abs(gaps[-1]) < 1e-5


def test_stale_neighbors_loosen_the_bound_and_never_break_it():
    setting = Setting()
    exact = setting.exact(BATCH)
    fresh = setting.retrieved(BATCH, setting.candidates(3))
    stale = setting.retrieved(BATCH, setting.candidates(3, codes=normal(120, 3, seed=9)))
    assert (stale <= exact + 1e-5).all()
    assert stale.mean() < fresh.mean() - 1e-3


def test_denominator_is_the_weight_of_the_exemplars_drawn():
    setting = Setting()
    found = setting.candidates(4, n_exemplars=50)
    weights, groups = setting.data.weights, setting.data.groups
    drawn = found.eligible
    assert drawn.sum() == 51
    for row in BATCH.tolist():
        expected = weights[drawn & (groups != groups[row])].sum().log()
        assert found.log_totals[row] == pytest.approx(expected.item(), abs=1e-5)
    with_self = setting.candidates(4, n_exemplars=50, leave_one_out=False)
    assert with_self.log_totals[0] == pytest.approx(weights[drawn].sum().log().item(), abs=1e-5)


def test_a_batch_sees_the_k_nearest_eligible_of_each_row():
    setting = Setting()
    k = 4
    found = setting.candidates(k, n_exemplars=60)
    seen, absent, _ = found.of_batch(BATCH)
    assert len(seen.unique()) == len(seen)
    np.testing.assert_array_equal(seen[: len(BATCH)], BATCH)
    assert not absent[len(BATCH) :].any()
    groups = setting.data.groups
    for row in BATCH.tolist():
        others = found.eligible & (groups != groups[row])
        distances = torch.linalg.vector_norm(setting.codes - setting.codes[row], dim=1)
        nearest = distances.masked_fill(~others, torch.inf).topk(k, largest=False).indices
        assert set(nearest.tolist()) <= set(seen.tolist())


def test_neighbors_are_fetched_anew_once_codes_have_moved():
    setting = Setting()
    found, generator = setting.candidates(3), torch.Generator()
    n_fetched = found.nearest.shape[1]
    first = ExactRetrieval(setting.codes).graph(n_fetched)
    np.testing.assert_array_equal(found.nearest, first)
    moved_a_little = setting.codes + 0.01 * normal(120, 3, seed=5)
    assert not torch.equal(ExactRetrieval(moved_a_little).graph(n_fetched), first)
    found.start_epoch(lambda: moved_a_little, 10, generator)
    np.testing.assert_array_equal(found.nearest, first)
    moved_far = setting.codes.flip(0)
    found.start_epoch(lambda: moved_far, 10, generator)
    np.testing.assert_array_equal(found.nearest, ExactRetrieval(moved_far).graph(n_fetched))


def test_training_ends_with_retrieved_exemplars():
    """At a learning rate of nothing, epochs that retrieve all report the exact prior's bound."""

    def late_bound(**plan):
        setting = Setting()
        for _ in range(4):  # the start of the retrieval refits it once, which then moves little
            refit_bandwidth_without_held_out_rows(setting.model, setting.data, 0)
        schedule = Schedule(
            60, 30, 1e-12, leave_one_out=True, variational=VariationalSchedule(0), **plan
        )
        epochs = train(setting.model, setting.data, schedule, torch.Generator().manual_seed(0))
        return np.mean([epoch.bound for epoch in epochs][30:])

    exact = late_bound(n_exemplars=119)
    plan = {"n_exemplars": 29, "in_batch": True, "neighbors_from": 0.5}
    all_retrieved = late_bound(**plan, retrieved=Retrieved(119, 200, "exact"))
    assert all_retrieved == pytest.approx(exact, abs=0.2)
    assert late_bound(**plan, retrieved=Retrieved(119, 1, "exact")) < exact - 0.2
    # By Jensen: of few exemplars, absent ones of the batch not summed, E log is below log E.
    assert late_bound(**plan, retrieved=Retrieved(3, 200, "exact")) < exact
