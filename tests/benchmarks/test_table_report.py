import _table_report
import numpy as np


def scores(*means):
    """Return a result a split, of rows around a mean."""
    return [
        {"scores": mean + np.array([-1.0, 0.0, 1.0]), "fit": 2.0, "score": 0.5} for mean in means
    ]


FAILED = [{"scores": None, "fit": np.nan, "score": np.nan}] * 2
RESULTS = {
    "won": {"ExemplarFlow": scores(1.0, 2.0), "KernelDensity": scores(0.5, 1.0)},
    "tied": {"ExemplarFlow": scores(1.0, 2.0), "KernelDensity": scores(0.9, 2.2)},
    "lost": {"ExemplarFlow": scores(1.0, 2.0), "KernelDensity": scores(2.0, 3.5)},
    "refused": {"ExemplarFlow": FAILED, "KernelDensity": scores(0.0, 0.0)},
}


def test_gains_are_paired_by_split_with_their_error():
    cells = _table_report.gain_cells(RESULTS["won"], "ExemplarFlow", ["KernelDensity"])
    # 0.5 and 1.0: their standard deviation is 0.354, the error of their mean 0.25.
    assert cells == ["+0.750 ± 0.250"]
    assert _table_report.gain_cells(RESULTS["refused"], "ExemplarFlow", ["KernelDensity"]) == [""]


def test_best_is_within_one_error_of_the_difference():
    best = {
        name: _table_report.is_best(results, "ExemplarFlow", ["ExemplarFlow", "KernelDensity"])
        for name, results in RESULTS.items()
    }
    assert best == {"won": True, "tied": True, "lost": False, "refused": False}


def test_the_summary_counts_wins_losses_and_lowest_rows():
    text = _table_report.summary(RESULTS, "ExemplarFlow", ["ExemplarFlow", "KernelDensity"])
    assert "on 2 of 4" in text
    assert "Smallest gain over KernelDensity: -1.250 (lost)" in text
    # The lowest rows lie one below the lowest mean: 0.0 against 1.0 where it lost.
    assert "below that of KernelDensity on 1 of 3 tables, by 1.0 at most (lost)" in text


def test_the_report_marks_the_best_and_names_failures():
    report = _table_report.report(RESULTS, dict.fromkeys(RESULTS, (3, 1)))
    assert "| won (3 × 1) | **1.50 ± 0.50** | 0.75 ± 0.25 |" in report
    assert "| refused (3 × 1) | fails | **0.00 ± 0.00** |" in report
    assert "| won | 2.0 / 0.50 | 2.0 / 0.50 |" in report
    assert "| refused |  | 2.0 / 0.50 |" in report
