"""The report of `tables.py`: a table of means, paired differences, seconds, and a summary.

Results come by table and estimator, a list with one dict a split: "scores", the log-densities of
the test rows (None where the estimator refused the table), and the seconds "fit" and "score".
"""

from __future__ import annotations

import numpy as np
from _machine import markdown_table

TRUTH = "truth"
OURS = ("ExemplarFlow", "ExemplarVAE")


def report(results: dict, shapes: dict[str, tuple[int, int]]) -> str:
    """Return all parts of the report in Markdown."""
    names = list(results)
    columns = list(dict.fromkeys(e for name in names for e in results[name] if e != TRUTH))
    with_truth = columns + [TRUTH] * any(TRUTH in results[name] for name in names)
    means = [mean_row(name, shapes[name], results[name], with_truth) for name in names]
    seconds = [seconds_row(name, results[name], columns) for name in names]
    parts = [markdown_table(["table", *with_truth], means)]
    for ours in (e for e in OURS if e in columns):
        rivals = [e for e in columns if e not in OURS]
        rows = [[name, *gain_cells(results[name], ours, rivals)] for name in names]
        parts.append(markdown_table([f"gain of {ours} over", *rivals], rows))
        parts.append(summary(results, ours, columns))
    parts.append(markdown_table(["seconds, fit / score", *columns], seconds))
    return "\n\n".join(parts)


def split_means(results: list[dict]) -> np.ndarray | None:
    """Return the mean score of every split; None if the estimator failed on one or was not run."""
    if not results or any(result["scores"] is None for result in results):
        return None
    return np.array([result["scores"].mean() for result in results])


def mean_and_error(values) -> tuple[float, float]:
    """Return the mean and its standard error, which a single value does not have."""
    if len(values) < 2:
        return np.mean(values), np.nan
    return np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))


def with_error(mean: float, error: float, form: str = ".2f") -> str:
    """Return "mean ± error", or the mean alone without an error."""
    return f"{mean:{form}}" + ("" if np.isnan(error) else f" ± {error:{form.lstrip('+')}}")


def mean_row(name: str, shape, results: dict, estimators: list[str]) -> list[str]:
    """Return one row of means; bold is the best, and what is within its standard error."""
    means = {e: split_means(results.get(e, [])) for e in estimators}
    cells = {e: mean_and_error(values) for e, values in means.items() if values is not None}
    best, error = max((cells[e] for e in cells if e != TRUTH), default=(np.inf, np.nan))
    texts = []
    for estimator in estimators:
        if estimator not in cells:
            texts.append("fails" if results.get(estimator) else "")
            continue
        text = with_error(*cells[estimator])
        is_best = estimator != TRUTH and cells[estimator][0] >= best - np.nan_to_num(error)
        texts.append(f"**{text}**" if is_best else text)
    return [f"{name} ({shape[0]} × {shape[1]})", *texts]


def gains(results: dict, ours: str, rival: str) -> np.ndarray | None:
    """Return the gains of ``ours`` over ``rival`` on the same rows, split by split."""
    own, other = (split_means(results.get(e, [])) for e in (ours, rival))
    return None if own is None or other is None else own - other


def gain_cells(results: dict, ours: str, rivals: list[str]) -> list[str]:
    """Return the mean gains over the rivals, with the standard errors of the paired differences."""
    found = [gains(results, ours, rival) for rival in rivals]
    return ["" if gain is None else with_error(*mean_and_error(gain), "+.3f") for gain in found]


def is_best(results: dict, ours: str, estimators: list[str]) -> bool:
    """Return whether ``ours`` loses to nobody by more than one standard error of the difference."""
    if split_means(results.get(ours, [])) is None:
        return False
    found = [gains(results, ours, e) for e in estimators if e != ours]
    pairs = [mean_and_error(gain) for gain in found if gain is not None]
    return all(mean >= -np.nan_to_num(error) for mean, error in pairs)


def summary(results: dict, ours: str, estimators: list[str]) -> str:
    """Return on how many tables ``ours`` is best, its worst losses and its lowest rows."""
    names = list(results)
    n_best = sum(is_best(results[name], ours, estimators) for name in names)
    lines = [f"{ours}: best, or within one standard error of it, on {n_best} of {len(names)}."]
    for rival in (e for e in estimators if e not in OURS):
        found = {name: gains(results[name], ours, rival) for name in names}
        means = {name: gain.mean() for name, gain in found.items() if gain is not None}
        if means:
            worst = min(means, key=means.get)
            lines.append(f"Smallest gain over {rival}: {means[worst]:+.3f} ({worst}).")
    lines.extend(lowest_rows(results, ours))
    return "\n".join(lines)


def lowest_rows(results: dict, ours: str, rival: str = "KernelDensity") -> list[str]:
    """Return on how many tables the lowest row of ``ours`` is below that of ``rival``."""
    lowest = {}
    for name, by_estimator in results.items():
        if gains(by_estimator, ours, rival) is not None:
            own, other = (
                min(result["scores"].min() for result in by_estimator[e]) for e in (ours, rival)
            )
            lowest[name] = own - other
    if not lowest:
        return []
    n_below, worst = sum(gap < 0 for gap in lowest.values()), min(lowest, key=lowest.get)
    return [
        f"Its lowest row is below that of {rival} on {n_below} of {len(lowest)} tables, by "
        f"{max(-lowest[worst], 0):.1f} at most ({worst})."
    ]


def seconds_row(name: str, results: dict, estimators: list[str]) -> list[str]:
    """Return one row of mean seconds of fit and score."""
    texts = []
    for estimator in estimators:
        own = results.get(estimator, [])
        fit, score = (np.mean([result[part] for result in own]) for part in ("fit", "score"))
        texts.append("" if not own or np.isnan(fit) else f"{fit:.1f} / {score:.2f}")
    return [name, *texts]
