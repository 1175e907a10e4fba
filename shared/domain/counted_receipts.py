"""Remembers which events the statistics have counted for a user's newest pages, as (position, event type) pairs. Pure.

Each pair of a receipt counts once. At most `MAX_RECEIPTS` are kept, the newest by serving time, and none that was
served more than `SPAN_SECONDS` before the newest: no event can quote those any more. `oldest` is the serving time of
the newest dropped receipt. A receipt that is not newer than `oldest` and not kept never counts, so that nothing counts
twice. Below the caps, the order of adding makes no difference.

A receipt of version 1 does not know its page. Its page consists of the videos quoted with it, by fingerprints of 16
bits. `MAX_LEARNED` limits these in all receipts together, and `FULL_TYPES` the counted pairs; above either limit the
oldest receipts are dropped too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

MAX_RECEIPTS = 32
SPAN_SECONDS = 25 * 3_600
"""A receipt is valid for 24 hours; one more hour covers differences of clocks."""
POSITIONS, TYPES = 64, 16
MAX_LEARNED = 240
FULL_TYPES = 9
"""Event types that can be counted for every video of pages of 50, in all receipts. Few apps send so many."""

_HEADER = struct.Struct("<BII")
_RECEIPT = struct.Struct("<IIHBB")
_NAME, _REST = struct.Struct("<II"), struct.Struct("<HBB")
"""The two halves of `_RECEIPT`."""
_VIDEOS = _REST.size - 1
"""Offset in the rest of a receipt: the number of videos of its page."""
_MASKS = struct.Struct(f"<{TYPES}Q")
_MASK_BYTES = POSITIONS // 8
_LEARNED_BITS = 0xFFFF
_MAX_REST = MAX_RECEIPTS * (_REST.size + FULL_TYPES * 7) + MAX_LEARNED * 2
"""Bytes of all receipts together; 7 bytes have the bits of 50 videos."""
MAX_BYTES = _HEADER.size + MAX_RECEIPTS * _NAME.size + _MAX_REST


@dataclass(frozen=True, slots=True)
class CountedReceipt:
    """One receipt: `served_at` in whole seconds since the epoch, `key` a fingerprint of 32 bits.

    `pairs`: a bit for each counted pair, at the position of `pair`. `page`: for a receipt that does not know its page,
    16 bits of a fingerprint for each quoted video, in order of quotation.
    """

    served_at: int
    key: int
    pairs: int = 0
    page: tuple[int, ...] = ()

    def with_video(self, video: int, most: int) -> tuple[CountedReceipt, int | None]:
        """Return the receipt with a video (by fingerprint) on its page, and the video's position. The position is None
        when the page already has `most` other videos."""
        mark = video & _LEARNED_BITS
        if mark in self.page:
            return self, self.page.index(mark)
        if len(self.page) >= min(most, POSITIONS):
            return self, None
        return CountedReceipt(self.served_at, self.key, self.pairs, (*self.page, mark)), len(self.page)


_Row = tuple[int, int, bytes]
"""A stored receipt: serving time, key, and the rest as bytes."""


@dataclass(frozen=True, slots=True)
class CountedReceipts:
    """Receipts of one user, newest first. `oldest`: serving time of the newest dropped receipt, in seconds.

    A receipt is decoded when it is needed: a batch quotes one or two of them.
    """

    rows: tuple[_Row, ...] = ()
    oldest: int = 0

    @classmethod
    def of(cls, receipts: Iterable[CountedReceipt], oldest: int = 0) -> CountedReceipts:
        """Create from receipts in any order."""
        return cls(tuple(_row(each) for each in receipts), oldest)

    @property
    def receipts(self) -> tuple[CountedReceipt, ...]:
        return tuple(_receipt(row) for row in self.rows)

    def is_counted(self, key: int, served_at: int, position: int, type_code: int) -> bool:
        """Whether a pair must not count: it was counted, or its receipt is too old to tell."""
        found = self.find(key, served_at)
        return found is None or bool(found.pairs >> pair(position, type_code) & 1)

    def with_counted(self, key: int, served_at: int, pairs: Iterable[tuple[int, int]]) -> CountedReceipts:
        """Return a copy with (position, type code) pairs of one receipt added.

        A receipt that is too old to be kept changes nothing; call `is_counted` before.
        """
        added = 0
        for position, type_code in pairs:
            added |= 1 << pair(position, type_code)
        found = self.find(key, served_at)
        if not added or found is None:
            return self
        return self.with_receipt(replace(found, pairs=found.pairs | added))

    def find(self, key: int, served_at: int) -> CountedReceipt | None:
        """Return a receipt with its counted pairs; without pairs for a new one, None for one too old to tell."""
        for row in self.rows:
            if row[1] == key and row[0] == served_at:
                return _receipt(row)
        return CountedReceipt(served_at, key) if served_at > self.oldest else None

    def with_receipt(self, receipt: CountedReceipt) -> CountedReceipts:
        """Return a copy with an updated receipt of `find`."""
        changed = _row(receipt)
        if changed in self.rows:
            return self
        others = [row for row in self.rows if row[:2] != changed[:2]]
        if len(others) == len(self.rows) and receipt.served_at <= self.oldest:
            return self
        return _newest([*others, changed], self.oldest)

    def closed_until(self, served_at: int) -> CountedReceipts:
        """Return a copy in which nothing served until `served_at` counts any more.

        For a user whose record was lost or erased, so that nothing counts twice.
        """
        kept = [row for row in self.rows if row[0] > served_at]
        return _newest(kept, max(self.oldest, served_at))

    def until(self, latest: int) -> CountedReceipts:
        """Return a copy without receipts after `latest`, which only a wrong clock can have written."""
        if max(self.oldest, self.rows[0][0] if self.rows else 0) <= latest:
            return self
        return CountedReceipts(tuple(row for row in self.rows if row[0] <= latest), min(self.oldest, latest))

    def pack(self) -> bytes:
        """Encode as at most `MAX_BYTES`; 9 bytes when empty.

        Number of receipts, `oldest`, newest serving time. Then for each receipt: its key, its age against the newest
        (seconds), the counted types (a bit each), and for each type the bytes of its positions.
        """
        newest = self.rows[0][0] if self.rows else 0
        parts = [_HEADER.pack(len(self.rows), self.oldest, newest)]
        for served_at, key, rest in self.rows:
            parts += (_NAME.pack(key, newest - served_at), rest)
        return b"".join(parts)

    @classmethod
    def unpack(cls, raw: bytes) -> CountedReceipts:
        """Decode the bytes of `pack`. Raises `ValueError` for others."""
        try:
            count, oldest, newest = _HEADER.unpack_from(raw)
            at, rows = _HEADER.size, []
            for _ in range(count):
                key, age, types, width, videos = _RECEIPT.unpack_from(raw, at)
                rest, at = at + _NAME.size, at + _RECEIPT.size + 2 * videos + width * types.bit_count()
                if width > _MASK_BYTES:
                    raise ValueError("counted receipts with more positions than there are")
                rows.append((newest - age, key, raw[rest:at]))
        except struct.error as error:
            raise ValueError("counted receipts are cut off") from error
        if at != len(raw):
            raise ValueError("counted receipts of another length")
        return cls(tuple(rows), oldest)


def _row(receipt: CountedReceipt) -> _Row:
    masks = _MASKS.unpack(receipt.pairs.to_bytes(_MASKS.size, "little"))
    types = sum(1 << code for code, mask in enumerate(masks) if mask)
    width = (max(masks).bit_length() + 7) // 8
    page = struct.pack(f"<{len(receipt.page)}H", *receipt.page)
    positions = b"".join([mask.to_bytes(width, "little") for mask in masks if mask])
    return receipt.served_at, receipt.key, _REST.pack(types, width, len(receipt.page)) + page + positions


def _receipt(row: _Row) -> CountedReceipt:
    served_at, key, rest = row
    types, width, videos = _REST.unpack_from(rest)
    at = _REST.size + 2 * videos
    pairs = 0
    for code in range(TYPES):
        if types >> code & 1:
            pairs |= int.from_bytes(rest[at : at + width], "little") << POSITIONS * code
            at += width
    return CountedReceipt(served_at, key, pairs, struct.unpack_from(f"<{videos}H", rest, _REST.size))


def pair(position: int, type_code: int) -> int:
    """Return the bit of a (position on the page, event type) pair. Raises `ValueError` for a position beyond a page."""
    if not (0 <= position < POSITIONS and 0 <= type_code < TYPES):
        raise ValueError("no such position or type")
    return POSITIONS * type_code + position


def _newest(rows: list[_Row], oldest: int) -> CountedReceipts:
    """Keep the newest receipts within the limits."""
    rows.sort(key=lambda row: (-row[0], row[1]))
    kept = rows[:MAX_RECEIPTS]
    if kept:
        first = kept[0][0] - SPAN_SECONDS
        while kept[-1][0] < first:
            kept.pop()
        while sum(rest[_VIDEOS] for _, _, rest in kept) > MAX_LEARNED:
            kept.pop()
        while sum(len(rest) for _, _, rest in kept) > _MAX_REST:
            kept.pop()
    if len(kept) < len(rows):
        oldest = max(oldest, rows[len(kept)][0])
    return CountedReceipts(tuple(kept), oldest)
