"""The design says what is so: its field tables are compared with documents the app writes, its calls with the routes,
its codes, limits, metrics and files with the code."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

import function_app
from events.batch import decode, encode
from infra import capacity, figures
from shared.adapters.bus.port import ROLLUP, SIGNALS
from shared.adapters.documents.port import CONTAINERS, DAY_SECONDS
from shared.adapters.flags.evaluation import FLAGS
from shared.domain import user_signals as signals
from shared.domain.user_signals import MAX_DOCUMENT_BYTES
from shared.observability.metric_table import METRICS
from shared.web.problem_codes import CODES
from tests.stored_documents import Json, Stored, one_of_everything, read_units, sizes, statistics_bytes, write_units

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "design.md").read_text(encoding="utf-8")
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
OURS = (DOCS / "design.md", DOCS / "ai.md", *sorted((DOCS / "decisions").glob("*.md")))

DELIVERABLES = (
    "Architecture diagram",
    "Data model",
    "API contract",
    "CMS configuration",
    "Trade-offs and decisions",
    "Rollout and observability",
    "With more time",
)
SIZES_DIFFER = 0.35
"""How far a size may be off: names, keys and times differ from run to run."""


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "number": _number,
    "time": lambda value: _number(value) and (value == 0 or 1e9 < value < 4e9),
    "whole": lambda value: _number(value) and value == int(value),
    "flag": lambda value: isinstance(value, bool),
    "texts": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "list": lambda value: isinstance(value, list),
    "map": lambda value: isinstance(value, dict),
}


@dataclass(frozen=True)
class Field:
    """A row of a field table."""

    type: str
    optional: bool

    def fits(self, value: object) -> bool:
        if value is None:
            return self.type.endswith("?")
        return TYPES[self.type.removesuffix("?")](value)


@dataclass
class Described:
    """What the page says about one kind of document."""

    id: str = ""
    lives: str = ""
    bytes: int = 0
    fields: dict[str, Field] = field(default_factory=dict)


def section(title: str, level: str = "##") -> str:
    """The text under a heading, up to the next one of its level or above."""
    begin = re.search(rf"^{level} {re.escape(title)}$", PAGE, re.M)
    assert begin, f"docs/design.md has no heading {title!r}"
    rest = PAGE[begin.end() :]
    end = re.search(rf"^#{{1,{len(level)}}} ", rest, re.M)
    return rest[: end.start()] if end else rest


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of the tables in a text, heads left out."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        ruled = at + 1 < len(lines) and re.match(r"\|[-:| ]+\|$", lines[at + 1])
        if line.startswith("| ") and not ruled:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def fields_of(cells: list[str]) -> dict[str, Field]:
    """A row may describe several fields: one type for all of them, or one for each."""
    names = re.findall(r"`([^`]+)`", cells[0])
    types = [part.strip() for part in cells[1].split(",")]
    optional = "optional" in types
    types = [each for each in types if each != "optional"]
    types = types * len(names) if len(types) == 1 else types
    assert len(types) == len(names), cells
    return {name: Field(type, optional) for name, type in zip(names, types, strict=True)}


def described() -> dict[tuple[str, str], Described]:
    found: dict[tuple[str, str], Described] = {}
    for container in CONTAINERS:
        current = Described()
        for cells in rows(section(f"`{container}`", "####")):
            if head := re.fullmatch(r"\*\*`([\w-]+)`\*\*", cells[0]):
                life = re.match(r"\*\*(.+) · ([\d,]+) bytes\*\*", cells[2])
                assert life, cells
                current = Described(cells[1], life[1], int(life[2].replace(",", "")))
                found[container, head[1]] = current
            else:
                current.fields |= fields_of(cells)
    found["videos", "audit"] = found["stories", "audit"] = found["tenants", "audit"]
    return found


def table_of(title: str) -> dict[str, Field]:
    """The fields of a table that stands alone under a heading."""
    return {name: field for cells in rows(section(title, "####")) for name, field in fields_of(cells).items()}


def flat(body: Json, known: dict[str, Field], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field by its path (`a.b`, `list[].c`), as deep as the table goes."""
    for name, value in body.items():
        path = prefix + name
        nested = any(each.startswith((f"{path}.", f"{path}[].")) for each in known)
        if not nested or path in known or value is None:
            yield path, value
        elif isinstance(value, dict):
            yield from flat(value, known, f"{path}.")
        else:
            for each in value:
                yield from flat(each, known, f"{path}[].")


