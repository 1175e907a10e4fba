"""Decorators that declare CMS endpoints: read, create, replace, change, delete, act. Extends shared/web/endpoint.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cms.request import CmsRequest
from shared.web.declaration import ANY_OBJECT, Body, Model, Parameter, Response, Schema
from shared.web.endpoint import Handler, endpoint

CMS_SCOPES = ("cms", "ops")
STEERING = "steering"

BODY_PROBLEMS = ("invalid_json", "invalid_body", "invalid_reason")
IF_MATCH_PROBLEMS = ("missing_if_match", "invalid_if_match", "stale_etag")
OPTIONAL_IF_MATCH_PROBLEMS = ("invalid_if_match", "stale_etag")
PAGE_PROBLEMS = ("invalid_limit", "invalid_cursor")

_ETAG: Schema = {"type": "string", "pattern": '^(W/)?"[!#-~]{1,100}"$'}
IF_MATCH = Parameter("If-Match", "header", "The ETag from the last read.", _ETAG, required=True)
OPTIONAL_IF_MATCH = Parameter(
    "If-Match", "header", "The ETag from the last read. If sent, the call fails if the version has changed.", _ETAG
)
REASON = Parameter(
    "X-Reason", "header", "Reason of the change, for the audit.", {"type": "string", "pattern": "^[ -~]{0,300}$"}
)
CONFIRM = Parameter(
    "X-Confirm-Maturity",
    "header",
    "`yes`: confirms that viewers will see stronger ratings.",
    {"type": "string", "pattern": "^yes$"},
)
LIMIT = Parameter("limit", "query", "Largest number of entries.", {"type": "integer", "minimum": 1, "maximum": 200})
CURSOR = Parameter("cursor", "query", "`nextCursor` of the previous page.", {"type": "string"})

_ETAG_HEADER = {"ETag": "Send it in If-Match to change this version."}
_MEANING = {200: "Done.", 201: "Created.", 202: "Accepted; continues in the background.", 204: "Deleted."}


def query(name: str, description: str) -> Parameter:
    """Declare an optional text in the query string."""
    return Parameter(name, "query", description, {"type": "string"})


def cms_endpoint(
    method: str,
    path: str,
    summary: str,
    responses: Mapping[int, Model | None],
    *,
    tag: str = STEERING,
    description: str = "",
    scopes: tuple[str, ...] = CMS_SCOPES,
    operator: bool = False,
    platform: bool = False,
    parameters: tuple[Parameter, ...] = (),
    body: Model | Schema | None = None,
    example: Any = None,
    body_required: bool = True,
    problems: tuple[str, ...] = (),
    etag: bool = False,
    flag: str = "",
) -> Callable[[Handler], Handler]:
    """Declare an endpoint below `/v1/cms/`; its handler gets a `CmsRequest`.

    `responses`: status → model, or None without a body. `etag`: responses have an ETag. `example` defaults to {}.
    """
    sent = BODY_PROBLEMS if body is not None else ()
    named = ("not_found",) if "{" in path else ()
    return endpoint(
        method,
        f"v1/cms/{path}",
        summary,
        tag=tag,
        description=description,
        call=CmsRequest,
        scopes=scopes,
        operator=operator,
        platform=platform,
        flag=flag,
        parameters=parameters,
        body=None if body is None else Body(body, {} if example is None else example, body_required),
        responses={
            status: Response(_MEANING[status], model, headers=_ETAG_HEADER if etag and model else {})
            for status, model in responses.items()
        },
        problems=tuple(dict.fromkeys((*sent, *named, *problems))),
    )


Declare = Callable[[Handler], Handler]


def reads(path: str, summary: str, model: Model, *problems: str, tag: str = STEERING) -> Declare:
    """Declare an endpoint that reads one document, with its ETag."""
    return cms_endpoint("GET", path, summary, {200: model}, tag=tag, problems=problems, etag=True)


def creates(
    path: str, summary: str, model: Model, form: Model, example: Any, *problems: str, tag: str = STEERING
) -> Declare:
    """Declare an endpoint that creates a document from a form with its id."""
    return cms_endpoint(
        "POST",
        path,
        summary,
        {201: model},
        tag=tag,
        body=form,
        example=example,
        parameters=(REASON,),
        problems=("invalid_document", "already_exists", "conflict", *problems),
        etag=True,
    )


def replaces(
    path: str,
    summary: str,
    model: Model,
    form: Model,
    example: Any,
    *problems: str,
    tag: str = STEERING,
    confirm: bool = False,
) -> Declare:
    """Declare an endpoint that replaces the document that `If-Match` names.

    `confirm`: stronger ratings need `X-Confirm-Maturity`.
    """
    return _writes("PUT", path, summary, model, form, example, problems, tag, confirm)


def changes(
    path: str, summary: str, model: Model, example: Any, *problems: str, tag: str = STEERING, confirm: bool = False
) -> Declare:
    """Declare an endpoint that changes the fields in the body (RFC 7396)."""
    return _writes("PATCH", path, summary, model, ANY_OBJECT, example, problems, tag, confirm)


def _writes(
    method: str,
    path: str,
    summary: str,
    model: Model,
    body: Model | Schema,
    example: Any,
    problems: tuple[str, ...],
    tag: str,
    confirm: bool,
) -> Declare:
    return cms_endpoint(
        method,
        path,
        summary,
        {200: model},
        tag=tag,
        body=body,
        example=example,
        parameters=(IF_MATCH, REASON, CONFIRM) if confirm else (IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, "invalid_document", *problems),
        etag=True,
    )


def deletes(path: str, summary: str, *problems: str) -> Declare:
    """Declare an endpoint that deletes the document that `If-Match` names."""
    return cms_endpoint(
        "DELETE",
        path,
        summary,
        {204: None},
        parameters=(IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, *problems, "invalid_reason"),
    )


def acts(
    path: str,
    summary: str,
    model: Model,
    *problems: str,
    tag: str = STEERING,
    if_match: Parameter = OPTIONAL_IF_MATCH,
    confirm: bool = False,
    flag: str = "",
) -> Declare:
    """Declare an endpoint that runs an action on a document; an optional body can hold a reason."""
    parameters = (if_match, REASON, CONFIRM) if confirm else (if_match, REASON)
    stale = IF_MATCH_PROBLEMS if if_match.required else OPTIONAL_IF_MATCH_PROBLEMS
    return cms_endpoint(
        "POST",
        path,
        summary,
        {200: model},
        tag=tag,
        body=ANY_OBJECT,
        body_required=False,
        parameters=parameters,
        problems=(*problems, *stale),
        etag=True,
        flag=flag,
    )
