"""Columns of numbers are redrawn in their own dtype and range; all others stay as they are."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_exemplar_vae import ExemplarAugmenter, ExemplarOverSampler
from tests._models import small_vae
from tests.augmentation._doubles import SHIFT, Shifted, mixed_frame


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8])
def test_arrays_keep_their_dtype_and_integers_their_range(dtype):
    X = np.random.default_rng(0).integers(0, 10, (50, 4)).astype(dtype)
    augmented = ExemplarAugmenter(small_vae(), 1.0, random_state=0).fit_transform(X)
    assert augmented.dtype == dtype and (augmented != X).any()
    if np.issubdtype(dtype, np.integer):
        assert augmented.min() >= X.min() and augmented.max() <= X.max()


@pytest.mark.parametrize("first", [2**60 + 100, 2**63 - 20, -(2**63)])
@pytest.mark.parametrize("as_frame", [True, False])
def test_integers_that_floats_cannot_represent_stay_in_their_range(first, as_frame):
    X = np.array([[first + n, n] for n in range(20)], dtype=np.int64)
    if as_frame:
        X = pd.DataFrame(X, columns=["large", "small"])
    augmented = np.asarray(ExemplarAugmenter(Shifted(), 1.0, random_state=0).fit_transform(X))
    assert augmented[:, 0].min() >= first and augmented[:, 0].max() <= first + 19


def test_a_frame_keeps_its_columns_dtypes_and_index():
    frame = mixed_frame()
    augmented = ExemplarAugmenter(Shifted(), 0.5, random_state=0).fit_transform(frame)
    assert augmented.columns.equals(frame.columns) and augmented.index.equals(frame.index)
    assert augmented.dtypes.equals(frame.dtypes)
    pd.testing.assert_frame_equal(
        augmented[["flag", "kind", "name"]], frame[["flag", "kind", "name"]]
    )
    moved = augmented["length"] != frame["length"]
    assert moved.sum() == len(frame) // 2
    pd.testing.assert_frame_equal(augmented[~moved], frame[~moved])


def test_sparse_columns_stay_sparse():
    dtypes = {"count": pd.SparseDtype(int), "share": pd.SparseDtype(float)}
    frame = pd.DataFrame({"count": np.arange(20) % 3, "share": np.arange(20.0)}).astype(dtypes)
    redrawn = ExemplarAugmenter(Shifted(), 1.0, random_state=0).fit_transform(frame)
    assert redrawn.dtypes.equals(frame.dtypes)
    assert (redrawn["share"] != frame["share"]).all()


def test_a_table_other_than_pandas_becomes_an_array():
    X = np.arange(40.0).reshape(20, 2)
    table = pl.DataFrame(X, schema=["a", "b"])
    redrawn = ExemplarAugmenter(Shifted(), 1.0, random_state=0).fit_transform(table)
    assert isinstance(redrawn, np.ndarray)
    np.testing.assert_allclose(redrawn - X, SHIFT, atol=0.011)


HIDDEN = pd.DataFrame({"a": np.arange(20.0), "b": pd.Series([None, *range(19)], dtype=object)})


@pytest.mark.parametrize(
    "X, reason",
    [
        (pd.DataFrame({"word": list("ab") * 10}), "no column of numbers"),
        (pd.DataFrame({"number": [np.nan, *range(19)]}), "NaN"),
        (HIDDEN, "Column 'b' of X holds numbers as objects"),
        (HIDDEN.assign(b=1j), "Complex data not supported: X has it in column 'b'"),
        ([[number, 1.0] for number in [None, *range(19)]], "Input X contains NaN"),
        (
            pl.DataFrame({"word": list("ab") * 10, "n": range(20)}),
            "has a value that is no number: could",
        ),
    ],
    ids=["words", "missing", "objects", "complex", "None in a list", "words in polars"],
)
@pytest.mark.parametrize("wrap", [ExemplarAugmenter, ExemplarOverSampler])
def test_bad_tables_leave_nothing_behind(wrap, X, reason):
    estimator = wrap(estimator=small_vae())
    with pytest.raises(ValueError, match=reason):
        estimator.fit(X, np.arange(20) % 2)
    assert not hasattr(estimator, "n_features_in_")


def test_a_series_is_no_table():
    with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
        ExemplarAugmenter(Shifted()).fit(pd.Series([1.0, 2.0, 3.0]))
