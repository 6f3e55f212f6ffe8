"""Rows from a file, rows by the many, rows split over processes."""

import tempfile
import tracemalloc
from functools import partial

import joblib
import numpy as np
import pytest

from sklearn_exemplar_vae.utils._rows import is_stored
from tests._models import correlated, small_flow, small_vae, two_moons


@pytest.fixture
def stored(tmp_path):
    """Return a function that writes an array to a file and maps it."""

    def store(array):
        path = tmp_path / f"{array.dtype}.bin"
        mapped = np.memmap(path, dtype=array.dtype, mode="w+", shape=array.shape)
        mapped[:] = array
        mapped.flush()
        return np.memmap(path, dtype=array.dtype, mode="r", shape=array.shape)

    return store


# ------------------------------------------------------------------- what is in a file


def is_mapped_and_stored(X):
    return isinstance(X, np.memmap), is_stored(X)


def test_what_joblib_maps_into_its_processes_was_in_memory(stored):
    X = two_moons(80_000)  # joblib maps what is above a megabyte
    assert is_stored(stored(X))
    mapped = joblib.Parallel(n_jobs=2)(joblib.delayed(is_mapped_and_stored)(X) for _ in range(2))
    assert mapped == [(True, False)] * 2


def test_a_copy_of_what_is_mapped_is_in_memory(stored, tmp_path):
    X = stored(two_moons(300))
    assert is_stored(X[::2])
    for copied in (X.copy(), X.astype(np.float32)):
        assert isinstance(copied, np.memmap) and not is_stored(copied)
    with tempfile.TemporaryFile(dir=tmp_path) as nameless:
        assert is_stored(np.memmap(nameless, np.float32, "w+", shape=(3, 2)))


# --------------------------------------------------------------------- fits from a file


@pytest.mark.parametrize(
    "parameters", [{}, {"n_neighbors": 3}, {"n_exemplars": "batch"}, {"background": "auto"}]
)
def test_a_mapped_file_is_as_good_as_an_array(stored, parameters):
    X = two_moons(300).astype(np.float32)
    in_memory, in_file = small_vae(**parameters).fit(X), small_vae(**parameters).fit(stored(X))
    np.testing.assert_allclose(in_file.loss_curve_, in_memory.loss_curve_, rtol=1e-5)
    scores = in_memory.score_samples(X)
    np.testing.assert_allclose(in_file.score_samples(stored(X)), scores, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "i8", "?"])
def test_every_dtype_of_a_file_is_read(stored, dtype):
    # Values that repeat get noise in memory, and none in a file.
    X = ((1e6 if dtype == "i8" else 10) * two_moons(200)).astype(dtype)
    if dtype == "?":
        X = two_moons(200) > 0.3
    weights = np.ones(200)
    weights[:5] = 0
    in_file = small_vae().fit(stored(X)[::2], sample_weight=weights[::2])
    as_floats = X[::2].astype(np.float64 if dtype == "f8" else np.float32)
    in_memory = small_vae().fit(as_floats, sample_weight=weights[::2])
    expected = in_memory.score_samples(as_floats)
    np.testing.assert_allclose(in_file.score_samples(stored(X)[::2]), expected, rtol=1e-3)


def test_large_integers_in_a_file_are_what_they_are_in_memory(stored):
    rng = np.random.default_rng(0)
    X = 1_700_000_000 + np.stack([rng.permutation(3000)[:300] for _ in range(2)], axis=1)
    in_memory = small_vae(max_iter=0).fit(X.astype(float))
    in_file = small_vae(max_iter=0).fit(stored(X))
    np.testing.assert_allclose(in_file.score_samples(X), in_memory.score_samples(X), rtol=1e-4)
    samples = in_file.sample(100, random_state=0)
    np.testing.assert_allclose(samples, in_memory.sample(100, random_state=0), atol=1)


def test_bytes_in_a_file_are_read_as_numbers(stored):
    rng = np.random.default_rng(0)
    X = np.stack([rng.permutation(255)[:200].astype(np.uint8) for _ in range(5)], axis=1)
    in_file = small_vae().fit(stored(X))
    in_memory = small_vae().fit(X.astype(np.float32))
    expected = in_memory.score_samples(X.astype(np.float32))
    np.testing.assert_allclose(in_file.score_samples(stored(X)), expected, rtol=1e-4)
    assert in_file.sample(3, random_state=0).dtype == np.float32
    assert in_file.extend_exemplars(stored(X)).n_exemplars_ == 400


def test_binary_bytes_in_a_file_are_bernoulli(stored):
    X = np.random.default_rng(0).integers(0, 2, size=(200, 12), dtype=np.uint8)
    model = small_vae().fit(stored(X))
    assert set(np.unique(model.sample(50, random_state=0))) == {0, 1}


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping": False},
        {"early_stopping": False, "background": "auto"},
        {"background": "auto", "max_gaussians": 4},
    ],
)
def test_a_mapped_file_is_never_in_memory_whole(stored, parameters, monkeypatch):
    monkeypatch.setattr("sklearn_exemplar_vae.density._fit_rows.INITIALIZATION_ROWS", 1000)
    monkeypatch.setattr("sklearn_exemplar_vae.density._stacking.MAX_FIT_VALUES", 2**19)
    X = np.random.default_rng(0).integers(0, 200, (60_000, 100), dtype=np.uint8)
    random_batches = {"batch_size": 500, "n_neighbors": None}
    model = small_vae(n_components=2, max_iter=1, **random_batches, **parameters)
    model.fit(X[:600])  # what is imported when it is needed is in memory already
    peaks = []
    for rows in (stored(X), X.astype(np.float32)):
        tracemalloc.start()
        model.fit(rows).score_samples(rows[:100])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    in_double_precision = 8 * X.size
    assert peaks[0] < 0.8 * in_double_precision < in_double_precision < peaks[1]


@pytest.mark.parametrize("make", [small_vae, partial(small_flow, prior="exemplar")])
@pytest.mark.parametrize("limit", [{"INITIALIZATION_FLOATS": 0}, {"INITIALIZATION_ROWS": 1000}])
def test_the_start_is_chosen_by_some_of_many_rows(monkeypatch, make, limit):
    X = correlated(4000, 3)
    whole = make(max_iter=0).fit(X)
    for name, value in limit.items():
        monkeypatch.setattr(f"sklearn_exemplar_vae.density._fit_rows.{name}", value)
    part = make(max_iter=0).fit(X)
    assert part.n_exemplars_ == 4000
    assert part.bandwidth_ == pytest.approx(whole.bandwidth_, rel=0.12)
    gap = part.score_samples(X[:500]).mean() - whole.score_samples(X[:500]).mean()
    assert abs(gap) < 0.1


# ------------------------------------------------------------- rows split over processes


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_jobs_change_nothing_but_the_time(backend):
    X = two_moons(400)
    model = small_vae().fit(X)
    results = []
    for n_jobs in (1, 2):
        with joblib.parallel_config(backend=backend, n_jobs=n_jobs):
            results.append(
                (
                    model.score_samples(X),
                    model.transform(X),
                    model.sample(9000, random_state=0),
                    model.sample_like(X[:2], 9000, random_state=0),
                )
            )
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


@pytest.mark.slow
def test_jobs_on_a_dask_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    X = two_moons(400)
    model = small_vae().fit(X)
    expected = model.score_samples(X)
    with (
        dask.config.set({"temporary-directory": str(tmp_path)}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-6)
