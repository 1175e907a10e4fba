"""JSON schemas as client generators can use them, from those that pydantic makes. Pure.

What a generator turns into code has to outlive this release: a value that comes later must not break an app that is
out already, and a field that can be left out must stay so in every language.
"""

from __future__ import annotations

from typing import Any

import orjson

KNOWN_VALUES = "x-extensible-enum"
"""The values of today, for programs. An `enum` would make clients refuse the values of tomorrow."""
MORE = "More may come."
IN_APPS = "x-in-apps"
"""Where a value is read in several spellings: the one that the document for apps has. Kotlin knows no unions."""

_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
"""What pydantic leaves behind where a validator stands before the bound, and the keyword that schemas have for it."""
_VALUES = ("enum", "const", "default", "example", "examples", KNOWN_VALUES, IN_APPS)
"""Keywords that hold values, or a schema that is ready."""
_NUMBERS = ("number", "integer")
_MAX_INT32 = 2**31 - 1


def client_schema(schema: Any) -> Any:
    """The schema without titles, closed lists of values, defaults and other spellings that generators trip over."""
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
    """The schema with one spelling for each value that has one of its own in apps (`IN_APPS`)."""
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
    """Bounds under their own names, at the numbers that they are about."""
    bounds = {_BOUNDS[name]: schema[name] for name in _BOUNDS if name in schema}
    if not bounds:
        return schema
    rest = {name: value for name, value in schema.items() if name not in _BOUNDS}
    if "anyOf" in rest:
        branches = [{**part, **bounds} if part.get("type") in _NUMBERS else part for part in rest["anyOf"]]
        return {**rest, "anyOf": branches}
    return {**rest, **bounds}


def _with_simple_unions(schema: dict[str, Any]) -> dict[str, Any]:
    """One branch for numbers, whole or not, and `type: [x, "null"]` in place of a union with null."""
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
    """A default in the description: as a keyword it makes the field required in TypeScript, and clients that are out
    would go on sending the default of the day they were made. Nothing, null and empty go without saying."""
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
    if not all(isinstance(value, str) for value in values):  # `true` alone: a boolean says enough
        return rest
    rest.setdefault("type", "string")
    named = ", ".join(f"`{value}`" for value in values)
    said = all(f"`{value}`" in rest.get("description", "") for value in values)
    return {**_saying(rest, MORE if said else f"Known values: {named}. {MORE}"), KNOWN_VALUES: values}


def _with_format(schema: dict[str, Any]) -> dict[str, Any]:
    """How large a number can be, for languages that have several kinds of it."""
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
