"""The operations page says what is so: lines it quotes, tables it repeats, settings it justifies."""

from __future__ import annotations

import json
import re
from pathlib import Path

from infra import capacity, figures, operate

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()


def test_capacity_tables_equal_the_program_output():
    printed = capacity.render(figures.read())
    shown = PAGE.partition("<!-- capacity -->\n")[2].partition("<!-- /capacity -->")[0]
    assert shown == printed, "run: python -m infra.capacity, and put what it prints between the two marks"


def test_each_host_setting_is_justified():
    host = json.loads((ROOT / "host.json").read_text())
    section = PAGE.partition("## host.json, line by line")[2].partition("\n## ")[0]
    for extension in host["extensions"].values():
        for name in extension:
            assert f"{name}`" in section, f"{name} has no reason"
    for name in ("logLevel", "samplingSettings", "functionTimeout"):
        assert name in section


def test_each_job_action_is_listed():
    for action in operate.ACTIONS:
        assert re.search(rf"`{action}\b", PAGE), action


def test_files_named_on_the_page_exist():
    for link in re.findall(r"\]\(\.\./([^)#]+)\)", PAGE):
        assert (ROOT / link).exists(), link
