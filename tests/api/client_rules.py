"""Checks an OpenAPI document for constructs that break client generators.

Each rule stands for a generator that crashed, a field that wrongly became required, or apps that would fail on a new
value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

METHOD_NAME = re.compile(r"[a-z]+([A-Z][a-z0-9]+)*")
LEAKED = ("ge", "le", "gt", "lt", "multiple_of", "max_length", "min_length")
"""Names of bounds that JSON Schema does not define, so validators ignore them."""
RESERVED = frozenset(("delete", "import", "export", "in", "is", "new", "class", "return", "function", "default", "fun"))
"""Reserved words of some programming language."""


def faults_of(document: dict[str, Any]) -> list[str]:
    """Return one line per construct that breaks a generator or client; [] for a good document."""
    return [
        *(f"{place}: {fault}" for place, schema in schemas_of(document) for fault in _faults(schema)),
        *(f"{place}: inline object" for place, schema in schemas_of(document) if _is_inline(place, schema)),
        *_operation_ids(document),
    ]


def schemas_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema of the document with its place."""
    for name, schema in document["components"]["schemas"].items():
        yield from _inside(schema, name)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            place = f"{method} {path}"
            for parameter in operation.get("parameters", ()):
                yield from _inside(parameter["schema"], f"{place} {parameter['name']}")
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                yield from _inside(content["schema"], f"{place} {media_type}")
            for status, answer in operation["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    yield from _inside(content["schema"], f"{place} {status} {media_type}")


def _inside(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(schema, dict):
        return
    yield place, schema
    for name, part in schema.get("properties", {}).items():
        yield from _inside(part, f"{place}.{name}")
    for keyword in ("items", "additionalProperties"):
        yield from _inside(schema.get(keyword), f"{place}.{keyword}")
    for keyword in ("anyOf", "oneOf", "allOf"):
        for at, part in enumerate(schema.get(keyword, ())):
            yield from _inside(part, f"{place}.{keyword}[{at}]")


def _faults(schema: dict[str, Any]) -> Iterator[str]:
    values = schema.get("enum", ())
    if len(values) != len({repr(value) for value in values}):
        yield "duplicate value in enum"
    if "enum" in schema or "const" in schema:
        yield "closed list of values, which may grow"
    if "default" in schema:
        yield "default null" if schema["default"] is None else "default, which TypeScript makes a required field of"
    yield from (f"{name} is no keyword of JSON Schema" for name in LEAKED if name in schema)
    if schema.get("nullable") is not None:
        yield "nullable is OpenAPI 3.0"
    if isinstance(schema.get("title"), str):
        yield "title, which some generators take for a name"
    if "anyOf" in schema and [part.get("type") for part in schema["anyOf"]].count("null"):
        others = [part for part in schema["anyOf"] if part.get("type") != "null"]
        if len(others) == 1 and "$ref" not in others[0]:
            yield 'a union with null that could be type: [x, "null"]'


def unions_of(document: dict[str, Any]) -> list[str]:
    """Yield the places of union-typed values, for which Kotlin has no type. Null does not count as a type."""
    return [
        place
        for place, schema in schemas_of(document)
        for parts in [schema.get("anyOf") or schema.get("oneOf") or ()]
        if len([part for part in parts if part.get("type") != "null"]) > 1
    ]


def _is_inline(place: str, schema: dict[str, Any]) -> bool:
    """Return whether a generator has to invent a name for an object."""
    return "properties" in schema and not re.fullmatch(r"\w+", place) and not place.startswith("get /openapi.json")


def _operation_ids(document: dict[str, Any]) -> Iterator[str]:
    ids = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    for name, times in Counter(name.lower() for name in ids).items():
        if times > 1:
            yield f"{name}: {times} operations of that name"
    for name in ids:
        if not METHOD_NAME.fullmatch(name) or name in RESERVED:
            yield f"{name}: no good name of a method"