def differences(name: str, bodies: list[Json], known: dict[str, Field]) -> list[str]:
    """What the documents have and the table has not, and the other way round."""
    wrong: set[str] = set()
    seen: set[str] = set()
    for body in bodies:
        here = set()
        for path, value in flat(body, known):
            here.add(path)
            if value is None and any(each.startswith(f"{path}.") for each in known):
                continue  # null as a whole
            if path not in known:
                wrong.add(f"{name}: the page does not know {path}")
            elif not known[path].fits(value):
                wrong.add(f"{name}: {path} is no {known[path].type}: {value!r}"[:160])
        seen |= here
        wrong |= {f"{name}: {path} is not always there" for path in _missing(known, here)}
    return sorted(wrong | {f"{name}: nothing has {path}" for path in known if path not in seen})


def _missing(known: dict[str, Field], here: set[str]) -> set[str]:
    return {path for path, each in known.items() if not each.optional and path not in here and _root(path) not in here}


def _root(path: str) -> str:
    """The part of a path that is there as a whole, as null, where its parts are not."""
    return re.split(r"[.\[]", path)[0]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return asyncio.run(one_of_everything(tmp_path_factory.mktemp("stored")))


def test_every_kind_of_document_is_described_and_no_other(stored: Stored) -> None:
    written = {(container, kind) for container, kind, _ in stored.kinds()}
    assert written == set(described())


def test_the_code_names_no_kind_of_document_that_was_not_written(stored: Stored) -> None:
    written = {kind for _, kind, _ in stored.kinds()}
    sources = [path for room in ("feed", "events", "cms", "shared") for path in (ROOT / room).rglob("*.py")]
    named = {kind for path in sources for kind in re.findall(r'"kind": "([\w-]+)"', path.read_text())}
    assert named <= written


def test_documents_have_the_fields_that_the_tables_say_and_no_others(stored: Stored) -> None:
    wrong = []
    for container, kind, bodies in stored.kinds():
        aside = {"id", "kind", CONTAINERS[container].partition_field}
        plain = [{name: value for name, value in body.items() if name not in aside} for body in bodies]
        wrong += differences(f"{container} · {kind}", plain, described()[container, kind].fields)
    assert wrong == []


def test_ids_lives_and_sizes_of_documents_are_as_the_tables_say(stored: Stored) -> None:
    wrong = []
    found = {(container, kind): size for container, kind, size in sizes(stored)}
    for container, kind, bodies in stored.kinds():
        says = described()[container, kind]
        begins = re.match(r"`([^`…]+)…?`$", says.id)
        wrong += [body["id"] for body in bodies if begins and not body["id"].startswith(begins[1])]
        days = re.match(r"(\d+) days$", says.lives)
        ttls = {body.get("ttl") for body in bodies}
        if days and ttls != {int(days[1]) * DAY_SECONDS}:
            wrong.append(f"{kind} lives {says.lives}: {ttls}")
        size = found[container, kind]
        if container != "videos" or kind != "audit":
            if abs(says.bytes - size) > SIZES_DIFFER * size:
                wrong.append(f"{container} · {kind} has {size} bytes, not {says.bytes}")
            assert read_units(size) < 1.2, f"{kind}: no longer about one unit"
            assert write_units(size) < 6.55, f"{kind}: no longer about five units"
    assert wrong == []


def test_tombstones_keep_what_readers_know_them_by(stored: Stored) -> None:
    known = table_of("Tombstones")
    bodies = [{k: v for k, v in body.items() if k not in ("id", "kind", "tenantId")} for body in stored.tombstones()]
    assert bodies
    assert [each for each in differences("tombstone", bodies, known) if "nothing has" not in each] == []


def test_figures_of_large_documents_are_what_the_program_prints() -> None:
    text = re.sub(r"\s+", " ", section("Documents", "###"))
    for size in (MAX_DOCUMENT_BYTES, statistics_bytes(2_000), statistics_bytes(10_000)):
        assert f"{size:,}" in text
        assert f"{read_units(size):.1f} and {write_units(size):.1f}" in text


def test_the_parts_of_signals_have_the_caps_that_the_table_says() -> None:
    caps = {cells[0]: int(cells[1]) for cells in rows(section("Inside `packed` of `signals`", "####"))}
    assert caps == {
        "categories": signals.MAX_CATEGORIES,
        "tags": signals.MAX_TAGS,
        "creators": signals.MAX_CREATORS,
        "seen videos": signals.MAX_SEEN,
        "watched long": signals.MAX_WATCHED,
        "skipped": signals.MAX_SKIPPED,
        "not interested": signals.MAX_DISMISSED,
        "follows": signals.MAX_FOLLOWS,
        "play progress": signals.MAX_PROGRESS,
        "identities of events": signals.MAX_IDENTITIES,
        "days": signals.DAILY_DAYS,
    }


