"""What a fit maximizes and what judges it, beside KernelDensity."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae import ExemplarVAE
from sklearn_exemplar_vae.density._defaults import fold_of_rows, held_out_rows
from tests._kernel_density import kernel_density_scores
from tests._models import correlated, generator, small_flow, small_vae, two_moons

DENSITIES = [small_vae, partial(small_flow, prior="exemplar")]
# A model that stays the density estimate that it starts from.
UNMOVED = {"learning_rate_init": 1e-12, "early_stopping": False}


def coins(n_rows, n_columns, share=0.5):
    return (np.random.default_rng(0).random((n_rows, n_columns)) < share).astype(float)


def scores_by_other_folds(X, weights, fold, bandwidth):
    """Return log-densities of rows by `KernelDensity` of the rows of the other folds.

    All stand on the same columns, those of all rows.
    """
    mean = np.average(X, axis=0, weights=weights)
    scale = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    rows, scores = (X - mean) / scale, np.empty(len(X))
    for number in np.unique(fold):
        out = fold == number
        estimator = KernelDensity(bandwidth=bandwidth, leaf_size=len(X))
        estimator.fit(rows[~out], sample_weight=weights[~out])
        scores[out] = estimator.score_samples(rows[out])
    return scores - np.log(scale).sum()


def with_equal_moments(X, weights, is_second):
    """Return X with the second rows given the weighted means and scales of the first.

    All rows together then have them too: a kernel density estimate of the first rows, of the second
    or of all stands on the same standardized columns.
    """

    def moments(rows):
        mean = np.average(X[rows], axis=0, weights=weights[rows])
        return mean, np.sqrt(np.average((X[rows] - mean) ** 2, axis=0, weights=weights[rows]))

    (mean, scale), (second_mean, second_scale) = moments(~is_second), moments(is_second)
    return np.where(is_second[:, None], (X - second_mean) / second_scale * scale + mean, X)


def test_loss_of_a_model_that_does_not_move_is_the_left_out_kernel_density():
    """What all rows make of a row less what it makes of itself, with a copy that is left out."""
    X, weights = correlated(40, 2), np.random.default_rng(1).uniform(0.1, 3, 40)
    X[1] = X[0]
    model = small_flow(
        prior="exemplar", bandwidth=0.5, n_exemplars=None, batch_size=10, max_iter=1, **UNMOVED
    ).fit(X, sample_weight=weights)
    own_weights = weights.copy()
    own_weights[:2] = weights[:2].sum()
    scale = np.sqrt(np.cov(X.T, aweights=weights, bias=True).diagonal())
    peak = np.prod(norm.pdf(0, scale=0.5 * scale))
    by_all = weights.sum() * np.exp(kernel_density_scores(X, X, 0.5, weights))
    by_others = (by_all - own_weights * peak) / (weights.sum() - own_weights)
    expected = -np.average(np.log(by_others), weights=weights)
    assert model.loss_curve_[0] == pytest.approx(expected, abs=1e-4)


def test_rows_that_have_no_exemplar_do_not_count_as_zero():
    """In minibatches of two, of 20 copies and two of 4 others each: copies have only each other.

    All that differ are equally far apart, so that it does not matter who meets whom.
    """
    X = np.full((28, 4), (1 + 5**0.5) / 4)
    X[:8] = np.repeat(np.eye(4), 2, axis=0)
    model = small_flow(
        prior="exemplar", bandwidth=0.5, n_exemplars="batch", batch_size=2, max_iter=1, **UNMOVED
    ).fit(X)
    for other in (X[2], X[8]):
        pair = norm.logpdf(X[0], other, 0.5 * X.std(0)).sum()
        assert model.loss_curve_[0] == pytest.approx(-pair, abs=1e-4)


@pytest.mark.parametrize("n_exemplars, batch_size", [(3, "auto"), (3, 2), ("batch", 4)])
def test_a_row_sees_as_many_exemplars_as_asked_for(n_exemplars, batch_size):
    """Beside the mean over all draws of three others; with two or four it is 0.08 off or more."""
    X = two_moons(24)
    model = small_flow(
        prior="exemplar",
        bandwidth=1.0,
        n_exemplars=n_exemplars,
        batch_size=batch_size,
        max_iter=100,
        n_transforms=1,
        hidden_layer_sizes=4,
        **UNMOVED,
    ).fit(X)
    log_kernels = norm.logpdf(X[:, None], X, X.std(0)).sum(2)
    draws = np.array(list(itertools.combinations(range(23), 3)))
    others = [np.delete(log_kernels[row], row)[draws] for row in range(24)]
    expected = -(logsumexp(others, axis=-1).mean() - np.log(3))
    # After 60 % of the epochs a minibatch grows.
    assert np.mean(model.loss_curve_[:60]) == pytest.approx(expected, abs=0.06)


def test_a_bound_of_more_exemplars_is_higher():
    """By Jensen's inequality."""
    losses = [
        small_vae(n_exemplars=n_exemplars, batch_size=5, **UNMOVED).fit(two_moons(80)).loss_curve_
        for n_exemplars in (5, 20, None)
    ]
    few, more, every = np.mean(losses, axis=1)
    assert few > more + 1 > every + 2


