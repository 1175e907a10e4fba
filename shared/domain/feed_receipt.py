"""Signed receipt of a served page (`feedRequestId`): it carries its facts and cannot be forged.

The SDK quotes it in events, which are thereby attributed (mode, model, arm) without a look-up. It is bound to a
tenant and a user and valid for 24 hours. Version 2 also says which videos were on the page: 16 bits for each, keyed by
the receipt, so nobody can look for another video with the same ones. It has 102 characters for 20 videos, 182 for 50;
version 1 has 43 and does not know its page.
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
"""By so much the clocks of two instances may differ."""
MAX_CHARS = 256
"""Of any version; what the events' schema allows as well."""
NO_POSITION = 255
NOT_ON_PAGE = -1

_BODY = struct.Struct("<BBIBIBBH5s")
_FEED = struct.Struct("<I")
_MAC_BYTES = 12
_PERSONALIZED, _WARM = 1, 2


class _Head(NamedTuple):
    """Layout of a version: bytes before the page, most bytes before the MAC, what its text never contains."""

    bytes: int
    most: int
    other_dash: str


_HEADS = {
    1: _Head(_BODY.size, _BODY.size, "."),
    2: _Head(_BODY.size + _FEED.size, MAX_CHARS, "-"),
}


@dataclass(slots=True)  # not frozen, which is four times as dear to make
class FeedReceipt:
    """Content of a feed request id.

    `served_at` in whole seconds; `model` the fingerprint of the model version; `arm` 0 outside experiments;
    `explored_rank` the place of the exploration slot (`NO_POSITION`: none) and `propensity` how likely that video was
    to get it. `feed` stands for the named feed and the filters of its calls, 0 for neither. `key`, 32 random bits,
    tells the user's pages of one second apart. `page`: the keyed fingerprints of its videos in order, 2 bytes each;
    None where the receipt does not know them. `tag` is that of the signing key.
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
    """The id to send with a page. With `videos` (the 64-bit keys of its videos, in order) it is of version 2."""
    tag = keys.current_tag
    random = os.urandom(5)
    page = b""
    if videos is not None:
        page = _fingerprints(videos, receipt.served_at, random, keys.scramblers[tag])
        while len(set(memoryview(page).cast("H"))) < len(videos):  # 1 page in 350: a place must name one video
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
    """Verify and read the id; None when it is absent, foreign, forged, malformed or older than a day."""
    receipt = read_receipt(text, keys, tenant_id, user_key)
    if receipt is None or not -FUTURE_SECONDS <= now - receipt.served_at <= VALID_SECONDS:
        return None
    return receipt


def read_receipt(text: str | None, keys: SigningKeys, tenant_id: str, user_key: str) -> FeedReceipt | None:
    """Read the id, however old it is; None when it is absent, foreign, forged or malformed."""
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
    """Where on the page of a verified receipt each of some videos (by 64-bit key) stands, 0 the first.

    `NOT_ON_PAGE` for one that was not served; None where the receipt does not know its page.
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
