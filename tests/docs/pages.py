"""Parses the documentation: its pages, sections, code blocks, paragraphs, links and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".", "docs", "docs/decisions", "infra", ".github", "sdk/typescript")
"""Folders of pages; `test_every_page_is_checked` finds pages elsewhere."""

_FENCE = re.compile(r"^( *)(```+)(\w*)\s*$")
_HEADING = re.compile(r"^(#{1,6}) (.+?)\s*$")
_LINK = re.compile(r"(?<!\\)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)?)\)")
_SOURCE = re.compile(r"<(?:img|a)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
_AUTOMATIC = re.compile(r"<(https?://[^>\s]+)>")
_INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")


class Place(NamedTuple):
    """A place: page, anchor of its section (empty above the first heading), line from 1."""

    page: str
    section: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `number`: its position among the blocks of one language in a section, from 1."""

    place: Place
    language: str
    text: str
    number: int = 1

    @property
    def name(self) -> str:
        """The block's name, such as `README.md#steer-it sh`, with ` 2` for a second one."""
        anchor = f"#{self.place.section}" if self.place.section else ""
        return f"{self.place.page}{anchor} {self.language or 'plain'}" + (f" {self.number}" if self.number > 1 else "")


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph, a list item or a row of a table, without its code blocks.

    `table` holds the texts that introduce the row: the paragraph before, the head and the paragraph after. Empty
    elsewhere.
    """

    place: Place
    text: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file. `name` is its path from the root; `anchors`: heading → the heading it stands under, or ""."""

    name: str
    text: str
    anchors: Mapping[str, str]
    blocks: tuple[Block, ...]
    passages: tuple[Passage, ...]

    def links(self) -> Iterator[tuple[Passage, str]]:
        """Yield every link and image, except those in code."""
        for passage in self.passages:
            plain = _INLINE.sub(lambda found: "`" * len(found[0]), passage.text)
            for found in _LINK.finditer(plain):
                yield passage, found[2]
                yield from ((passage, inner[2]) for inner in _LINK.finditer(found[1]))
            yield from ((passage, found[1]) for found in _SOURCE.finditer(plain))
            yield from ((passage, found[1]) for found in _AUTOMATIC.finditer(plain))

    def inline_code(self) -> Iterator[tuple[Passage, str]]:
        """Yield everything in single backticks; a line break inside becomes a space."""
        for passage in self.passages:
            for found in _INLINE.finditer(passage.text):
                yield passage, re.sub(r"\s*\n\s*", " ", found[1])

    def section(self, anchor: str) -> list[Passage]:
        """Return the passages below one heading, down to the next."""
        return [each for each in self.passages if each.place.section == anchor]


def slug(heading: str) -> str:
    """Return the anchor GitHub builds for a heading."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", lambda found: found[1] or "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def section_text(text: str, title: str, level: str = "##") -> str:
    """Return the text under a heading, up to the next one of its level or above."""
    begin = re.search(rf"^{level} {re.escape(title)}$", text, re.M)
    assert begin, f"no heading {title!r}"
    rest = text[begin.end() :]
    end = re.search(rf"^#{{1,{len(level)}}} ", rest, re.M)
    return rest[: end.start()] if end else rest


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of every row of the tables in a text, without heads."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        ruled = at + 1 < len(lines) and re.match(r"\|[-:| ]+\|$", lines[at + 1])
        if line.startswith("| ") and not ruled:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


@cache
def pages() -> dict[str, Page]:
    """Return every page, by its path from the root."""
    found = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
    return {name: read(name, path) for path in found for name in [path.relative_to(ROOT).as_posix()]}


def blocks(*languages: str) -> list[Block]:
    """Yield all code blocks in some languages, or in any."""
    return [each for page in pages().values() for each in page.blocks if not languages or each.language in languages]


def read(name: str, path: Path) -> Page:
    """Return one file as a page of that name."""
    text = path.read_text(encoding="utf-8")
    blocks: list[Block] = []
    prose: list[tuple[Place, str]] = []
    anchors: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    fence: tuple[str, str, str] | None = None
    inside: list[str] = []
    began = Place(name, "", 0)
    section = ""
    for line_number, line in enumerate(text.splitlines(), 1):
        place = Place(name, section, line_number)
        marked = _FENCE.match(line)
        if fence is not None:
            if marked and marked[2] == fence[1] and not marked[3]:
                blocks.append(_numbered(Block(began, fence[2], "\n".join(inside) + "\n"), blocks))
                fence = None
            else:
                inside.append(line.removeprefix(fence[0]))
        elif marked:
            fence, inside, began = (marked[1], marked[2], marked[3]), [], place
            prose.append((place, ""))
        elif heading := _HEADING.match(line):
            section = slug(heading[2])
            same = sum(re.fullmatch(rf"{re.escape(section)}(-\d+)?", anchor) is not None for anchor in anchors)
            section += f"-{same}" if section in anchors else ""
            above = [each for each in above if each[0] < len(heading[1])]
            anchors[section] = above[-1][1] if above else ""
            above.append((len(heading[1]), section))
            prose += [(place, ""), (Place(name, section, line_number), heading[2]), (place, "")]
        else:
            prose.append((place, line))
    assert fence is None, f"{name}: a code block that never ends"
    return Page(name, text, anchors, tuple(blocks), tuple(_passages(prose)))


def _numbered(block: Block, before: list[Block]) -> Block:
    same = [b for b in before if (b.place.section, b.language) == (block.place.section, block.language)]
    return replace(block, number=len(same) + 1)


def _passages(lines: list[tuple[Place, str]]) -> Iterator[Passage]:
    """Lines of prose as passages. Rows of a table know the paragraphs around it."""
    found: list[Passage | list[Passage]] = []
    for kind, group in groupby(lines, key=lambda each: _kind(each[1])):
        rows = list(group)
        if kind == "table":
            found.append([Passage(place, text) for place, text in rows])
        elif kind == "text":
            found += _paragraphs(rows)
    for at, each in enumerate(found):
        if isinstance(each, Passage):
            yield each
            continue
        around = [found[near] for near in (at - 1, at + 1) if 0 <= near < len(found)]
        told = [near.text for near in around if isinstance(near, Passage) and _same_section(near, each[0])]
        introduced = "\n".join([*told, each[0].text])
        yield from (replace(row, table=introduced) for row in each)


def _same_section(one: Passage, other: Passage) -> bool:
    return one.place.section == other.place.section


def _kind(line: str) -> str:
    if not line.strip():
        return "gap"
    return "table" if line.lstrip().startswith("|") else "text"


def _paragraphs(rows: list[tuple[Place, str]]) -> list[Passage]:
    """A run of lines; each item of a list is a passage of its own."""
    found: list[tuple[Place, list[str]]] = []
    for place, line in rows:
        if not found or re.match(r"^\s*(?:[-*]|\d+\.)\s", line):
            found.append((place, []))
        found[-1][1].append(line)
    return [Passage(place, "\n".join(text)) for place, text in found]
