"""Warnings of columns that a density can say little of, which are fitted all the same."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_exemplar_vae.density._degenerate_columns import determined_columns, is_constant, listed
from tests._models import correlated, small_flow, small_vae
from tests.density._columns import counts

DENSITIES = [small_vae, small_flow]


def messages(model, X):
    """Return what a fit warns of, but for training that ended early."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    return [str(warning.message) for warning in caught if warning.category is UserWarning]


def named(message):
    """Return the positions of the columns that a warning names."""
    return {int(position) for position in re.findall(r"column (\d+)", message)}


def with_columns(X, *columns):
    return np.column_stack([X, *columns])


# --------------------------------------------------------------------- constant columns


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("value", [0.0, -7.5])
def test_constant_columns_are_named_and_fitted(make, value):
    frame = pd.DataFrame(correlated(50, 3), columns=["a", "b", "c"])
    frame["b"] = value
    with pytest.warns(UserWarning, match="constant in column 'b'") as caught:
        model = make().fit(frame)
    assert caught[0].filename == __file__  # it points at the call of fit
    assert np.isfinite(model.score_samples(frame)).all()
    assert np.isfinite(model.sample(10, random_state=0)).all()
    with pytest.warns(UserWarning, match="constant in column 1"):
        make().fit(frame.to_numpy())


@pytest.mark.parametrize("make", DENSITIES)
def test_a_departure_from_a_constant_is_unlikely(make):
    X = with_columns(correlated(100, 2), np.full(100, 3.0))
    with pytest.warns(UserWarning, match="constant in column 2"):
        model = make().fit(X)
    assert model.score_samples(X + [0, 0, 1]).max() < model.score_samples(X).min()


@pytest.mark.parametrize("make", DENSITIES)
def test_a_table_of_constants_is_fitted(make):
    X = np.full((40, 2), 3.0)
    model = make()
    (message,) = messages(model, X)
    assert named(message) == {0, 1}
    assert np.isfinite(model.score_samples(X)).all()


def test_a_column_that_changes_in_its_last_row_is_not_constant():
    X = np.ones((20_000, 3))
    X[-1, 1] = np.nextafter(1, 2)
    np.testing.assert_array_equal(is_constant(X), [True, False, True])


# ---------------------------------------------------------- columns that others determine


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize(
    "function", [lambda x: x, lambda x: -x, lambda x: 1.8 * x + 32, lambda x: 1e-9 * x - 1e-3]
)
def test_columns_that_are_functions_of_another_are_named_and_fitted(make, function):
    X = correlated(50, 4)
    X[0, 1] = -0.0
    X[:, 3] = function(X[:, 1])
    model = make()
    (message,) = messages(model, X)
    assert named(message) == {1, 3} and "is a linear function of" in message
    assert np.isfinite(model.score_samples(X)).all()
    (message,) = messages(make(max_iter=0), pd.DataFrame(X, columns=["a", "b", "c", "d"]))
    assert "'b'" in message and "'d'" in message


@pytest.mark.parametrize("make", DENSITIES)
def test_recorded_temperatures_in_two_units_are_named(make):
    celsius = np.round(np.random.default_rng(0).normal(15, 8, 300), 1)
    X = with_columns(correlated(300, 1), celsius, 1.8 * celsius + 32)
    (message,) = messages(make(max_iter=0), X)
    assert named(message) == {1, 2}
    (message,) = messages(make(max_iter=0), X.astype(np.float32))
    assert named(message) == {1, 2}


@pytest.mark.parametrize("make", DENSITIES)
def test_a_sum_of_columns_names_its_parts(make):
    X = correlated(60, 5)
    X[:, 2] = X[:, 0] + X[:, 4]
    (message,) = messages(make(max_iter=0), X)
    assert named(message) == {0, 2, 4}


def test_every_determined_column_is_found():
    X = correlated(80, 7)
    X[:, 1], X[:, 5], X[:, 6] = X[:, 0], X[:, 2] - X[:, 3] + 4, 2 * X[:, 4] - 1
    found = [{column, *others.tolist()} for column, others in determined_columns(X)]
    assert sorted(map(sorted, found)) == [[0, 1], [2, 3, 5], [4, 6]]


