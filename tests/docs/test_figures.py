"""Every figure with a unit is a limit of the code or stands by the command that prints it.

A figure is a number with a unit of time, size, share, money or rate, such as 12 ms or 5 %. It is accounted for when
- it is a limit in `tests/docs/limits.py` for its page, so that a change of the code changes the test;
- or it is in the row of an alert and is that alert's threshold or window;
- or its passage, what introduces its table, its section or the part (`##`) that section belongs to names a command, in
  backticks or in a block, or the passage links to a section that does;
- or the page, or that part of it, is written by `tests/docs/generated.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pytest

from tests.docs.commands import is_shell
from tests.docs.generated import PARTS, WHOLE
from tests.docs.limits import LIMITS, OWED
from tests.docs.pages import ROOT, Page, Passage, pages, read

UNITS: dict[str, tuple[str, tuple[float, ...]]] = {
    "µs": ("time", (1e-6,)),
    "ms": ("time", (1e-3,)),
    "s": ("time", (1.0,)),
    "second": ("time", (1.0,)),
    "seconds": ("time", (1.0,)),
    "min": ("time", (60.0,)),
    "minute": ("time", (60.0,)),
    "minutes": ("time", (60.0,)),
    "h": ("time", (3_600.0,)),
    "hour": ("time", (3_600.0,)),
    "hours": ("time", (3_600.0,)),
    "days": ("time", (86_400.0,)),
    "bytes": ("bytes", (1.0,)),
    "kB": ("bytes", (1_000.0, 1_024.0)),
    "MB": ("bytes", (1e6, 1_048_576.0)),
    "GB": ("bytes", (1e9, 1_073_741_824.0)),
    "%": ("percent", (1.0,)),
    "RU": ("request units", (1.0,)),
}
"""Unit → kind, and what one of it may be in the base unit of its kind."""

_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_UNIT = "|".join(sorted(UNITS, key=len, reverse=True))
FIGURE = re.compile(
    rf"(?<![\w.#/–$-])(?P<number>{_NUMBER})(?: (?P<unit>{_UNIT})| ?(?P<share>%))(?![\w/])"
    rf"|\$ ?(?P<money>{_NUMBER})"
    rf"|(?P<many>{_NUMBER}) (?:[a-z]+ )?(?:a|per) (?P<per>second|minute|hour)\b"
)
COMMAND = re.compile(r"(?:\w+=\S+ )*(?:make |(?:\.venv/bin/)?python3? (?:-m |\S+\.py))")


def _alerts(found: Any) -> Iterator[tuple[str, tuple[float, float]]]:
    """Every alert, wherever it stands: its name, threshold, and window in seconds."""
    if isinstance(found, dict) and {"name", "threshold", "window"} <= found.keys():
        yield found["name"], (float(found["threshold"]), 60.0 * float(found["window"][2:-1]))
    elif isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from _alerts(each)


ALERTS = dict(_alerts(json.loads((ROOT / "infra" / "bicep" / "alerts.json").read_text(encoding="utf-8"))))


class Figure(NamedTuple):
    """As written, of a kind, and what it may be in that kind's base unit."""

    text: str
    kind: str
    values: tuple[float, ...]


def figures(text: str) -> Iterator[Figure]:
    """Every figure of a text."""
    for found in FIGURE.finditer(re.sub(r"`[^`]*`", "", text)):
        number = float((found["number"] or found["money"] or found["many"]).replace(",", ""))
        if unit := found["unit"] or found["share"]:
            kind, scales = UNITS[unit]
            yield Figure(found[0], kind, tuple(number * scale for scale in scales))
        elif found["money"]:
            yield Figure(found[0], "dollars", (number,))
        else:
            yield Figure(found[0], "rate", (number / UNITS[found["per"]][1][0],))


def names_a_command(text: str) -> bool:
    """Whether a command stands in backticks."""
    return any(COMMAND.match(code) for code in re.findall(r"`([^`]+)`", text))


def _is_a_limit(figure: Figure, page: Page) -> bool:
    return any(
        limit.kind == figure.kind and page.name.startswith(limit.pages) and limit.value in figure.values
        for limit in LIMITS
    )


