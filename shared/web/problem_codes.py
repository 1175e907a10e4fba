"""Problem codes: status, meaning and what to do, for every code. Tests hold the code against this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """`retry`: the answer carries `Retry-After`."""

    status: int
    meaning: str
    retry: bool = False


CODES: dict[str, Code] = {
    # who is calling
    "missing_tenant": Code(400, "The header X-Tenant-Id is missing."),
    "invalid_tenant": Code(400, "The header X-Tenant-Id is malformed or given twice."),
    "missing_api_key": Code(400, "The header X-Api-Key is missing."),
    "invalid_api_key": Code(400, "The header X-Api-Key is malformed or given twice."),
    "missing_user": Code(400, "The header X-User is missing."),
    "invalid_user": Code(400, "X-User is not 64 lower-case hex digits. Never send the id itself."),
    "user_in_url": Code(400, "A user hash was sent in the URL, where it would be logged. Send it in X-User."),
    "unauthorized": Code(401, "The tenant is unknown or the key is wrong; which of them is not said."),
    "forbidden": Code(403, "The key is right but does not have the scope this call needs."),
    "ops_only": Code(403, "Only a key of scope ops changes this field, which `errors` names. Unchanged it passes."),
    "missing_user_token": Code(401, "The tenant, or the call, requires X-User-Token, signed by the tenant's backend."),
    "invalid_user_token": Code(401, "The user token proves nothing: signature, key id, audience, tenant or times."),
    "user_token_expired": Code(401, "The user token has expired. Get a new one from your backend and repeat the call."),
    "user_token_mismatch": Code(403, "The user token is valid, for another user than X-User."),
    # what the host refuses
    "malformed_request": Code(400, "The request is no valid HTTP."),
    "malformed_header": Code(400, "A header is no valid text."),
    "malformed_path": Code(400, "The path is no valid text."),
    "malformed_body": Code(400, "The body broke off, or is no valid HTTP."),
    # what is asked
    "invalid_limit": Code(400, "limit is no whole number in its range."),
    "invalid_minutes": Code(400, "minutes is no whole number from 1 to 15."),
    "invalid_cursor": Code(400, "The cursor is not valid, or another user's. Start again without it."),
    "cursor_expired": Code(400, "The cursor is older than 12 hours. Start again without it."),
    "cursor_of_another_feed": Code(400, "The cursor is of another feed or other filters. Start again without it."),
    "feed_not_found": Code(404, "There is no feed of this name, or it is switched off."),
    "invalid_filter": Code(400, "A filter is unknown or too long, or there are more than 20 values."),
    "feed_request_not_found": Code(404, "feedRequestId is none that this tenant's feed gave to this user."),
    "feed_request_expired": Code(410, "feedRequestId is older than 24 hours."),
    "invalid_ids": Code(400, "ids does not name 1 to 50 videos."),
    "video_not_found": Code(404, "There is no such video, or none that this viewer may see."),
    "series_not_found": Code(404, "There is no such series, or nothing of it that this viewer may see."),
    "invalid_kind": Code(400, "kind is not one of what can be followed."),
    "invalid_order": Code(400, "order is neither ranked nor newest."),
    "invalid_include": Code(400, "include names something that items do not have."),
    "invalid_personalization": Code(400, "X-Personalization is neither on nor off."),
    "invalid_enable": Code(400, "enable is neither true nor false."),
    "headers_too_large": Code(431, "The headers have more than 16 kB in all."),
    "query_too_long": Code(414, "The URL has more than 6,000 characters."),
    # a batch as a whole
    "invalid_json": Code(400, "The body is not JSON, or nested too deeply."),
    "invalid_batch": Code(400, 'The body does not look like {"events": [...]}.'),
    "empty_batch": Code(400, "The batch has no events."),
    "too_many_events": Code(400, "The batch has more than 100 events. Send two."),
    "invalid_idempotency_key": Code(400, "Idempotency-Key has more than 200 characters."),
    "body_too_large": Code(413, "The body is too large. Send two batches."),
    "unsupported_media_type": Code(415, "The body is not declared as application/json."),
    "invalid_content_encoding": Code(
        400, "The body is not what Content-Encoding says: not gzip, cut off, or with something behind it."
    ),
    "unsupported_content_encoding": Code(415, "Content-Encoding is not one that Accept-Encoding names."),
    # uploads
    "invalid_upload": Code(400, "The form of an upload names no purpose, content type or length that could be."),
    "media_type_refused": Code(415, "Files of this type are not taken: JPEG, PNG, WebP, MP4 and WebM are."),
    "media_too_large": Code(413, "Files of this type may not be so long."),
    "too_many_uploads": Code(429, "The user has as many uploads in an hour, a day, or open as may be.", retry=True),
    "upload_not_found": Code(404, "There is no such upload of this user."),
    "upload_missing": Code(409, "The upload's link has not stored a file yet. Store it, then complete."),
    "upload_expired": Code(410, "The upload was not completed in time, and its file is deleted. Start another one."),
    "media_refused": Code(422, "The file is longer than its ticket says, or not what it says; it is deleted."),
    # what is stored
    "no_signals": Code(404, "Nothing is stored about this user."),
    "no_configuration": Code(404, "The tenant has no configuration."),
    "conflict": Code(409, "Somebody else changed it at the same time. Read it again and repeat."),
    "refused_by_store": Code(422, "What follows from the request can never be stored, sent again or not: change it."),
    "too_large_to_store": Code(413, "What follows from the request is larger than can be stored: make it smaller."),
    # the CMS
    "invalid_document": Code(422, "The document breaks a rule. `errors` names every fault: field, code, message."),
    "invalid_body": Code(400, "The body is not a JSON object."),
    "invalid_reason": Code(400, "The reason is not text of at most 300 characters."),
    "invalid_days": Code(400, "days is none of those that the call takes."),
    "invalid_by": Code(400, "by is nothing that figures can be told apart by."),
    "invalid_prefix": Code(400, "prefix is not the beginning of a video's id."),
    "invalid_search": Code(400, "q has more than 200 characters."),
    "invalid_rating": Code(400, "rating is no maturity rating."),
    "invalid_state": Code(400, "state is none that a video can be in."),
    "invalid_time": Code(400, "What is to be a date or a time is neither."),
    "invalid_sort": Code(400, "sort is nothing that the list can be sorted by."),
    "invalid_direction": Code(400, "direction is neither asc nor desc."),
    "missing_if_match": Code(400, "Send the ETag you read in If-Match, so that no change is lost."),
    "invalid_if_match": Code(400, "If-Match is not one ETag."),
    "stale_etag": Code(412, "Somebody else saved a change first. Read it again, then repeat yours."),
    "draft_outdated": Code(412, "What the draft was begun from has changed since. Save the draft again."),
    "not_found": Code(404, "Not found in this tenant."),
    "already_exists": Code(409, "The id is taken already."),
    "being_removed": Code(409, "The tenant of this id is being removed. The id is free when its receipt says done."),
    "too_many": Code(409, "The tenant has as many of these as it may. Delete one first."),
    "in_use": Code(409, "It is in use, and `detail` says by what. Change that first."),
    "changed_since": Code(409, "It was changed again since. Look at the later changes, or send force."),
    "not_revertible": Code(409, "This kind of change cannot be taken back from the history."),
    "already_active": Code(409, "The name has as many active keys as it may: rotate, revoke, or wait."),
    "last_key": Code(409, "The platform's last key cannot be revoked."),
    "nothing_to_roll_back": Code(409, "No model version was promoted before this one."),
    "running": Code(409, "The experiment is running. Stop it first."),
    "already_ran": Code(409, "The experiment has run, and its arms stay as they were."),
    "another_running": Code(409, "Another experiment is running. Stop it first."),
    "not_running": Code(409, "The experiment is not running."),
    "invalid_file": Code(400, 'The file does not look like {"videos": [...]}.'),
    "invalid_csv": Code(400, "The file is no table in UTF-8 with a header that names an id."),
    "duplicate_column": Code(400, "Two columns of the file have the same name, which `detail` says."),
    "empty_file": Code(400, "The file has no rows."),
    "file_too_large": Code(413, "The file has more than 32 MB. Split it."),
    "too_many_rows": Code(413, "The file has more than 50,000 rows. Split it."),
    # people and stories
    "cannot_follow": Code(400, "Nobody can follow themselves, and some people cannot be followed."),
    "cannot_block": Code(400, "Nobody can block themselves."),
    "story_not_found": Code(404, "There is no such story, or none that this viewer may see."),
    "invalid_story": Code(400, "The story breaks a rule, which `detail` names."),
    "invalid_visibility": Code(400, "visibility is none of public, friends, private."),
    "story_removed": Code(409, "An editor has removed the story, which cannot be taken back."),
    "invalid_report": Code(400, "The reason is none of the six, or the text breaks a rule."),
    "invalid_query": Code(400, "q has no word, or more than 100 characters."),
    "invalid_emoji": Code(400, "emoji is none of the six."),
    "invalid_after": Code(400, "after is not what an answer before said as next."),
    "media_not_ready": Code(409, "There is no completed upload of the user's own under this mediaKey."),
    "idempotency_conflict": Code(409, "This Idempotency-Key was used with another body."),
    "stories_full": Code(429, "The tenant has as many stories as it may at a time.", retry=True),
    "too_many_follows": Code(409, "Somebody follows 2,000 people already. Unfollow one first."),
    # how it goes
    "rate_limited": Code(429, "One user or the tenant asks more often than it may.", retry=True),
    "overloaded": Code(429, "The service is busy. Nothing was done; come back when told.", retry=True),
    "internal": Code(500, "A defect on our side. Quote the errorId; repeat the call if it is safe to."),
    "clock_wrong": Code(
        503, "The instance's clock is wrong. Nothing was accepted; send it again, unchanged.", retry=True
    ),
    "unavailable": Code(503, "A dependency is down. Nothing was accepted; send it again, unchanged.", retry=True),
}
"""Code → what it means. A code never changes its meaning; texts in `detail` may."""

HOST = ("malformed_request", "malformed_header", "malformed_path", "malformed_body")
"""What never reaches the service: the host answers, on Azure perhaps without a body."""
ANY = (*HOST, "headers_too_large", "query_too_long", "internal", "unavailable")
"""What every call may answer."""
TENANT = ("missing_tenant", "invalid_tenant", "missing_api_key", "invalid_api_key", "unauthorized", "forbidden")
"""What every call for a tenant may answer."""
BODY = (
    "body_too_large",
    "unsupported_media_type",
    "invalid_content_encoding",
    "unsupported_content_encoding",
    "refused_by_store",
    "too_large_to_store",
)
"""What every call with a body may answer."""
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
"""What every call for a user may answer beside those."""
