"""The words in which answers are described: types with and without null, and the fields of a form as they are answered.

The bounds of a form stay with what is sent, and nothing is closed: an answer may hold what was stored under other
bounds, and gains fields with time, so a client must refuse neither. Pure.
"""

from __future__ import annotations

from typing import Any

from cms.forms import Form
from shared.web.openapi import Schema

Fields = dict[str, Schema]

TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
MAYBE_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0}
YES_NO: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_SAID = ("type", "enum", "anyOf", "items", "properties", "additionalProperties")
"""What a form says of a field that also holds for the field in an answer."""


def object_of(fields: Fields, *optional: str) -> Schema:
    """All of these fields, but for the optional ones; more may come with time."""
    return {"type": "object", "required": [name for name in fields if name not in optional], "properties": fields}


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def map_of(value: Schema, what: str = "") -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": value}
    return {**schema, "description": what} if what else schema


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def said(schema: Schema, what: str) -> Schema:
    return {**schema, "description": what}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def fields_of(form: type[Form]) -> Fields:
    """A form's fields as they are answered."""
    schema = form.model_json_schema()
    return {name: _answered(each, schema.get("$defs", {})) for name, each in schema["properties"].items()}


def _answered(schema: Any, forms: dict[str, Any]) -> Any:
    if "$ref" in schema:
        schema = forms[schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        return object_of({name: _answered(each, forms) for name, each in schema["properties"].items()})
    kept: dict[str, Any] = {name: value for name, value in schema.items() if name in _SAID}
    if "anyOf" in kept:
        kept["anyOf"] = [_answered(each, forms) for each in kept["anyOf"]]
    for inner in ("items", "additionalProperties"):
        if isinstance(kept.get(inner), dict):
            kept[inner] = _answered(kept[inner], forms)
    return kept