@pytest.mark.parametrize("n_exemplars", ["auto", "batch", 5, 20, None])
def test_every_number_of_exemplars(n_exemplars):
    X = two_moons(80)
    model = small_vae(n_exemplars=n_exemplars, batch_size=16).fit(X)
    assert np.isfinite(model.score(X))
    assert model.n_exemplars_ == 80  # of the density, whatever a step saw


@pytest.mark.parametrize("make", DENSITIES)
def test_held_out_score_is_kernel_density_of_the_other_rows(make):
    X, weights = correlated(120, 3), np.random.default_rng(1).uniform(0.1, 3, 120)
    seed = make(max_iter=0).fit(X)._split_seed
    out = held_out_rows(np.arange(120), 0.1, generator(seed))
    X = with_equal_moments(X, weights, out)
    # A fit that another may go on from has no folds.
    model = make(bandwidth=0.5, max_iter=0, warm_start=True).fit(X, sample_weight=weights)
    scores = kernel_density_scores(X[~out], X[out], 0.5, weights[~out])
    expected = np.average(scores, weights=weights[out])
    assert model.best_validation_score_ == pytest.approx(expected, abs=1e-4)
    assert model.validation_scores_ == [model.best_validation_score_]


@pytest.mark.parametrize("make", DENSITIES)
def test_left_out_score_of_few_rows_is_kernel_density_of_the_other_folds(make):
    X, weights = correlated(120, 3), np.random.default_rng(1).uniform(0.1, 3, 120)
    X[1] = X[0]
    groups = np.r_[0, 0, 2:120]
    model = make(bandwidth=0.5, max_iter=0).fit(X, sample_weight=weights)
    fold = fold_of_rows(groups, generator(model._split_seed))
    expected = np.average(scores_by_other_folds(X, weights, fold, 0.5), weights=weights)
    assert model.best_validation_score_ == pytest.approx(expected, abs=1e-4)
    assert model.validation_scores_ == [model.best_validation_score_]


@pytest.mark.parametrize("make", DENSITIES)
def test_extended_weights_are_those_of_a_kernel_density(make):
    is_second, weights = np.arange(120) >= 60, np.repeat([2.0, 6.0], 60)
    X = with_equal_moments(correlated(120, 3), weights, is_second)
    half = make(bandwidth=0.5, max_iter=0).fit(X[:60], sample_weight=weights[:60])
    half.extend_exemplars(X[60:], sample_weight=weights[60:])
    expected = kernel_density_scores(X, X, 0.5, weights)
    np.testing.assert_allclose(half.score_samples(X), expected, atol=1e-4)


def test_scores_have_other_noise_than_what_chose_the_model():
    """With the noise of the choice, held-out rows have the score that they were chosen by."""
    X = coins(300, 24)
    model = small_vae(prior="gaussian", n_importance_samples=16).fit(X)
    out = held_out_rows(np.arange(300), 0.1, generator(model._split_seed))
    own = model.score_samples(X[out]).mean()
    model._score_seed += 1
    chosen = model.score_samples(X[out]).mean()
    assert chosen == pytest.approx(model.best_validation_score_, abs=1e-4)
    assert abs(own - chosen) > 1e-3


