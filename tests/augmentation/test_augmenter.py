"""ExemplarAugmenter: which rows it redraws, and that transform changes none."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import NotFittedError

from sklearn_exemplar_vae import ExemplarAugmenter
from tests._models import small_flow, small_vae
from tests.augmentation._doubles import SHIFT, ClassMean, Shifted, mixed_frame, whole_rows


@pytest.mark.parametrize("proportion", [0.0, 0.3, 1.0])
def test_a_proportion_of_the_rows_is_redrawn_each_near_itself(proportion):
    X, y = whole_rows()
    augmented = ExemplarAugmenter(Shifted(), proportion, random_state=0).fit_transform(X, y)
    moved = (augmented != X).any(1)
    assert moved.sum() == round(proportion * len(X))
    np.testing.assert_allclose(augmented[moved] - X[moved], SHIFT, atol=0.011)


def test_a_result_of_real_rows_alone_is_a_copy():
    X, _ = whole_rows()
    augmented = ExemplarAugmenter(Shifted(), 0.0).fit_transform(X)
    augmented += 1
    np.testing.assert_array_equal(X, whole_rows()[0])


def test_transform_is_the_identity():
    X, y = whole_rows()
    augmenter = ExemplarAugmenter(Shifted(), random_state=0).fit(X, y)
    np.testing.assert_array_equal(augmenter.transform(X), X)
    frame = pd.DataFrame(X, columns=list("abc"))
    pd.testing.assert_frame_equal(clone(augmenter).fit(frame).transform(frame), frame)


def test_the_same_state_redraws_the_same_rows():
    X, y = whole_rows()
    first, again, other = (
        ExemplarAugmenter(Shifted(), random_state=seed).fit_transform(X, y) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_vae_redraws_rows_near_their_own_exemplars():
    X = load_iris().data
    redrawn = ExemplarAugmenter(small_vae(), 1.0, random_state=0).fit_transform(X)
    own = np.linalg.norm(redrawn - X, axis=1).mean()
    others = np.linalg.norm(redrawn - np.roll(X, 75, axis=0), axis=1).mean()
    assert own < 0.5 * others


def test_a_flow_redraws_rows_a_bandwidth_from_their_own_exemplars():
    X, y = load_wine(return_X_y=True)
    augmenter = ExemplarAugmenter(small_flow(prior="exemplar"), proportion=0.5, random_state=0)
    redrawn = augmenter.fit_transform(X, y)
    changed = (redrawn != X).any(1)
    assert abs(changed.mean() - 0.5) < 0.01
    density = augmenter.density_
    steps = density.transform(redrawn[changed]) - density.transform(X[changed])
    lengths = (steps**2).sum(1) / density.bandwidth_**2  # chi-squared, a degree a column
    assert abs(lengths.mean() - X.shape[1]) < 4 * (2 * X.shape[1] / len(steps)) ** 0.5


# ------------------------------------------------------------------ set_output


def test_set_output_makes_frames_of_arrays():
    X, _ = whole_rows()
    augmenter = ExemplarAugmenter(Shifted(), random_state=0).set_output(transform="pandas")
    assert list(augmenter.fit_transform(X).columns) == ["x0", "x1", "x2"]
    assert list(augmenter.transform(X).columns) == ["x0", "x1", "x2"]


def test_set_output_leaves_the_given_frame_as_it_is():
    frame = pd.DataFrame(whole_rows()[0])  # its names are integers, which set_output replaces
    augmenter = ExemplarAugmenter(Shifted(), random_state=0).set_output(transform="pandas")
    assert list(augmenter.fit(frame).transform(frame).columns) == ["x0", "x1", "x2"]
    assert list(frame.columns) == [0, 1, 2]


# ------------------------------------------------------------------ redraw


@pytest.mark.parametrize("proportion", [0.0, 0.5])
def test_redraw_redraws_all_rows_whatever_the_proportion(proportion):
    X, y = whole_rows()
    augmenter = ExemplarAugmenter(Shifted(), proportion).fit(X, y)
    new = X[:7] + 1000  # not in fit
    for rows in (X, new):
        redrawn = augmenter.redraw(rows, random_state=0)
        assert (redrawn != rows).all()
        np.testing.assert_allclose(redrawn - rows, SHIFT, atol=0.011)


@pytest.mark.parametrize("rows", [[5, 2, 40], np.array([0]), []])
def test_redraw_changes_the_given_rows_only(rows):
    X, y = whole_rows()
    redrawn = ExemplarAugmenter(Shifted()).fit(X, y).redraw(X, rows=rows, random_state=0)
    moved = (redrawn != X).any(1)
    np.testing.assert_array_equal(np.flatnonzero(moved), np.sort(rows))
    np.testing.assert_allclose(redrawn[moved] - X[moved], SHIFT, atol=0.011)


@pytest.mark.parametrize("rows", [None, [3, 1], []])
def test_redraw_leaves_the_given_table_as_it_is(rows):
    X, _ = whole_rows(40)
    for table in (X, X.astype(np.int64), mixed_frame(40)):
        copy = table.copy()
        redrawn = ExemplarAugmenter(Shifted()).fit(table).redraw(table, rows=rows, random_state=0)
        assert type(redrawn) is type(table) and redrawn is not table
        redrawn[:] = redrawn[::-1]
        np.testing.assert_array_equal(np.asarray(table), np.asarray(copy))


def test_redraw_with_the_same_state_is_the_same():
    X, _ = whole_rows()
    augmenter = ExemplarAugmenter(Shifted(), random_state=0).fit(X)
    first, again, other, unseeded, unseeded_again = (
        augmenter.redraw(X, random_state=seed) for seed in (0, 0, 1, None, None)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (unseeded != unseeded_again).any()


def test_redraw_takes_the_density_of_each_row_s_class():
    X, y = whole_rows()
    augmenter = ExemplarAugmenter(ClassMean(), per_class=True).fit(X, y)
    means = np.stack([X[y == label].mean(0) for label in range(3)])
    others = (y + 1) % 3  # not those of fit: the rows of a call have the labels of that call
    np.testing.assert_allclose(augmenter.redraw(X, others), means[others])
    rows = np.array([4, 50, 3])
    redrawn = augmenter.redraw(X, others, rows)
    np.testing.assert_allclose(redrawn[rows], means[others[rows]])


def test_redraw_takes_a_mask_and_redraws_in_place_if_asked():
    X, y = whole_rows()
    mask = np.arange(len(X)) % 7 == 3
    for per_class in (False, True):
        augmenter = ExemplarAugmenter(Shifted(), per_class=per_class).fit(X, y)
        augmenter.set_params(per_class=not per_class)  # what was fitted counts
        redrawn = augmenter.redraw(X, y, mask, random_state=0)
        np.testing.assert_array_equal((redrawn != X).any(1), mask)
        table = X.copy()
        assert augmenter.redraw(table, y, mask, random_state=0, copy=False) is table
        np.testing.assert_array_equal(table, redrawn)


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame])
def test_redraw_keeps_new_integers_near_themselves(make):
    X = whole_rows()[0].astype(np.int64)
    augmenter = ExemplarAugmenter(small_flow(), noise=True).fit(make(X))
    new = make(X[:20] + 1000)  # far beyond the range of fit
    redrawn = np.asarray(augmenter.redraw(new, random_state=0))
    assert redrawn.dtype.kind == "i" and (redrawn >= 1000).all()
    with pytest.raises(ValueError, match="dtype float64 in column .*fit had integers.*astype"):
        augmenter.redraw(make(X.astype(float)))
    with pytest.raises(ValueError, match="dtype int64 in column .*fit had floats"):
        ExemplarAugmenter(Shifted()).fit(make(X.astype(float))).redraw(make(X))


@pytest.mark.parametrize("rows", [3, [1.0, 2.0], [60], [-1], [True, False], [[0, 1]]])
def test_redraw_refuses_what_are_no_rows(rows):
    X, y = whole_rows()
    with pytest.raises(ValueError, match="rows must be"):
        ExemplarAugmenter(Shifted()).fit(X, y).redraw(X, rows=rows)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ((whole_rows()[0],), "per_class=True needs y"),
        ((whole_rows()[0], np.zeros(59)), "inconsistent numbers of samples"),
        ((whole_rows()[0], np.full(60, 7)), "class.*7"),
        ((whole_rows()[0][:, :2], np.zeros(60)), "X has 2 features, but .* expecting 3"),
        ((np.full((2, 3), np.nan), [0, 1]), "NaN"),
    ],
    ids=["no y", "too short y", "unknown class", "other columns", "missing values"],
)
def test_redraw_refuses_rows_that_it_cannot_redraw(arguments, reason):
    augmenter = ExemplarAugmenter(Shifted(), per_class=True).fit(*whole_rows())
    with pytest.raises(ValueError, match=reason):
        augmenter.redraw(*arguments)


def test_redraw_needs_fit():
    with pytest.raises(NotFittedError):
        ExemplarAugmenter(Shifted()).redraw(whole_rows()[0])
