"""Videos, imports, the configuration, rules and playlists: what the OpenAPI document says of them."""

from __future__ import annotations

from cms.configuration import ConfigurationForm
from cms.documented import (
    BODY,
    CHANGE,
    CONFIGURATION,
    CURSOR,
    DRAFT,
    IF_MATCH,
    IF_MATCH_CODES,
    IF_MATCH_OR_NOT,
    JOB,
    LIMIT,
    NOTHING_LEFT,
    PAGE,
    PLAYLIST,
    REASON,
    RULE,
    SENT,
    VIDEO,
    X_CONFIRM,
    X_REASON,
    an_object,
    content_operation,
    form_body,
    in_query,
    listed,
    made,
)
from cms.preview_api import PreviewForm
from cms.rules import NewPlaylistForm, NewRuleForm, PlaylistForm, RuleForm
from cms.videos import NewVideoForm, VideoForm
from shared.openapi import Answer, Body, Parameter

CONTENT = (
    content_operation(
        "GET",
        "v1/cms/videos",
        "listVideos",
        "Videos by id, a page at a time",
        {200: Answer("A page.", listed("videos", "nextCursor"))},
        parameters=(
            LIMIT,
            CURSOR,
            in_query("prefix", "The beginning of the id."),
            in_query("q", "In the title or id."),
            in_query("category", "Of this category."),
            in_query("tag", "With this tag."),
            in_query("state", "In this state."),
        ),
        problems=(*PAGE, "invalid_prefix"),
    ),
    content_operation(
        "POST",
        "v1/cms/videos",
        "createVideo",
        "Create a video",
        made(VIDEO),
        parameters=(X_REASON,),
        body=form_body(NewVideoForm),
        problems=(*SENT, "invalid_video"),
    ),
    content_operation("GET", "v1/cms/videos/{id}", "getVideo", "One video", VIDEO),
    content_operation(
        "PUT",
        "v1/cms/videos/{id}",
        "replaceVideo",
        "Replace the whole of a video",
        VIDEO,
        parameters=(IF_MATCH, X_REASON),
        body=form_body(VideoForm),
        problems=(*SENT, *IF_MATCH_CODES, "invalid_video"),
    ),
    content_operation(
        "PATCH",
        "v1/cms/videos/{id}",
        "changeVideo",
        "Change some fields of a video",
        VIDEO,
        parameters=(IF_MATCH, X_REASON),
        body=form_body(VideoForm, part=True),
        problems=(*SENT, *IF_MATCH_CODES, "invalid_video"),
    ),
    *(
        content_operation(
            "POST",
            f"v1/cms/videos/{{id}}/{action}",
            f"{action}Video",
            summary,
            VIDEO,
            parameters=(IF_MATCH_OR_NOT, X_REASON),
            body=REASON,
            problems=(*SENT, "invalid_if_match"),
        )
        for action, summary in (
            ("takedown", "Take a video out of every feed, now"),
            ("restore", "Undo a takedown"),
        )
    ),
    content_operation(
        "GET",
        "v1/cms/imports",
        "listImports",
        "Import jobs of the last 30 days",
        {200: Answer("The newest first.", listed("imports"))},
    ),
    content_operation(
        "POST",
        "v1/cms/imports",
        "importVideos",
        "Import a file of videos: JSON, JSON lines or CSV",
        {
            200: Answer("A report for each row.", an_object("rows", "counts")),
            202: Answer("A job: ask for it until it is done.", JOB, headers={"Location": "The job."}),
        },
        parameters=(
            X_REASON,
            Parameter(
                "Idempotency-Key", "header", "One for each file: a repetition finds the job.", {"type": "string"}
            ),
        ),
        body=Body({}, {}),
        problems=(
            *CHANGE,
            "invalid_idempotency_key",
            "invalid_json",
            "unsupported_media_type",
            "file_too_large",
            "too_many_rows",
            "empty_file",
            "invalid_file",
            "invalid_csv",
            "conflict",
            "taken_over",
        ),
    ),
    content_operation(
        "GET", "v1/cms/imports/{id}", "getImport", "How far an import is", {200: Answer("The job.", JOB)}
    ),
    content_operation(
        "GET",
        "v1/cms/configuration",
        "getConfiguration",
        "The tenant's configuration",
        CONFIGURATION,
        problems=("not_found",),
    ),
    *(
        content_operation(
            method,
            "v1/cms/configuration",
            f"{id}Configuration",
            summary,
            CONFIGURATION,
            parameters=(IF_MATCH, X_REASON, X_CONFIRM),
            body=form_body(ConfigurationForm, part=method == "PATCH"),
            problems=(*SENT, *IF_MATCH_CODES, "not_found", "invalid_configuration"),
        )
        for method, id, summary in (
            ("PUT", "replace", "Replace the whole configuration"),
            ("PATCH", "change", "Change some fields of the configuration"),
        )
    ),
    content_operation(
        "GET",
        "v1/cms/configuration/draft",
        "getConfigurationDraft",
        "The draft, and what it changes",
        DRAFT,
        problems=("not_found",),
    ),
    *(
        content_operation(
            method,
            "v1/cms/configuration/draft",
            f"{id}ConfigurationDraft",
            summary,
            DRAFT,
            parameters=(IF_MATCH_OR_NOT, X_REASON),
            body=form_body(ConfigurationForm, part=method == "PATCH"),
            problems=(*SENT, "invalid_if_match", "not_found", "invalid_configuration"),
        )
        for method, id, summary in (
            ("PUT", "replace", "Save a whole draft"),
            ("PATCH", "change", "Change some fields of the draft"),
        )
    ),
    content_operation(
        "DELETE",
        "v1/cms/configuration/draft",
        "deleteConfigurationDraft",
        "Throw the draft away",
        {204: NOTHING_LEFT},
        problems=("stale_etag",),
    ),
    content_operation(
        "POST",
        "v1/cms/configuration/draft/publish",
        "publishConfiguration",
        "Make the draft the live configuration",
        CONFIGURATION,
        parameters=(X_REASON, X_CONFIRM),
        body=REASON,
        problems=(*SENT, "not_found", "draft_outdated", "invalid_configuration"),
    ),
    content_operation(
        "GET",
        "v1/cms/rules",
        "listRules",
        "Rules, the most important first",
        {200: Answer("Each with its draft.", listed("rules", "now"))},
    ),
    content_operation(
        "GET", "v1/cms/playlists", "listPlaylists", "Playlists", {200: Answer("By name.", listed("playlists"))}
    ),
    *(
        operation
        for kind, form, new_form, schema in (
            ("rule", RuleForm, NewRuleForm, RULE),
            ("playlist", PlaylistForm, NewPlaylistForm, PLAYLIST),
        )
        for operation in (
            content_operation(
                "POST",
                f"v1/cms/{kind}s",
                f"create{kind.title()}",
                f"Create a {kind}",
                made(schema),
                parameters=(X_REASON,),
                body=form_body(new_form),
                problems=(*SENT, "too_many", f"invalid_{kind}"),
            ),
            content_operation("GET", f"v1/cms/{kind}s/{{id}}", f"get{kind.title()}", f"One {kind}", schema),
            content_operation(
                "PUT",
                f"v1/cms/{kind}s/{{id}}",
                f"replace{kind.title()}",
                f"Replace a {kind}",
                schema,
                parameters=(IF_MATCH, X_REASON),
                body=form_body(form),
                problems=(*SENT, *IF_MATCH_CODES, f"invalid_{kind}"),
            ),
            content_operation(
                "PATCH",
                f"v1/cms/{kind}s/{{id}}",
                f"change{kind.title()}",
                f"Change some fields of a {kind}",
                schema,
                parameters=(IF_MATCH, X_REASON),
                body=form_body(form, part=True),
                problems=(*SENT, *IF_MATCH_CODES, f"invalid_{kind}"),
            ),
            content_operation(
                "DELETE",
                f"v1/cms/{kind}s/{{id}}",
                f"delete{kind.title()}",
                f"Delete a {kind}",
                {204: NOTHING_LEFT},
                parameters=(IF_MATCH, X_REASON),
                problems=(*IF_MATCH_CODES, *CHANGE, *(("in_use",) if kind == "playlist" else ())),
            ),
        )
    ),
    content_operation("GET", "v1/cms/rules/{id}/draft", "getRuleDraft", "The draft of a rule", RULE),
    content_operation(
        "PUT",
        "v1/cms/rules/{id}/draft",
        "replaceRuleDraft",
        "Save a draft of a rule, which may not exist yet",
        RULE,
        parameters=(IF_MATCH_OR_NOT, X_REASON),
        body=form_body(RuleForm),
        problems=(*SENT, "invalid_if_match", "invalid_rule"),
    ),
    content_operation(
        "DELETE", "v1/cms/rules/{id}/draft", "deleteRuleDraft", "Throw a rule's draft away", {204: NOTHING_LEFT}
    ),
    content_operation(
        "POST",
        "v1/cms/rules/{id}/draft/publish",
        "publishRule",
        "Make a rule's draft live",
        RULE,
        parameters=(X_REASON,),
        body=REASON,
        problems=(*SENT, "draft_outdated", "too_many"),
    ),
    content_operation(
        "POST",
        "v1/cms/preview",
        "preview",
        "The feed of a user or of somebody described, now and under a draft",
        {200: Answer("The live feed, the drafted one, and why videos are or are not there.", an_object("live", "why"))},
        parameters=(
            Parameter("X-User", "header", "A user's hash; without it `viewer` describes somebody.", {"type": "string"}),
        ),
        body=form_body(PreviewForm, required=False),
        problems=(*BODY, "invalid_user", "invalid_preview", "invalid_configuration", "invalid_rule", "not_found"),
    ),
)