def _is_of_its_alert(figure: Figure, passage: Passage) -> bool:
    named = re.match(r"\| `([\w-]+)` \|", passage.text)
    if named is None or named[1] not in ALERTS:
        return False
    threshold, window = ALERTS[named[1]]
    asked = (threshold, threshold / 1000, window) if figure.kind == "time" else (threshold,)
    return any(value in asked for value in figure.values)


def _names_its_source(passage: Passage, page: Page) -> bool:
    if names_a_command(f"{passage.text}\n{passage.table}"):
        return True
    section = passage.place.section
    while section:
        if _section_names_a_command(page, section):
            return True
        section = page.anchors[section] if page.anchors[section] not in _titles(page) else ""
    for link in re.findall(r"\]\(([^)]+)\)", passage.text):
        path, _, anchor = link.partition("#")
        name = _normal(PurePosixPath(page.name).parent / path) if path else page.name
        if name in pages() and _section_names_a_command(pages()[name], anchor):
            return True
    return False


def _section_names_a_command(page: Page, section: str) -> bool:
    blocks = [each for each in page.blocks if each.place.section == section and is_shell(each)]
    return bool(blocks) or names_a_command("\n".join(each.text for each in page.section(section)))


def _titles(page: Page) -> set[str]:
    """Headings of the first level: what stands under one is the whole page."""
    return {anchor for anchor, above in page.anchors.items() if not above}


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _generated_lines(page: Page) -> set[int]:
    lines = page.text.splitlines()
    if page.name in WHOLE:
        return set(range(1, len(lines) + 1))
    found: set[int] = set()
    for name, mark in PARTS:
        if name == page.name:
            found |= set(range(lines.index(f"<!-- {mark} -->") + 1, lines.index(f"<!-- /{mark} -->") + 2))
    return found


def unaccounted(page: Page) -> list[str]:
    """The figures of a page that nobody accounts for."""
    generated = _generated_lines(page)
    return [
        f"{passage.place}: {figure.text}"
        for passage in page.passages
        if passage.place.line not in generated
        for figure in figures(passage.text)
        if (page.name, figure.text) not in OWED
        and not _is_a_limit(figure, page)
        and not _is_of_its_alert(figure, passage)
        and not _names_its_source(passage, page)
    ]


@pytest.mark.parametrize("name", sorted(pages()))
def test_every_figure_is_a_limit_or_names_the_command_that_prints_it(name: str) -> None:
    assert unaccounted(pages()[name]) == [], (
        "name the command that prints it, or list the limit in tests/docs/limits.py"
    )


def test_every_limit_is_said_on_one_of_its_pages() -> None:
    said = {
        (page.name, figure.kind, value)
        for page in pages().values()
        for passage in page.passages
        for figure in figures(passage.text)
        for value in figure.values
    }
    idle = [
        x.what for x in LIMITS if not any(k == x.kind and v == x.value and n.startswith(x.pages) for n, k, v in said)
    ]
    assert idle == []


def test_nothing_is_owed_that_no_page_says() -> None:
    said = {(page.name, each.text) for page in pages().values() for row in page.passages for each in figures(row.text)}
    assert OWED - said == set()


def test_a_figure_is_found_and_what_is_none_is_not() -> None:
    text = "p95 of 12.5 ms, 1,300 bytes each, 40 % more, $ 12,000, 600 feeds a second; not v1.2 s3, 20 videos, `5 s`"
    assert [each.text for each in figures(text)] == ["12.5 ms", "1,300 bytes", "40 %", "$ 12,000", "600 feeds a second"]
    assert names_a_command("see `python -m benchmarks http`")
    assert not names_a_command("see `benchmarks`, made by hand")


def test_a_figure_without_a_source_is_told_and_one_beside_its_command_is_not(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        "# Page\n\n`make bench`\n\n## One\n\nIt takes 12 ms.\n\n## Two\n\nIt takes 13 ms (`make bench`).\n\n"
        "| what | takes |\n|---|---|\n| a feed | 14 ms |\n\nPrinted by `python -m benchmarks table`.\n\n"
        "## Three\n\n| what | takes |\n|---|---|\n| a feed | 15 ms |\n"
    )
    assert unaccounted(read("page.md", tmp_path / "page.md")) == [
        "page.md:7: 12 ms",
        "page.md:23: 15 ms",
    ]
