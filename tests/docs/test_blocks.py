"""Every code block is executed, held to the code, or listed with the reason why it cannot be."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

from shared.observability.metrics import METRICS
from tests.docs.code_block_checks import ACCOUNTS, ALL_OF_A_LANGUAGE, ALL_OF_A_PAGE, Compared, Executed, NotRun
from tests.docs.pages import ROOT, Block, Place, blocks, pages

LEFT_OUT_OF_THE_MAP = {"build"}


def account(block: Block) -> Executed | Compared | NotRun | None:
    whole = ALL_OF_A_PAGE.get((block.place.page, block.language)) or ALL_OF_A_LANGUAGE.get(block.language)
    return whole or ACCOUNTS.get(block.name)


def test_every_code_block_is_executed_compared_or_excused() -> None:
    unaccounted = [f"{block.place}: {block.name}" for block in blocks() if account(block) is None]
    assert unaccounted == [], "execute it, hold it to the code, or give a reason in tests/docs/code_block_checks.py"


def test_new_code_block_is_not_covered_by_default() -> None:
    place = Place("docs/cms.md", "rules", 1)
    assert account(Block(place, "json", "{}")) is not None
    assert account(Block(place, "json", "{}", number=2)) is None
    assert account(Block(place, "sh", "make run")) is None


def test_every_registered_code_block_exists() -> None:
    names = {block.name for block in blocks()}
    assert [name for name in ACCOUNTS if name not in names] == []
    shown = {(block.place.page, block.language) for block in blocks()}
    assert [each for each in ALL_OF_A_PAGE if each not in shown] == []


def test_every_test_registered_for_a_block_exists() -> None:
    answering = {*ALL_OF_A_PAGE.values(), *ALL_OF_A_LANGUAGE.values(), *ACCOUNTS.values()}
    missing = []
    for each in answering:
        if isinstance(each, NotRun):
            assert each.why
            continue
        file, _, name = each.test.partition("::")
        path = ROOT / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
        if name not in {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }:
            missing.append(each.test)
    assert missing == []


def test_json_blocks_are_valid_json() -> None:
    wrong = []
    for block in blocks("json"):
        if isinstance(account(block), NotRun):
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


def test_folder_map_names_every_folder() -> None:
    (drawn,) = [block.text for block in pages()["CONTRIBUTING.md"].blocks if block.place.section == "where-things-are"]
    named = re.findall(r"^([\w./-]+)\s{2,}", drawn, re.MULTILINE)
    assert [name for name in named if not (ROOT / name).exists()] == []
    rooms = {path.name + "/" for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    assert rooms - set(named) - {f"{name}/" for name in LEFT_OUT_OF_THE_MAP} == set()
