"""Signed receipt of a served page (`feedRequestId`): it carries its facts and cannot be forged.

The SDK quotes it in events, which are thereby attributed (mode, model, arm) without a look-up. It is bound to a
tenant and a user; 43 URL-safe characters; valid for 24 hours.
"""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass

from shared.domain.base64url import from_text, to_text
from shared.domain.keys import Mac, SigningKeys

VALID_SECONDS = 24 * 3600
MAX_CHARS = 64
NO_POSITION = 255

_BODY = struct.Struct("<BBIBIBBH5s")
_MAC_BYTES = 12
_VERSION = 1
_PERSONALIZED, _WARM = 1, 2


@dataclass(slots=True)  # not frozen, which is four times as dear to make
class FeedReceipt:
    """What a feed request id says.

    `served_at` in whole seconds; `model` the fingerprint of the model version; `arm` 0 outside experiments;
    `explored_rank` the place of the exploration slot (`NO_POSITION`: none) and `propensity` how likely that video was
    to get it.
    """

    served_at: int
    personalized: bool
    warm: bool
    model: int = 0
    arm: int = 0
    explored_rank: int = NO_POSITION
    propensity: float = 0.0


def sign(request: FeedReceipt, keys: SigningKeys, tenant_id: str, user_key: str) -> str:
    """The id to send with a page."""
    flags = request.personalized * _PERSONALIZED | request.warm * _WARM
    body = _BODY.pack(
        _VERSION,
        keys.current_tag,
        request.served_at,
        flags,
        request.model,
        request.arm,
        request.explored_rank,
        round(min(1.0, max(0.0, request.propensity)) * 0xFFFF),
        os.urandom(5),
    )
    return to_text(body + _mac(keys.macs[keys.current_tag], body, tenant_id, user_key))


def verify(text: str | None, keys: SigningKeys, tenant_id: str, user_key: str, now: float) -> FeedReceipt | None:
    """What the id says, or None when it is absent, foreign, forged, malformed or older than a day."""
    if not text or len(text) > MAX_CHARS:
        return None
    try:
        raw = from_text(text)
    except ValueError:
        return None
    if len(raw) != _BODY.size + _MAC_BYTES:
        return None
    body = raw[: _BODY.size]
    version, tag, served_at, flags, model, arm, explored_rank, propensity, _ = _BODY.unpack(body)
    mac = keys.macs.get(tag)
    if version != _VERSION or mac is None:
        return None
    if not hmac.compare_digest(raw[_BODY.size :], _mac(mac, body, tenant_id, user_key)):
        return None
    if not -300 <= now - served_at <= VALID_SECONDS:
        return None
    return FeedReceipt(
        served_at,
        bool(flags & _PERSONALIZED),
        bool(flags & _WARM),
        model,
        arm,
        explored_rank,
        propensity / 0xFFFF,
    )


def _mac(mac: Mac, body: bytes, tenant_id: str, user_key: str) -> bytes:
    return mac(body + f"{tenant_id}\n{user_key}".encode())[:_MAC_BYTES]
