"""Makes the OpenAPI 3.1 document from the endpoints that the API classes declare. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.web.client_schemas import client_schema, for_apps
from shared.web.declaration import ANY_OBJECT, Endpoint, Model, Parameter, Response, Schema
from shared.web.problem_codes import ANY, BODY, CODES, TENANT

VERSION = "1.0.0"
_REFERENCE = "#/components/schemas/{model}"
_ANY_OBJECT = "Fields"

DESCRIPTION = """\
Decides which vertical videos a person sees next inside an app.

Every error is `application/problem+json` (RFC 9457) with a stable `code` and an `errorId`; build on `code`, never on
`detail`. On 429 and 503 wait as `Retry-After` says, then repeat the call; on any other 4xx change it first. Rate limits
hold in each process; the entry limits the total of a key.
"""


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

USERS_OWN_TOKEN = replace(X_USER_TOKEN, description="A JWT of the tenant's backend that proves X-User.", required=True)

BRANDS_OR_USERS_TOKEN = replace(
    X_USER_TOKEN,
    description="A JWT of the tenant's backend that proves X-User. A server's key of scope `cms` may leave it out: "
    "X-User then names a brand of the tenant's, by 64 hex digits of its choice, which is never a person.",
)

X_PERSONALIZATION = Parameter(
    "X-Personalization",
    "header",
    "`off`: the user opted out.",
    {"type": "string", "pattern": "^(on|off)?$"},
)

TAGS = {
    "feed": "Get pages of videos. Called by the SDK.",
    "events": "Report what a user watched and did. Called by the SDK.",
    "lists": "Read and change a user's own lists, and read series in order.",
    "people": "Read and change who follows whom. People have public ids, which other users of the tenant can see.",
    "stories": "Post stories, which last for a day, and read views, reactions and reports.",
    "privacy": "Export and delete the stored data of a user.",
    "operators": "Read one user's signals and switch one tenant. Not reachable through the public entry.",
    "videos": "Manage the catalog: for content teams.",
    "steering": "Manage configuration, rules, playlists, models and experiments, and preview feeds: for content teams.",
    "access": "Manage tenants and keys: for operators.",
    "service": "Check the service's health and read this document.",
}


def problem_schema() -> Schema:
    """Return the schema of every error."""
    return {
        "type": "object",
        "required": ["type", "title", "status", "code", "detail", "errorId"],
        "properties": {
            "type": {"type": "string", "description": "`about:blank`: `code` says more."},
            "title": {"type": "string"},
            "status": {"type": "integer", "description": "The status of the response.", "minimum": 400, "maximum": 599},
            "code": {
                "type": "string",
                "description": "Stable; build on this. Each response names its codes. More may come: treat one that "
                "you do not know by its status.",
            },
            "detail": {"type": "string", "description": "For people; may change."},
            "errorId": {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "Quote it when you ask us."},
            "errors": {
                "type": "array",
                "description": "The faults of a document, field by field.",
                "items": _reference("ProblemField"),
            },
        },
    }


def problem_field_schema() -> Schema:
    """Return the schema of one fault of a document."""
    return {
        "type": "object",
        "required": ["field", "code", "message"],
        "properties": {
            "field": {"type": "string", "description": "A path, empty for the document as a whole."},
            "code": {"type": "string", "description": "Stable. More may come."},
            "message": {"type": "string", "description": "For people; may change."},
        },
    }


def problems_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Return every problem code of an endpoint: its own, and those of authentication, of bodies and of any call."""
    if endpoint.plain:
        return endpoint.problems
    authentication = TENANT if endpoint.scopes or endpoint.token_instead else ()
    body = BODY if endpoint.body is not None else ()
    flag = ("not_found",) if endpoint.flag else ()
    return tuple(dict.fromkeys((*authentication, *endpoint.problems, *flag, *body, *ANY)))


