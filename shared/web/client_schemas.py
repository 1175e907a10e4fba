"""Rewrites pydantic's JSON schemas for client generators. Pure.

Generated clients must work with later releases: a new value must not break a published app, and an optional field must
be optional in every language.
"""

from __future__ import annotations

from typing import Any

import orjson

KNOWN_VALUES = "x-extensible-enum"
"""Keyword for the known values. With an `enum`, clients would refuse the values of later releases."""
MORE = "More may come."
IN_APPS = "x-in-apps"
"""Keyword for the one schema that apps get where a value can be written in several ways. Kotlin has no unions."""

_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
"""Names that pydantic leaves in a schema when a validator precedes the bound → keywords of JSON schema."""
_VALUES = ("enum", "const", "default", "example", "examples", KNOWN_VALUES, IN_APPS)
"""Keywords whose content is copied as it is: values, or a finished schema."""
_NUMBERS = ("number", "integer")
_MAX_INT32 = 2**31 - 1


def client_schema(schema: Any) -> Any:
    """Return the schema without titles, enums, defaults and unions that generators handle badly."""
    if isinstance(schema, list):
        return [client_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _part(name, value) for name, value in schema.items() if not _is_title(name, value)}
    made = _with_bounds(made)
    made = _with_simple_unions(made)
    made = _with_default_in_words(made)
    made = _with_open_values(made)
    return _with_format(made)


def for_apps(schema: Any) -> Any:
    """Return the schema with `IN_APPS` in place of each union that has it."""
    if isinstance(schema, list):
        return [for_apps(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return schema.get(IN_APPS) or {name: for_apps(part) for name, part in schema.items()}


def _part(name: str, value: Any) -> Any:
    if name in ("properties", "$defs") and isinstance(value, dict):
        return {field: client_schema(part) for field, part in value.items()}
    return (
        value
        if name in ("enum", "const", "default", "example", "examples", KNOWN_VALUES, IN_APPS)
        else client_schema(value)
    )


def _is_title(name: str, value: Any) -> bool:
    return name == "title" and isinstance(value, str)


def _with_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """Replace pydantic's names of bounds by the keywords, on the numbers they limit."""
    bounds = {_BOUNDS[name]: schema[name] for name in _BOUNDS if name in schema}
    if not bounds:
        return schema
    rest = {name: value for name, value in schema.items() if name not in _BOUNDS}
    if "anyOf" in rest:
        branches = [{**part, **bounds} if part.get("type") in _NUMBERS else part for part in rest["anyOf"]]
        return {**rest, "anyOf": branches}
    return {**rest, **bounds}


def _with_simple_unions(schema: dict[str, Any]) -> dict[str, Any]:
    """Merge integer and number into one branch, and write `type: [x, "null"]` for a union with null."""
    branches: list[dict[str, Any]] = []
    for part in schema.get("anyOf", ()):
        nested = part.get("anyOf") if part.keys() == {"anyOf"} else None
        branches += nested or [part]
    if not branches:
        return schema
    if any(part.get("type") == "number" for part in branches):
        branches = [part for part in branches if part.get("type") != "integer"]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    values = [part for part in branches if part.get("type") != "null"]
    if len(values) == 1 and len(branches) == 1:
        return {**values[0], **rest}
    if len(values) == 1 and isinstance(values[0].get("type"), str):
        return {**values[0], **rest, "type": [values[0]["type"], "null"]}
    return {**rest, "anyOf": branches}


def _with_default_in_words(schema: dict[str, Any]) -> dict[str, Any]:
    """Move a default into the description, unless it is null or empty.

    As a keyword, it would make the field required in TypeScript, and published clients would keep sending an old
    default.
    """
    if "default" not in schema:
        return schema
    default = schema["default"]
    rest = {name: value for name, value in schema.items() if name != "default"}
    if default is None or default in ("", [], {}) or isinstance(default, dict):
        return rest
    return _saying(rest, f"`{orjson.dumps(default).decode()}` when left out.")


def _with_open_values(schema: dict[str, Any]) -> dict[str, Any]:
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if not isinstance(listed, list):
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("enum", "const")}
    values = list(dict.fromkeys(value for value in listed if value is not None))
    if not all(isinstance(value, str) for value in values):  # only `true`: the type boolean is enough
        return rest
    rest.setdefault("type", "string")
    named = ", ".join(f"`{value}`" for value in values)
    said = all(f"`{value}`" in rest.get("description", "") for value in values)
    return {**_saying(rest, MORE if said else f"Known values: {named}. {MORE}"), KNOWN_VALUES: values}


def _with_format(schema: dict[str, Any]) -> dict[str, Any]:
    """Add `format` to numbers, for languages with several number types."""
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "number" in kinds:
        return {"format": "double", **schema}
    if "integer" in kinds and not schema.get("maximum", _MAX_INT32 + 1) <= _MAX_INT32:
        return {"format": "int64", **schema}
    return schema


def _saying(schema: dict[str, Any], sentence: str) -> dict[str, Any]:
    before = schema.get("description", "")
    gap = "\n\n" if "\n" in before else " "
    return {**schema, "description": f"{before}{gap}{sentence}" if before else sentence}
