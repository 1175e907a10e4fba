"""What the content room's calls answer, field by field: the named schemas of the OpenAPI document.

What a team sent and reads back is described by the form that took it in. Pure.
"""

from __future__ import annotations

from cms.configuration.models import ConfigurationForm
from cms.experiments.models import ArmForm, ExperimentForm
from cms.imports.jobs import STATUSES
from cms.rules.models import AudienceForm, MatchForm, PlaylistForm, RuleForm
from cms.schemas import (
    COUNT,
    MAYBE_COUNT,
    MAYBE_TEXT,
    MAYBE_TIME,
    NUMBER,
    TEXT,
    TIME,
    YES_NO,
    Fields,
    fields_of,
    list_of,
    map_of,
    object_of,
    one_of,
    or_null,
    said,
)
from cms.videos.models import INACTIVE, TAKEN_DOWN, VideoForm
from events.experiment_statistics import MEASURES
from feed.filters import FILTERS
from feed.operations import SCHEMAS as FEED
from feed.pipeline import FALLBACK, PERSONALIZED, REASONS
from ranking.explain import ABSENCES
from shared.adapters.tenant_directory import SCOPES
from shared.domain.records import RATINGS
from shared.domain.rules import ACTIONS
from shared.web.openapi import Schema, problem_schema, ref

_ETAG: Fields = {"etag": said(TEXT, "Send it in If-Match to change this one.")}
_STAMP: Fields = {"updatedAt": MAYBE_TIME, "updatedBy": said(MAYBE_TEXT, "The name of a key.")}
_NEXT: Fields = {"nextCursor": said(MAYBE_TEXT, "null: the list ends here.")}
_WEIGHTS = map_of(NUMBER, "By the name of the feature.")
_VERSION = said(MAYBE_TEXT, "null: the shipped model.")
_FAULTS: Schema = problem_schema()["properties"]["errors"]

# ---- videos

_RATING = said(TEXT, f"{', '.join(RATINGS)}; a video with any other is never served.")
_VIDEO: Fields = {
    "id": TEXT,
    **fields_of(VideoForm),
    "maturityRating": _RATING,
    "publishedAt": TIME,
    "expiresAt": MAYBE_TIME,
    "state": said(
        one_of("live", "scheduled", "expired", INACTIVE, TAKEN_DOWN, "unrated"), "Where it stands at this moment."
    ),
    "createdAt": MAYBE_TIME,
    **_STAMP,
    "last7d": said(
        or_null(
            object_of(dict.fromkeys(("impressions", "views", "likes", "avgWatchTimeMs", "watchTimeMs"), COUNT)),
        ),
        "The last seven days (UTC), today included; null while that cannot be told.",
    ),
}
_ROW: Fields = {
    "row": {"type": "integer", "minimum": 1},
    "id": said(MAYBE_TEXT, "null: the row has none that can be read."),
    "status": one_of(*STATUSES),
    "errors": said(_FAULTS, "Why it was rejected."),
}
_ROWS_BY_STATUS = dict.fromkeys(STATUSES, COUNT)
_JOB: Fields = {
    "id": TEXT,
    "state": one_of("queued", "processing", "done"),
    "rows": COUNT,
    "processed": COUNT,
    "counts": said(object_of(_ROWS_BY_STATUS), "Rows processed, by what became of them."),
    "rejected": said(list_of(ref("ImportRow")), "The first of the rejected rows."),
    "rejectedNotListed": COUNT,
    "queuedAt": TIME,
    "startedAt": MAYBE_TIME,
    "finishedAt": MAYBE_TIME,
    "who": said(TEXT, "The name of the key that sent the file."),
}

# ---- configuration

_EDITABLE = {**fields_of(ConfigurationForm), "featureFlags": map_of(YES_NO, "By the name of the flag.")}
_CONFIGURATION: Fields = {
    "tenantId": TEXT,
    **_EDITABLE,
    "maturityPolicy": said({"type": ["string", "null"]}, f"{', '.join(RATINGS)}; anything else counts as G."),
    "modelVersion": said(_VERSION, "The version served; null: the shipped model."),
    "modelHistory": said(list_of(_VERSION), "Versions served before, the latest first."),
}
_DRAFT: Fields = {
    "configuration": said(object_of(_EDITABLE), "The whole configuration as it would be."),
    "changes": map_of(
        object_of({"from": {"description": "The live value."}, "to": {"description": "The drafted value."}}),
        "By the name of the field; only what differs from the live configuration.",
    ),
    "needsConfirmation": said(list_of(TEXT), "Who would be shown stronger ratings; send X-Confirm-Maturity then."),
    "outdated": said(YES_NO, "The live configuration has changed since: save the draft again."),
    "savedAt": MAYBE_TIME,
    "savedBy": said(MAYBE_TEXT, "The name of a key."),
}

