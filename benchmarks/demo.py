"""One look at what an ExemplarVAE does, on digits: densities, retrieval, samples.

    python benchmarks/demo.py
    python benchmarks/demo.py --data ../shared/data

Prints the held-out log-density of three estimators and the accuracy of nearest neighbors on codes
and on pixels, and writes demo.png: samples, and rows of an exemplar with its samples. Without
`--data` the images are scikit-learn's 8 x 8 digits; with it they are `--rows` rows of MNIST,
because KernelDensity's grid search over all of them would take hours.

Gray levels are integers, so uniform noise of one step is added: a density needs a continuum. MNIST
is reduced to `--levels` of them, by default 16, as the digits have. With 256, some test image has
ink at a pixel where no training image has any, 700 standard deviations off, and that image decides
the mean of every estimator.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, file_to_write, markdown_table
from _rivals import fit_exemplar_vae, fit_gaussian_mixture, fit_kernel_density
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sklearn_exemplar_vae import ExemplarVAE
from sklearn_exemplar_vae.datasets import load_mnist

N_TEST = 400
FITS = {
    "ExemplarVAE": fit_exemplar_vae,
    "KernelDensity": fit_kernel_density,
    "GaussianMixture": fit_gaussian_mixture,
}


def load(folder: Path | None, n_rows: int, n_levels: int):
    """Return training rows, test rows and both labels; gray levels have noise of one step."""
    if folder is None:
        X, y = load_digits(return_X_y=True)
    else:
        mnist = load_mnist(folder)
        chosen = np.random.default_rng(0).choice(len(mnist.X_train), n_rows, replace=False)
        X, y = mnist.X_train[chosen] // (256 // n_levels), mnist.y_train[chosen]
    X = X + np.random.default_rng(0).uniform(size=X.shape)
    return train_test_split(X, y, test_size=N_TEST, random_state=0, stratify=y)


def draw(model: ExemplarVAE, exemplars: np.ndarray, path: Path) -> None:
    """Draw ten rows of samples, and ten rows of an exemplar and nine samples near it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    side = round(exemplars.shape[1] ** 0.5)
    samples = model.sample(100, random_state=0)
    near = model.sample_like(exemplars, 9, random_state=0)
    conditioned = np.concatenate([exemplars[:, None], near], axis=1).reshape(100, -1)
    figure, axes = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
    titles = ("samples", "exemplars (first column) and samples near them")
    for axis, images, title in zip(axes, (samples, conditioned), titles, strict=True):
        tiles = images.reshape(10, 10, side, side)
        tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1)))  # a frame around every image
        if images is conditioned:
            gap = np.full((10, 1, side + 2, 2), exemplars.max())
            columns = [*tiles.swapaxes(0, 1)[:, :, None]]
            columns.insert(1, gap)
            picture = np.concatenate([np.concatenate(c[:, 0], 0) for c in columns], 1)
        else:
            picture = tiles.transpose(0, 2, 1, 3).reshape(10 * (side + 2), -1)
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=exemplars.max())
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with MNIST; without, bundled digits")
    parser.add_argument("--rows", type=int, default=5000, help="rows of MNIST to use")
    parser.add_argument("--levels", type=int, choices=(16, 256), default=16, help="of MNIST's gray")
    parser.add_argument("--picture", type=file_to_write, default=Path("demo.png"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    X_train, X_test, y_train, y_test = load(arguments.data, arguments.rows, arguments.levels)
    n_train, n_features = X_train.shape
    print(f"{n_train} images of {n_features} pixels to fit, {N_TEST} held out\n")

    densities = []
    for name, fit in FITS.items():
        start = time.perf_counter()
        fitted = fit(X_train, 0)
        mean = fitted.score_samples(X_test).mean()
        densities.append([name, f"{mean:.2f}", f"{time.perf_counter() - start:.1f}"])
        if name == "ExemplarVAE":
            model = fitted
    print(markdown_table(["density", "held-out log-density, nats a row", "seconds"], densities))

    accuracies = []
    spaces = {"codes": model.transform, "pixels": lambda rows: rows}
    for name, encode in spaces.items():
        classifier = KNeighborsClassifier(5).fit(encode(X_train), y_train)
        accuracy = classifier.score(encode(X_test), y_test)
        accuracies.append([name, f"{100 * accuracy:.1f} %"])
    print("\n" + markdown_table(["5 nearest neighbors on", "held-out accuracy"], accuracies))

    first_of_each_digit = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
    draw(model, X_test[first_of_each_digit], arguments.picture)
    print(f"\nPicture: {arguments.picture}\n{describe()}")


if __name__ == "__main__":
    main()
