"""Image data from a folder, in the two forms it comes in."""

import gzip

import numpy as np
import pytest
from scipy.io import savemat

from sklearn_exemplar_vae import datasets


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(datasets, "N_TRAIN", 5)


def write_idx(folder, n_train=7, n_test=3):
    rng = np.random.default_rng(0)
    written = {}
    for prefix, n_rows in (("train", n_train), ("t10k", n_test)):
        images = rng.integers(0, 256, (n_rows, 784), dtype=np.uint8)
        labels = rng.integers(0, 10, n_rows, dtype=np.uint8)
        header = np.array([2051, n_rows, 28, 28], ">i4").tobytes()
        path = folder / f"{prefix}-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(header + images.tobytes()))
        header = np.array([2049, n_rows], ">i4").tobytes()
        path = folder / f"{prefix}-labels-idx1-ubyte.gz"
        path.write_bytes(gzip.compress(header + labels.tobytes()))
        written[prefix] = images, labels
    return written


@pytest.mark.parametrize("below", ["", "fashion-mnist"])
def test_idx_files(tmp_path, few_rows, below):
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    written = write_idx(folder)
    data = datasets.load_fashion_mnist(tmp_path)
    images, labels = written["train"]
    np.testing.assert_array_equal(data.X_train, images[:5])
    np.testing.assert_array_equal(data.X_valid, images[5:])
    np.testing.assert_array_equal(data.y_valid, labels[5:])
    np.testing.assert_array_equal(data.X_test, written["t10k"][0])
    assert data.X_train.dtype == np.uint8


def test_a_folder_may_be_named_from_home(tmp_path, few_rows, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    write_idx(tmp_path)
    assert datasets.load_mnist("~").X_test.shape == datasets.load_mnist(tmp_path).X_test.shape


def test_npz_with_and_without_validation_rows(tmp_path, few_rows):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (7, 28, 28), dtype=np.uint8), np.arange(7)
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    data = datasets.load_mnist(tmp_path)
    np.testing.assert_array_equal(data.X_train, x[:5].reshape(5, 784))
    np.testing.assert_array_equal(data.y_valid, [5, 6])
    parts = {"x_train": x, "y_train": y, "x_valid": x[:3], "y_valid": y[:3]}
    np.savez(tmp_path / "mnist.npz", **parts, x_test=x[:2], y_test=y[:2])
    assert len(datasets.load_mnist(tmp_path).X_train) == 7


def test_omniglot(tmp_path):
    x, y = np.zeros((4, 28, 28), np.uint8), np.arange(4)
    path = tmp_path / "omniglot_small.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    data = datasets.load_omniglot(tmp_path)
    assert data.X_train.shape == (4, 784) and data.X_test.shape == (2, 784)


def test_nothing_there(tmp_path):
    for load in (datasets.load_mnist, datasets.load_fashion_mnist, datasets.load_omniglot):
        with pytest.raises(FileNotFoundError, match="data_home="):
            load(tmp_path)


def test_openml_in_its_order(monkeypatch):
    X, y = np.zeros((70_000, 784), np.float32), np.arange(70_000).astype(str)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *a, **k: (X, y))
    data = datasets.load_mnist()
    assert [len(data[f"X_{part}"]) for part in ("train", "valid", "test")] == [
        50_000,
        10_000,
        10_000,
    ]
    assert data.y_test[0] == 60_000 and data.y_valid[-1] == 59_999


def test_omniglot_of_the_paper(tmp_path):
    """Written as the file is: images are columns, and each is written column by column."""
    random = np.random.default_rng(0)
    arrays, images = {}, {}
    for part, prefix, n_images in (("train", "", 5), ("test", "test", 3)):
        images[part] = random.integers(0, 256, size=(n_images, 28, 28))
        columns = images[part].transpose(0, 2, 1).reshape(n_images, 784).T / 255
        arrays |= {f"{prefix}data": columns, f"{prefix}targetchar": np.arange(n_images)[None]}
    savemat(tmp_path / "chardata.mat", arrays)
    data = datasets.load_omniglot(tmp_path)
    for part, expected in images.items():
        assert data[f"X_{part}"].dtype == np.uint8
        np.testing.assert_array_equal(data[f"X_{part}"].reshape(expected.shape), expected)
        np.testing.assert_array_equal(data[f"y_{part}"], np.arange(len(expected)))
