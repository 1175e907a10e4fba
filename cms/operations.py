"""What the content room's calls look like from outside: the part of the OpenAPI document that is theirs.

The schemas of what is sent are those of the forms that check it, so they cannot drift apart; `cms.answers` has those of
what is answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cms.access.models import KeyNameForm, NewKeyForm, NewTenantForm, RotationForm, UserTokenKeyForm
from cms.answers import SCHEMAS as ANSWERS
from cms.configuration.models import ConfigurationForm
from cms.experiments.models import ExperimentForm, NewExperimentForm
from cms.preview.api import PreviewForm
from cms.rules.models import NewPlaylistForm, NewRuleForm, PlaylistForm, RuleForm
from cms.videos.models import NewVideoForm, VideoForm
from shared.web.openapi import Answer, Body, Operation, Parameter, Schema, ref
from shared.web.problem_codes import ANY, TENANT

_FORMS: tuple[type[BaseModel], ...] = (
    NewVideoForm, VideoForm, ConfigurationForm, NewRuleForm, RuleForm, NewPlaylistForm, PlaylistForm, NewExperimentForm,
    ExperimentForm, PreviewForm, NewTenantForm, NewKeyForm, KeyNameForm, RotationForm, UserTokenKeyForm,
)  # fmt: skip


def _schemas() -> dict[str, Schema]:
    _, definitions = models_json_schema(
        [(form, "validation") for form in _FORMS], ref_template="#/components/schemas/{model}"
    )
    named: dict[str, Schema] = dict(definitions["$defs"])
    return named


SCHEMAS: dict[str, Schema] = {**_schemas(), **ANSWERS}

CMS = ("cms", "ops")
READ = (*TENANT, *ANY)
SENT = ("invalid_json", "invalid_body", "body_too_large", "unsupported_media_type", "invalid_reason")
BASED = ("missing_if_match", "invalid_if_match", "stale_etag")
PAGED = ("invalid_limit", "invalid_cursor")

_ETAG: Schema = {"type": "string", "pattern": '^(W/)?"[!#-~]{1,100}"$'}
IF_MATCH = Parameter("If-Match", "header", "The ETag that was read.", _ETAG, required=True)
MAYBE_MATCH = Parameter("If-Match", "header", "The ETag that was read, if it matters.", _ETAG)
REASON = Parameter("X-Reason", "header", "Why, for the history.", {"type": "string", "pattern": "^[ -~]{0,300}$"})
CONFIRM = Parameter(
    "X-Confirm-Maturity", "header", "`yes`: viewers are meant to see stronger ratings.", {"enum": ["yes"]}
)
LIMIT = Parameter("limit", "query", "How many at the most.", {"type": "integer", "minimum": 1, "maximum": 200})
CURSOR = Parameter("cursor", "query", "`nextCursor` of the page before.", {"type": "string"})
FREE: Schema = {"type": "object"}
ETAG = {"ETag": "Send it in If-Match to change what was read."}


def _path(name: str) -> Parameter:
    return Parameter(name, "path", f"The {name}.", {"type": "string"}, required=True)


def _query(name: str, what: str) -> Parameter:
    return Parameter(name, "query", what, {"type": "string"})


def _operation(
    method: str,
    path: str,
    id: str,
    summary: str,
    answers: Mapping[int, str | None],
    *problems: str,
    tag: str = "steering",
    body: Schema | None = None,
    example: Any = None,
    required: bool = True,
    scopes: tuple[str, ...] = CMS,
    parameters: tuple[Parameter, ...] = (),
    description: str = "",
    etag: bool = False,
) -> Operation:
    named = tuple(_path(part[1:-1]) for part in path.split("/") if part.startswith("{"))
    sent = SENT if body is not None else ()
    found = ("not_found",) if named else ()
    return Operation(
        method,
        f"v1/cms/{path}",
        id,
        summary,
        tag,
        {
            status: Answer(_MEANING[status], ref(name) if name else None, headers=ETAG if etag and name else {})
            for status, name in answers.items()
        },
        description=description,
        scopes=scopes,
        parameters=(*named, *parameters),
        body=None if body is None else Body(body, {"example": {} if example is None else example}, required),
        problems=tuple(dict.fromkeys((*READ, *sent, *found, *problems))),
    )


_MEANING = {200: "Done.", 201: "Created.", 202: "Accepted; it goes on in the background.", 204: "Gone."}
_VIDEO = {"title": "Core", "playbackUrl": "https://cdn.example/core.m3u8", "mainTag": "fitness", "durationSeconds": 41,
          "maturityRating": "PG"}  # fmt: skip
_RULE = {"name": "Cup", "action": "pin", "positions": [1], "match": {"playlists": ["cup"]}}
_ARMS = [{"name": "now", "percent": 50}, {"name": "more", "percent": 50, "weights": {"quality": 1}}]

_VIDEOS = (
    _operation(
        "GET", "videos", "listVideos", "List videos", {200: "VideoPage"}, *PAGED, "invalid_prefix", tag="videos",
        parameters=(LIMIT, CURSOR, _query("prefix", "The beginning of the id."), _query("q", "In title or id."),
                    _query("category", "The category."), _query("tag", "A tag."), _query("state", "The state.")),
    ),
    _operation("POST", "videos", "createVideo", "Create a video", {201: "StoredVideo"}, "invalid_document",
               "already_exists", tag="videos", body=ref("NewVideoForm"), example={"id": "vid_core", **_VIDEO},
               etag=True, parameters=(REASON,)),
    _operation("GET", "videos/{id}", "getVideo", "Read a video", {200: "StoredVideo"}, tag="videos", etag=True),
    _operation("PUT", "videos/{id}", "replaceVideo", "Replace a video", {200: "StoredVideo"}, *BASED,
               "invalid_document", tag="videos", body=ref("VideoForm"), example=_VIDEO,
               etag=True, parameters=(IF_MATCH, REASON)),
    _operation("PATCH", "videos/{id}", "changeVideo", "Change fields of a video", {200: "StoredVideo"}, *BASED,
               "invalid_document", tag="videos", body=FREE, example={"title": "Core"},
               etag=True, parameters=(IF_MATCH, REASON)),
    *(
        _operation("POST", f"videos/{{id}}/{action}", f"{action}Video", summary, {200: "StoredVideo"}, "stale_etag",
                   "invalid_if_match", tag="videos", body=FREE, required=False, etag=True,
                   parameters=(MAYBE_MATCH, REASON))
        for action, summary in (("takedown", "Take a video out of every feed"), ("restore", "Undo a takedown"))
    ),
    _operation("GET", "imports", "listImports", "List import jobs", {200: "ImportJobs"}, tag="videos"),
    _operation("POST", "imports", "importVideos", "Import a file of videos",
               {200: "ImportReport", 202: "ImportJob"}, "invalid_file", "invalid_csv", "empty_file", "file_too_large",
               "too_many_rows", "invalid_idempotency_key", "conflict", tag="videos",
               body={"type": "object", "required": ["videos"], "properties": {"videos": {}}},
               example={"videos": [{"id": "vid_core", **_VIDEO}]},
               parameters=(Parameter("Idempotency-Key", "header", "Yours, one a file.", {"type": "string"}), REASON),
               description="Also as application/x-ndjson and text/csv. Up to 1,000 rows are answered one by one; more "
               "become a job."),
    _operation("GET", "imports/{id}", "getImport", "How far an import is", {200: "ImportJob"}, tag="videos"),
)  # fmt: skip

_CONFIGURATION = (
    _operation("GET", "configuration", "getConfiguration", "Read the configuration", {200: "Configuration"},
               "not_found", etag=True),
    _operation("PUT", "configuration", "replaceConfiguration", "Replace the configuration", {200: "Configuration"},
               *BASED, "invalid_document", "not_found", body=ref("ConfigurationForm"),
               example={"maturityPolicy": "PG13"}, etag=True, parameters=(IF_MATCH, REASON, CONFIRM)),
    _operation("PATCH", "configuration", "changeConfiguration", "Change fields of the configuration",
               {200: "Configuration"}, *BASED, "invalid_document", "not_found", body=FREE,
               example={"streakCap": 3}, etag=True, parameters=(IF_MATCH, REASON, CONFIRM)),
    _operation("GET", "configuration/draft", "getConfigurationDraft", "Read the draft",
               {200: "ConfigurationDraft"}, "not_found", etag=True),
    _operation("PUT", "configuration/draft", "saveConfigurationDraft", "Save a draft", {200: "ConfigurationDraft"},
               "invalid_if_match", "stale_etag", "invalid_document", "not_found", body=ref("ConfigurationForm"),
               example={"maturityPolicy": "PG13"}, etag=True, parameters=(MAYBE_MATCH, REASON)),
    _operation("PATCH", "configuration/draft", "changeConfigurationDraft", "Change fields of the draft",
               {200: "ConfigurationDraft"}, "invalid_if_match", "stale_etag", "invalid_document", "not_found",
               body=FREE, example={"streakCap": 3}, etag=True, parameters=(MAYBE_MATCH, REASON)),
    _operation("DELETE", "configuration/draft", "dropConfigurationDraft", "Throw the draft away", {204: None},
               "stale_etag"),
    _operation("POST", "configuration/draft/publish", "publishConfiguration", "Publish the draft",
               {200: "Configuration"}, "not_found", "draft_outdated", "stale_etag", "invalid_document", body=FREE,
               required=False, etag=True, parameters=(REASON, CONFIRM)),
)  # fmt: skip


def _named(
    kind: str, plural: str, stored: str, new: str, form: str, example: Any, *refusals: str
) -> tuple[Operation, ...]:
    name = kind.capitalize()
    return (
        _operation("GET", plural, f"list{name}s", f"List {plural}", {200: name + "s"}),
        _operation("POST", plural, f"create{name}", f"Create a {kind}", {201: stored}, "invalid_document",
                   "already_exists", "too_many", body=ref(new), example={"id": "cup", **example}, etag=True,
                   parameters=(REASON,)),
        _operation("GET", f"{plural}/{{id}}", f"get{name}", f"Read a {kind}", {200: stored}, etag=True),
        _operation("PUT", f"{plural}/{{id}}", f"replace{name}", f"Replace a {kind}", {200: stored}, *BASED,
                   "invalid_document", body=ref(form), example=example, etag=True, parameters=(IF_MATCH, REASON)),
        _operation("PATCH", f"{plural}/{{id}}", f"change{name}", f"Change fields of a {kind}", {200: stored}, *BASED,
                   "invalid_document", body=FREE, example={"name": "Cup"}, etag=True, parameters=(IF_MATCH, REASON)),
        _operation("DELETE", f"{plural}/{{id}}", f"delete{name}", f"Delete a {kind}", {204: None}, *BASED, *refusals,
                   "invalid_reason", parameters=(IF_MATCH, REASON)),
    )  # fmt: skip


_RULES = (
    *_named("rule", "rules", "StoredRule", "NewRuleForm", "RuleForm", _RULE),
    _operation("GET", "rules/{id}/draft", "getRuleDraft", "Read a rule's draft", {200: "StoredRule"}, etag=True),
    _operation("PUT", "rules/{id}/draft", "saveRuleDraft", "Save a rule's draft", {200: "StoredRule"},
               "invalid_if_match", "stale_etag", "invalid_document", body=ref("RuleForm"), example=_RULE, etag=True,
               parameters=(MAYBE_MATCH, REASON)),
    _operation("DELETE", "rules/{id}/draft", "dropRuleDraft", "Throw a rule's draft away", {204: None}),
    _operation("POST", "rules/{id}/draft/publish", "publishRule", "Publish a rule's draft", {200: "StoredRule"},
               "draft_outdated", "stale_etag", "already_exists", "too_many", body=FREE, required=False, etag=True,
               parameters=(REASON,)),
    *_named("playlist", "playlists", "StoredPlaylist", "NewPlaylistForm", "PlaylistForm",
            {"name": "Cup", "videoIds": ["vid_core"]}, "in_use"),
    _operation("POST", "preview", "preview", "The feed of a user or of somebody described, now and under a draft",
               {200: "Preview"}, "invalid_document", "invalid_user", "not_found", body=ref("PreviewForm"),
               example={"viewer": {"likedCategories": ["fitness"]}}, required=False,
               parameters=(Parameter("X-User", "header", "The user whose feed to show.", {"type": "string"}),),
               description="Nothing is recorded."),
)  # fmt: skip

_MODELS = (
    _operation("GET", "models", "listModels", "List model versions", {200: "Models"}, "not_found"),
    _operation("POST", "models", "uploadModel", "Store a model version", {200: "StoredModel", 201: "StoredModel"},
               "invalid_document", "already_exists", "too_many", "not_found", body=FREE,
               example={"type": "linear", "version": "2026-11-a", "weights": {"quality": 1}}, parameters=(REASON,)),
    _operation("DELETE", "models/{version}", "deleteModel", "Delete a model version that nobody is served", {204: None},
               "in_use", "conflict", "invalid_reason", parameters=(REASON,)),
    _operation("POST", "models/{version}/promote", "promoteModel", "Serve a version from now on",
               {200: "Configuration"}, "stale_etag", "invalid_if_match", body=FREE, required=False, etag=True,
               parameters=(MAYBE_MATCH, REASON)),
    _operation("POST", "models/rollback", "rollBackModel", "Serve the version before", {200: "Configuration"},
               "nothing_to_roll_back", "stale_etag", "invalid_if_match", "not_found", body=FREE, required=False,
               etag=True, parameters=(MAYBE_MATCH, REASON)),
    _operation("GET", "experiments", "listExperiments", "List experiments", {200: "Experiments"}),
    _operation("POST", "experiments", "createExperiment", "Create an experiment", {201: "StoredExperiment"},
               "invalid_document", "already_exists", "too_many", body=ref("NewExperimentForm"),
               example={"id": "taste", "name": "Taste", "arms": _ARMS}, etag=True, parameters=(REASON,)),
    _operation("GET", "experiments/{id}", "getExperiment", "Read an experiment", {200: "StoredExperiment"}, etag=True),
    _operation("PUT", "experiments/{id}", "replaceExperiment", "Change an experiment that has not started",
               {200: "StoredExperiment"}, *BASED, "invalid_document", "running", "already_ran",
               body=ref("ExperimentForm"), example={"name": "Taste", "arms": _ARMS},
               etag=True, parameters=(IF_MATCH, REASON)),
    _operation("DELETE", "experiments/{id}", "deleteExperiment", "Delete an experiment that is not running",
               {204: None}, *BASED, "running", "invalid_reason", parameters=(IF_MATCH, REASON)),
    _operation("POST", "experiments/{id}/start", "startExperiment", "Start", {200: "StoredExperiment"}, "already_ran",
               "another_running", "conflict", "invalid_document", "invalid_reason", etag=True, parameters=(REASON,)),
    _operation("POST", "experiments/{id}/stop", "stopExperiment", "Stop", {200: "StoredExperiment"}, "not_running",
               "conflict", "invalid_reason", etag=True, parameters=(REASON,)),
    _operation("GET", "experiments/{id}/report", "getExperimentReport", "What the arms achieved",
               {200: "ExperimentReport"}),
    _operation("GET", "audit", "listChanges", "Who changed what, when and why", {200: "Audit"}, *PAGED,
               parameters=(LIMIT, CURSOR, _query("resource", "Only this kind."), _query("name", "Only this one."))),
    _operation("POST", "audit/{id}/revert", "revertChange", "Take a change back", {200: "Reverted"}, "not_revertible",
               "changed_since", "stale_etag", "already_exists", "invalid_document", body=FREE,
               example={"force": False}, required=False, parameters=(REASON, CONFIRM)),
)  # fmt: skip

_OPS = ("ops",)
_ACCESS = (
    _operation("GET", "tenants", "listTenants", "List tenants", {200: "Tenants"}, tag="access", scopes=_OPS),
    _operation("POST", "tenants", "createTenant", "Create a tenant with a first key", {201: "NewTenant"},
               "invalid_document", "already_exists", tag="access", scopes=_OPS, body=ref("NewTenantForm"),
               example={"tenantId": "news"}),
    _operation("GET", "keys", "listKeys", "List keys", {200: "Keys"}, tag="access", scopes=_OPS),
    _operation("POST", "keys", "issueKey", "Issue a key, shown once", {201: "NewKey"}, "invalid_document",
               "already_active", "already_exists", "too_many", tag="access", scopes=_OPS, body=ref("NewKeyForm"),
               example={"name": "Anna", "scopes": ["cms"]}, parameters=(REASON,)),
    _operation("PATCH", "keys/{id}", "renameKey", "Rename a key", {200: "StoredKey"}, "invalid_document",
               "stale_etag", tag="access", scopes=_OPS, body=ref("KeyNameForm"), example={"name": "Anna"}),
    _operation("DELETE", "keys/{id}", "revokeKey", "Revoke a key", {204: None}, "last_key", "stale_etag",
               "invalid_reason", tag="access", scopes=_OPS, parameters=(REASON,)),
    _operation("POST", "keys/{id}/rotate", "rotateKey", "Issue a key's successor", {201: "RotatedKey"},
               "invalid_document", "already_active", "stale_etag", tag="access", scopes=_OPS,
               body=ref("RotationForm"), example={"overlapHours": 24}, required=False, parameters=(REASON,)),
    _operation("GET", "user-token-keys", "listPublicKeys", "List public keys for user tokens",
               {200: "PublicKeys"}, tag="access", scopes=_OPS),
    _operation("POST", "user-token-keys", "addPublicKey", "Add a public key for user tokens", {201: "PublicKey"},
               "invalid_document", "already_exists", "too_many", "stale_etag", tag="access", scopes=_OPS,
               body=ref("UserTokenKeyForm"), example={"keyId": "2026", "publicKey": "-----BEGIN PUBLIC KEY-----…"}),
    _operation("DELETE", "user-token-keys/{id}", "removePublicKey", "Remove a public key", {204: None}, "stale_etag",
               "invalid_reason", tag="access", scopes=_OPS, parameters=(REASON,)),
)  # fmt: skip

_PAGE = Answer("A file of the Studio.", {"type": "string"}, media_type="text/html")
_STUDIO = (
    Operation("GET", "studio", "openStudio", "The page for content teams", "steering",
              {200: _PAGE, 304: Answer("As you have it.")}, problems=ANY),
    Operation("GET", "studio/{file}", "getStudioFile", "A file of that page", "steering",
              {200: _PAGE, 304: Answer("As you have it.")}, parameters=(_path("file"),),
              problems=("not_found", *ANY)),
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (*_VIDEOS, *_CONFIGURATION, *_RULES, *_MODELS, *_ACCESS, *_STUDIO)
