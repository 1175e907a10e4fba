"""What statistics have counted for one user: the (position, event type) pairs of their newest receipts. Pure.

Each pair of a receipt counts once. At most `MAX_RECEIPTS` are kept, the newest by the time they were served, and none
that was served more than `SPAN_SECONDS` before the newest: no event can quote that one any more. `oldest` remembers
the newest that was dropped, so that what is no longer kept is never counted a second time; in return, a receipt not
newer than that counts no more unless it is kept. Below the caps the order of adding makes no difference.

A receipt that does not know its page (version 1) has the videos that were quoted with it for a page, by fingerprints of
16 bits. `MAX_LEARNED` bounds these in all receipts together: beyond it the oldest receipts are dropped too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from shared.domain.event_types import TYPE_CODES

MAX_RECEIPTS = 32
SPAN_SECONDS = 25 * 3_600
"""A receipt is valid for 24 hours; the hour more covers clocks that differ."""
POSITIONS, TYPES = 64, 16
MAX_LEARNED = 240

_HEADER = struct.Struct("<BII")
_RECEIPT = struct.Struct("<IIHBB")
_MASKS = struct.Struct(f"<{TYPES}Q")
_LEARNED_BITS = 0xFFFF
MAX_BYTES = _HEADER.size + MAX_RECEIPTS * (_RECEIPT.size + len(TYPE_CODES) * 7) + MAX_LEARNED * 2
"""At pages of 50 videos (7 bytes of bits) and with every type that there is today."""


@dataclass(frozen=True, slots=True)
class CountedReceipt:
    """One receipt: `served_at` in whole seconds since the epoch, `key` a fingerprint of 32 bits.

    `pairs` has a bit for each pair counted, numbered as `pair` says. `page`: the videos of a receipt that does not know
    its page, 16 bits of a fingerprint each, in the order they were quoted.
    """

    served_at: int
    key: int
    pairs: int = 0
    page: tuple[int, ...] = ()

    def with_video(self, video: int, most: int) -> tuple[CountedReceipt, int | None]:
        """This with a video (by fingerprint) on its page, and its position; None when the page has `most` others."""
        mark = video & _LEARNED_BITS
        if mark in self.page:
            return self, self.page.index(mark)
        if len(self.page) >= min(most, POSITIONS):
            return self, None
        return replace(self, page=(*self.page, mark)), len(self.page)


@dataclass(frozen=True, slots=True)
class CountedReceipts:
    """The receipts of one user, newest first. `oldest`: the newest time served that is no longer kept, in seconds."""

    receipts: tuple[CountedReceipt, ...] = ()
    oldest: int = 0

    def is_counted(self, key: int, served_at: int, position: int, type_code: int) -> bool:
        """Whether a pair may not count (again): it was counted, or its receipt is too old to tell."""
        found = self._find(key, served_at)
        if found is None:
            return served_at <= self.oldest
        return bool(found.pairs >> pair(position, type_code) & 1)

    def with_counted(self, key: int, served_at: int, pairs: Iterable[tuple[int, int]]) -> CountedReceipts:
        """These with (position, type code) pairs of one receipt added.

        A receipt too old to be kept changes nothing: ask `is_counted` before.
        """
        added = 0
        for position, type_code in pairs:
            added |= 1 << pair(position, type_code)
        found = self._find(key, served_at)
        if not added or (found is None and served_at <= self.oldest):
            return self
        if found is not None and found.pairs | added == found.pairs:
            return self
        others = [each for each in self.receipts if each is not found]
        others.append(CountedReceipt(served_at, key, added | (found.pairs if found else 0)))
        return _newest(others, self.oldest)

    def find(self, key: int, served_at: int) -> CountedReceipt | None:
        """What was counted of a receipt; one without pairs for a new one, None for one too old to tell."""
        found = self._find(key, served_at)
        if found is None and served_at > self.oldest:
            return CountedReceipt(served_at, key)
        return found

    def with_receipt(self, receipt: CountedReceipt) -> CountedReceipts:
        """These with a receipt that `find` gave and whose pairs were added to since."""
        found = self._find(receipt.key, receipt.served_at)
        if found is receipt or (found is None and receipt.served_at <= self.oldest):
            return self
        return _newest([*(each for each in self.receipts if each is not found), receipt], self.oldest)

    def closed_until(self, served_at: int) -> CountedReceipts:
        """These with everything served until a time closed: it counts no more.

        For a user whose record was lost or erased, so that nothing counts a second time.
        """
        kept = [each for each in self.receipts if each.served_at > served_at]
        return _newest(kept, max(self.oldest, served_at))

    def until(self, latest: int) -> CountedReceipts:
        """These without what lies after a time, which only a clock that ran ahead can have written."""
        if max(self.oldest, self.receipts[0].served_at if self.receipts else 0) <= latest:
            return self
        return CountedReceipts(
            tuple(each for each in self.receipts if each.served_at <= latest), min(self.oldest, latest)
        )

    def pack(self) -> bytes:
        """At most `MAX_BYTES`; 9 when empty.

        The number of receipts, `oldest` and the newest time served; then for each receipt its key, its age against
        the newest (seconds), the types counted (a bit each), and the bytes of positions that follow for each of them.
        """
        newest = self.receipts[0].served_at if self.receipts else 0
        parts = [_HEADER.pack(len(self.receipts), self.oldest, newest)]
        for each in self.receipts:
            masks = _MASKS.unpack(each.pairs.to_bytes(_MASKS.size, "little"))
            counted = [code for code, mask in enumerate(masks) if mask]
            types = sum([1 << code for code in counted])
            width = (max(masks).bit_length() + 7) // 8
            parts.append(_RECEIPT.pack(each.key, newest - each.served_at, types, width, len(each.page)))
            if each.page:
                parts.append(struct.pack(f"<{len(each.page)}H", *each.page))
            parts += [masks[code].to_bytes(width, "little") for code in counted]
        return b"".join(parts)

    @classmethod
    def unpack(cls, raw: bytes) -> CountedReceipts:
        """The inverse of `pack`. Raises `ValueError` for anything else."""
        try:
            count, oldest, newest = _HEADER.unpack_from(raw)
            at = _HEADER.size
            receipts = []
            for _ in range(count):
                key, age, types, width, videos = _RECEIPT.unpack_from(raw, at)
                at += _RECEIPT.size
                page = struct.unpack_from(f"<{videos}H", raw, at) if videos else ()
                at += 2 * videos
                pairs = 0
                for code in _codes(types):
                    pairs |= int.from_bytes(raw[at : at + width], "little") << POSITIONS * code
                    at += width
                receipts.append(CountedReceipt(newest - age, key, pairs, page))
        except struct.error as error:
            raise ValueError("counted receipts are cut off") from error
        if at != len(raw):
            raise ValueError("counted receipts of another length")
        return cls(tuple(receipts), oldest)

    def _find(self, key: int, served_at: int) -> CountedReceipt | None:
        for each in self.receipts:
            if each.key == key and each.served_at == served_at:
                return each
        return None


def pair(position: int, type_code: int) -> int:
    """The bit of a (position on the page, event type) pair. Raises `ValueError` for one that no page has."""
    if not (0 <= position < POSITIONS and 0 <= type_code < TYPES):
        raise ValueError("no such position or type")
    return POSITIONS * type_code + position


@lru_cache(1 << TYPES)
def _codes(types: int) -> tuple[int, ...]:
    return tuple(code for code in range(TYPES) if types >> code & 1)


def _newest(receipts: list[CountedReceipt], oldest: int) -> CountedReceipts:
    """What is kept of them."""
    receipts.sort(key=lambda each: (-each.served_at, each.key))
    kept = receipts[:MAX_RECEIPTS]
    if kept:
        first = kept[0].served_at - SPAN_SECONDS
        while kept[-1].served_at < first:
            kept.pop()
        while sum(len(each.page) for each in kept) > MAX_LEARNED:
            kept.pop()
    if len(kept) < len(receipts):
        oldest = max(oldest, receipts[len(kept)].served_at)
    return CountedReceipts(tuple(kept), oldest)
