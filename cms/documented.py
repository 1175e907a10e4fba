"""The words in which the content room's operations are documented: parameters, codes, answers, forms as bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cms.access import KeyNameForm, NewKeyForm, NewTenantForm, RotationForm, UserTokenKeyForm
from cms.call import MAX_PAGE
from cms.configuration import ConfigurationForm
from cms.experiments import ExperimentForm, NewExperimentForm
from cms.forms import Form
from cms.preview_api import PreviewForm
from cms.rules import NewPlaylistForm, NewRuleForm, PlaylistForm, RuleForm
from cms.videos import NewVideoForm, VideoForm
from shared.openapi import Answer, Body, Operation, Parameter, Schema
from shared.problem_codes import ANY, TENANT

CHANGE = ("invalid_reason",)
BODY = ("invalid_json", "invalid_body", "unsupported_media_type", "body_too_large")
SENT = (*BODY, *CHANGE, "stale_etag", "already_exists")
IF_MATCH_CODES = ("missing_if_match", "invalid_if_match", "stale_etag")
PAGE = ("invalid_limit", "invalid_cursor")

IF_MATCH = Parameter(
    "If-Match", "header", "The ETag you read, so that no change is lost.", {"type": "string"}, required=True
)
IF_MATCH_OR_NOT = Parameter(
    "If-Match", "header", "The ETag you read; without it the newest is changed.", {"type": "string"}
)
X_REASON = Parameter("X-Reason", "header", "Why, for the audit.", {"type": "string", "maxLength": 300})
X_CONFIRM = Parameter("X-Confirm-Maturity", "header", "`yes`: show stronger ratings.", {"type": "string"})
LIMIT = Parameter("limit", "query", "How many.", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE})
CURSOR = Parameter("cursor", "query", "`nextCursor` of the page before.", {"type": "string"})


def in_path(name: str, description: str) -> Parameter:
    return Parameter(name, "path", description, {"type": "string", "minLength": 1}, required=True)


def in_query(name: str, description: str) -> Parameter:
    return Parameter(name, "query", description, {"type": "string"})


_FORMS: tuple[type[Form], ...] = (
    ConfigurationForm,
    ExperimentForm,
    KeyNameForm,
    NewExperimentForm,
    NewKeyForm,
    NewPlaylistForm,
    NewRuleForm,
    NewTenantForm,
    NewVideoForm,
    PlaylistForm,
    PreviewForm,
    RotationForm,
    RuleForm,
    UserTokenKeyForm,
    VideoForm,
)


def _schemas() -> dict[str, Schema]:
    """Each form as a JSON schema, the forms inside it beside it."""
    found: dict[str, Schema] = {}
    for form in _FORMS:
        schema = form.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        found.update(schema.pop("$defs", {}))
        found[form.__name__] = schema
    return found


SCHEMAS = _schemas()


def an_object(*required: str) -> Schema:
    return {"type": "object", "required": list(required)}


def listed(name: str, *beside: str) -> Schema:
    return {
        "type": "object",
        "required": [name, *beside],
        "properties": {name: {"type": "array", "items": {"type": "object"}}},
    }


def form_body(form: type[Form], *, required: bool = True, part: bool = False) -> Body:
    """A form as a body; beside its fields a `reason` may be sent. `part`: only the fields that change."""
    if part:
        return Body({"type": "object", "description": f"Fields of {form.__name__} that change."}, {}, required)
    return Body({"$ref": f"#/components/schemas/{form.__name__}"}, {}, required)


REASON = Body({"type": "object", "properties": {"reason": {"type": ["string", "null"]}}}, {}, required=False)
NOTHING_LEFT = Answer("Done; there is nothing left to show.")
ETAG = {"ETag": "The version; send it back in If-Match."}


def content_operation(
    method: str,
    path: str,
    id: str,
    summary: str,
    answers: dict[int, Answer] | Schema,
    *,
    parameters: Sequence[Parameter] = (),
    body: Body | None = None,
    problems: Sequence[str] = (),
    scopes: tuple[str, ...] = ("cms", "ops"),
    tag: str = "content",
) -> Operation:
    """An operation with what all of them have: the tenant's codes, the path's names, an ETag where one is shown."""
    given: Any = answers
    told = given if all(isinstance(key, int) for key in given) else {200: Answer("As it is now.", given, headers=ETAG)}
    names = {each[1:-1] for each in path.split("/") if each.startswith("{")}
    named = tuple(in_path(name, "The name of it.") for name in sorted(names))
    codes = dict.fromkeys((*TENANT, *(("not_found",) if names else ()), *problems, *ANY))
    return Operation(
        method,
        path,
        id,
        summary,
        tag,
        told,
        scopes=scopes,
        parameters=(*named, *parameters),
        body=body,
        problems=tuple(codes),
    )


def made(schema: Schema) -> dict[int, Answer]:
    return {201: Answer("Made.", schema, headers=ETAG)}


VIDEO = an_object("id", "title", "state", "last7d")
RULE = an_object("id", "state")
PLAYLIST = an_object("id")
EXPERIMENT = an_object("id", "status")
CONFIGURATION = an_object("tenantId")
DRAFT = an_object("configuration", "changes", "needsConfirmation", "outdated", "savedAt", "savedBy")
JOB = an_object("id", "state", "rows", "processed", "counts", "rejected")
KEY = an_object("id", "name", "scopes", "state")
PUBLIC_KEY = an_object("keyId", "publicKey")
FILE = {"type": "string"}
