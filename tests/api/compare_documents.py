"""`python -m tests.api.compare_documents OLD.json NEW.json` lists what changed between two API documents.

Compares what a client sees: paths, methods, operation ids, scopes, parameters, status codes, problem codes, response
headers, and every field of every body with its types, its values and whether it is required. Ignores texts for people,
and how a schema is written (by reference or inline, `null` in a list of types or in `anyOf`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.web.client_schemas import KNOWN_VALUES

METHODS = ("get", "put", "post", "delete", "patch")


def facts_of(document: dict[str, Any]) -> set[str]:
    """Return everything a client sees of a document, one line each."""
    return {
        f"{method.upper()} {path} {fact}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
        for fact in _operation(operation, document)
    }


def _operation(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    yield f"id {operation['operationId']}"
    for way in operation.get("security", ()):
        yield f"security {json.dumps(way, sort_keys=True)}"
    for parameter in operation.get("parameters", ()):
        where = f"parameter {parameter['in']} {parameter['name']}"
        yield f"{where} {'required' if parameter.get('required') else 'optional'}"
        yield from _schema(parameter["schema"], where, document)
    if "requestBody" in operation:
        yield f"body {'required' if operation['requestBody'].get('required') else 'optional'}"
        for media_type, content in operation["requestBody"]["content"].items():
            yield from _schema(content["schema"], f"body {media_type}", document)
    for status, response in operation["responses"].items():
        yield f"{status}"
        yield from (f"{status} header {name}" for name in response.get("headers", ()))
        for media_type, content in response.get("content", {}).items():
            yield from _schema(content["schema"], f"{status} {media_type}", document)
            yield from (f"{status} example {name}" for name in content.get("examples", ()))  # problem codes


def _schema(schema: Any, place: str, document: dict[str, Any], inside: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the facts of a schema: `place type`, `place.field required`, …; a recursive schema ends there."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in inside:
            return
        yield from _schema(document["components"]["schemas"][name], place, document, (*inside, name))
        return
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _schema(part, place, document, inside)
    kinds = schema.get("type", ())
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        yield f"{place} type {kind}"
    for value in [*schema.get("enum", schema.get(KNOWN_VALUES, ())), *([schema["const"]] if "const" in schema else [])]:
        yield f"{place} value {json.dumps(value)}"
    for name in ("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems", "pattern"):
        if name in schema:
            yield f"{place} {name} {schema[name]}"
    if "format" in schema:
        yield f"{place} format {schema['format']}"
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield f"{place}.{name} {'required' if name in required else 'optional'}"
        yield from _schema(field, f"{place}.{name}", document, inside)
    if isinstance(schema.get("items"), dict):
        yield from _schema(schema["items"], f"{place}[]", document, inside)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _schema(schema["additionalProperties"], f"{place}{{}}", document, inside)


def main() -> int:
    """Print the differences; exit code 1 when there are any."""
    old, new = (facts_of(json.loads(Path(name).read_text(encoding="utf-8"))) for name in sys.argv[1:3])
    lines = sorted([f"- {fact}" for fact in old - new] + [f"+ {fact}" for fact in new - old], key=lambda line: line[2:])
    print("\n".join([*lines, f"{len(old)} facts before, {len(new)} after, {len(lines)} differ"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
