"""Code blocks that nothing executes are held to the code: JSON parses, named files, metrics and folders exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from shared.observability.metrics import METRICS
from tests.docs.pages import ROOT, blocks, pages

SHAPES = {"docs/ranking.md#the-model json"}
"""Blocks that show the shape of a document with most of it omitted, so they are not JSON."""


def test_json_blocks_are_valid_json() -> None:
    wrong = []
    for block in blocks("json"):
        if block.name in SHAPES:
            continue
        try:
            json.loads(block.text)
        except ValueError as error:
            wrong.append(f"{block.place}: {error}")
    assert wrong == []


def _named_files(text: str) -> Iterator[str]:
    """Paths in a diagram; `ranking/catalog_stats.py, features.py` names two of one folder."""
    for found in re.finditer(r"\b((?:[a-z_]+/)+)([a-z_]+\.py)((?:, [a-z_]+\.py)*)", text):
        yield found[1] + found[2]
        yield from (found[1] + other for other in re.findall(r"[a-z_]+\.py", found[3]))


def test_every_file_in_a_diagram_exists() -> None:
    drawn = [(block, name) for block in blocks("mermaid", "") for name in _named_files(block.text)]
    assert drawn
    assert [f"{block.place}: {name}" for block, name in drawn if not (ROOT / name).exists()] == []


def test_every_metric_in_a_query_exists() -> None:
    named = [name for block in blocks("kusto") for name in re.findall(r"Name == '(\w+)'", block.text)]
    assert named
    assert [name for name in named if name.removesuffix("_bucket") not in METRICS] == []


def test_every_path_on_the_folder_map_exists() -> None:
    (drawn,) = [block.text for block in pages()["CONTRIBUTING.md"].blocks if block.place.section == "where-things-are"]
    named = re.findall(r"^([\w./-]+)\s{2,}", drawn, re.MULTILINE)
    assert [name for name in named if not (ROOT / name).exists()] == []
