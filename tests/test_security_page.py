"""The security page names existing tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_named_on_the_page_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 20
    missing = []
    for file, test in named:
        path = ROOT / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else None
        names = {node.name for node in ast.walk(tree) if hasattr(node, "name")} if tree else set()
        if tree is None or (test and test not in names):
            missing.append(f"{file}::{test}")
    assert missing == []


def test_every_control_has_a_test_or_a_job() -> None:
    section = PAGE.partition("## Controls, each with its test")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| threat")]
    assert rows
    assert [row for row in rows if "`tests/" not in row and "`.github/" not in row] == []
