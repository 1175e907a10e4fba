"""`python -m tests.docs.picked --seed 1` picks ten modules, ten tests and ten paragraphs of docs to restate.

For reading trials: a reader who has not seen the code restates each first sentence; wrongly restated ones are
rewritten. Equal seeds pick the same from the same tree.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import ROOT, pages

PACKAGES = (
    *("feed", "events", "ranking", "cms", "stories", "media", "privacy", "shared", "learning", "commands", "local"),
    *("evaluation", "benchmarks", "infra"),
)
LEFT_OUT = {"node_modules", "__pycache__", ".venv"}


class Picked(NamedTuple):
    """A text to restate, and its place."""

    kind: str
    place: str
    sentence: str


def first_sentence(text: str) -> str:
    """Return the text up to the first full stop or question mark before a space or the end, on one line, without a
    list mark.

    >>> first_sentence("1. One per 1.5 s, e.g.\nso. Two.")
    'One per 1.5 s, e.g. so.'
    """
    flat = re.sub(r"\s+", " ", re.sub(r"^\s*(?:[-*]|\d+\.) ", "", text)).strip()
    lead = re.match(r"\*\*[^*]+[.:]\*\* (?:\([a-z]\)[.,]? )?", flat)
    end = re.compile(r"(?<!e\.g)(?<!i\.e)[.?](?:\*\*)?(?= |$)").search(flat, lead.end() if lead else 0)
    return flat[: end.end()] if end else flat


def sources(*folders: str) -> Iterator[Path]:
    """The Python files of some folders, in order of their paths."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not LEFT_OUT & set(path.parts):
                yield path


def modules() -> Iterator[Picked]:
    """Every module with a docstring."""
    for path in sources(*PACKAGES):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if text:
            yield Picked("module", path.relative_to(ROOT).as_posix(), first_sentence(text))


def tests() -> Iterator[Picked]:
    """Every test, by its name read as a sentence."""
    for path in sources("tests"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                place = f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
                yield Picked("test", place, node.name.removeprefix("test_").replace("_", " "))


def paragraphs() -> Iterator[Picked]:
    """Yield every text paragraph of the pages: no heading, no table row, nothing generated."""
    for name, page in pages().items():
        headings = set(re.findall(r"^#+ (.+?)\s*$", page.text, re.MULTILINE))
        for passage in page.passages:
            if passage.table or passage.text in headings or len(passage.text.split()) < 8 or "<" in passage.text[:1]:
                continue
            yield Picked("paragraph", f"{name}:{passage.place.line}", first_sentence(passage.text))


def pick(seed: int, each: int = 10) -> list[Picked]:
    """Draw the given number of each kind with the seed, at most one paragraph per page and one test per file."""
    draw, found = random.Random(seed), []
    for kind in (modules(), tests(), paragraphs()):
        candidates = list(kind)
        draw.shuffle(candidates)
        taken: dict[str, Picked] = {}
        for candidate in candidates:
            taken.setdefault(candidate.place.partition(":")[0], candidate)
        found += list(taken.values())[:each]
    return found


def main() -> None:
    """Print what was picked, numbered."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs.picked", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    for number, picked in enumerate(pick(parser.parse_args().seed), 1):
        print(f"{number:2}. {picked.kind}, {picked.place}\n    {picked.sentence}")


if __name__ == "__main__":
    main()
