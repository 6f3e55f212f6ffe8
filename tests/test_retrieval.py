"""Nearest codes against brute force, and what training makes of them against the exact bound."""

import numpy as np
import pytest
import torch
from _models import small_vae, torch_model, two_moons
from sklearn.neighbors import NearestNeighbors

from sklearn_exemplar_vae.engine import candidates as candidates_module
from sklearn_exemplar_vae.engine.candidates import Candidates
from sklearn_exemplar_vae.engine.leave_one_out import own_exemplars
from sklearn_exemplar_vae.engine.priors import squared_distances
from sklearn_exemplar_vae.engine.refit import refit_bandwidth_without_held_out_rows
from sklearn_exemplar_vae.engine.retrieval import (
    BLOCK,
    ApproximateRetrieval,
    ExactRetrieval,
    build_retrieval,
)
from sklearn_exemplar_vae.engine.training import Retrieved, Schedule, train
from sklearn_exemplar_vae.engine.training_rows import TrainingRows


def normal(n_rows, n_columns, seed=0, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n_rows, n_columns, generator=generator) + shift


@pytest.mark.parametrize("n_codes", [1, 7, BLOCK, BLOCK + 1, 5 * BLOCK + 3])
@pytest.mark.parametrize("k", [1, 4, 200])
def test_exact_retrieval_is_brute_force(n_codes, k):
    codes, queries = normal(n_codes, 5, 1, shift=1000), normal(50, 5, 2, shift=1000)
    distances, indices = ExactRetrieval(codes).query(queries, k)
    expected = NearestNeighbors(n_neighbors=min(k, n_codes), algorithm="brute").fit(codes.double())
    expected_distances, expected_indices = expected.kneighbors(queries.double())
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-4)
    assert (indices.numpy() == expected_indices).mean() > 0.99  # ties in float32


def test_exact_graph_holds_every_code_itself():
    codes = normal(300, 4)
    np.testing.assert_array_equal(ExactRetrieval(codes).graph(3)[:, 0], np.arange(300))


def test_approximate_retrieval_finds_nearly_all():
    codes, queries = normal(2000, 8, 1), normal(200, 8, 2)
    exact, approximate = ExactRetrieval(codes), ApproximateRetrieval(codes, 12, seed=0)

    def recall(found, true):
        pairs = zip(found.numpy(), true.numpy(), strict=True)
        return np.mean([len(np.intersect1d(*pair)) / true.shape[1] for pair in pairs])

    assert recall(approximate.graph(10), exact.graph(10)) > 0.95
    distances, indices = approximate.query(queries, 10)
    assert recall(indices, exact.query(queries, 10)[1]) > 0.9
    by_hand = torch.linalg.vector_norm(codes[indices] - queries[:, None], dim=-1)
    torch.testing.assert_close(distances, by_hand)
    assert (distances.diff(dim=1) >= 0).all()


def test_approximate_retrieval_finds_as_many_as_asked_for():
    # Two clusters so far apart that no edge of the graph leads from one to the other.
    codes = torch.cat([normal(200, 4, 1), normal(200, 4, 2, shift=1000)])
    approximate, exact = ApproximateRetrieval(codes, 10, seed=0), ExactRetrieval(codes)
    distances, indices = approximate.query(codes, 300)
    assert all(len(row.unique()) == 300 for row in indices)
    torch.testing.assert_close(distances, exact.query(codes, 300)[0], rtol=1e-3, atol=1e-2)
    approximate._index._neighbor_graph[0][7, 4:] = -1  # what descent could not fill
    torch.testing.assert_close(approximate.graph(10)[7], exact.graph(10)[7])


def test_a_code_far_off_costs_the_others_no_digits():
    codes = torch.cat([normal(300, 4, 1), torch.full((1, 4), 1e7)])
    queries = normal(50, 4, 2)
    for near, far in ((codes[:300], codes), (codes[:300].double(), codes.double())):
        expected = squared_distances(queries.to(near), near)
        torch.testing.assert_close(
            squared_distances(queries.to(far), far)[:, :300], expected, rtol=1e-4, atol=1e-4
        )
    distances = ExactRetrieval(codes).query(queries, 5)[0]
    torch.testing.assert_close(distances, ExactRetrieval(codes[:300]).query(queries, 5)[0])


def test_retrieval_is_chosen_by_name_and_by_size(monkeypatch):
    codes = normal(200, 3)
    assert isinstance(build_retrieval("exact", codes, 5, 0), ExactRetrieval)
    assert isinstance(build_retrieval("pynndescent", codes, 5, 0), ApproximateRetrieval)
    assert isinstance(build_retrieval("auto", codes, 5, 0), ExactRetrieval)
    monkeypatch.setattr("sklearn_exemplar_vae.engine.retrieval.EXACT_UP_TO", 100)
    assert isinstance(build_retrieval("auto", codes, 5, 0), ApproximateRetrieval)