# ---- rules and playlists

_RULE: Fields = {
    "id": TEXT,
    **fields_of(RuleForm),
    "multiplier": said(NUMBER, "Of a boost or a suppress only."),
    "positions": said(list_of({"type": "integer", "minimum": 1}), "Of a pin only; 1 is the top of the walk."),
    "match": ref("RuleMatch"),
    "audience": ref("RuleAudience"),
    "startsAt": MAYBE_TIME,
    "endsAt": MAYBE_TIME,
    "state": said(one_of("live", "off", "scheduled", "over"), "Where it stands at this moment."),
    **_STAMP,
}
_NEW_RULE: Fields = {"id": TEXT, "state": {"type": "string", "const": "draft"}, "draft": ref("RuleDraft")}
_PLAYLIST: Fields = {
    "id": TEXT,
    **fields_of(PlaylistForm),
    "unknownVideoIds": said(or_null(list_of(TEXT)), "Those the catalog does not have; null while that cannot be told."),
    **_STAMP,
}

# ---- preview

_PLACE = said(MAYBE_COUNT, "0-based place in the live feed; null: not on the page.")
_SHOWN: Fields = {
    **{
        name: FEED["FeedVideo"]["properties"][name]
        for name in ("videoId", "title", "mainTag", "tags", "durationSeconds", "thumbnailUrl")
    },
    "maturityRating": _RATING,
}
_ABSENCE: Fields = {
    "reason": one_of("served", "unknown", *FILTERS, *ABSENCES),
    "text": said(TEXT, "The reason in words."),
    "place": said(COUNT, "0-based place by its score alone, where it was a candidate."),
    "candidates": COUNT,
    "contributions": list_of(ref("Contribution")),
}
_IF_CANDIDATE = ("place", "candidates", "contributions")
_NAMED_RULE: Fields = {
    "id": TEXT,
    "name": TEXT,
    "action": one_of(*ACTIONS),
    "multiplier": said(NUMBER, "Of a boost or a suppress only."),
    "positions": said(list_of({"type": "integer", "minimum": 1}), "Of a pin only."),
}
_ITEM: Fields = {
    **_SHOWN,
    "rank": said(COUNT, "0-based place."),
    "score": said(NUMBER, "Comparable within one page only."),
    "contributions": said(list_of(ref("Contribution")), "The largest first; their amounts add up to the score."),
    "rules": said(list_of(ref("AppliedRule")), "Those that mean this video."),
    "explored": said(YES_NO, "It has the slot in which new videos are tried."),
    "pinned": said(YES_NO, "A rule holds it at this position."),
}
_MOVED: Fields = {
    "before": _PLACE,
    "moved": said({"type": ["integer", "null"]}, "Places up; less than 0: down; null: it was not on the page."),
}
_PICTURE: Fields = {
    "mode": one_of(PERSONALIZED, FALLBACK),
    "reason": {"type": ["string", "null"], "enum": [*REASONS, None], "description": "Why it falls back."},
    "reasonText": said(MAYBE_TEXT, "The reason in words."),
    "modelVersion": TEXT,
    "arm": said(MAYBE_TEXT, "The arm of the running experiment this user is in."),
    "items": list_of(object_of(_ITEM)),
    "candidates": said(COUNT, "Videos that no filter removed."),
    "removed": said(
        object_of(dict.fromkeys(FILTERS, COUNT), *FILTERS),
        "Videos by the first filter that removed them; filters that removed none are left out.",
    ),
    "rules": said(
        list_of(object_of({**_NAMED_RULE, "matches": COUNT}, "multiplier", "positions")),
        "Rules in force for this viewer, and how many videos each one means.",
    ),
}
_LEFT: Fields = {**_SHOWN, "before": said(COUNT, "0-based place in the live feed."), **_ABSENCE}
_DRAFTED: Fields = {
    **_PICTURE,
    "items": list_of(object_of({**_ITEM, **_MOVED})),
    "left": said(
        list_of(object_of(_LEFT, *_IF_CANDIDATE)), "Videos of the live page that are not on this one, and why."
    ),
}
_WHY: Fields = {**_SHOWN, **_ABSENCE}
_NOT_ASKED = tuple(name for name in _SHOWN if name != "videoId")
"""What is left out of a video that does not exist."""

