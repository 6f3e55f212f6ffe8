"""Does augmentation help a classifier? Four classifiers, many ways to more rows, by four measures.

    python benchmarks/classifiers.py --data ../shared/data
    python benchmarks/classifiers.py --data ../shared/data --sets mnist-100 --repeats 3 \\
        --kinds even --factor 5 --classifiers LogisticRegression MLPClassifier

The data are tables of scikit-learn (half of the rows train, half test, stratified, standardized)
and MNIST with 10, 100 or 1000 rows a class (all 10000 test rows, pixels between 0 and 1). "even":
each set as it is, where classes grow to `--factor` times their size. "imbalanced": every other
class keeps a fifth of its rows and grows to the size of the largest. All ways add the same numbers
of rows.

noise: a copy of a row with Gaussian noise of a tenth of each column's standard deviation. mixup: a
point between two random rows of a class. SMOTE: between a row and one of its five nearest.
RandomOverSampler: kernel density estimation in the input space, imbalanced-learn's, shrinkage one.
ours: `ExemplarOverSampler`, its density an `ExemplarVAE` fitted to the training rows without
labels. ours, means: the same density, but new images are the decoder's means alone, without a
random part of the reconstruction residual. ours, per class: a density for each class. ours, flow:
an `ExemplarFlow`, for tables without a constant column. ours, all rows: an `ExemplarVAE` fitted
once to all 50000 rows of MNIST, without labels.

Accuracy, balanced accuracy and the expected calibration error (ten equal bins of the confidence)
are per cent, the log-loss nats. Gains are over no augmentation on the same rows, ± a standard error
over `--repeats` draws of the training rows.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from _machine import describe, file_to_write, markdown_table
from imblearn.over_sampling import SMOTE, RandomOverSampler
from representation import fit
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from sklearn_exemplar_vae import ExemplarFlow, ExemplarOverSampler, ExemplarVAE
from sklearn_exemplar_vae.datasets import load_mnist

TABLES = {"digits": load_digits, "breast_cancer": load_breast_cancer, "wine": load_wine}
IMAGES = {"mnist-10": 10, "mnist-100": 100, "mnist-1000": 1000}
CLASSIFIERS = {
    "LogisticRegression": lambda seed: LogisticRegression(max_iter=1000),
    # Among many rows it would hold some out, and near copies of them are in training.
    "HistGradientBoosting": lambda seed: HistGradientBoostingClassifier(
        early_stopping=False, random_state=seed
    ),
    "MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
    "KNeighborsClassifier": lambda seed: KNeighborsClassifier(),
}
KINDS = ("even", "imbalanced")
NOISE, SMOTE_NEIGHBORS, KEPT_OF_RARE = 0.1, 5, 5
MEASURES = ("accuracy", "balanced accuracy", "log-loss", "calibration error")


def drawn_rows(name: str, images, seed: int) -> tuple[np.ndarray, ...]:
    """Return X_train, X_test, y_train, y_test of one repeat."""
    if name in TABLES:
        X, y = TABLES[name](return_X_y=True)
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.5, stratify=y, random_state=seed
        )
        scaler = StandardScaler().fit(X_train)
        return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(images.y_train == label), IMAGES[name], replace=False)
        for label in np.unique(images.y_train)
    ]
    rows = np.concatenate(chosen)
    X_train, X_test = (part.astype(np.float32) / 255 for part in (images.X_train, images.X_test))
    return X_train[rows], X_test, images.y_train[rows], images.y_test


def make_imbalanced(X: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Leave every other class a fifth of its rows, and at least two."""
    rng, kept = np.random.default_rng(seed), []
    for place, label in enumerate(np.unique(y)):
        own = np.flatnonzero(y == label)
        if place % 2 == 0:
            own = rng.choice(own, max(2, len(own) // KEPT_OF_RARE), replace=False)
        kept.append(own)
    kept = np.sort(np.concatenate(kept))
    return X[kept], y[kept]


def sizes_to_reach(y: np.ndarray, factor: int) -> dict:
    """Return ``factor`` times the rows where classes are even, else the largest class's."""
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() > counts.max() / 2:
        return dict(zip(classes.tolist(), (factor * counts).tolist(), strict=True))
    return dict.fromkeys(classes.tolist(), int(counts.max()))


def add_rows(X: np.ndarray, y: np.ndarray, sizes: dict, seed: int, between: bool):
    """Add rows with a little noise, or ``between`` two rows of a class."""
    rng = np.random.default_rng(seed)
    rows, labels = [X], [y]
    for label, size in sizes.items():
        own = X[y == label]
        n_added = size - len(own)
        added = own[rng.integers(len(own), size=n_added)]
        if between:
            others = own[rng.integers(len(own), size=n_added)]
            added = added + rng.uniform(size=(n_added, 1)) * (others - added)
        else:
            added = added + NOISE * X.std(0) * rng.normal(size=added.shape)
        rows.append(added.astype(X.dtype))
        labels.append(np.full(n_added, label))
    return np.concatenate(rows), np.concatenate(labels)


def ways(X: np.ndarray, y: np.ndarray, is_image: bool, factor: int, of_all, seed: int):
    """Yield (name, rows, labels) of every way to more rows that suits the data."""
    yield "none", X, y
    sizes = sizes_to_reach(y, factor)
    yield "noise", *add_rows(X, y, sizes, seed, between=False)
    yield "mixup", *add_rows(X, y, sizes, seed, between=True)
    rarest = np.unique(y, return_counts=True)[1].min()
    smote = SMOTE(
        sampling_strategy=sizes, k_neighbors=min(SMOTE_NEIGHBORS, rarest - 1), random_state=seed
    )
    yield "SMOTE", *smote.fit_resample(X, y)
    sampler = RandomOverSampler(sampling_strategy=sizes, shrinkage=1.0, random_state=seed)
    yield "RandomOverSampler", *sampler.fit_resample(X, y)
    density = ExemplarVAE(likelihood="bernoulli" if is_image else "auto")
    sampler = ExemplarOverSampler(sizes, estimator=density, random_state=seed)
    yield "ours", *sampler.fit_resample(X, y)
    if is_image:
        frozen = FrozenEstimator(sampler.density_)
        by_means = clone(sampler).set_params(estimator=frozen, noise=False)
        yield "ours, means", *by_means.fit_resample(X, y)
    yield "ours, per class", *clone(sampler).set_params(per_class=True).fit_resample(X, y)
    if not is_image and np.ptp(X, axis=0).min() > 0:
        sampler.set_params(estimator=ExemplarFlow("exemplar"))
        yield "ours, flow", *sampler.fit_resample(X, y)
    if of_all is not None:
        sampler.set_params(estimator=FrozenEstimator(of_all))
        yield "ours, all rows", *sampler.fit_resample(X, y)


def measure(classifier, X: np.ndarray, y: np.ndarray) -> list[float]:
    """Return the four `MEASURES` on test rows."""
    probabilities = classifier.predict_proba(X)
    predicted = classifier.classes_[probabilities.argmax(1)]
    confidence, is_right = probabilities.max(1), predicted == y
    bins = np.minimum((10 * confidence).astype(int), 9)
    gaps = np.zeros(10)
    np.add.at(gaps, bins, (is_right - confidence) / len(y))
    return [
        100 * accuracy_score(y, predicted),
        100 * balanced_accuracy_score(y, predicted),
        log_loss(y, probabilities, labels=classifier.classes_),
        100 * np.abs(gaps).sum(),
    ]


def compare(name: str, kind: str, images, of_all, seed: int, arguments) -> dict[str, list[float]]:
    """Return the measures of every classifier and way, by ``"classifier | way"``."""
    X_train, X_test, y_train, y_test = drawn_rows(name, images, seed)
    if kind == "imbalanced":
        X_train, y_train = make_imbalanced(X_train, y_train, seed)
    results, is_image = {}, name in IMAGES
    for way, rows, labels in ways(X_train, y_train, is_image, arguments.factor, of_all, seed):
        for classifier in arguments.classifiers:
            fitted = CLASSIFIERS[classifier](seed).fit(rows, labels)
            results[f"{classifier} | {way}"] = measure(fitted, X_test, y_test)
    return results


def gains_table(repeats: list[dict[str, list[float]]]) -> str:
    """Return measures without augmentation and the gains of every way, one row each."""
    measured = {key: np.array([repeat[key] for repeat in repeats]) for key in repeats[0]}
    table = []
    for key, values in measured.items():
        classifier, way = key.split(" | ")
        if way == "none":
            cells = [f"{mean:.2f}" for mean in values.mean(0)]
        else:
            gains = values - measured[f"{classifier} | none"]
            errors = gains.std(0, ddof=1) / np.sqrt(len(gains))
            cells = [f"{g:+.2f} ± {e:.2f}" for g, e in zip(gains.mean(0), errors, strict=True)]
        table.append([classifier, way, *cells])
    table.sort(key=lambda line: list(CLASSIFIERS).index(line[0]))
    return markdown_table(["classifier", "rows added by", *MEASURES], table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=[*TABLES, *IMAGES], default=[*TABLES, *IMAGES])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--factor", type=int, default=2, help="of the rows of even classes")
    parser.add_argument("--classifiers", nargs="+", choices=CLASSIFIERS, default=list(CLASSIFIERS))
    parser.add_argument("--density-epochs", type=int, default=120, help="of all rows of MNIST")
    parser.add_argument(
        "--results", type=file_to_write, help="a JSON file that the measures are added to"
    )
    arguments = parser.parse_args()
    if arguments.repeats < 2:
        parser.error("--repeats must be at least 2: one has no standard error.")
    warnings.simplefilter("ignore", ConvergenceWarning)
    images = of_all = None
    if set(arguments.sets) & set(IMAGES):
        images = load_mnist(arguments.data)
        rows = images.X_train.astype(np.float32) / 255
        of_all = fit("exemplar", rows, arguments.density_epochs, seed=0)
    print(describe(), flush=True)
    for name in arguments.sets:
        for kind in arguments.kinds:
            of_all_rows = of_all if name in IMAGES else None
            repeats = [
                compare(name, kind, images, of_all_rows, seed, arguments)
                for seed in range(arguments.repeats)
            ]
            print(f"\n{name}, {kind}\n\n{gains_table(repeats)}", flush=True)
            if arguments.results is not None:
                with arguments.results.open("a") as file:
                    file.write(json.dumps({"set": f"{name}, {kind}", "repeats": repeats}) + "\n")


if __name__ == "__main__":
    main()