class Setting:
    """Rows with copies and weights, a model, and the bounds of all rows by chosen exemplars."""

    def __init__(self, n_rows=120):
        self.rows = normal(n_rows, 3)
        self.rows[10:20] = self.rows[:10]
        groups = torch.arange(n_rows)
        groups[10:20] = groups[:10]
        weights = 0.5 + torch.rand(n_rows, generator=torch.Generator().manual_seed(1))
        self.data = TrainingRows(self.rows, weights, groups)
        self.model = torch_model()
        self.model.prior.log_bandwidth.data.fill_(-1.0)
        self.codes = self.model.network.encode(self.rows)[0].detach()

    def candidates(self, k, n_exemplars=None, codes=None, leave_one_out=True):
        n_exemplars = len(self.rows) - 1 if n_exemplars is None else n_exemplars
        found = Candidates(self.data, n_exemplars, k, "exact", leave_one_out)
        codes = self.codes if codes is None else codes
        found.start_epoch(lambda: codes, 10, torch.Generator().manual_seed(0))
        return found

    def bounds(self, batch, seen, excluded, log_totals):
        with torch.no_grad():
            return self.model.training_bound(
                self.rows[seen],
                normal(len(batch), 3, seed=3)[:, None],
                self.data.weights[seen].log(),
                excluded,
                log_totals,
                1.0,
            )

    def exact(self, batch):
        """Every other row an exemplar, copies left out."""
        rest = torch.tensor(sorted(set(range(len(self.rows))) - set(batch.tolist())))
        seen = torch.cat([batch, rest])
        own = own_exemplars(self.data.groups[batch], self.data.groups[seen])
        return self.bounds(batch, seen, own, None)

    def retrieved(self, batch, found):
        seen, absent, log_totals = found.of_batch(batch)
        own = own_exemplars(self.data.groups[batch], self.data.groups[seen])
        return self.bounds(batch, seen, own | absent, log_totals)


BATCH = torch.arange(0, 120, 10)


@pytest.mark.parametrize("n_exemplars", [5, 12, 40])
def test_few_exemplars_are_retrieved_from_those_drawn(n_exemplars):
    """Of 1.5 k N / M rows that could be fetched for a row, no more than there are exemplars."""
    setting = Setting()
    found = setting.candidates(n_exemplars + 1, n_exemplars)  # so many that nothing is left out
    assert found.nearest.shape[1] == n_exemplars + 1
    drawn = found.eligible.nonzero()[:, 0]
    assert len(drawn) == n_exemplars + 1
    assert found.eligible[found.nearest.long()].all()
    seen = torch.cat([BATCH, drawn[~torch.isin(drawn, BATCH)]])
    own = own_exemplars(setting.data.groups[BATCH], setting.data.groups[seen])
    absent = ~found.eligible[seen]
    expected = setting.bounds(BATCH, seen, own | absent, None)
    torch.testing.assert_close(setting.retrieved(BATCH, found), expected, rtol=1e-4, atol=1e-4)


def test_more_neighbours_than_exemplars_are_an_error():
    with pytest.raises(ValueError, match="n_neighbors=9 must be at most n_exemplars=5"):
        small_vae(n_exemplars=5, n_neighbors=9).fit(two_moons(60))


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


def test_stale_neighbours_loosen_the_bound_and_never_break_it():
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


def test_neighbours_are_fetched_anew_once_codes_have_moved(monkeypatch):
    calls = []

    def spy(*arguments):
        calls.append(arguments)
        return build_retrieval(*arguments)

    monkeypatch.setattr(candidates_module, "build_retrieval", spy)
    setting = Setting()
    found, generator = setting.candidates(3), torch.Generator()
    found.start_epoch(lambda: setting.codes + 1e-3, 10, generator)
    assert len(calls) == 1
    found.start_epoch(lambda: setting.codes.flip(0), 10, generator)
    assert len(calls) == 2


def test_training_ends_with_retrieved_exemplars():
    """At a learning rate of nothing, epochs that retrieve all report the exact prior's bound."""

    def late_bound(**plan):
        setting = Setting()
        for _ in range(4):  # the start of the retrieval refits it once, which then moves little
            refit_bandwidth_without_held_out_rows(setting.model, setting.data, 0)
        schedule = Schedule(60, 30, 1e-12, 0, leave_one_out=True, **plan)
        epochs = train(setting.model, setting.data, schedule, torch.Generator().manual_seed(0))
        return np.mean([epoch.bound for epoch in epochs][30:])

    exact = late_bound(n_exemplars=119)
    plan = {"n_exemplars": 29, "in_batch": True, "neighbors_from": 0.5}
    all_retrieved = late_bound(**plan, retrieved=Retrieved(119, 200, "exact"))
    assert all_retrieved == pytest.approx(exact, abs=0.2)
    assert late_bound(**plan, retrieved=Retrieved(119, 1, "exact")) < exact - 0.2
    # By Jensen: of few exemplars, absent ones of the batch not summed, E log is below log E.
    assert late_bound(**plan, retrieved=Retrieved(3, 200, "exact")) < exact


def test_bandwidth_is_refitted_where_neighbours_come_in():
    setting = Setting()
    setting.model.prior.log_bandwidth.data.fill_(0.5)
    schedule = Schedule(60, 30, 1e-12, 0, 29, True, in_batch=True, neighbors_from=0.5)
    for _ in train(setting.model, setting.data, schedule, torch.Generator().manual_seed(0)):
        pass
    assert setting.model.prior.log_bandwidth.item() < 0.3


@pytest.mark.parametrize("n_exemplars", ["batch", "auto", None, 60])
@pytest.mark.parametrize("leave_one_out", [True, False])
def test_estimator_trains_with_retrieval(n_exemplars, leave_one_out):
    X = two_moons(150)
    X[10:20] = X[:10]
    model = small_vae(
        n_neighbors=3, n_exemplars=n_exemplars, leave_one_out=leave_one_out, max_iter=12
    )
    model.fit(X, sample_weight=np.linspace(0.5, 2, 150))
    assert np.isfinite(model.score_samples(X)).all()
    assert np.isfinite(model.loss_curve_).all()
    assert len(model.loss_curve_) == model.n_iter_


def test_a_table_of_copies_has_nothing_to_retrieve():
    X = np.repeat(two_moons(3), 20, axis=0)
    model = small_vae(n_neighbors=2, n_exemplars=None, early_stopping=False).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
