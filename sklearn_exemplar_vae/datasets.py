"""MNIST, Fashion-MNIST and Omniglot as arrays: from a folder, else from OpenML."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

N_TRAIN = 50_000
N_PIXELS = 28 * 28
IDX_PARTS = {"train": "train", "test": "t10k"}


def load_mnist(data_home=None) -> Bunch:
    """Load MNIST: 50000 training, 10000 validation and 10000 test images of digits.

    Parameters
    ----------
    data_home : str, Path or None, default=None
        A folder that contains ``mnist.npz`` (arrays x_train, y_train, x_valid, ..., or only the
        training and test arrays), or the IDX files ``train-images-idx3-ubyte.gz`` and so on, in it
        or in ``mnist/`` below. None asks `sklearn.datasets.fetch_openml`, which downloads them
        once.

    Returns
    -------
    data : Bunch
        Arrays ``X_train`` (50000, 784), ``y_train``, ``X_valid``, ``y_valid``, ``X_test`` and
        ``y_test``; uint8 gray levels, 0 to 255. The last 10000 of the 60000 training images
        validate.

    Raises
    ------
    FileNotFoundError
        If ``data_home`` contains no such file.

    Examples
    --------
    >>> from sklearn_exemplar_vae.datasets import load_mnist
    >>> mnist = load_mnist("data")  # doctest: +SKIP
    >>> mnist.X_train.shape  # doctest: +SKIP
    (50000, 784)
    """
    return _load("mnist", "mnist_784", data_home)


def load_fashion_mnist(data_home=None) -> Bunch:
    """Load Fashion-MNIST: images of clothes, in the shapes and split of `load_mnist`.

    Parameters
    ----------
    data_home : str, Path or None, default=None
        A folder as for `load_mnist`, with ``fashion-mnist.npz``, or the IDX files in it or in
        ``fashion-mnist/``. MNIST's IDX files have the same names; they are not told apart.

    Returns
    -------
    data : Bunch
        The same arrays as those of `load_mnist`.

    Raises
    ------
    FileNotFoundError
        If ``data_home`` contains no such file.

    Examples
    --------
    >>> from sklearn_exemplar_vae.datasets import load_fashion_mnist
    >>> clothes = load_fashion_mnist("data")  # doctest: +SKIP
    >>> clothes.X_test.shape  # doctest: +SKIP
    (10000, 784)
    """
    return _load("fashion-mnist", "Fashion-MNIST", data_home)


def load_omniglot(data_home) -> Bunch:
    """Load handwritten characters of many alphabets from a folder; OpenML has no Omniglot.

    Parameters
    ----------
    data_home : str or Path
        A folder that contains ``chardata.mat``, the split of Burda et al. (2016) that the Exemplar
        VAE paper uses, or else ``omniglot_small.npz`` with arrays ``x_train``, ``y_train``,
        ``x_test``, ``y_test``.

    Returns
    -------
    data : Bunch
        Arrays ``X_train`` (n, 784; n is 24345 in the paper's split), ``y_train``, ``X_test`` and
        ``y_test``; uint8, ink is 255. In the paper's split ``y`` numbers the character within its
        alphabet.

    Raises
    ------
    FileNotFoundError
        If ``data_home`` contains neither file.

    Examples
    --------
    >>> from sklearn_exemplar_vae.datasets import load_omniglot
    >>> characters = load_omniglot("data")  # doctest: +SKIP
    >>> characters.X_train.shape  # doctest: +SKIP
    (24345, 784)
    """
    folder = Path(data_home).expanduser()
    if (folder / "chardata.mat").exists():
        return _read_chardata(folder / "chardata.mat")
    if (folder / "omniglot_small.npz").exists():
        return _read_npz(folder / "omniglot_small.npz")
    raise FileNotFoundError(
        f"data_home={str(data_home)!r} holds neither chardata.mat (the paper's split, from the "
        "code of 'Importance Weighted Autoencoders') nor omniglot_small.npz."
    )


def _read_chardata(path: Path) -> Bunch:
    """Return the images of a file whose columns are images in [0, 1], written column by column."""
    from scipy.io import loadmat

    arrays = loadmat(path)
    data = Bunch()
    for part, prefix in {"train": "", "test": "test"}.items():
        images = arrays[f"{prefix}data"].T.reshape(-1, 28, 28).swapaxes(1, 2)
        data[f"X_{part}"] = np.rint(255 * images.reshape(-1, N_PIXELS)).astype(np.uint8)
        data[f"y_{part}"] = arrays[f"{prefix}targetchar"].ravel().astype(np.int64)
    return data


def _load(name: str, openml_name: str, data_home) -> Bunch:
    if data_home is None:
        return _split(*_fetch_openml(openml_name))
    folder = Path(data_home).expanduser()
    if (folder / f"{name}.npz").exists():
        data = _read_npz(folder / f"{name}.npz")
        return data if "X_valid" in data else _split_training(data)
    for place in (folder / name, folder):
        if (place / "train-images-idx3-ubyte.gz").exists():
            return _split_training(_read_idx(place))
    raise FileNotFoundError(
        f"data_home={str(data_home)!r} holds neither {name}.npz nor train-images-idx3-ubyte.gz, "
        f"in it or in {name}/."
    )


def _fetch_openml(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import fetch_openml

    X, y = fetch_openml(name, version=1, return_X_y=True, as_frame=False)
    return X.astype(np.uint8), y.astype(np.int64)


def _split(X: np.ndarray, y: np.ndarray) -> Bunch:
    """Split 70000 rows in OpenML's order: 60000 of training, 10000 of test."""
    return _split_training(
        Bunch(X_train=X[:60_000], y_train=y[:60_000], X_test=X[60_000:], y_test=y[60_000:])
    )


def _split_training(data: Bunch) -> Bunch:
    """Make validation rows of the last rows of training."""
    return Bunch(
        X_train=data.X_train[:N_TRAIN],
        y_train=data.y_train[:N_TRAIN],
        X_valid=data.X_train[N_TRAIN:],
        y_valid=data.y_train[N_TRAIN:],
        X_test=data.X_test,
        y_test=data.y_test,
    )


def _read_npz(path: Path) -> Bunch:
    with np.load(path) as arrays:
        data = Bunch()
        for key in arrays.files:
            kind, part = key.split("_", 1)
            values = arrays[key]
            data[f"X_{part}" if kind == "x" else key] = (
                values.reshape(len(values), -1) if kind == "x" else values
            )
    return data


def _read_idx(folder: Path) -> Bunch:
    data = Bunch()
    for part, prefix in IDX_PARTS.items():
        images = gzip.decompress((folder / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((folder / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        # The header is four integers for images and two for labels; what follows is bytes.
        data[f"X_{part}"] = np.frombuffer(images, np.uint8, offset=16).reshape(-1, N_PIXELS)
        data[f"y_{part}"] = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    return data
