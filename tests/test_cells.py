"""Sums over some of the exemplars: never further from the sum over all than they promise."""

import numpy as np
import pytest
import torch
from _models import correlated, small_vae, two_moons

from sklearn_exemplar_vae.engine import chunks
from sklearn_exemplar_vae.engine.cells import CellProposal, Cells
from sklearn_exemplar_vae.engine.priors import ExemplarPrior, Exemplars


def clustered(n_rows, n_columns, seed=0):
    """Rows around thirty places far from each other."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(9).normal(scale=5, size=(30, n_columns))
    return places[rng.integers(30, size=n_rows)] + rng.normal(scale=0.3, size=(n_rows, n_columns))


@pytest.fixture
def setting():
    """Posteriors, exemplars and a prior, in double precision."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.from_numpy(clustered(1500, 4))
    log_weights = torch.rand(1500, generator=generator, dtype=torch.float64).log()
    mean = torch.from_numpy(clustered(60, 4, seed=1))
    log_variance = torch.randn(60, 4, generator=generator, dtype=torch.float64) - 5
    return mean, log_variance, Exemplars(codes, log_weights), ExemplarPrior(0.3).double()


def test_cells_hold_every_exemplar_once_and_within_its_radius(setting):
    _, _, exemplars, _ = setting
    cells = Cells(exemplars, 0)
    assert sum(cells.sizes) == 1500
    by_code = torch.argsort(exemplars.codes[:, 0])
    again = torch.argsort(cells.exemplars.codes[:, 0])
    torch.testing.assert_close(cells.exemplars.codes[again], exemplars.codes[by_code])
    torch.testing.assert_close(cells.exemplars.log_weights[again], exemplars.log_weights[by_code])
    for cell, size in enumerate(cells.sizes):
        members = cells.members(cell)
        assert len(members.codes) == size
        distances = torch.linalg.vector_norm(members.codes - cells.centres[cell], dim=1)
        assert size == 0 or distances.max() <= cells.radii[cell] + 1e-12


@pytest.mark.parametrize("rtol", [1e-6, 1e-2, 0.5])
def test_evidence_is_low_by_no_more_than_the_tolerance(setting, rtol):
    mean, log_variance, exemplars, prior = setting
    exact = prior.proposal(mean, log_variance, exemplars).log_evidence
    proposal = CellProposal(mean, log_variance, Cells(exemplars, 0), prior.log_bandwidth, rtol)
    missing = exact - proposal.log_evidence
    assert (missing > -1e-9).all()
    assert (missing <= np.log1p(rtol) + 1e-9).all()
    left_out = torch.isinf(proposal.log_sums).double().mean()
    assert left_out > 0.5  # most cells are far from a row


def test_draws_are_those_of_all_exemplars(setting):
    """The same mixture: first and second moments of many draws agree."""
    mean, log_variance, exemplars, prior = setting
    cells = CellProposal(mean, log_variance, Cells(exemplars, 0), prior.log_bandwidth, 1e-9)
    exact = prior.proposal(mean, log_variance, exemplars)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(20_000, 4, generator=generator, dtype=torch.float64)
    uniforms = torch.rand(20_000, generator=generator, dtype=torch.float64)
    ours, theirs = (p.draw(noise, uniforms) for p in (cells, exact))
    scale = theirs.std(1)
    assert ((ours.mean(1) - theirs.mean(1)).abs() < 0.05 * scale).all()
    assert ((ours.std(1) / scale - 1).abs() < 0.05).all()
    torch.testing.assert_close(cells.log_ratio(theirs), exact.log_ratio(theirs))


@pytest.mark.parametrize("max_iter", [0, 10])
@pytest.mark.parametrize("X", [clustered(800, 4), correlated(800, 3), two_moons(800)])
def test_scores_keep_the_tolerance(max_iter, X):
    model = small_vae(max_iter=max_iter, n_importance_samples=64).fit(X)
    exact = model.score_samples(X[:200])
    near = model.set_params(rtol=1e-3).score_samples(X[:200])
    # The start is scored without noise; after training other samples are drawn.
    np.testing.assert_allclose(near, exact, atol=2e-3 if max_iter == 0 else 0.3)
    assert abs(near.mean() - exact.mean()) < 0.02
    alone = np.concatenate([model.score_samples(row[None]) for row in X[:5]])
    np.testing.assert_allclose(alone, near[:5], atol=1e-7)


def test_new_exemplars_are_summed_too():
    X = clustered(600, 3)
    model = small_vae(max_iter=0, rtol=1e-3).fit(X[:300])
    model.score_samples(X)
    model.extend_exemplars(X[300:])
    exact = small_vae(max_iter=0).fit(X[:300]).extend_exemplars(X[300:]).score_samples(X)
    np.testing.assert_allclose(model.score_samples(X), exact, atol=2e-3)


def test_a_value_of_half_of_the_rows_takes_no_memory(monkeypatch):
    """Copies are one cell, whatever their number: it is summed for a few rows at a time."""
    X = np.concatenate([np.zeros((400, 2)), two_moons(400)])
    model = small_vae(max_iter=0, rtol=1e-6).fit(X)
    expected = model.score_samples(X)
    largest, overlap = [], CellProposal._log_overlap

    def spy(self, rows, exemplars):
        log_terms = overlap(self, rows, exemplars)
        largest.append(log_terms.numel())
        return log_terms

    monkeypatch.setattr(CellProposal, "_log_overlap", spy)
    monkeypatch.setattr(chunks, "CHUNK_NUMBERS", 2**13)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-5)
    assert 400 <= max(largest) <= 2**13


def test_a_gaussian_prior_has_no_exemplars_to_leave_out():
    X = two_moons(100)
    model = small_vae(prior="gaussian").fit(X)
    expected = model.score_samples(X)
    np.testing.assert_array_equal(model.set_params(rtol=0.1).score_samples(X), expected)
