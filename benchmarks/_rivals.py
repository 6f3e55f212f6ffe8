"""The density estimators that benchmarks compare, each fitted by one call on rows as they are.

`ExemplarFlow` and `ExemplarVAE` with their defaults. `KernelDensity` on standardized columns,
bandwidth by 5-fold grid search; with one leaf, because its tree sums are off by up to hundreds of
nats a row in many dimensions (scikit-learn #25799). `GaussianMixture` on standardized columns,
components by BIC, "searched" by 5-fold grid search; `BayesianGaussianMixture` on standardized
columns, with up to 32 components.
"flow, normal base" is `ExemplarFlow` with a normal prior: the same splines without exemplars.
These run only if `--estimators` names them, and need packages of their own. "VineDensity" is a vine
copula with kernel density margins (`pip install pyvinecopulib`), minus infinity outside them.
"sinflow" is a sliced iterative normalizing flow (`pip install sinflow`). "denmarf" has its defaults
(32 blocks, 1000 epochs on half of the rows) and takes minutes for any table (`pip install
denmarf`).
"""

from __future__ import annotations

import numpy as np
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from sklearn_exemplar_vae import ExemplarFlow, ExemplarVAE

BANDWIDTHS = np.geomspace(0.03, 2.0, 19)
# With more rows, a random part is searched first, and then all rows at the bandwidths around.
MAX_FULL_SEARCH = 10_000
N_COMPONENTS = (1, 2, 4, 8, 16, 32)


class Standardized:
    """A density of standardized columns whose scores are in the units of the rows."""

    def __init__(self, fit, rows: np.ndarray) -> None:
        self.scaler = StandardScaler().fit(rows)
        self.density = fit(self.scaler.transform(rows))

    def score_samples(self, rows: np.ndarray) -> np.ndarray:
        scores = self.density.score_samples(self.scaler.transform(rows))
        return scores - np.log(self.scaler.scale_).sum()


def fit_exemplar_vae(rows: np.ndarray, seed: int) -> ExemplarVAE:
    """Fit an ExemplarVAE with its defaults."""
    return ExemplarVAE(random_state=seed).fit(rows)


def fit_exemplar_flow(rows: np.ndarray, seed: int) -> ExemplarFlow:
    """Fit an ExemplarFlow with its defaults."""
    return ExemplarFlow(random_state=seed).fit(rows)


def fit_normal_flow(rows: np.ndarray, seed: int) -> ExemplarFlow:
    """Fit the same flow with a normal prior."""
    return ExemplarFlow("gaussian", random_state=seed).fit(rows)


def fit_denmarf(rows: np.ndarray, seed: int) -> Standardized:
    """Fit denmarf's masked autoregressive flow."""
    from denmarf import DensityEstimate

    def fit(rows):
        return DensityEstimate(seed=seed, use_cuda=False).fit(rows, verbose=False)

    return Standardized(fit, rows)


def fit_vine(rows: np.ndarray, seed: int):
    """Fit pyvinecopulib's vine copula."""
    from pyvinecopulib.sklearn import VineDensity

    return VineDensity(random_state=seed).fit(rows)


class SlicedFlow:
    """sinflow's flow, with the name that scores have here."""

    def __init__(self, rows: np.ndarray, seed: int) -> None:
        from sinflow import Flow

        self.flow = Flow(random_state=seed)
        self.flow.fit(rows)

    def score_samples(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.flow.log_prob(rows))


def fit_sliced_flow(rows: np.ndarray, seed: int) -> Standardized:
    """Fit sinflow's sliced iterative flow."""
    return Standardized(lambda rows: SlicedFlow(rows, seed), rows)


def fit_kernel_density(rows: np.ndarray, seed: int) -> Standardized:
    """Fit KernelDensity with the best bandwidth of a grid."""

    def search(rows, bandwidths):
        estimator = KernelDensity(leaf_size=len(rows))
        found = GridSearchCV(estimator, {"bandwidth": bandwidths}, cv=5, n_jobs=-1).fit(rows)
        if found.best_params_["bandwidth"] in (BANDWIDTHS[0], BANDWIDTHS[-1]):
            print(f"KernelDensity: the best bandwidth is the grid's last, {found.best_params_}.")
        return found

    def fit(rows):
        bandwidths = BANDWIDTHS
        if len(rows) > MAX_FULL_SEARCH:
            part = np.random.default_rng(seed).choice(rows, MAX_FULL_SEARCH // 2, replace=False)
            best = search(part, bandwidths).best_index_
            # More rows want a narrower kernel, by (rows / part) ^ -1 / (d + 4): under two steps.
            bandwidths = bandwidths[max(0, best - 3) : best + 2]
        return search(rows, bandwidths).best_estimator_

    return Standardized(fit, rows)


def fit_gaussian_mixture(rows: np.ndarray, seed: int) -> Standardized:
    """Fit the GaussianMixture with the best BIC."""

    def fit(rows):
        mixtures = (
            GaussianMixture(n, random_state=seed, reg_covar=1e-5).fit(rows)
            for n in N_COMPONENTS
            if n < len(rows)
        )
        return min(mixtures, key=lambda mixture: mixture.bic(rows))

    return Standardized(fit, rows)


def fit_searched_mixture(rows: np.ndarray, seed: int) -> Standardized:
    """Fit the GaussianMixture with the best cross-validated score."""

    def fit(rows):
        estimator = GaussianMixture(random_state=seed, reg_covar=1e-5)
        grid = {"n_components": [n for n in N_COMPONENTS if n < len(rows) / 2]}
        return GridSearchCV(estimator, grid, cv=KFold(5, shuffle=True, random_state=seed)).fit(rows)

    return Standardized(fit, rows)


def fit_bayesian_mixture(rows: np.ndarray, seed: int) -> Standardized:
    """Fit a BayesianGaussianMixture."""

    def fit(rows):
        n_components = min(max(N_COMPONENTS), len(rows) // 2)
        mixture = BayesianGaussianMixture(
            n_components=n_components, random_state=seed, reg_covar=1e-5, max_iter=500
        )
        return mixture.fit(rows)

    return Standardized(fit, rows)


ESTIMATORS = {
    "ExemplarFlow": fit_exemplar_flow,
    "ExemplarVAE": fit_exemplar_vae,
    "KernelDensity": fit_kernel_density,
    "GaussianMixture": fit_gaussian_mixture,
    "GaussianMixture, searched": fit_searched_mixture,
    "BayesianGaussianMixture": fit_bayesian_mixture,
    "flow, normal base": fit_normal_flow,
    "VineDensity": fit_vine,
    "sinflow": fit_sliced_flow,
    "denmarf": fit_denmarf,
}
PEERS = ("VineDensity", "sinflow", "denmarf")  # in packages of their own
DEFAULT_ESTIMATORS = [name for name in ESTIMATORS if name not in PEERS]
