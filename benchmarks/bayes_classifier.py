"""A Bayes classifier of one density a class on scikit-learn's digits, by five stratified folds.

    python benchmarks/bayes_classifier.py

A row belongs to the class of the highest prior times density. The densities have their defaults;
`KernelDensity` has the bandwidth that is best for the classifier on the training part, by
cross-validation there.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from _machine import describe, markdown_table
from _table_report import mean_and_error
from joblib import Parallel, delayed, parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KernelDensity

from sklearn_exemplar_vae import ExemplarFlow, ExemplarVAE

BANDWIDTHS = np.geomspace(0.5, 16, 11)


class BayesClassifier(ClassifierMixin, BaseEstimator):
    """The class of the highest prior times density.

    Parameters
    ----------
    density : estimator with ``score_samples``
    """

    def __init__(self, density) -> None:
        self.density = density

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.densities_ = [clone(self.density).fit(X[y == label]) for label in self.classes_]
        self.log_priors_ = np.log(counts / len(y))
        return self

    def predict(self, X):
        scores = np.stack([density.score_samples(X) for density in self.densities_], 1)
        return self.classes_[(scores + self.log_priors_).argmax(1)]


CLASSIFIERS = {
    "ExemplarFlow": BayesClassifier(ExemplarFlow(random_state=0)),
    "ExemplarVAE": BayesClassifier(ExemplarVAE(random_state=0)),
    "KernelDensity": GridSearchCV(
        BayesClassifier(KernelDensity()), {"density__bandwidth": BANDWIDTHS}
    ),
}


def accuracy(name: str, train: np.ndarray, test: np.ndarray) -> float:
    """Return the share of the test rows that are classified right."""
    warnings.simplefilter("ignore")
    X, y = load_digits(return_X_y=True)
    return clone(CLASSIFIERS[name]).fit(X[train], y[train]).score(X[test], y[test])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--densities", nargs="+", choices=CLASSIFIERS, default=list(CLASSIFIERS))
    parser.add_argument("--splits", type=int, default=5, help="folds to judge, of five")
    parser.add_argument("--jobs", type=int, default=2, help="fits side by side, one thread each")
    arguments = parser.parse_args(argv)
    X, y = load_digits(return_X_y=True)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))[: arguments.splits]
    with parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(arguments.jobs)(
            delayed(accuracy)(name, *fold) for name in arguments.densities for fold in folds
        )
    lines = []
    for name, shares in zip(arguments.densities, np.reshape(found, (-1, len(folds))), strict=True):
        mean, error = mean_and_error(shares)
        lines.append([name, f"{mean:.1%} ± {error:.1%}"])
    print(f"{describe()}\n\n{markdown_table(['density of a class', 'accuracy'], lines)}")


if __name__ == "__main__":
    main()
