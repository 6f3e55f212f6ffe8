"""The resolution of columns: which values repeat, and the noise that they get for it."""

import numpy as np
import pytest
from scipy.stats import kstest

from sklearn_exemplar_vae.density._resolution import (
    Atom,
    Resolution,
    grid_step,
    no_noise,
    read_resolution,
)
from sklearn_exemplar_vae.engine.training.leave_one_out import duplicate_groups
from tests.density._recorded import normal, recorded, zeros_and_normals

UNBOUNDED = np.array([-np.inf]), np.array([np.inf])


def spreading(step, atoms=()) -> Resolution:
    """Return the resolution of columns of these steps."""
    return Resolution(np.asarray(step), np.full(len(step), np.nan), atoms)


def resolution_of(X, integer_columns=()):
    is_integer = np.isin(np.arange(X.shape[1]), integer_columns)
    return read_resolution(X, duplicate_groups(X), is_integer)


# --------------------------------------------------------------------- steps of columns

CELSIUS = np.round(15 + 8 * normal(500), 1)


@pytest.mark.parametrize(
    "column, step",
    [
        (CELSIUS, 0.1),
        (CELSIUS.astype(np.float32), 0.1),
        (1.8 * CELSIUS + 32, 0.18),
        (np.rint(CELSIUS), 1),
        (np.random.default_rng(0).poisson(3, 100), 1),
        (1e6 * CELSIUS, 1e5),
        (np.array([3.0, 7.5]), 4.5),
        (np.cumsum(np.full(300, 0.1)), 0.1),
        # The same values by two ways, which differ in their last digits.
        (np.append(np.arange(1, 301) * 0.1, np.cumsum(np.full(300, 0.1))), 0.1),
    ],
)
def test_the_gap_between_recorded_values_is_their_step(column, step):
    assert grid_step(np.unique(column.astype(float))) == pytest.approx(step, rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("draw", ["normal", "exponential", "random", "standard_cauchy"])
def test_continuous_columns_have_no_step_nor_do_their_bootstraps(seed, draw):
    rng = np.random.default_rng(seed)
    for n_rows in (10, 300):
        column = getattr(rng, draw)(size=n_rows)
        assert grid_step(np.unique(column)) == 0
        assert grid_step(np.unique(rng.choice(column, n_rows))) == 0


def test_each_column_has_its_own_step():
    X = np.column_stack([recorded(400, 1), normal(400), recorded(400, 1, step=0.25)])
    resolution = resolution_of(X)
    np.testing.assert_allclose(resolution.step, [0.1, 0, 0.25], rtol=1e-9)
    assert resolution.atoms == () and not resolution.is_none


def test_steps_are_read_from_a_part_of_many_rows():
    np.testing.assert_allclose(resolution_of(recorded(40_000, 1)).step, 0.1, rtol=1e-9)


@pytest.mark.parametrize("n_columns", [2, 5])
def test_copies_of_rows_repeat_no_values(n_columns):
    assert resolution_of(np.repeat(normal(10, n_columns), 100, axis=0)).is_none


def test_copies_of_a_single_value_repeat_it():
    values = normal(10)
    resolution = resolution_of(np.repeat(values, 100)[:, None])
    assert resolution.step == 0
    assert [atom.value for atom in resolution.atoms] == sorted(values)
    assert {atom.share for atom in resolution.atoms} == {0.1}


@pytest.mark.parametrize("value", [0.0, -7.5])
def test_constant_columns_have_a_step_of_one_and_keep_their_value(value):
    for X in (np.full((50, 1), value), np.column_stack([normal(50), np.full(50, value)])):
        found = resolution_of(X)
        assert found.step[-1] == 1 and found.constant[-1] == value
        np.testing.assert_array_equal(found.with_constants(X + 0.3)[:, -1], value)


def test_constants_among_integers_have_their_step():
    X = np.column_stack([5 * np.random.default_rng(0).integers(0, 30, 400), np.zeros(400)])
    np.testing.assert_array_equal(resolution_of(X).step, [5, 5])


def test_integers_far_from_each_other_have_the_step_of_the_table():
    X = np.random.default_rng(0).integers(0, 30, (400, 2))
    X[:, 1] = np.where(X[:, 1] > 27, 7, 0)
    np.testing.assert_array_equal(resolution_of(X).step, [1, 1])


def test_a_constant_column_takes_no_noise_from_another():
    X = np.column_stack([recorded(500, 1), np.ones(500)])
    np.testing.assert_allclose(resolution_of(X).step, [0.1, 0.1], rtol=1e-9)


def test_integers_have_a_step_of_one():
    X = np.column_stack([2 * np.rint(3 * normal(100)), np.ones(100), normal(100)])
    np.testing.assert_array_equal(resolution_of(X, integer_columns=[0, 1]).step, [1, 1, 0])
    assert resolution_of(X).step[0] == 2


def test_integers_have_a_step_of_one_beside_columns_of_a_smaller_one():
    X = np.column_stack([np.rint(3 * normal(400)), recorded(400, 1)])
    np.testing.assert_allclose(resolution_of(X, integer_columns=[0]).step, [1, 0.1])


# -------------------------------------------------------------------------------- atoms


def test_values_that_many_rows_share_are_atoms():
    X = np.column_stack([normal(1000), zeros_and_normals()[:, 0], normal(1000)])
    X[X[:, 1] > 1.5, 1] = 5.0
    assert 5 < (X[:, 1] == 5.0).sum() < 50
    (atom,) = resolution_of(X).atoms
    assert atom == Atom(1, 0.0, 0.8, pytest.approx(0.01 * X[:, 1].std()))
    X[:100, 2], X[100:160, 2] = 7.0, -1.0
    found = [atom[:3] for atom in resolution_of(X).atoms]
    assert found == [(1, 0.0, 0.8), (2, -1.0, 0.06), (2, 7.0, 0.1)]


def test_atoms_may_share_their_rows():
    """Days without rain have neither an amount nor a duration."""
    X = np.where(zeros_and_normals() == 0, 0, normal(1000, 2))
    resolution = resolution_of(X)
    assert [atom[:2] for atom in resolution.atoms] == [(0, 0.0), (1, 0.0)]
    assert [atom.share for atom in resolution.atoms] == pytest.approx([0.8, 0.8])


@pytest.mark.parametrize("n_zeros, n_normals", [(4, 36), (4, 4), (40, 960)])
def test_values_of_few_rows_are_no_atoms(n_zeros, n_normals):
    assert resolution_of(zeros_and_normals(n_zeros, n_normals)).is_none


def test_a_recorded_column_of_many_zeros_has_a_step_and_no_atom():
    resolution = resolution_of(np.round(zeros_and_normals(), 1))
    assert resolution.step == pytest.approx(0.1)
    assert resolution.atoms == ()


# -------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_uniform_over_the_step(dtype):
    X = recorded(4000, 1).astype(dtype)
    drawn = spreading([0.1]).dequantized(X, *UNBOUNDED, seed=0)
    assert drawn.dtype == dtype
    noise = (drawn.astype(float) - X) / 0.1
    assert np.abs(noise).max() < 0.5 + 1e-5
    assert kstest(noise[:, 0], "uniform", (-0.5, 1)).pvalue > 0.01


@pytest.mark.parametrize("value, low, high", [(0.02, 0, 0.07), (0.97, 0.92, 1), (0.5, 0.45, 0.55)])
def test_noise_is_uniform_over_the_part_of_the_step_inside_the_bounds(value, low, high):
    X = np.full((4000, 1), value)
    drawn = spreading([0.1]).dequantized(X, np.array([0.0]), np.array([1.0]), seed=0)
    assert (drawn > low).all() and (drawn < high).all()
    assert kstest(drawn[:, 0], "uniform", (low, high - low)).pvalue > 0.01


def test_noise_rounded_to_single_precision_is_inside_the_bounds():
    """The numbers that it has there are a sixteenth apart, none of them a bound."""
    X, low, high = np.full((10_000, 1), 1e6, np.float32), 1e6 - 0.23, 1e6 + 0.23
    drawn = spreading([1.0]).dequantized(X, np.array([low]), np.array([high]), seed=0)
    assert drawn.dtype == np.float32
    assert drawn.min() > low and drawn.max() < high


@pytest.mark.parametrize("value", [0, 2**20, 2**40, -(2**40), 2**44 - 1])
def test_noise_on_integers_stays_off_the_ends_of_their_unit(value):
    X = spreading([1.0]).dequantized(np.full((200_000, 1), float(value)), *UNBOUNDED, seed=0)
    assert (np.abs(X - value) < 0.5).all() and len(np.unique(X)) > 200
    assert abs((X - value).mean()) < 2e-3


def test_only_rows_at_an_atom_get_its_noise():
    X = np.column_stack([normal(1000), zeros_and_normals()[:, 0]])
    drawn = resolution_of(X).dequantized(X, *np.repeat([UNBOUNDED], 2, axis=2)[0], seed=0)
    is_atom = X[:, 1] == 0
    np.testing.assert_array_equal(drawn[:, 0], X[:, 0])
    np.testing.assert_array_equal(drawn[~is_atom, 1], X[~is_atom, 1])
    width = 0.01 * X[:, 1].std()
    assert kstest(drawn[is_atom, 1], "uniform", (-width / 2, width)).pvalue > 0.01


def test_noise_depends_on_the_seed_alone_and_leaves_the_rows_as_they_were():
    X = recorded(100, 1)
    before, resolution = X.copy(), resolution_of(X)
    one, same, other = (resolution.dequantized(X, *UNBOUNDED, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


@pytest.mark.parametrize("seed", range(10))
def test_rows_are_spread_whole_where_all_their_columns_are(seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (60, 3)).astype(float)
    step = rng.integers(0, 2, 3).astype(float)
    atoms = tuple(Atom(c, v, 0.3, 0.1) for c in range(3) for v in (0.0, 2.0) if rng.random() < 0.6)
    places = {(atom.column, atom.value) for atom in atoms}
    expected = [
        all(step[column] > 0 or (column, value) in places for column, value in enumerate(row))
        for row in X
    ]
    np.testing.assert_array_equal(spreading(step, atoms).spreads_all_of(X), expected)
    assert not no_noise(3).spreads_all_of(X).any() and no_noise(3).is_none
