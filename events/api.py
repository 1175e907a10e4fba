"""`POST /v1/events/batch`: validates a batch, publishes it, and answers 202 only after the bus has confirmed it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

import azure.functions as func

from events.attribution import Sender, attribute
from events.batch import NOBODY, Batch, encode
from events.device_clock import DeviceClock
from events.packing import Packer
from events.responses import BatchReceipt, EventBatch, RejectedEvent
from events.schema import REJECTIONS, Event, Rejected, parse_event
from shared.adapters.bus.port import NO_SESSION, ROLLUP, SIGNALS, Bus, BusUnavailable, OutgoingMessage
from shared.adapters.milestones import EVENT, Milestones
from shared.adapters.retry import with_timeout
from shared.domain.event_types import MAX_BODY_BYTES, MAX_EVENTS
from shared.domain.json_text import InvalidJson, parse_rows
from shared.domain.keys import KeyRing
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry
from shared.observability.telemetry_export import Spans
from shared.observability.tracing import Stages, current_trace
from shared.web.admission import Kind, Limits
from shared.web.authentication import consented
from shared.web.bodies import decoded_body
from shared.web.declaration import Body, Parameter, Response
from shared.web.endpoint import Call, Edge, endpoint, json_response
from shared.web.openapi import X_PERSONALIZATION, X_USER, X_USER_TOKEN
from shared.web.problem_codes import USER
from shared.web.problems import Problem, bad_request, clock_wrong, unavailable

log = logging.getLogger("feed.events")

MAX_IDEMPOTENCY_KEY = 200
OLD_EVENTS_MS = 24 * 3_600_000


_VIEW = {
    "type": "video_view",
    "videoId": "vid_fitness_1",
    "timestamp": "2026-11-20T12:00:00Z",
    "watchTimeMs": 20_000,
    "feedRequestId": "AQxS…",
    "rankPosition": 0,
    "eventId": "b1c2-1",
}
_SKIP = {
    "type": "skip",
    "videoId": "vid_cooking_1",
    "timestamp": 1_795_176_000_000,
    "watchTimeMs": None,
    "feedRequestId": "AQxS…",
    "rankPosition": 1,
}
_HEARTBEAT = {
    "type": "progress",
    "videoId": "vid_fitness_1",
    "timestamp": 1_795_176_010_000,
    "feedRequestId": "AQxS…",
    "playId": "5d1c-7",
    "startedAt": 1_795_176_000_000,
    "positionMs": 10_000,
    "sessionId": "8f2a",
}
_RECEIPT_EXAMPLE = {
    "accepted": 1,
    "rejected": [{"index": 1, "code": "too_old", "message": REJECTIONS["too_old"]}],
    "batchId": "0123456789abcdef0123456789abcdef",
}


MAX_MARKS = 300 * MAX_EVENTS
"""Limit of brackets, commas and quotes in a body that is not valid JSON as a whole: ten times what its events need."""


class EventsApi:
    """Accepts event batches."""

    def __init__(
        self,
        edge: Edge,
        *,
        bus: Bus,
        keys: KeyRing,
        limits: Limits,
        telemetry: Telemetry,
        spans: Spans,
        packer: Packer,
        milestones: Milestones,
        publish_seconds: float,
        clock_trusted: Callable[[], bool] = lambda: True,
        write_version: int = 1,
    ) -> None:
        self.edge = edge
        self._write_version = write_version
        self._bus, self._packer = bus, packer
        self._receipt_keys = keys.for_purpose("feed-request")
        self._limits = limits
        self._telemetry = telemetry
        self._spans = spans
        self._milestones = milestones
        self._publish_seconds = publish_seconds
        self._clock_trusted = clock_trusted

    @endpoint(
        "POST",
        "v1/events/batch",
        "Report what was watched",
        tag="events",
        description="Send batches every few seconds. After a time-out, 429 or 503 send the same bytes again with the "
        "same Idempotency-Key: nothing counts twice. One bad event never sinks its batch.",
        responses={
            202: Response("The batch is stored safely and will count within seconds.", BatchReceipt, _RECEIPT_EXAMPLE)
        },
        scopes=("sdk", "cms", "ops"),
        user=True,
        cors=True,
        parameters=(
            X_USER,
            X_USER_TOKEN,
            X_PERSONALIZATION.saying(
                "`off`: the user opted out. The events count in statistics about videos and nowhere else."
            ),
            Parameter(
                "Idempotency-Key",
                "header",
                "Your key, one for each batch. The body counts too, so a key used twice by mistake loses nothing.",
                {"type": "string", "maxLength": MAX_IDEMPOTENCY_KEY},
            ),
        ),
        body=Body(EventBatch, {"events": [_VIEW, _SKIP, _HEARTBEAT]}),
        problems=(
            *USER,
            "invalid_json",
            "invalid_batch",
            "empty_batch",
            "too_many_events",
            "invalid_idempotency_key",
            "invalid_personalization",
            "clock_wrong",
        ),
    )
    async def post_events(self, call: Call) -> func.HttpResponse:
        """Accept a batch: 202 once the bus has stored it. Each refused event is listed with its index, code and
        message."""
        stages = Stages(call.started)
        tenant = call.tenant
        if not self._clock_trusted():
            raise clock_wrong()
        with self._limits.admit(Kind.EVENTS, tenant, call.user_key):
            body = _body(call)
            rows, sent_at = _rows(body)
            device = DeviceClock.of(sent_at, call.now)
            batch, rejected = self._batch(call, rows, body, device)
            stages.end("validate")
            if batch.events:
                await self._publish(batch, tenant.rollup_shards)
            stages.end("publish")
        if batch.events:
            self._milestones.saw(EVENT, tenant.id, call.caller.scopes, call.now)
        telemetry = self._telemetry
        telemetry.count("events_accepted", tenant.id, amount=len(batch.events))
        for each in rejected:
            telemetry.count("events_rejected", tenant.id, each.code)
        _log_oddities(batch, rejected)
        if device.unreadable or device.behind_ms:
            telemetry.count("device_clocks", "unreadable" if device.unreadable else "corrected")
        stages.end("answer")
        self._spans.record("post_events", stages, tenant=tenant.id)
        receipt = BatchReceipt.unchecked(accepted=len(batch.events), rejected=rejected, batch_id=batch.id)
        return json_response(receipt, 202)

    def _batch(
        self, call: Call, rows: list[Any], body: bytes, device: DeviceClock
    ) -> tuple[Batch, list[RejectedEvent]]:
        """Return the valid events as a batch, and the refused ones with their reasons."""
        caller, user_key, headers, now = call.caller, call.user_key, call.headers, call.now
        tenant_id = caller.tenant.id
        parsed: list[tuple[Event, str | None]] = []
        rejected: list[RejectedEvent] = []
        for index, row in enumerate(rows):
            try:
                parsed.append(parse_event(row, now, device))
            except Rejected as refusal:
                rejected.append(RejectedEvent(index=index, code=refusal.code, message=REJECTIONS[refusal.code]))
        agreed = consented(headers)
        for event, _ in parsed:
            event.session_id = _session(tenant_id, user_key, event.session_id) if agreed else None
        events, requests = attribute(parsed, self._receipt_keys, Sender(tenant_id, user_key, now))
        batch = Batch(
            id=_batch_id(tenant_id, user_key, headers.get("idempotency-key", ""), body),
            tenant_id=tenant_id,
            user_key=user_key if agreed else NOBODY,
            accepted_at=now,
            events=events,
            requests=requests,
            trusted=bool(caller.scopes & {"cms", "ops"}) or caller.tenant.count_anonymous_events,
            consented=agreed,
            trace_id=current_trace.get().id,
        )
        return batch, rejected

    async def _publish(self, batch: Batch, shards: int) -> None:
        """Publish the batch. Raises a 503 `Problem` when the bus does not confirm it in time."""
        try:
            await with_timeout(self._publish_seconds, self._sent(batch, shards), BusUnavailable)
        except BusUnavailable as error:
            self._telemetry.count("bus_failures", "publish")
            raise unavailable(
                "The batch could not be stored safely. Send it again, unchanged.", error.retry_after_seconds
            ) from error

    async def _sent(self, batch: Batch, shards: int) -> None:
        """Send the batch to the fold, packed with others. A batch without consent is not folded: it goes straight to
        the statistics in a message of its own. No marker could recognize it in another message, so its id must be the
        same when the client sends it again."""
        if batch.consented:
            await self._packer.publish(batch, SIGNALS, NO_SESSION)
        else:
            message = OutgoingMessage(batch.id, batch.session(shards), encode(batch, self._write_version), ROLLUP)
            await self._bus.publish(message)


def _body(call: Call) -> bytes:
    """Return the decoded body of a batch. Raises a 4xx `Problem`."""
    content_type = call.headers.get("content-type", "")
    if content_type and content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "unsupported_media_type", "Send the batch with Content-Type application/json.")
    too_large = Problem(413, "body_too_large", f"A batch can have at most {MAX_BODY_BYTES} bytes. Send two batches.")
    return decoded_body(call.request.get_body(), call.headers, MAX_BODY_BYTES, too_large)


def _rows(body: bytes) -> tuple[list[Any], Any]:
    """Return the raw events of a batch and its `sentAt`. A broken event is `UNREADABLE`.

    Raises a 4xx `Problem` when the body as a whole is invalid.
    """
    try:
        parsed = parse_rows(body, "events", MAX_MARKS)
    except InvalidJson:
        raise bad_request("invalid_json", "The body is not valid JSON.") from None
    rows = parsed.get("events") if isinstance(parsed, dict) else None
    if not isinstance(rows, list):
        raise bad_request("invalid_batch", 'The body must look like {"events": [...]}.')
    if not rows:
        raise bad_request("empty_batch", "The batch has no events. Send at least one.")
    if len(rows) > MAX_EVENTS:
        raise bad_request("too_many_events", f"A batch can have at most {MAX_EVENTS} events. Send two batches.")
    return rows, parsed.get("sentAt")


def _log_oddities(batch: Batch, rejected: list[RejectedEvent]) -> None:
    """Log what the app's developers should look at: refused events, repeated events, and batches of old events."""
    tenant_id = batch.tenant_id
    if rejected:
        codes = sorted({each.code for each in rejected})
        log_event(log, logging.WARNING, "events_rejected", tenant=tenant_id, count=len(rejected), codes=codes)
    if len({event.identity for event in batch.events}) < len(batch.events):
        log_event(log, logging.INFO, "batch_repeats_events", tenant=tenant_id, count=len(batch.events))
    oldest = min((event.at_ms for event in batch.events), default=None)
    if oldest is not None and batch.accepted_at * 1000 - oldest > OLD_EVENTS_MS:
        hours = int((batch.accepted_at * 1000 - oldest) / 3_600_000)
        log_event(
            log, logging.INFO, "batch_of_old_events", tenant=tenant_id, count=len(batch.events), oldestHours=hours
        )


def _session(tenant_id: str, user_key: str, session_id: str | None) -> str | None:
    """Return the stored form of the app session: 16 hex digits that only tell which events belong together."""
    if session_id is None:
        return None
    return hashlib.blake2b(f"{tenant_id}\n{user_key}\n{session_id}".encode(), digest_size=8).hexdigest()


def _batch_id(tenant_id: str, user_key: str, idempotency_key: str, body: bytes) -> str:
    """Return 32 hex digits of a hash of the key *and* the body. A retry of the same request gets the same id, so it
    counts once; other events sent with a key used before get another id, so they are not lost."""
    if len(idempotency_key) > MAX_IDEMPOTENCY_KEY:
        raise bad_request(
            "invalid_idempotency_key",
            f"Idempotency-Key can have at most {MAX_IDEMPOTENCY_KEY} characters. Send a shorter one.",
        )
    digest = hashlib.blake2b(f"{tenant_id}\n{user_key}\n{idempotency_key}\n".encode(), digest_size=16)
    digest.update(body)
    return digest.hexdigest()
