from pathlib import Path

import _tables
import numpy as np
import pytest


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder with three tables as KEEL writes them."""
    place = tmp_path / "keel" / "balanced"
    place.mkdir(parents=True)
    rows = [f"{i}.5, {i % 3}, {'abc'[i % 3]}" for i in range(120)]
    (place / "iris.dat").write_text("@relation iris\n@data\n" + "\n".join(rows))
    (place / "secret.dat").write_text("\n".join(rows))
    (place / "few.dat").write_text("\n".join(rows[:50]))
    (place / "words.dat").write_text("\n".join(f"red, {row}" for row in rows))
    return tmp_path


def test_keel_tables_are_read_without_their_class(folder):
    rows = _tables.load("keel iris", folder)
    assert rows.shape == (120, 2)
    np.testing.assert_array_equal(rows[:2], [[0.5, 0], [1.5, 1]])
    with pytest.raises(SystemExit, match="not numeric"):
        _tables.load("keel words", folder)


def test_sets_are_names_or_kinds_of_tables(folder):
    assert _tables.expand(["iris", "development"], folder) == ["iris", "keel iris"]
    judged = _tables.expand(["judged"], folder)
    assert "keel secret" in judged
    assert not {"keel iris", "keel few", "keel words"} & set(judged)
    with pytest.raises(ValueError, match="no table 'keel nothing'"):
        _tables.expand(["keel nothing"], folder)


def test_repeated_values_are_spread_over_their_step(folder):
    rows, scale = _tables.prepare("keel iris", folder, 0.0, 0)
    raw = _tables.load("keel iris", folder)
    moved = rows - raw
    assert (moved[:, 0] == 0).all()  # no value repeats
    assert (moved[:, 1] >= 0).all() and moved[:, 1].max() < 1 and moved[:, 1].std() > 0.2
    assert (scale == 0).all()
    noisy, scale = _tables.prepare("keel iris", folder, 0.05, 0)
    np.testing.assert_allclose((noisy - raw).std(0), scale, rtol=0.2)
