"""Signed receipt of a served page (`feedRequestId`): it contains how the page was made and cannot be forged.

The SDK quotes it in events, so they are attributed (mode, model, arm) without a look-up. It is bound to a tenant and a
user and valid for 24 hours. Version 2 also identifies the videos of the page by 16 bits each. These bits depend on the
receipt's key, so nobody can search for another video with the same ones. It has 102 characters for 20 videos, 182 for
50; version 1 has 43 and does not know its page.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain import alphabet, base64url
from shared.domain.keys import Mac, Scrambler, SigningKeys

VALID_SECONDS = 24 * 3600
FUTURE_SECONDS = 300
"""Tolerated difference between the clocks of two instances."""
MAX_CHARS = 256
"""Most characters of a receipt of any version, also in the schema of events."""
NO_POSITION = 255
NOT_ON_PAGE = -1

_BODY = struct.Struct("<BBIBIBBH5s")
_FEED = struct.Struct("<I")
_MAC_BYTES = 12
_PERSONALIZED, _WARM = 1, 2


class _Head(NamedTuple):
    """Layout of a version: bytes before the page, most bytes before the MAC, the character that its text never has."""

    bytes: int
    most: int
    other_dash: str


_HEADS = {
    1: _Head(_BODY.size, _BODY.size, "."),
    2: _Head(_BODY.size + _FEED.size, MAX_CHARS, "-"),
}


@dataclass(slots=True)  # not frozen, which is four times as slow to make
class FeedReceipt:
    """Content of a feed request id.

    - `served_at`: serving time in whole seconds since the epoch
    - `model`: fingerprint of the model version
    - `arm`: arm of the experiment, 0 for none
    - `explored_rank`: position of the explored video, `NO_POSITION` for none
    - `propensity`: probability with which that video got the position
    - `feed`: number of the named feed and of the call's filters, 0 for neither
    - `key`: 32 random bits; they distinguish the user's pages of one second
    - `page`: keyed fingerprints of the page's videos in order, 2 bytes each; None where the version lacks them
    - `tag`: tag of the signing key
    """

    served_at: int
    personalized: bool
    warm: bool
    model: int = 0
    arm: int = 0
    explored_rank: int = NO_POSITION
    propensity: float = 0.0
    feed: int = 0
    key: int = 0
    page: bytes | None = None
    tag: int = 0


def sign(
    receipt: FeedReceipt,
    keys: SigningKeys,
    tenant_id: str,
    user_key: str,
    videos: NDArray[np.uint64] | None = None,
) -> str:
    """Return the id to send with a page: version 2 with `videos` (64-bit keys of its videos in order), else 1."""
    tag = keys.current_tag
    random = os.urandom(5)
    page = b""
    if videos is not None:
        page = _fingerprints(videos, receipt.served_at, random, keys.scramblers[tag])
        while len(set(memoryview(page).cast("H"))) < len(videos):  # 1 page in 350: two videos have the same bits
            random = os.urandom(5)
            page = _fingerprints(videos, receipt.served_at, random, keys.scramblers[tag])
    flags = receipt.personalized * _PERSONALIZED | receipt.warm * _WARM
    body = _BODY.pack(
        1 if videos is None else 2,
        tag,
        receipt.served_at,
        flags,
        receipt.model,
        receipt.arm,
        receipt.explored_rank,
        round(min(1.0, max(0.0, receipt.propensity)) * 0xFFFF),
        random,
    )
    if videos is None:
        return base64url.to_text(body + _mac(keys.macs[tag], body, tenant_id, user_key))
    body += _FEED.pack(receipt.feed) + page
    return alphabet.to_text(body + _mac(keys.macs[tag], body, tenant_id, user_key))


def verify(text: str | None, keys: SigningKeys, tenant_id: str, user_key: str, now: float) -> FeedReceipt | None:
    """Verify and read an id; None when it is missing, another user's, forged, malformed or older than a day."""
    receipt = read_receipt(text, keys, tenant_id, user_key)
    if receipt is None or not -FUTURE_SECONDS <= now - receipt.served_at <= VALID_SECONDS:
        return None
    return receipt


def read_receipt(text: str | None, keys: SigningKeys, tenant_id: str, user_key: str) -> FeedReceipt | None:
    """Verify and read an id of any age; None when it is missing, another user's, forged or malformed."""
    if not text or len(text) > MAX_CHARS:
        return None
    try:
        raw = alphabet.from_text(text)
        version, tag, served_at, flags, model, arm, explored_rank, propensity, random = _BODY.unpack_from(raw)
    except (ValueError, struct.error):
        return None
    head = _HEADS.get(version)
    body = raw[:-_MAC_BYTES]
    if head is None or head.other_dash in text or len(body) < head.bytes or len(body) % 2 or len(body) > head.most:
        return None
    page = body[head.bytes :] if version == 2 else None
    mac = keys.macs.get(tag)
    if mac is None or not hmac.compare_digest(raw[-_MAC_BYTES:], _mac(mac, body, tenant_id, user_key)):
        return None
    return FeedReceipt(
        served_at,
        bool(flags & _PERSONALIZED),
        bool(flags & _WARM),
        model,
        arm,
        explored_rank,
        propensity / 0xFFFF,
        0 if page is None else _FEED.unpack_from(body, _BODY.size)[0],
        int.from_bytes(random[:4], "little"),
        page,
        tag,
    )


def places(receipt: FeedReceipt, keys: SigningKeys, videos: Sequence[int]) -> list[int] | None:
    """Return the positions of videos (by 64-bit key) on the page of a verified receipt; 0 is the first.

    `NOT_ON_PAGE` for a video that was not served; None where the receipt does not know its page.
    """
    if receipt.page is None:
        return None
    random = receipt.key.to_bytes(4, "little")
    asked = _fingerprints(np.array(videos, np.uint64), receipt.served_at, random, keys.scramblers[receipt.tag])
    place_of = {mark: place for place, mark in enumerate(memoryview(receipt.page).cast("H"))}
    return [place_of.get(mark, NOT_ON_PAGE) for mark in memoryview(asked).cast("H")]


def _fingerprints(videos: NDArray[np.uint64], served_at: int, random: bytes, scrambler: Scrambler) -> bytes:
    blocks = np.empty((len(videos), 2), np.uint64)
    blocks[:, 0] = videos
    blocks[:, 1] = served_at << 32 | int.from_bytes(random[:4], "little")
    return np.frombuffer(scrambler(blocks.tobytes()), np.uint16)[::8].tobytes()


def _mac(mac: Mac, body: bytes, tenant_id: str, user_key: str) -> bytes:
    return mac(body + f"{tenant_id}\n{user_key}".encode())[:_MAC_BYTES]
