"""The OpenAPI 3.1 document, put together from what each room declares beside its handlers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import orjson

from shared.web.docs_page import render
from shared.web.problem_codes import CODES

VERSION = "1.0.0"
Schema = Mapping[str, Any]

DESCRIPTION = """\
Decides which vertical videos a person sees next inside an app.

Every error is `application/problem+json` (RFC 9457) with a stable `code` and an `errorId`; build on `code`, never on
`detail`. On 429 and 503 wait as `Retry-After` says, then repeat the call; on any other 4xx change it first. Limits of
rate hold in each process; what a key may do in all is limited at the entry.
"""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something beside the body. `where`: query, header or path."""

    name: str
    where: str
    description: str
    schema: Schema
    required: bool = False
    example: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no problem. `schema` None: without a body. `headers`: name → what it says."""

    description: str
    schema: Schema | None = None
    example: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent. `examples`: name → a body."""

    schema: Schema
    examples: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route. `scopes`: a key needs one of them; none at all means open to anybody.

    `problems` are codes of the table; a test fails when the handler answers with another.
    """

    method: str
    path: str
    id: str
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    description: str = ""
    scopes: tuple[str, ...] = ()
    token_instead: bool = False
    """Whether a user token may stand in for the scope."""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    problems: tuple[str, ...] = ()


X_USER = Parameter(
    "X-User",
    "header",
    "The user: 64 lower-case hex digits, the HMAC-SHA-256 of your user id under your tenant's salt. Never the id.",
    {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    required=True,
    example="5f" * 32,
)
X_USER_TOKEN = Parameter(
    "X-User-Token",
    "header",
    "A JWT of the tenant's backend that proves X-User; required where the tenant says so.",
    {"type": "string", "maxLength": 4_096},
)

TAGS = {
    "feed": "What an SDK calls to show videos.",
    "events": "What an SDK calls to report what was watched.",
    "privacy": "What is stored about a user: show it, delete it.",
    "operators": "Looking at one user's signals and switching one tenant; not reachable through the public entry.",
    "videos": "What there is to show: for content teams.",
    "steering": "Configuration, rules, playlists, models, experiments, and what they would do: for content teams.",
    "access": "Tenants and keys: for operators.",
    "service": "Whether the service is well, and this document.",
}


def problem_schema() -> Schema:
    """The shape of every error."""
    return {
        "type": "object",
        "required": ["type", "title", "status", "code", "detail", "errorId"],
        "properties": {
            "type": {"type": "string", "const": "about:blank"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "Stable; build on this."},
            "detail": {"type": "string", "description": "For people; may change."},
            "errorId": {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "Quote it when you ask us."},
            "errors": {
                "type": "array",
                "description": "The faults of a document, field by field.",
                "items": {
                    "type": "object",
                    "required": ["field", "code", "message"],
                    "properties": {
                        "field": {"type": "string"},
                        "code": {"type": "string"},
                        "message": {"type": "string"},
                    },
                },
            },
        },
    }


class Room(Protocol):
    """What a room's module of operations holds."""

    OPERATIONS: tuple[Operation, ...]
    SCHEMAS: dict[str, Schema]


class ApiDocument:
    """The document of some rooms, put together when it is first asked for."""

    def __init__(self, *rooms: Room) -> None:
        self._rooms = rooms

    @cached_property
    def document(self) -> dict[str, Any]:
        """The document as data."""
        schemas = {name: schema for room in self._rooms for name, schema in room.SCHEMAS.items()}
        return compose([operation for room in self._rooms for operation in room.OPERATIONS], schemas)

    @cached_property
    def json(self) -> bytes:
        """The document as it is served."""
        return orjson.dumps(self.document)

    @cached_property
    def page(self) -> bytes:
        """The document for people."""
        return render(self.document).encode()


def compose(operations: Iterable[Operation], schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """The whole document. `schemas` are named and may be referred to as `#/components/schemas/<name>`."""
    paths: dict[str, dict[str, Any]] = {}
    used: list[str] = []
    for operation in operations:
        paths.setdefault(f"/{operation.path.strip('/')}", {})[operation.method.lower()] = _operation(operation)
        if operation.tag not in used:
            used.append(operation.tag)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Personalized video feed", "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": TAGS[tag]} for tag in used],
        "paths": paths,
        "components": {
            "schemas": {"Problem": problem_schema(), **schemas},
            "securitySchemes": {
                "tenant": {"type": "apiKey", "in": "header", "name": "X-Tenant-Id", "description": "The tenant's id."},
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Api-Key",
                    "description": "One of the tenant's keys. Scopes: sdk, cms, privacy, ops.",
                },
                "userToken": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-User-Token",
                    "description": "A JWT signed by the tenant's backend: sub = X-User, aud = video-feed, tenant, "
                    "iat, exp at most 24 hours later; RS256, ES256 or EdDSA as its key is.",
                },
            },
        },
    }


def ref(name: str) -> Schema:
    """A named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _operation(operation: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {str(status): _answer(answer) for status, answer in sorted(operation.answers.items())},
    }
    if operation.description:
        made["description"] = operation.description
    if operation.parameters:
        made["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.body is not None:
        examples = {name: {"value": value} for name, value in operation.body.examples.items()}
        content = {"application/json": {"schema": operation.body.schema, "examples": examples}}
        made["requestBody"] = {"required": operation.body.required, "content": content}
    if operation.scopes:
        made["security"] = [{"tenant": [], "apiKey": [scope]} for scope in operation.scopes]
        if operation.token_instead:
            made["security"].append({"tenant": [], "apiKey": ["sdk"], "userToken": []})
    for status in sorted({CODES[code].status for code in operation.problems}):
        made["responses"][str(status)] = _problems([c for c in operation.problems if CODES[c].status == status])
    return made


def _parameter(parameter: Parameter) -> dict[str, Any]:
    made = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }
    return made if parameter.example is None else {**made, "example": parameter.example}


def _answer(answer: Answer) -> dict[str, Any]:
    made: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        made["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    if answer.schema is not None:
        content: dict[str, Any] = {"schema": answer.schema}
        if answer.example is not None:
            content["example"] = answer.example
        made["content"] = {answer.media_type: content}
    return made


def _problems(codes: list[str]) -> dict[str, Any]:
    """One response for all problems of a status: each code with its meaning and an example."""
    first = CODES[codes[0]]
    made: dict[str, Any] = {
        "description": "\n".join(f"- `{code}`: {CODES[code].meaning}" for code in codes),
        "content": {
            "application/problem+json": {
                "schema": {"allOf": [ref("Problem"), {"properties": {"code": {"enum": codes}}}]},
                "examples": {code: {"value": _example(code)} for code in codes},
            }
        },
    }
    if first.retry:
        made["headers"] = {
            "Retry-After": {
                "description": "Whole seconds to wait.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return made


def _example(code: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": code.replace("_", " "),
        "status": CODES[code].status,
        "code": code,
        "detail": CODES[code].meaning,
        "errorId": "9f86d081884c7d65",
    }
