"""Message that requests one night of a tenant's learning, as a small JSON object. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from shared.domain.formats import is_number

_VERSION = 1


def encode(tenant_id: str, night: str, sent_at: float) -> bytes:
    """Encode the body. `night`: a past UTC date; `sent_at`: seconds since the epoch."""
    return orjson.dumps({"v": _VERSION, "tenant": tenant_id, "night": night, "sentAt": sent_at})


def decode(body: bytes) -> tuple[str, str, float] | None:
    """Decode tenant, night and sending time; None for another body."""
    try:
        read: Any = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(read, dict) or read.get("v") != _VERSION or not is_number(read.get("sentAt")):
        return None
    tenant_id, night = read.get("tenant"), read.get("night")
    if not isinstance(tenant_id, str) or not isinstance(night, str) or not tenant_id or not night:
        return None
    return tenant_id, night, float(read["sentAt"])


def message_id(tenant_id: str, night: str) -> str:
    """Return one id for each tenant and night, so that the bus drops a repeat within an hour."""
    return hashlib.blake2b(f"{tenant_id}\n{night}".encode(), digest_size=16).hexdigest()
