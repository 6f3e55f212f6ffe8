"""Nearest codes against brute force.

The first graph of a process compiles for some twenty seconds: what needs one is slow.
"""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from sklearn_exemplar_vae.engine.retrieval import (
    BLOCK,
    ApproximateRetrieval,
    ExactRetrieval,
    build_retrieval,
    leave_self_out,
)


@pytest.fixture(autouse=True)
def threads_are_kept():
    """The first graph of a process would leave torch with as many threads as numba has."""
    n_threads = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == n_threads


def normal(n_rows, n_columns, seed=0, shift=0.0):
    return torch.randn(n_rows, n_columns, generator=torch.Generator().manual_seed(seed)) + shift


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    codes, queries = normal(300, 4, 1), normal(50, 4, 2)
    with_far = torch.cat([codes, torch.full((1, 4), 1e7)])
    distances = ExactRetrieval(with_far).query(queries, 5)[0]
    torch.testing.assert_close(distances, ExactRetrieval(codes).query(queries, 5)[0])


def test_codes_are_left_out_of_their_own_neighbors():
    """Among copies a code may have found others in the place of itself."""
    indices = torch.tensor([[0, 2, 1], [2, 1, 0], [0, 1, 3], [3, 0, 2]])
    distances = torch.arange(12.0).view(4, 3)
    others, found = leave_self_out(distances, indices)
    assert found.tolist() == [[2, 1], [2, 0], [0, 1], [0, 2]]
    assert others.tolist() == [[1, 2], [3, 5], [6, 7], [10, 11]]


@pytest.mark.slow
def test_retrieval_is_chosen_by_name_and_by_size(monkeypatch):
    codes = normal(200, 3)
    assert isinstance(build_retrieval("exact", codes, 5, 0), ExactRetrieval)
    assert isinstance(build_retrieval("pynndescent", codes, 5, 0), ApproximateRetrieval)
    assert isinstance(build_retrieval("auto", codes, 5, 0), ExactRetrieval)
    monkeypatch.setattr("sklearn_exemplar_vae.engine.retrieval.EXACT_UP_TO", 100)
    assert isinstance(build_retrieval("auto", codes, 5, 0), ApproximateRetrieval)
