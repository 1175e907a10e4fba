"""Dead-letters a message that can never be processed, with a reason, and counts it."""

from __future__ import annotations

import hashlib
import logging

from shared.adapters.bus.port import MAX_MESSAGE_BYTES, Bus, BusRefused, OutgoingMessage
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.events")

UNREADABLE = "unreadable"
"""The body is no batch, or a field has an invalid value."""
REFUSED = "refused"
"""A store or the bus will never accept the result of this message."""
FAILED = "failed"
"""Only the processing of this message fails."""
CUT_BYTES = 64_000


async def set_aside(
    bus: Bus, telemetry: Telemetry, subscription: str, body: bytes, reason: str, description: str
) -> None:
    """Dead-letter a message for consumers that a trigger calls, which passes on no message id. Raises `BusUnavailable`.

    A body that the bus refuses even as a dead letter is cut: its beginning is better than nothing, and a message that
    is delivered forever helps nobody.
    """
    id = f"{reason}-{hashlib.sha256(body).hexdigest()[:32]}"
    try:
        if len(body) > MAX_MESSAGE_BYTES:
            raise BusRefused("too large")
        await bus.dead_letter(subscription, OutgoingMessage(id, id, body), reason, description)
    except BusRefused:
        cut = OutgoingMessage(id, id, body[:CUT_BYTES])
        await bus.dead_letter(subscription, cut, reason, f"{description}; cut from {len(body)} bytes")
    count_set_aside(telemetry, subscription, reason)


def count_set_aside(telemetry: Telemetry, subscription: str, reason: str) -> None:
    """Count and log one message that was dead-lettered because of `reason`."""
    telemetry.count("messages_set_aside", subscription, reason)
    log_event(log, logging.ERROR, "message_set_aside", subscription=subscription, reason=reason)
