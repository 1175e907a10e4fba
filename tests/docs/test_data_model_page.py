"""Tables of the data model page equal what the app writes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from events.batch import decode, encode
from shared.adapters.bus.port import ROLLUP, SIGNALS
from shared.adapters.documents.port import CONTAINERS, DAY_SECONDS
from shared.domain import user_signals as signals
from tests.docs.pages import ROOT, pages, rows, section_text
from tests.stored_documents import Json, Stored, one_of_everything

PAGE = pages()["docs/data-model.md"].text


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
    """One kind of document as the page describes it."""

    id: str = ""
    lives: str = ""
    fields: dict[str, Field] = field(default_factory=dict)


def fields_of(cells: list[str]) -> dict[str, Field]:
    """Return the fields of a row: one type for all of them, or one for each."""
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
        for cells in rows(section_text(PAGE, f"`{container}`", "###")):
            if head := re.fullmatch(r"\*\*`([\w-]+)`\*\*", cells[0]):
                life = re.match(r"\*\*([^*]+)\*\*", cells[2])
                assert life, cells
                current = Described(cells[1], life[1])
                found[container, head[1]] = current
            else:
                current.fields |= fields_of(cells)
    found["videos", "audit"] = found["stories", "audit"] = found["tenants", "audit"]
    return found


def table_of(title: str, level: str = "##") -> dict[str, Field]:
    """The fields of the first table under a heading."""
    table = section_text(PAGE, title, level).partition("\n| ")[2].partition("\n\n")[0]
    return {name: field for cells in rows(f"| {table}") for name, field in fields_of(cells).items()}


def flat(body: Json, known: dict[str, Field], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every field by its path (`a.b`, `list[].c`), as deep as the table goes."""
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
    """Return fields that the documents have and the table lacks, and the reverse."""
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
    """Return the outermost field of a path, which can be null as a whole."""
    return re.split(r"[.\[]", path)[0]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return asyncio.run(one_of_everything(tmp_path_factory.mktemp("stored")))


def test_every_kind_of_document_is_described_and_no_other(stored: Stored) -> None:
    written = {(container, kind) for container, kind, _ in stored.kinds()}
    assert written == set(described())


def test_every_document_kind_in_the_code_is_written_by_the_test(stored: Stored) -> None:
    written = {kind for _, kind, _ in stored.kinds()}
    sources = [path for room in ("feed", "events", "cms", "shared") for path in (ROOT / room).rglob("*.py")]
    named = {kind for path in sources for kind in re.findall(r'"kind": "([\w-]+)"', path.read_text())}
    assert named <= written


def test_documents_have_exactly_the_fields_of_the_tables(stored: Stored) -> None:
    wrong = []
    for container, kind, bodies in stored.kinds():
        aside = {"id", "kind", CONTAINERS[container].partition_field}
        plain = [{name: value for name, value in body.items() if name not in aside} for body in bodies]
        wrong += differences(f"{container} · {kind}", plain, described()[container, kind].fields)
    assert wrong == []


def test_document_ids_and_ttls_are_those_of_the_tables(stored: Stored) -> None:
    wrong = []
    for container, kind, bodies in stored.kinds():
        says = described()[container, kind]
        begins = re.match(r"`([^`…]+)…?`$", says.id)
        wrong += [body["id"] for body in bodies if begins and not body["id"].startswith(begins[1])]
        days = re.match(r"(\d+) days$", says.lives)
        ttls = {body.get("ttl") for body in bodies}
        if days and ttls != {int(days[1]) * DAY_SECONDS}:
            wrong.append(f"{kind} lives {says.lives}: {ttls}")
    assert wrong == []


def test_tombstones_keep_their_identifying_fields(stored: Stored) -> None:
    known = table_of("Tombstones", "###")
    bodies = [{k: v for k, v in body.items() if k not in ("id", "kind", "tenantId")} for body in stored.tombstones()]
    assert bodies
    assert [each for each in differences("tombstone", bodies, known) if "nothing has" not in each] == []


def test_parts_of_signals_have_the_documented_caps() -> None:
    caps = {cells[0]: int(cells[1]) for cells in rows(section_text(PAGE, "Parts and caps", "###"))}
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


def test_archived_lines_have_the_documented_fields(stored: Stored) -> None:
    assert stored.archived
    assert differences("a line", stored.archived, table_of("Line of the archive")) == []


def test_every_blob_container_and_name_pattern_is_described(stored: Stored) -> None:
    names = {
        re.findall(r"`([^`]+)`", cells[0])[0]: cells[1]
        for cells in rows(section_text(PAGE, "Blobs"))
        if len(cells) == 4
    }
    assert set(names) == set(stored.blobs)
    for container, found in stored.blobs.items():
        ending = names[container].strip("`").rpartition(".")[2]
        assert found
        assert all(name.endswith(f".{ending}") for name in found)


def test_messages_have_the_documented_body(stored: Stored) -> None:
    batches = [(message.message_id.removesuffix(".rollup"), decode(message.body)) for message in stored.messages]
    bodies = [orjson.loads(encode(batch, 1)) for _, together in batches for batch in together]
    assert {message.to for message in stored.messages} == {SIGNALS, ROLLUP}
    assert differences("a message", bodies, table_of("The body of a message", "###")) == []
    lengths = {name: {len(row) for body in bodies for row in body[name]} for name in ("requests", "events")}
    assert lengths == {"requests": {7}, "events": {7}}
    assert [id for id, together in batches if len(together) == 1 and id != together[0].id] == []
