"""The design page matches the code: calls, metrics, alerts, files and commands.

The index of decisions lists every record, and each has all its parts.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

import function_app
from shared.adapters.flags.evaluation import FLAGS
from shared.observability.metric_table import METRICS
from tests.docs.pages import rows, section_text

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "design.md").read_text(encoding="utf-8")
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
OURS = (
    *(DOCS / name for name in ("design.md", "data-model.md", "reliability.md", "ai.md")),
    *sorted((DOCS / "decisions").glob("*.md")),
)
MOST_LINES = 450

DELIVERABLES = (
    "Architecture diagram",
    "Data model",
    "API contract",
    "CMS configuration",
    "Trade-offs and decisions",
    "Rollout and observability",
    "With more time",
)


def test_design_page_stays_within_its_length() -> None:
    assert len(PAGE.splitlines()) <= MOST_LINES


def test_every_route_is_in_the_contract_and_no_other() -> None:
    routes = {(each.method, f"/{each.path}") for each in function_app.api.endpoints}
    assert f"{len(routes)} HTTP endpoints" in PAGE
    named = re.findall(r"`((?:(?:GET|POST|PUT|PATCH|DELETE) )+)(/[^`]*)`", section_text(PAGE, "API contract"))
    assert {(method, path) for methods, path in named for method in methods.split()} == routes


def test_metrics_flags_and_alerts_named_on_the_page_exist() -> None:
    file = json.loads((ROOT / "infra/bicep/alerts.json").read_text())
    alerts = {
        each["name"] for each in [*file["queries"], *(each for group in file["platform"].values() for each in group)]
    }
    table = section_text(PAGE, "Rollout and observability").partition("**Shipped first**")[2]
    for cells in rows(table):
        for name in re.findall(r"`(\w+)`", cells[1]):
            assert name in METRICS or name == "reason", name
        for name in re.findall(r"`([\w-]+)`", cells[2]):
            assert name in alerts, name
    assert f"all {len(FLAGS)} flags" in PAGE


def test_each_deliverable_has_its_own_heading() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.M)
    assert [name for name in DELIVERABLES if name not in headings] == []


@pytest.mark.parametrize("page", OURS, ids=lambda page: str(page.relative_to(DOCS)))
def test_files_modules_targets_and_settings_named_on_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"`([^`\n]+)`", text)
    makefile = (ROOT / "Makefile").read_text()
    wrong = []
    for quoted in code:
        file = re.fullmatch(r"((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|json|yaml))(?:::(\w+))?", quoted)
        if file and ((ROOT / file[1].partition("/")[0]).exists() or "/" not in file[1]):
            path = ROOT / file[1]
            there = path.exists() and (file[2] is None or f"def {file[2]}(" in path.read_text())
            wrong += [] if there else [quoted]
        for target in re.findall(r"^make ([\w-]+)", quoted):
            wrong += [] if re.search(rf"^{target}:", makefile, re.M) else [quoted]
        for module in re.findall(r"python -m ([\w.]+)", quoted):
            wrong += [] if importlib.util.find_spec(module) else [quoted]
        for tests in re.findall(r"(tests/[\w/.]+)", quoted):
            wrong += [] if (ROOT / tests).exists() else [quoted]
    constants = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text))
    settings = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "settings.md").read_text(), re.M))
    unknown = {name for name in constants - settings if not _is_in_code(name)}
    assert wrong == []
    assert unknown == set()


def _is_in_code(name: str) -> bool:
    rooms = ("feed", "events", "ranking", "cms", "shared")
    return any(
        re.search(rf"^{name}\b", path.read_text(), re.M) for room in rooms for path in (ROOT / room).rglob("*.py")
    )


def test_every_decision_has_a_unique_number_and_every_part() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == sorted(set(numbers)), "a number is given once; those of records under way may be missing"
    wrong = []
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        if not text.startswith(f"# {int(path.name[:4])}. "):
            wrong.append(f"{path.name}: the title has another number")
        parts = re.findall(r"^\*\*([\w ]+)\.\*\*", text, re.M)
        if parts != ["Context", "Options", "Choice", "Consequence", "To undo"]:
            wrong.append(f"{path.name}: {parts}")
    assert wrong == []


def test_the_index_lists_every_decision_by_its_title() -> None:
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"\[([^\]]+)\]\((\d{4}[\w-]+\.md)\)", index)
    titles = {path.name: path.read_text(encoding="utf-8").splitlines()[0].partition(". ")[2] for path in DECISIONS}
    assert {file: title for title, file in listed} == titles
