"""`python -m tests.docs.hard_to_read [folder …]` lists hard-to-read docstrings, comments and test names.

Lists, worst first: sentences of more than 30 words, docstrings that open with a relative or passive clause instead of a
verb or a noun, and test names above 80 characters. The list is a guide, not a gate.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.docs.picked import PACKAGES, ROOT, sources

MOST_WORDS = 30
MOST_CHARACTERS = 80
OPENS_BADLY = re.compile(r"(?:What|Who|Whom|Whose|Whatever|Whoever|That|Is|Are|Was|It is|There is|Of|Such|As)\b")


class Hard(NamedTuple):
    """A hard-to-read text. `weight`: words of a long sentence; 30 for an opening; characters of a name less 50."""

    weight: int
    place: str
    why: str
    text: str


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a docstring or comment, without indented blocks and lists."""
    prose = re.sub(r"(?m)^(?: {4}|[-*|>]|\d\. ).*$", "", text)
    for paragraph in re.split(r"\n\s*\n", prose):
        flat = re.sub(r"\s+", " ", paragraph).strip()
        yield from (each for each in re.split(r"(?<=[.?:;]) ", flat) if each)


def hard_in(path: Path) -> Iterator[Hard]:
    """Yield the hard-to-read texts of one file."""
    source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    for line, text, docstring in (*_docstrings(source), *_comments(source)):
        for at, sentence in enumerate(sentences(text)):
            words = len(sentence.split())
            if words > MOST_WORDS:
                yield Hard(words, f"{name}:{line}", f"{words} words", sentence)
            elif docstring and at == 0 and OPENS_BADLY.match(sentence):
                yield Hard(MOST_WORDS, f"{name}:{line}", "opens without a verb", sentence)
    for found in re.finditer(r"def (test_\w+)", source):
        if len(found[1]) > MOST_CHARACTERS:
            yield Hard(len(found[1]) - 50, name, f"{len(found[1])} characters", found[1])


def _docstrings(source: str) -> Iterator[tuple[int, str, bool]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text, True


def _comments(source: str) -> Iterator[tuple[int, str, bool]]:
    """Yield comments; consecutive comment lines count as one."""
    last, text = 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1 and text:
                yield last, text, False
                text = ""
            last, text = token.start[0], f"{text} {token.string.lstrip('#: ')}".strip()
    if text:
        yield last, text, False


def main() -> None:
    """Print them, worst first, and how many."""
    folders = sys.argv[1:] or [*PACKAGES, "tests"]
    found = sorted((hard for path in sources(*folders) for hard in hard_in(path)), reverse=True)
    for hard in found:
        print(f"{hard.place}  {hard.why}\n    {hard.text}")
    print(f"{len(found)} to read again")


if __name__ == "__main__":
    main()