def test_columns_that_nearly_are_functions_of_others_are_not_named():
    X = correlated(80, 3)
    noise = np.random.default_rng(1).normal(size=80)
    X[:, 2] = X[:, 0] + X[:, 1] + 1e-3 * X[:, 1].std() * noise
    assert determined_columns(X) == []
    X[:, 2] = X[:, 0] ** 2  # a function, but no line
    assert determined_columns(X) == []


@pytest.mark.parametrize("make", DENSITIES)
def test_among_fewer_rows_than_columns_only_copies_are_named(make):
    X = correlated(6, 8)
    assert messages(make(max_iter=0), X) == []
    X[:, 6] = X[:, 0] + X[:, 1]
    X[:, 7] = 1 - 2 * X[:, 3]
    (message,) = messages(make(max_iter=0), X)
    assert named(message) == {3, 7}


def test_columns_of_two_rows_are_no_copies():
    assert determined_columns(correlated(2, 3)) == []


@pytest.mark.parametrize("n_rows", [6, 100])
def test_a_column_whose_variance_overflows_is_no_function_of_others(n_rows):
    X = correlated(n_rows, 6)
    X[0, 1] = 1e200
    with np.errstate(over="ignore"):
        assert determined_columns(X) == []


# ------------------------------------------------------------------ what is not considered


@pytest.mark.parametrize("make", DENSITIES)
def test_a_clean_table_warns_of_nothing(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(max_iter=0).fit(correlated(100, 4))
        make(max_iter=0).fit(np.round(correlated(100, 4), 1))


def test_columns_of_integers_have_noise_and_are_not_considered():
    X = with_columns(counts(200), np.full(200, 7.0))
    X = with_columns(X, X[:, 0])
    assert messages(small_flow(integer_columns=[0, 2, 3], max_iter=0), X) == []
    assert len(messages(small_flow(max_iter=0), X)) == 2


@pytest.mark.parametrize("likelihood, n_levels", [("auto", 2), ("bernoulli", 2), ("logistic", 256)])
def test_columns_that_have_probabilities_are_not_considered(likelihood, n_levels):
    X = np.random.default_rng(0).integers(0, n_levels, (100, 4)).astype(float)
    X[:, 1], X[:, 3] = 0, X[:, 2]
    assert messages(small_vae(likelihood=likelihood, max_iter=1), X) == []


# --------------------------------------------------------------------------------- atoms


@pytest.mark.parametrize("make", DENSITIES)
def test_atoms_are_named_with_their_share(make):
    frame = pd.DataFrame(correlated(200, 3), columns=["a", "b", "c"])
    frame.loc[:49, "c"], frame.loc[50:149, "b"] = -2.5, 0.0
    (message,) = messages(make(max_iter=0), frame)
    assert "column 'b' (0 in 50% of the rows), column 'c' (-2.5 in 25% of the rows)." in message
    with pytest.warns(UserWarning, match="many rows share") as caught:
        make(max_iter=0).fit(frame)
    assert caught[0].filename == __file__


# -------------------------------------------------------------------------- many columns


@pytest.mark.parametrize("make", DENSITIES)
def test_many_columns_are_summed_up(make):
    X = correlated(100, 2)
    (message,) = messages(make(max_iter=0), with_columns(X, np.ones((100, 6))))
    assert "constant in column 2, column 3, column 4 and 3 more." in message
    X = correlated(100, 6)
    (message,) = messages(make(max_iter=0), with_columns(X, X.sum(1)))
    assert len(named(message)) == 4 and " and 3 more. Together" in message
    X[np.random.default_rng(0).random(X.shape) < 0.3] = 0
    (message,) = messages(make(max_iter=0), X)
    assert named(message) == {0, 1, 2} and "of the rows) and 3 more." in message


def test_few_columns_are_listed():
    assert listed(np.array([4]), None) == "column 4"
    assert listed(np.array([0, 2]), np.array(["a", "b", "c"], object)) == "column 'a', column 'c'"
    assert listed(np.arange(3), None) == "column 0, column 1, column 2"
    assert listed(np.arange(4), None) == "column 0, column 1, column 2 and 1 more"
