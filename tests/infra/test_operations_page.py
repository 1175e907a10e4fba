"""The operations page has the capacity tables of the program and lists every action of the operations job."""

from __future__ import annotations

import re
from pathlib import Path

from infra import capacity, figures, operate

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()


def test_capacity_tables_equal_the_program_output():
    printed = capacity.render(figures.read())
    shown = PAGE.partition("<!-- capacity -->\n")[2].partition("<!-- /capacity -->")[0]
    assert shown == printed, "run: python -m infra.capacity, and put what it prints between the two marks"


def test_each_job_action_is_listed():
    for action in operate.ACTIONS:
        assert re.search(rf"`{action}\b", PAGE), action