def test_the_divergence_gains_weight_over_the_warm_up():
    rows = coins(60, 4)

    def losses(kl_warmup, X=rows):
        model = small_vae(kl_warmup=kl_warmup, batch_size=60, max_iter=4, **UNMOVED)
        return np.array(model.fit(X).loss_curve_)

    without, whole = losses(1e12), losses(0)
    for kl_warmup, weights in ((2, [1 / 2, 1, 1, 1]), (8, [1 / 8, 2 / 8, 3 / 8, 4 / 8])):
        found = (losses(kl_warmup) - without) / (whole - without)
        np.testing.assert_allclose(found, weights, rtol=1e-4)
    np.testing.assert_array_equal(losses("auto"), losses(3))
    # A density estimate needs no warm-up.
    moons = two_moons(60)
    np.testing.assert_array_equal(losses("auto", moons), losses(0, moons))
    assert losses(3, moons)[0] != losses(0, moons)[0]


def test_last_epochs_have_several_samples_a_bound():
    one, three = (
        np.array(
            small_vae(n_bound_samples=n_samples, kl_warmup=0, batch_size=60, max_iter=10, **UNMOVED)
            .fit(coins(60, 4))
            .loss_curve_
        )
        for n_samples in (1, 3)
    )
    np.testing.assert_array_equal(one[:7], three[:7])
    assert (three[7:] < one[7:] - 0.3).all()  # a higher bound


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_bandwidth_of_few_exemplars_is_refitted_for_all(make, early_stopping):
    X = two_moons(300)
    few = dict(n_exemplars=5, learning_rate_init=1e-9, max_iter=3, early_stopping=early_stopping)
    model = make(bandwidth=0.4, **few).fit(X)
    start = make(bandwidth=0.4, max_iter=0).fit(X)
    assert model.bandwidth_ < 0.75 * start.bandwidth_  # the best for 300 is far narrower


def test_leaving_out_matters():
    """Without it the prior of a training row peaks at the row: the bound is far too high."""
    losses = [
        small_vae(
            max_iter=40, early_stopping=False, leave_one_out=leave, n_exemplars=None, bandwidth=0.05
        )
        .fit(two_moons(60))
        .loss_curve_[-1]
        for leave in (False, True)
    ]
    assert losses[0] < losses[1] - 0.5


def test_gaussian_prior_leaves_nothing_out():
    """Copies of one row are no exemplars there: the row is trained on."""
    X = np.repeat([[0.0, 1.0, 1.0, 0.0]], 60, axis=0)
    model = small_vae(prior="gaussian", early_stopping=False, max_iter=30, kl_warmup=0).fit(X)
    assert model.loss_curve_[-1] < model.loss_curve_[0] - 0.1


class PlannedVAE(ExemplarVAE):
    """An ExemplarVAE that keeps its schedule."""

    def _schedule(self, n_rows, initial):
        self.schedule_ = super()._schedule(n_rows, initial)
        return self.schedule_


@pytest.mark.parametrize(
    "X, parameters, decays",
    [
        (two_moons(60), {}, False),
        (two_moons(60), {"prior": "gaussian"}, False),
        (coins(60, 2), {}, True),
        (two_moons(60), {"prior": "vamp"}, True),
        (two_moons(60), {"architecture": "hierarchical"}, True),
    ],
)
def test_networks_decay_that_start_from_nothing(X, parameters, decays):
    model = PlannedVAE(hidden_layer_sizes=(8,), max_iter=0, random_state=0, **parameters).fit(X)
    assert (model.schedule_.weight_decay > 0) == decays


@pytest.mark.parametrize("n_exemplars", ["batch", "auto", None, 60])
@pytest.mark.parametrize("leave_one_out", [True, False])
def test_retrieved_exemplars_train(n_exemplars, leave_one_out):
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