# ---- models and experiments

_MODEL: Fields = {
    "version": TEXT,
    "type": TEXT,
    "weights": _WEIGHTS,
    "trained": {"type": "object", "description": "Where the weights come from, as it was sent with the model."},
    "live": said(YES_NO, "It ranks for this tenant now."),
    "uploadedAt": MAYBE_TIME,
    "uploadedBy": said(MAYBE_TEXT, "The name of a key."),
    "global": said({"type": "boolean", "const": True}, "Only of the shipped model."),
}
_ARM: Fields = {"number": said(COUNT, "1 for the first arm, …"), **fields_of(ArmForm), "modelVersion": _VERSION}
_EXPERIMENT: Fields = {
    "id": TEXT,
    **fields_of(ExperimentForm),
    "arms": list_of(object_of(_ARM)),
    "status": one_of("draft", "running", "stopped"),
    "outsidePercent": said(NUMBER, "Users in no arm; they see what the tenant serves."),
    "startedAt": MAYBE_TIME,
    "stoppedAt": MAYBE_TIME,
    **_STAMP,
}
_MEASURE: Fields = {
    "meaning": TEXT,
    "value": said({"type": ["number", "null"]}, "null: too little to say; so for the fields below."),
    "lift": said({"type": ["number", "null"]}, "Against the control: 0.05 is 5 % more; null of the control itself."),
    "interval": {
        "type": ["array", "null"],
        "items": NUMBER,
        "minItems": 2,
        "maxItems": 2,
        "description": "From, to: holds the lift with 95 %.",
    },
    "clear": said({"type": ["boolean", "null"]}, "The interval leaves out no difference."),
}
_ARM_RESULT: Fields = {
    "number": _ARM["number"],
    "name": TEXT,
    "percent": NUMBER,
    "users": COUNT,
    "shown": said(COUNT, "Videos shown."),
    "measures": object_of(dict.fromkeys(MEASURES, ref("Measure"))),
}
_REPORT: Fields = {
    "experiment": said(TEXT, "Its id."),
    "name": TEXT,
    "status": _EXPERIMENT["status"],
    "events": said(COUNT, "Events counted."),
    "sampleOfUsers": said(NUMBER, "1: all of them; less: a hashed sample."),
    "usersInTwoArms": said(COUNT, "Left out of both."),
    "sampleRatio": said(
        object_of({"pValue": NUMBER, "ok": YES_NO}), "Not ok: users fell on arms unevenly; believe no lift."
    ),
    "control": said(TEXT, "The name of the first arm."),
    "arms": list_of(object_of(_ARM_RESULT)),
    "at": said(COUNT, "When it was worked out, in seconds since the epoch."),
}

# ---- who changed what, and who may come in

_ENTRY: Fields = {
    "id": said(TEXT, "For taking the change back."),
    "at": TIME,
    "who": said(TEXT, "The name of a key."),
    "why": MAYBE_TEXT,
    "action": said(TEXT, "Such as create, update, publish."),
    "resource": said(TEXT, "The kind of thing, such as video or rule."),
    "name": said(TEXT, "The thing's id, or how many there were."),
    "count": said(MAYBE_COUNT, "Rows of an import; null of a single change."),
    "changes": list_of(
        object_of(
            {
                "field": TEXT,
                "from": {"description": "The value before, null for none."},
                "to": {"description": "The value after, null for none."},
            }
        )
    ),
    "revertible": YES_NO,
}
_KEY: Fields = {
    "id": TEXT,
    "name": said(TEXT, "Whose it is, as the history shows it."),
    "scopes": list_of(one_of(*SCOPES)),
    "state": one_of("active", "expired"),
    "createdAt": MAYBE_TIME,
    "createdBy": said(MAYBE_TEXT, "The name of a key."),
    "expiresAt": said(MAYBE_TIME, "null: it does not."),
}
_SECRET: Fields = {"key": said(TEXT, "The key itself, which no other answer shows: keep it now.")}
_PUBLIC_KEY: Fields = {
    "keyId": said(TEXT, "The `kid` of tokens signed with it."),
    "publicKey": said(TEXT, "PEM."),
    "addedAt": MAYBE_TIME,
    "addedBy": said(MAYBE_TEXT, "The name of a key."),
}

