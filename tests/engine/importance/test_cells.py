"""Sums over some of the exemplars: never further from the sum over all than they promise."""

import numpy as np
import pytest
import torch

from sklearn_exemplar_vae.engine import chunks
from sklearn_exemplar_vae.engine.importance.cells import CellProposal, Cells, CellsWithin
from sklearn_exemplar_vae.engine.importance.proposals import Exemplars
from sklearn_exemplar_vae.engine.priors.exemplar import ExemplarPrior
from tests._models import correlated, small_vae, two_moons


def clustered(n_rows, n_columns, seed=0):
    """Return rows around thirty places far from each other."""
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
        distances = torch.linalg.vector_norm(members.codes - cells.centers[cell], dim=1)
        assert size == 0 or distances.max() <= cells.radii[cell] + 1e-12


@pytest.mark.parametrize("rtol", [1e-6, 1e-2, 0.5])
def test_evidence_is_low_by_no_more_than_the_tolerance(setting, rtol):
    mean, log_variance, exemplars, prior = setting
    exact = prior.proposal(mean, log_variance, exemplars).log_evidence
    proposal = prior.proposal(mean, log_variance, CellsWithin(Cells(exemplars, 0), rtol))
    missing = exact - proposal.log_evidence
    assert (missing > -1e-9).all()
    assert (missing <= np.log1p(rtol) + 1e-9).all()
    left_out = torch.isinf(proposal.log_sums).double().mean()
    assert left_out > 0.5  # most cells are far from a row


@pytest.mark.parametrize("rtol", [1e-6, 1e-2, 0.5])
def test_prior_is_low_by_no_more_than_the_tolerance(setting, rtol):
    codes, _, exemplars, prior = setting
    exact = prior.log_prob(codes, exemplars)
    missing = exact - prior.log_prob(codes, CellsWithin(Cells(exemplars, 0), rtol))
    assert (missing > -1e-9).all()
    assert (missing <= np.log1p(rtol) + 1e-9).all()


def test_draws_are_those_of_all_exemplars(setting):
    """The same mixture: first and second moments of many draws agree."""
    mean, log_variance, exemplars, prior = setting
    cells = prior.proposal(mean, log_variance, CellsWithin(Cells(exemplars, 0), 1e-9))
    exact = prior.proposal(mean, log_variance, exemplars)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(20_000, 4, generator=generator, dtype=torch.float64)
    uniforms = torch.rand(20_000, generator=generator, dtype=torch.float64)
    ours, theirs = (p.draw(noise, uniforms) for p in (cells, exact))
    scale = theirs.std(1)
    assert ((ours.mean(1) - theirs.mean(1)).abs() < 0.05 * scale).all()
    assert ((ours.std(1) / scale - 1).abs() < 0.05).all()
    torch.testing.assert_close(cells.log_ratio(theirs), exact.log_ratio(theirs))


class RecordingProposal(CellProposal):
    """It remembers how many terms it had at a time."""

    def _log_overlap(self, rows, exemplars):
        log_terms = super()._log_overlap(rows, exemplars)
        vars(self).setdefault("n_terms", []).append(log_terms.numel())
        return log_terms


def test_a_value_of_half_of_the_rows_takes_no_memory(monkeypatch):
    """Copies are one cell, whatever their number: it is summed for a few rows at a time."""
    codes = torch.from_numpy(np.concatenate([np.zeros((400, 2)), two_moons(400)]))
    exemplars = Exemplars(codes, torch.zeros(800, dtype=torch.float64))
    posterior = codes, torch.full_like(codes, -5)
    prior, generator = ExemplarPrior(0.3).double(), torch.Generator().manual_seed(0)
    exact = prior.proposal(*posterior, exemplars)
    monkeypatch.setattr(chunks, "CHUNK_FLOATS", 2**13)
    proposal = RecordingProposal(*posterior, Cells(exemplars, 0), prior.log_bandwidth, 1e-6)
    torch.testing.assert_close(proposal.log_evidence, exact.log_evidence, atol=1e-5, rtol=0)
    uniforms = torch.rand(50, generator=generator, dtype=torch.float64)
    proposal.draw(torch.zeros(50, 2, dtype=torch.float64), uniforms)
    assert 400 <= max(proposal.n_terms) <= 2**13


# ---------------------------------------------------------------- through the estimator


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


def test_a_gaussian_prior_has_no_exemplars_to_leave_out():
    X = two_moons(100)
    model = small_vae(prior="gaussian").fit(X)
    expected = model.score_samples(X)
    np.testing.assert_array_equal(model.set_params(rtol=0.1).score_samples(X), expected)
