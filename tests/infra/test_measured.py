"""Benchmarks record figures only with `--record`, merged and sorted by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import measured
from benchmarks.results import today
from infra import figures


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.argv", ["benchmarks", "fold", "--record"])
    return tmp_path / "measured.json"


def test_a_run_without_the_option_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["benchmarks", "fold"])
    measured.record("size", 1, "bytes", "python -m benchmarks fold", file)
    assert not file.exists()


def test_figures_are_merged_by_name_and_sorted(file: Path):
    measured.record("size", 7, "bytes", "python -m benchmarks fold", file)
    measured.record("cpu", 1.23456, "ms", "python -m benchmarks fold", file)
    measured.record("size", 8, "bytes", "python -m benchmarks fold, again", file)
    assert json.loads(file.read_text()) == {
        "cpu": {"value": 1.235, "unit": "ms", "source": "python -m benchmarks fold", "date": today()},
        "size": {"value": 8, "unit": "bytes", "source": "python -m benchmarks fold, again", "date": today()},
    }
    assert file.read_text().index('"cpu"') < file.read_text().index('"size"')


def test_committed_file_is_formatted_as_the_helper_writes_it():
    text = figures.MEASURED.read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    for name, entry in json.loads(text).items():
        if entry["unit"] == measured.OF_BEFORE and re.search(r"benchmarks.(paired|write_path)", entry["source"]):
            assert "a171ba9" in entry["source"], f"{name} is a ratio to another version than the bill before"
        assert set(entry) == {"value", "unit", "source", "date"}, name
        assert entry["source"].startswith("python -m "), name
