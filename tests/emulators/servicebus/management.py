"""Request-response nodes: `$cbs` takes tokens, `<entity>/$management` takes management requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.parse
import uuid
from typing import Any

from proton import UNDESCRIBED, Array, Data, Message, int32, symbol, timestamp

from tests.emulators.servicebus import wire
from tests.emulators.servicebus.entities import (
    ABANDONED,
    COMPLETED,
    DEAD_LETTERED,
    LockGone,
    Queue,
    Stored,
)

VENDOR = "com.microsoft:"
PEEK_AT_MOST = 250
"""Longest page, as in the service, however many messages are requested."""
_DISPOSITIONS = {"completed": COMPLETED, "abandoned": ABANDONED, "suspended": DEAD_LETTERED}


def audience_of_token(request: Message, key: str, now: float) -> str | None:
    """Return the path a shared-access token is for; None when it is not signed with the key or has expired."""
    try:
        fields = dict(
            part.split("=", 1) for part in str(request.body).removeprefix("SharedAccessSignature ").split("&")
        )
        signed = hmac.new(key.encode(), f"{fields['sr']}\n{fields['se']}".encode(), hashlib.sha256).digest()
        given = urllib.parse.unquote(fields["sig"])
        if not hmac.compare_digest(given, base64.b64encode(signed).decode()) or int(fields["se"]) <= now:
            return None
        return urllib.parse.urlparse(str((request.properties or {})["name"])).path.strip("/").lower()
    except (KeyError, ValueError):
        return None


def token_answer(accepted: bool) -> Message:
    answer = Message()
    answer.properties = {
        "status-code": int32(202 if accepted else 401),
        "status-description": "Accepted" if accepted else "InvalidSignature: The token has an invalid signature.",
    }
    return answer


def operation_of(request: Message) -> str:
    """Return the name of the requested operation."""
    return str((request.properties or {}).get("operation", "")).removeprefix(VENDOR)


def manage(queue: Queue, request: Message) -> Message:
    """Answer one operation on an entity."""
    operation = operation_of(request)
    body = {str(k): v for k, v in request.body.items()} if isinstance(request.body, dict) else {}
    try:
        match operation:
            case "renew-lock":
                ends = [queue.renew(lock) for lock in _locks(body)]
                return _answer({"expirations": Array(UNDESCRIBED, Data.TIMESTAMP, *map(_timestamp, ends))})
            case "renew-session-lock":
                return _answer({"expiration": _timestamp(queue.renew_session(body["session-id"]))})
            case "update-disposition":
                for lock in _locks(body):
                    queue.settle(
                        lock,
                        _DISPOSITIONS[str(body["disposition-status"])],
                        str(body.get("deadletter-reason") or ""),
                        str(body.get("deadletter-description") or ""),
                    )
                return _answer({})
            case "peek-message":
                found = queue.peek(int(body["from-sequence-number"]), min(int(body["message-count"]), PEEK_AT_MOST))
                if not found:
                    return _answer({}, 204)
                return _answer({"messages": [{"message": encode(stored, locked=False)} for stored in found]})
    except LockGone:
        return refusal(410, VENDOR + "message-lock-lost", "The lock supplied is invalid.")
    return refusal(501, "amqp:not-implemented", f"the test broker does not know {operation}")


def encode(stored: Stored, *, locked: bool = True) -> bytes:
    """Encode a message for delivery."""
    values: dict[Any, Any] = {
        symbol("x-opt-sequence-number"): stored.sequence_number,
        symbol("x-opt-enqueued-time"): _timestamp(stored.enqueued_at),
        symbol("x-opt-message-state"): int32(0),
    }
    if locked:
        values[symbol("x-opt-locked-until")] = _timestamp(stored.locked_until)
    return wire.header(stored.delivery_count) + wire.annotations(values) + stored.raw


def _locks(body: dict[str, Any]) -> list[uuid.UUID]:
    tokens = body.get("lock-tokens")
    return list(tokens.elements if isinstance(tokens, Array) else tokens or [])


def _timestamp(seconds: float) -> timestamp:
    return timestamp(int(seconds * 1000))


def _answer(body: dict[str, Any], status: int = 200) -> Message:
    answer = Message()
    answer.properties = {"statusCode": int32(status), "statusDescription": "OK"}
    answer.body = body
    return answer


def refusal(status: int, condition: str, text: str) -> Message:
    """Return the response to a refused operation."""
    answer = Message()
    answer.properties = {
        "statusCode": int32(status),
        "statusDescription": text,
        "errorCondition": symbol(condition),
    }
    answer.body = {}
    return answer
