"""Checks a response against the OpenAPI document: status, media type, problem code and schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator

import function_app
from shared.web.client_schemas import KNOWN_VALUES

BY_THE_HOST = {405, 431}
"""Status codes the host can answer before the app is called."""


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Return every documented path with its pattern, those without parameters first."""
    paths = sorted(function_app.api.document["paths"], key=lambda path: path.count("{"))
    return {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "/?", re.IGNORECASE) for path in paths}


def documented_path(method: str, path: str) -> str | None:
    """Return the path of the document that a request matches, such as `/v1/cms/rules/{id}`."""
    for documented, pattern in _patterns().items():
        if pattern.fullmatch(path) and method.lower() in function_app.api.document["paths"][documented]:
            return documented
    return None


@cache
def _validator(path: str, method: str, status: str, media_type: str) -> Draft202012Validator:
    content = function_app.api.document["paths"][path][method]["responses"][status]["content"]
    assert media_type in content, f"{method} {path} {status} is documented as {sorted(content)}, not {media_type}"
    return Draft202012Validator(closed_with_components(content[media_type]["schema"]))


def known_values_only(schema: Any) -> Any:
    """Return the schema without room for values it does not name."""
    if isinstance(schema, list):
        return [known_values_only(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: known_values_only(part) for name, part in schema.items()}
    if KNOWN_VALUES in schema:
        shut["enum"] = [*schema[KNOWN_VALUES], *([None] if "null" in schema["type"] else [])]
    return shut


def closed(schema: Any) -> Any:
    """Return the schema without room for values and fields it does not name. Clients must accept those; the app may
    not send undocumented ones."""
    return _known_fields_only(known_values_only(schema))


def closed_with_components(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the document, closed, with the schemas it references."""
    return {**closed(schema), "components": _closed_components()}


@cache
def _closed_components() -> Any:
    return closed(function_app.api.document["components"])


def _known_fields_only(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_known_fields_only(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: _known_fields_only(part) for name, part in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        shut.setdefault("additionalProperties", False)
    return shut


def codes_of(answer: Mapping[str, Any]) -> list[str]:
    """Return the problem codes that a response names in its description."""
    return re.findall(r"^- `(\w+)`: ", answer["description"], re.MULTILINE)


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail when the document does not allow this response. Undocumented paths are not checked."""
    documented = documented_path(method, path.partition("?")[0])
    if documented is None or status in BY_THE_HOST:
        return
    operation: dict[str, Any] = function_app.api.document["paths"][documented][method.lower()]
    answer = operation["responses"].get(str(status))
    media_type = headers.get("Content-Type", "").partition(";")[0]
    code = orjson.loads(body).get("code") if status >= 400 and media_type.endswith("json") else None
    assert answer is not None, f"{method} {documented} answered {status} {code}, which is not documented"
    if code is not None:
        assert code in codes_of(answer), f"{method} {documented} answered {status} {code}, which is not documented"
    if "Retry-After" in answer.get("headers", {}):
        assert int(headers["Retry-After"]) >= 1
    if "content" not in answer:
        assert not body
        return
    if media_type.endswith("json"):
        error = next(
            _validator(documented, method.lower(), str(status), media_type).iter_errors(orjson.loads(body)), None
        )
        assert error is None, f"{method} {documented} {status} {code}: {error and error.message}"
