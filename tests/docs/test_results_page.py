"""Every published result names its command, date and environment."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import results

WHEN = re.compile(r"\d{4}-\d{2}-\d{2}")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.argv", ["benchmarks", "memory", "--record"])
    return tmp_path / "results.json"


def test_every_result_names_its_command_date_and_environment() -> None:
    records = json.loads(results.RESULTS.read_text(encoding="utf-8"))
    for name, each in records.items():
        assert re.match(r"python -m |make ", each["command"]), name
        assert WHEN.fullmatch(each["date"]), name
        assert each["against"], name
        assert ("value" in each) != ("rows" in each), name
        assert all(len(row) == len(each["columns"]) for row in each.get("rows", [])), name


def test_run_without_the_option_records_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "memory"])
    results.keep("a", "1 ms", topic=results.SPEED, what="a page", command="python -m benchmarks table", path=file)
    assert not file.exists()


def test_repeated_measurement_replaces_the_earlier_result(file: Path, tmp_path: Path) -> None:
    for value in ("1 ms", "2 ms"):
        results.keep("a", value, topic=results.SPEED, what="a page", command="python -m benchmarks table", path=file)
    results.keep_table(
        *("b", ("user", "bytes"), [("busy", "12")]),
        topic=results.STORED, what="A document", command="make soak", note="Read it so.", path=file,
    )  # fmt: skip
    measured = tmp_path / "measured.json"
    measured.write_text('{"x_ms": {"value": 3, "unit": "ms", "source": "make soak, twice", "date": "2026-11-30"}}')
    page = results.as_markdown(file, measured)
    assert f"| a page | 2 ms | `python -m benchmarks table` | {results.today()} | {results.SHARED} |" in page
    assert "1 ms" not in page
    assert "### A document\n" in page
    assert "| busy | 12 |\n\nRead it so.\n" in page
    assert "| x ms | 3 ms | `make soak`, twice | 2026-11-30 |" in page


def test_a_result_of_an_unknown_topic_is_refused(file: Path) -> None:
    results.keep("a", "1", topic="Weather", what="rain", command="make soak", path=file)
    with pytest.raises(ValueError, match="Weather"):
        results.as_markdown(file)
