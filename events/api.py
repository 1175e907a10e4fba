"""`POST /v1/events/batch`: validate, publish, and only then say 202."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import azure.functions as func
import orjson

from bootstrap import Services
from events.batch import NOBODY, Batch, encode
from events.schema import REJECTIONS, Event, Rejected, parse_event
from shared.adapters.bus.port import ROLLUP, SIGNALS, BusUnavailable, OutgoingMessage
from shared.adapters.retry import with_timeout
from shared.adapters.tenant_directory import Caller, consented
from shared.domain.event_types import MAX_BODY_BYTES, MAX_EVENTS
from shared.domain.feed_receipt import FeedReceipt, verify
from shared.observability.logs import log_event
from shared.observability.tracing import Stages, current_trace
from shared.web.admission import Kind
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem, bad_request, unavailable

log = logging.getLogger("feed.events")

MAX_IDEMPOTENCY_KEY = 200
OLD_EVENTS_MS = 24 * 3_600_000


@endpoint("events")
async def post_events(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """202 once the bus has the batch durably; each refused event is named by its index, code and message."""
    stages = Stages()
    now = services.clock()
    caller = services.tenants.authenticate(request.headers, now)
    caller.require("sdk", "cms", "ops")
    user = services.user_tokens.user_of(caller, request.headers, now)
    user_key = services.identity.user_key(caller.tenant.id, user.hash)
    body = request.get_body()
    with services.limits.admit(Kind.EVENTS, caller.tenant, user_key, now):
        rows = _rows(body, request.headers.get("content-type", ""))
        batch, rejected = _batch(caller, user_key, rows, body, request.headers, services, now)
        stages.end("validate")
        if batch.events:
            await _publish(batch, caller.tenant.rollup_shards, services)
        stages.end("publish")
    tenant_id = caller.tenant.id
    services.telemetry.count("events_accepted", tenant_id, amount=len(batch.events))
    for each in rejected:
        services.telemetry.count("events_rejected", tenant_id, each["code"])
    _note_what_is_odd(batch, rejected)
    stages.end("answer")
    services.spans("post_events", stages, tenant=tenant_id)
    return json_response({"accepted": len(batch.events), "rejected": rejected, "batchId": batch.id}, 202)


def _rows(body: bytes, content_type: str) -> list[Any]:
    """The raw events of a request body. Raises a 4xx `Problem` when the body as a whole is no good."""
    if content_type and content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "unsupported_media_type", "Send the batch as application/json.")
    if len(body) > MAX_BODY_BYTES:
        raise Problem(413, "body_too_large", f"A batch may have {MAX_BODY_BYTES} bytes at the most: send two.")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("invalid_json", "The body is not JSON.") from None
    rows = parsed.get("events") if isinstance(parsed, dict) else None
    if not isinstance(rows, list):
        raise bad_request("invalid_batch", 'The body must look like {"events": [...]}.')
    if not rows:
        raise bad_request("empty_batch", "The batch has no events.")
    if len(rows) > MAX_EVENTS:
        raise bad_request("too_many_events", f"A batch may have {MAX_EVENTS} events at the most: send two.")
    return rows


def _batch(
    caller: Caller,
    user_key: str,
    rows: list[Any],
    body: bytes,
    headers: Mapping[str, str],
    services: Services,
    now: float,
) -> tuple[Batch, list[dict[str, Any]]]:
    """The valid events as a batch, and why each other one was refused."""
    tenant_id = caller.tenant.id
    signing = services.keys.for_purpose("feed-request")
    events: list[Event] = []
    rejected: list[dict[str, Any]] = []
    requests: dict[str, int | None] = {}
    verified: list[FeedReceipt] = []
    for index, row in enumerate(rows):
        try:
            event, quoted = parse_event(row, now)
        except Rejected as refusal:
            rejected.append({"index": index, "code": refusal.code, "message": REJECTIONS[refusal.code]})
            continue
        if quoted is not None:
            if quoted not in requests:
                found = verify(quoted, signing, tenant_id, user_key, now)
                requests[quoted] = None if found is None else len(verified)
                if found is not None:
                    verified.append(found)
            event = replace(event, request=requests[quoted])
        events.append(event)
    agreed = consented(headers)
    batch = Batch(
        id=_batch_id(tenant_id, user_key, headers.get("idempotency-key", ""), body),
        tenant_id=tenant_id,
        user_key=user_key if agreed else NOBODY,
        accepted_at=now,
        events=tuple(events),
        requests=tuple(verified),
        trusted=bool(caller.scopes & {"cms", "ops"}) or caller.tenant.count_anonymous_events,
        consented=agreed,
        trace_id=current_trace.get().id,
    )
    return batch, rejected


def _note_what_is_odd(batch: Batch, rejected: list[dict[str, Any]]) -> None:
    """Log batches an app's makers should look at: what was refused and why, and events from the future or the past."""
    tenant_id = batch.tenant_id
    if rejected:
        codes = sorted({each["code"] for each in rejected})
        log_event(log, logging.WARNING, "events_rejected", tenant=tenant_id, count=len(rejected), codes=codes)
    if len({event.identity for event in batch.events}) < len(batch.events):
        log_event(log, logging.INFO, "batch_repeats_events", tenant=tenant_id, count=len(batch.events))
    oldest = min((event.at_ms for event in batch.events), default=None)
    if oldest is not None and batch.accepted_at * 1000 - oldest > OLD_EVENTS_MS:
        hours = int((batch.accepted_at * 1000 - oldest) / 3_600_000)
        log_event(
            log, logging.INFO, "batch_of_old_events", tenant=tenant_id, count=len(batch.events), oldestHours=hours
        )


def _batch_id(tenant_id: str, user_key: str, idempotency_key: str, body: bytes) -> str:
    """32 hex digits over the key *and* the body: a retry is free, and a key used twice by mistake loses nothing."""
    if len(idempotency_key) > MAX_IDEMPOTENCY_KEY:
        raise bad_request("invalid_idempotency_key", f"Idempotency-Key has more than {MAX_IDEMPOTENCY_KEY} characters.")
    digest = hashlib.blake2b(f"{tenant_id}\n{user_key}\n{idempotency_key}\n".encode(), digest_size=16)
    digest.update(body)
    return digest.hexdigest()


async def _publish(batch: Batch, shards: int, services: Services) -> None:
    """Hand the batch to the bus. Raises a 503 `Problem` when that is not confirmed within the budget."""
    # Without consent there is nothing to fold, so the batch goes straight to the statistics.
    to = SIGNALS if batch.consented else ROLLUP
    message = OutgoingMessage(batch.id, batch.session(shards), encode(batch), to)
    try:
        await with_timeout(services.settings.publish_budget_ms / 1000, services.bus.publish(message), BusUnavailable)
    except BusUnavailable as error:
        services.telemetry.count("bus_failures", "publish")
        raise unavailable(
            "The batch could not be stored safely. Send it again, unchanged.", error.retry_after_seconds
        ) from error