class ApiDocument:
    """OpenAPI document of some endpoints, made at first use."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)

    @cached_property
    def document(self) -> dict[str, Any]:
        """Document as a dictionary."""
        return compose(self.endpoints)

    @cached_property
    def json(self) -> bytes:
        """Document as JSON bytes."""
        return orjson.dumps(self.document)

    @cached_property
    def sdk_document(self) -> dict[str, Any]:
        """Document of the endpoints for apps: those called with an app's key or a user's token."""
        composed: dict[str, Any] = for_apps(compose(filter(None, map(as_apps_call, self.endpoints))))
        return composed

    @cached_property
    def sdk_json(self) -> bytes:
        """Document for apps as JSON bytes."""
        return orjson.dumps(self.sdk_document)


def as_apps_call(endpoint: Endpoint) -> Endpoint | None:
    """Return the endpoint as apps can call it: with a key of scope `sdk`, or with any key and a user's token. None if
    they cannot."""
    if "sdk" in endpoint.scopes:
        return replace(endpoint, scopes=("sdk",))
    return replace(endpoint, scopes=()) if endpoint.token_instead else None


def compose(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the document of these endpoints. Models become named schemas, `#/components/schemas/<name>`."""
    paths: dict[str, dict[str, Any]] = {}
    used: list[str] = []
    models: dict[Model, None] = {}
    codes: list[str] = []
    shared: dict[str, Schema] = {"Problem": problem_schema(), "ProblemField": problem_field_schema()}
    for each in endpoints:
        paths.setdefault(f"/{each.path.strip('/')}", {})[each.method.lower()] = _operation(each)
        models |= dict.fromkeys(_models_of(each))
        codes += problems_of(each)
        if any(content is ANY_OBJECT for content in _contents(each)):
            shared[_ANY_OBJECT] = {**ANY_OBJECT, "description": "Some fields; which ones there are says the operation."}
        if each.tag not in used:
            used.append(each.tag)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Personalized video feed", "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": TAGS[tag]} for tag in used],
        "paths": paths,
        "components": {
            "schemas": {**shared, **schemas_of(models)},
            "examples": {code: {"value": _example(code)} for code in dict.fromkeys(codes)},
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


def schemas_of(models: Iterable[Model]) -> dict[str, Schema]:
    """Return the JSON schema of each model, and of the models it refers to, by name.

    All are validation schemas: a field without a default is required. That fits requests, and also responses, which
    leave out an unset field that has a default.
    """
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    return {name: client_schema(schema) for name, schema in found.get("$defs", {}).items()}


def _contents(endpoint: Endpoint) -> Iterator[Model | Schema | None]:
    yield from (response.content for response in endpoint.responses.values())
    if endpoint.body is not None:
        yield endpoint.body.content


def _models_of(endpoint: Endpoint) -> Iterator[Model]:
    yield from (each for each in _contents(endpoint) if isinstance(each, type) and issubclass(each, BaseModel))


def _schema(content: Model | Schema) -> Schema:
    if content is ANY_OBJECT:
        return _reference(_ANY_OBJECT)
    if isinstance(content, Mapping):
        fit: Schema = client_schema(dict(content))
        return fit
    return _reference(content.__name__)


def _reference(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(model=name)}


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "responses": {str(status): _response(each) for status, each in sorted(endpoint.responses.items())},
    }
    if endpoint.description:
        made["description"] = endpoint.description
    parameters = (*map(_path_parameter, endpoint.path_names), *endpoint.parameters)
    if parameters:
        made["parameters"] = [_parameter(each) for each in parameters]
    if endpoint.body is not None:
        content = {"schema": _schema(endpoint.body.content), "examples": {"example": {"value": endpoint.body.example}}}
        made["requestBody"] = {"required": endpoint.body.required, "content": {"application/json": content}}
    made["security"] = []  # stated explicitly: no key is needed
    made["security"] += [{"tenant": [], "apiKey": [scope]} for scope in endpoint.scopes]
    if endpoint.token_instead:
        made["security"].append({"tenant": [], "apiKey": ["sdk"], "userToken": []})
    codes = problems_of(endpoint)
    for status in sorted({CODES[code].status for code in codes}):
        made["responses"][str(status)] = _problems([code for code in codes if CODES[code].status == status])
    return made


def _path_parameter(name: str) -> Parameter:
    return Parameter(name, "path", f"The {name}.", {"type": "string"}, required=True)


def _parameter(parameter: Parameter) -> dict[str, Any]:
    made = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.required,
        "schema": client_schema(dict(parameter.schema)),
    }
    return made if parameter.example is None else {**made, "example": parameter.example}


def _response(response: Response) -> dict[str, Any]:
    made: dict[str, Any] = {"description": response.description}
    if response.headers:
        made["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in response.headers.items()
        }
    if response.content is not None:
        content: dict[str, Any] = {"schema": _schema(response.content)}
        if response.example is not None:
            content["example"] = response.example
        made["content"] = {response.media_type: content}
    return made


def _problems(codes: list[str]) -> dict[str, Any]:
    """Return one response for all problems of a status: each code with its meaning and an example."""
    first = CODES[codes[0]]
    made: dict[str, Any] = {
        "description": "\n".join(f"- `{code}`: {CODES[code].meaning}" for code in codes),
        "content": {
            "application/problem+json": {
                "schema": _reference("Problem"),
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
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