def test_archived_lines_have_the_fields_that_the_table_says(stored: Stored) -> None:
    assert stored.archived
    assert differences("a line", stored.archived, table_of("A line of `userevents-raw`")) == []


def test_every_blob_container_is_described_and_names_are_as_said(stored: Stored) -> None:
    names = {
        re.findall(r"`([^`]+)`", cells[0])[0]: cells[1] for cells in rows(section("Blobs", "###")) if len(cells) == 4
    }
    assert set(names) == set(stored.blobs)
    for container, found in stored.blobs.items():
        ending = names[container].strip("`").rpartition(".")[2]
        assert found
        assert all(name.endswith(f".{ending}") for name in found)


def test_messages_have_the_body_that_the_table_says(stored: Stored) -> None:
    batches = [(message.message_id.removesuffix(".rollup"), decode(message.body)) for message in stored.messages]
    bodies = [orjson.loads(encode(batch, 1)) for _, together in batches for batch in together]
    assert {message.to for message in stored.messages} == {SIGNALS, ROLLUP}
    assert differences("a message", bodies, table_of("The body of a message")) == []
    lengths = {name: {len(row) for body in bodies for row in body[name]} for name in ("requests", "events")}
    assert lengths == {"requests": {7}, "events": {7}}
    assert [id for id, together in batches if len(together) == 1 and id != together[0].id] == []


def test_every_route_is_in_the_contract_and_no_other() -> None:
    routes = {(each.method, f"/{each.path}") for each in function_app.api.endpoints}
    assert f"{len(routes)} HTTP endpoints" in PAGE
    named = re.findall(r"`((?:(?:GET|POST|PUT|PATCH|DELETE) )+)(/[^`]*)`", section("API contract"))
    assert {(method, path) for methods, path in named for method in methods.split()} == routes


def test_every_status_a_problem_may_have_is_in_the_contract() -> None:
    said = {
        int(status) for cells in rows(section("API contract")) for status in re.findall(r"\b([45]\d\d)\b", cells[0])
    }
    assert said == {code.status for code in CODES.values()}


def test_the_capacity_table_is_what_the_program_prints() -> None:
    printed = capacity.render(figures.read())
    table = {cells[0]: cells[1:] for cells in rows(printed)}
    says = {cells[0]: cells[1:] for cells in rows(section("Scale"))}
    both = zip(table["instances (2 GB, 1 core): HTTP"], table["instances: folding"], strict=True)
    assert says["instances: HTTP + folding"] == [f"{http} + {fold}" for http, fold in both]
    drainers = "instances: drainers of the roll-up"
    assert says[drainers] == table[drainers]
    assert says["request units a second"] == table["request units a second: everything"]
    for name in ("messaging units", "gateway capacity units", "App Configuration quota used"):
        assert says[name] == table[name]
    for dollars in (table["**together**"][0], table["**together**"][2]):
        assert f"${dollars.strip('*')}" in PAGE


def test_metrics_flags_and_alerts_that_the_page_names_exist() -> None:
    file = json.loads((ROOT / "infra/bicep/alerts.json").read_text())
    alerts = {
        each["name"] for each in [*file["queries"], *(each for group in file["platform"].values() for each in group)]
    }
    table = section("Rollout and observability").partition("**Shipped first**")[2]
    for cells in rows(table):
        for name in re.findall(r"`(\w+)`", cells[1]):
            assert name in METRICS or name == "reason", name
        for name in re.findall(r"`([\w-]+)`", cells[2]):
            assert name in alerts, name
    assert f"all {len(FLAGS)} flags" in PAGE


def test_figures_of_the_ranking_are_those_of_its_page() -> None:
    figure = re.compile(r"[+−]\d+\.\d %(?: \[[^\]]+\])?")
    ranking = (DOCS / "ranking.md").read_text(encoding="utf-8")
    said = figure.findall(re.sub(r"\s+", " ", PAGE))
    assert len(said) > 3
    assert [each for each in said if each not in ranking] == []


def test_each_deliverable_is_a_heading_of_its_own() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.M)
    assert [name for name in DELIVERABLES if name not in headings] == []


@pytest.mark.parametrize("page", OURS, ids=lambda page: str(page.relative_to(DOCS)))
def test_files_modules_targets_and_settings_that_a_page_names_exist(page: Path) -> None:
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


def test_every_decision_has_a_number_of_its_own_and_every_part() -> None:
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
