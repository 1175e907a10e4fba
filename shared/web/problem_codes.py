"""Problem codes of the API, each with its status, meaning and remedy. Tests check the code against this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """Status and meaning of a problem code. `retry`: the response has `Retry-After`."""

    status: int
    meaning: str
    retry: bool = False


CODES: dict[str, Code] = {
    # authentication
    "missing_tenant": Code(400, "The header X-Tenant-Id is missing."),
    "invalid_tenant": Code(400, "The header X-Tenant-Id is malformed or given twice. Send it once."),
    "missing_api_key": Code(400, "The header X-Api-Key is missing."),
    "invalid_api_key": Code(400, "The header X-Api-Key is malformed or given twice. Send it once."),
    "missing_user": Code(400, "The header X-User is missing."),
    "invalid_user": Code(400, "X-User must be given once, as 64 lower-case hex digits. Never send the id itself."),
    "user_in_url": Code(400, "A user hash was sent in the URL, where it would be logged. Send it in X-User."),
    "unauthorized": Code(401, "The tenant id or its key is wrong. Check both: the answer does not say which."),
    "forbidden": Code(403, "The key is valid but lacks the scope this call needs. Use another key."),
    "ops_only": Code(403, "Only a key of scope ops can change the fields in `errors`. Leave them unchanged."),
    "missing_user_token": Code(401, "The tenant, or the call, requires X-User-Token, signed by the tenant's backend."),
    "invalid_user_token": Code(
        401, "The user token is not valid: check its signature, key id, audience, tenant and times."
    ),
    "user_token_expired": Code(401, "The user token has expired. Get a new one from your backend and repeat the call."),
    "user_token_mismatch": Code(
        403, "The user token belongs to another user than X-User. Send the token of this user."
    ),
    # refused by the host
    "malformed_request": Code(400, "The request is not valid HTTP. Check the client."),
    "malformed_header": Code(400, "A header has characters that HTTP does not allow."),
    "malformed_path": Code(400, "The path is not valid UTF-8 or percent-encoding."),
    "malformed_body": Code(400, "The body was cut off, or is not valid HTTP. Send it again."),
    # parameters
    "invalid_limit": Code(400, "limit must be a whole number in the range that `detail` names."),
    "invalid_minutes": Code(400, "minutes must be a whole number from 1 to 15."),
    "invalid_cursor": Code(400, "The cursor is not valid, or belongs to another user. Start again without it."),
    "cursor_expired": Code(400, "The cursor is older than 12 hours. Start again without it."),
    "cursor_of_another_feed": Code(400, "The cursor belongs to another feed or other filters. Start again without it."),
    "feed_not_found": Code(404, "There is no feed of this name, or it is switched off."),
    "invalid_filter": Code(
        400, "A filter is unknown or too long, or there are more than 20 values. `detail` says which."
    ),
    "feed_request_not_found": Code(
        404, "This tenant has not served this feedRequestId to this user. Check the id and the user hash."
    ),
    "feed_request_expired": Code(410, "The page was served more than 24 hours ago, so it can no longer be explained."),
    "invalid_ids": Code(400, "ids must list 1 to 50 video ids, separated by commas."),
    "video_not_found": Code(404, "The video does not exist, or this viewer cannot see it."),
    "series_not_found": Code(404, "The series does not exist, or this viewer can see none of its videos."),
    "invalid_kind": Code(400, "kind must be one of those that `detail` names, such as creator."),
    "invalid_order": Code(400, "order must be ranked or newest."),
    "invalid_include": Code(400, "include lists an unknown part. `detail` names the parts that exist."),
    "invalid_personalization": Code(400, "X-Personalization must be on or off."),
    "invalid_enable": Code(400, "enable must be true or false."),
    "headers_too_large": Code(431, "The headers are larger than 16 kB in all. Send fewer or shorter ones."),
    "query_too_long": Code(414, "The URL is longer than 6,000 characters. Shorten it."),
    # batches of events
    "invalid_json": Code(400, "The body is not valid JSON, or it is nested too deeply."),
    "invalid_batch": Code(400, 'The body must look like {"events": [...]}.'),
    "empty_batch": Code(400, "The batch has no events. Send at least one."),
    "too_many_events": Code(400, "The batch has more than 100 events. Send two batches."),
    "invalid_idempotency_key": Code(400, "Idempotency-Key must have at most 200 characters."),
    "body_too_large": Code(413, "The body is too large. Send less, or two batches."),
    "unsupported_media_type": Code(415, "The body must be sent as application/json."),
    "invalid_content_encoding": Code(
        400, "The body does not match its Content-Encoding: it is not gzip, is cut off, or has bytes after its end."
    ),
    "unsupported_content_encoding": Code(
        415, "This Content-Encoding is not supported. The header Accept-Encoding lists those that are."
    ),
    # uploads
    "invalid_upload": Code(400, "purpose, contentType or length is not valid. `detail` shows the form."),
    "media_type_refused": Code(415, "This file type is not accepted. Send JPEG, PNG, WebP, MP4 or WebM."),
    "media_too_large": Code(413, "The file is too large for its type. `detail` says how large it can be."),
    "too_many_uploads": Code(
        429,
        "The user started too many uploads this hour or today, or has too many open. Wait the seconds in Retry-After.",
        retry=True,
    ),
    "upload_not_found": Code(404, "This user has no upload with this id."),
    "upload_missing": Code(409, "No file has been uploaded to this upload's link yet. Upload the file, then complete."),
    "upload_expired": Code(410, "The upload was not completed in time, so its file was deleted. Start another upload."),
    "media_refused": Code(
        422, "The file is larger than its ticket allows, or of another type, so it was deleted. Start another upload."
    ),
    # stored documents
    "no_signals": Code(404, "Nothing is stored about this user."),
    "no_configuration": Code(404, "The tenant has no configuration yet. Write one with PUT /v1/cms/configuration."),
    "conflict": Code(409, "Somebody else saved a change at the same time. Send the request again."),
    "refused_by_store": Code(422, "The database refuses this content. Change it: the same request fails again."),
    "too_large_to_store": Code(413, "This is too large to store. Make it smaller."),
    # the CMS
    "invalid_document": Code(422, "The document breaks a rule. `errors` names every fault: field, code, message."),
    "invalid_body": Code(400, "The body is not a JSON object."),
    "invalid_reason": Code(400, "The reason must be text of at most 300 characters."),
    "invalid_days": Code(400, "days must be one of those that `detail` names."),
    "invalid_by": Code(400, "by must be video or category."),
    "invalid_prefix": Code(400, "prefix must be the first characters of a video id."),
    "invalid_search": Code(400, "q must have at most 200 characters."),
    "invalid_rating": Code(400, "rating must be one of G, PG, PG13, R, NC17."),
    "invalid_state": Code(400, "state must be one of those that `detail` names."),
    "invalid_time": Code(400, "A parameter must be a date or a time. `detail` says which."),
    "invalid_sort": Code(400, "sort must be one of those that `detail` names."),
    "invalid_direction": Code(400, "direction must be asc or desc."),
    "missing_if_match": Code(
        400, "If-Match is missing. Send the ETag from your last read, so nobody's change is lost."
    ),
    "invalid_if_match": Code(400, "If-Match must be exactly one ETag, unchanged from your last read."),
    "stale_etag": Code(412, "Somebody else saved a change first. Read the newest version, then repeat your change."),
    "draft_outdated": Code(
        412, "The live version changed after the draft was started. Check the draft, then save it again."
    ),
    "not_found": Code(404, "This tenant has nothing with this id."),
    "already_exists": Code(409, "The id is already taken. Choose another one."),
    "being_removed": Code(
        409, "A tenant with this id is being removed. The id is free when the removal's state is done."
    ),
    "too_many": Code(409, "The limit that `detail` names is reached. Delete one first."),
    "in_use": Code(409, "`detail` names what uses it. Change that first."),
    "changed_since": Code(409, "It was changed again after this entry. Check the later changes, or send force."),
    "not_revertible": Code(409, "This change cannot be reverted. `detail` says why."),
    "already_active": Code(409, "Two keys with this name are active already. Revoke one, or wait until one ends."),
    "last_key": Code(409, "The platform's last key cannot be revoked. Issue another one first."),
    "nothing_to_roll_back": Code(
        409, "No model version was promoted before this one, so there is nothing to go back to."
    ),
    "running": Code(409, "The experiment is running. Stop it first."),
    "already_ran": Code(409, "The experiment has already run, so it cannot change or start again. Create a new one."),
    "another_running": Code(409, "Another experiment is running. Stop it first."),
    "not_running": Code(409, "The experiment is not running, so it cannot be stopped."),
    "invalid_file": Code(400, 'The file must look like {"videos": [...]}.'),
    "invalid_csv": Code(
        400, "The file must be a table in UTF-8 whose first line names its columns, with an id among them."
    ),
    "duplicate_column": Code(400, "Two columns of the file have the same name. `detail` says which."),
    "empty_file": Code(400, "The file has no rows. Check that it is the right one."),
    "file_too_large": Code(413, "The file has more than 32 MB. Split it."),
    "too_many_rows": Code(413, "The file has more than 50,000 rows. Split it."),
    # people and stories
    "cannot_follow": Code(400, "A person cannot follow themselves, and some people cannot be followed."),
    "cannot_block": Code(400, "A person cannot block themselves. Send another person's id."),
    "story_not_found": Code(404, "The story does not exist, or this viewer cannot see it."),
    "invalid_story": Code(400, "The story breaks a rule. `detail` says which."),
    "invalid_visibility": Code(400, "visibility must be public, friends or private."),
    "story_removed": Code(409, "An editor has removed the story with its media, so it cannot be approved."),
    "invalid_report": Code(400, "reason must be one of the six that `detail` names, and text short and readable."),
    "invalid_query": Code(400, "q must have a word and at most 100 characters."),
    "invalid_emoji": Code(400, "emoji must be one of the six that `detail` names."),
    "invalid_after": Code(400, "after must be the value of `next` from an earlier response. Start again without it."),
    "media_not_ready": Code(409, "The user has no completed upload with this mediaKey. Complete the upload first."),
    "idempotency_conflict": Code(409, "This Idempotency-Key was already used with another body. Send a new key."),
    "stories_full": Code(429, "The tenant has reached its limit of active stories. Try again later.", retry=True),
    "too_many_follows": Code(409, "A person can follow at most 2,000 people. Unfollow one first."),
    # load and outages
    "rate_limited": Code(
        429, "One user or the tenant sends too many requests. Wait the seconds in Retry-After.", retry=True
    ),
    "overloaded": Code(
        429, "The service is busy. Nothing was done: wait the seconds in Retry-After, then try again.", retry=True
    ),
    "internal": Code(
        500, "The service failed. Repeat the call if that is safe; if it fails again, report the errorId."
    ),
    "clock_wrong": Code(
        503,
        "The clock of this server instance is wrong. Nothing was accepted; send the request again, unchanged.",
        retry=True,
    ),
    "unavailable": Code(
        503,
        "A service that this call needs is down. Nothing was accepted; send the request again, unchanged.",
        retry=True,
    ),
}
"""Meaning by code. A code never changes its meaning; texts in `detail` can change."""

HOST = ("malformed_request", "malformed_header", "malformed_path", "malformed_body")
"""Codes of requests that never reach the service. The host answers; on Azure the body can be missing."""
ANY = (*HOST, "headers_too_large", "query_too_long", "internal", "unavailable")
"""Codes that every call can answer."""
TENANT = ("missing_tenant", "invalid_tenant", "missing_api_key", "invalid_api_key", "unauthorized", "forbidden")
"""Codes that every call for a tenant can answer."""
BODY = (
    "body_too_large",
    "unsupported_media_type",
    "invalid_content_encoding",
    "unsupported_content_encoding",
    "refused_by_store",
    "too_large_to_store",
)
"""Codes that every call with a body can answer."""
USER = (
    "missing_user",
    "invalid_user",
    "missing_user_token",
    "invalid_user_token",
    "user_token_expired",
    "user_token_mismatch",
    "rate_limited",
    "overloaded",
)
"""Codes that every call for a user can answer besides those."""
