"""Holds an answer of the app against the OpenAPI document: its status, its media type, its code and its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator

import function_app

BY_THE_HOST = {405, 431}
"""What the host may answer before the app is asked."""


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """The documented paths as patterns, those without parameters first."""
    paths = sorted(function_app.api.document["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in paths]


def documented_path(method: str, path: str) -> str | None:
    """The documented path that a request with this method goes to, None when there is none."""
    paths = function_app.api.document["paths"]
    for pattern, documented in _patterns():
        if pattern.fullmatch(path) and method.lower() in paths[documented]:
            return str(documented)
    return None


@cache
def _validator(path: str, method: str, status: str, media_type: str) -> Draft202012Validator:
    content = function_app.api.document["paths"][path][method]["responses"][status]["content"]
    assert media_type in content, f"{method} {path} {status} is documented as {sorted(content)}, not {media_type}"
    schema = {**content[media_type]["schema"], "components": function_app.api.document["components"]}
    return Draft202012Validator(closed(schema))


def closed(schema: Any) -> Any:
    """The schema with no room for fields it does not name. Clients must leave that room; we may not use it unsaid."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(part) for name, part in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        shut.setdefault("additionalProperties", False)
    return shut


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail when the document does not know this answer. Paths it does not have are nobody's promise."""
    found = documented_path(method, path.partition("?")[0])
    if found is None or status in BY_THE_HOST:
        return
    operation: dict[str, Any] = function_app.api.document["paths"][found][method.lower()]
    answer = operation["responses"].get(str(status))
    media_type = headers.get("Content-Type", "").partition(";")[0]
    code = orjson.loads(body).get("code") if status >= 400 and media_type.endswith("json") else None
    assert answer is not None, f"{method} {found} answered {status} {code}, which is not documented"
    if "Retry-After" in answer.get("headers", {}):
        assert int(headers["Retry-After"]) >= 1
    if "content" not in answer:
        assert not body
        return
    if media_type.endswith("json"):
        error = next(_validator(found, method.lower(), str(status), media_type).iter_errors(orjson.loads(body)), None)
        assert error is None, f"{method} {found} {status} {code}: {error and error.message}"