SCHEMAS: dict[str, Schema] = {
    "StoredVideo": object_of(_VIDEO),
    "VideoPage": object_of({"videos": list_of(object_of({**_VIDEO, **_ETAG})), **_NEXT}),
    "ImportRow": object_of(_ROW, "errors"),
    "ImportReport": object_of({"rows": list_of(ref("ImportRow")), "counts": object_of(_ROWS_BY_STATUS, *STATUSES)}),
    "ImportJob": object_of(_JOB),
    "ImportJobs": object_of({"imports": said(list_of(ref("ImportJob")), "The latest first.")}),
    "Configuration": object_of(_CONFIGURATION),
    "ConfigurationDraft": object_of(_DRAFT),
    "RuleMatch": said(object_of(fields_of(MatchForm)), "Which videos; everything given holds."),
    "RuleAudience": said(object_of(fields_of(AudienceForm)), "For whom; an empty list means everyone."),
    "StoredRule": object_of(_RULE, "multiplier"),
    "RuleDraft": object_of({**_RULE, **_ETAG}, "multiplier"),
    "ListedRule": object_of({**_RULE, **_ETAG, "draft": or_null(ref("RuleDraft"))}, "multiplier"),
    "NewRule": said(object_of(_NEW_RULE), "A rule that is only a draft yet."),
    "Rules": object_of({"rules": list_of({"oneOf": [ref("ListedRule"), ref("NewRule")]}), "now": TIME}),
    "StoredPlaylist": object_of(_PLAYLIST),
    "Playlists": object_of({"playlists": list_of(object_of({**_PLAYLIST, **_ETAG}))}),
    "Contribution": said(
        object_of({"feature": TEXT, "unit": TEXT, "value": NUMBER, "weight": NUMBER, "amount": NUMBER}),
        "amount = weight × value.",
    ),
    "AppliedRule": object_of(_NAMED_RULE, "multiplier", "positions"),
    "Preview": object_of(
        {
            "live": object_of(_PICTURE),
            "draft": said(object_of(_DRAFTED), "Where a draft was sent."),
            "switch": map_of(YES_NO, "Feature flags as operators set them."),
            "why": said(list_of(object_of(_WHY, *_NOT_ASKED, *_IF_CANDIDATE)), "For each video asked about."),
            "needsConfirmation": said(_DRAFT["needsConfirmation"], "Who would be shown stronger ratings."),
        },
        "draft",
        "needsConfirmation",
    ),
    "StoredModel": object_of(_MODEL, "global"),
    "Models": object_of(
        {"models": list_of(ref("StoredModel")), "live": _VERSION, "history": _CONFIGURATION["modelHistory"]}
    ),
    "StoredExperiment": object_of(_EXPERIMENT),
    "Experiments": object_of({"experiments": list_of(object_of({**_EXPERIMENT, **_ETAG}))}),
    "Measure": object_of(_MEASURE),
    "ExperimentReport": object_of(
        {
            "experiment": ref("StoredExperiment"),
            "report": said(or_null(object_of(_REPORT)), "null: not worked out yet."),
        }
    ),
    "Audit": object_of({"entries": list_of(object_of(_ENTRY)), **_NEXT}),
    "Reverted": object_of({"reverted": said(TEXT, "The entry."), "resource": TEXT, "name": TEXT}),
    "Tenants": object_of({"tenants": list_of(ref("Configuration"))}),
    "NewTenant": object_of({**_CONFIGURATION, **_SECRET, "keyInfo": ref("StoredKey")}),
    "Keys": object_of({"keys": list_of(ref("StoredKey"))}),
    "StoredKey": object_of(_KEY),
    "NewKey": object_of({**_SECRET, **_KEY}),
    "RotatedKey": object_of({**_SECRET, **_KEY, "oldKeyEndsAt": TIME}),
    "PublicKey": object_of(_PUBLIC_KEY),
    "PublicKeys": object_of({"keys": list_of(ref("PublicKey"))}),
}
