"""Encodes a batch as columns of bytes: encoding 2 of a message of version 2. Pure.

A batch has two parts. `plain` holds what compression cannot make smaller: ids, fingerprints, the low bits of times. It
is stored as it is. `packed` holds the rest; the `packed` parts of all batches are compressed together.
docs/data-model.md has a table of both, in the order used here.

A later release can append columns to either part; this release skips them. The subjects are such a column: a message
without any ends before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import compress
from math import isnan, nan
from operator import attrgetter, not_
from typing import Any, NamedTuple, TypeVar

from events.batch_check import (
    MAX_POSITION,
    NO_VIDEO,
    SESSION_ID,
    check_head,
    check_plays,
    check_propensity,
    check_range,
    check_sessions,
    check_subjects,
    check_times,
    check_video_ids,
    check_watched,
)
from events.batch_record import Batch
from events.frame import COLUMNS, DICTIONARIES, EXAMPLE, Frame, UnreadableBatch, deflate, inflate
from events.schema import MAX_WATCH_MS, Event, Play
from shared.domain import base64url
from shared.domain.event_types import EVENT_TYPES
from shared.domain.feed_receipt import NOT_ON_PAGE, FeedReceipt
from shared.domain.follows import Subject

T = TypeVar("T")

_TYPES = tuple(EVENT_TYPES)
_CODES = {name: code for code, name in enumerate(_TYPES)}
_FIELDS = attrgetter(
    "type", "video_id", "at_ms", "identity", "watch_ms", "position", "request", "place", "session_id", "play", "subject"
)
_U32 = 2**32
_WHOLE = {int, type(None)}
_NO_EVENTS: tuple[tuple[Any, ...], ...] = ((),) * 11

_PLAIN_BYTES = struct.Struct("<I")
"""Precedes the plain parts: their total size in bytes."""
_HEAD = struct.Struct("<BHHHHqI")
"""Flags; numbers of events, receipts, sessions and plays; ms from the newest time to acceptance; bytes of lines."""
_TRUSTED, _CONSENTED, _AGAIN, _SHORT_NAMES, _FRACTIONS, _DECIDED = 1, 2, 4, 8, 16, 32
_ACCEPTED_AT = struct.Struct("<d")
_NAMES = struct.Struct("<16s32s16s")
"""Ids of batch, user and trace: 32 hex digits, 43 characters of base64url, 32 hex digits."""
_RECEIPT_PLAIN = struct.Struct("<III")
"""Serving time, model, key."""
_RECEIPT_PACKED = struct.Struct("<BIIId")
"""Flags, arm, explored rank, feed, propensity."""
_PERSONALIZED, _WARM = 1, 2
_SUBJECTS, _SUBJECTS_HEAD = b"\1", struct.Struct("<I")
"""Precedes the lines with subjects: a mark that tells them from columns of a later release, and their size in bytes."""
_LOW_BITS, _LOW = 16, 0xFFFF
_ABSENT, _ZERO, _BYTES, _LARGE = b"\0", b"\1", b"\2", b"\3"
"""First byte of a column of small numbers: all None, all 0, one byte each, or four bytes each."""
_OFF_PAGE = 254
_STORED: dict[int | None, int] = {**{number: number for number in range(_OFF_PAGE)}, NOT_ON_PAGE: _OFF_PAGE, None: 255}
_READ: tuple[int | None, ...] = tuple(_STORED)
"""The number that a stored byte means."""
_LARGE_MARKS = {NOT_ON_PAGE: 2**32 - 2, None: 2**32 - 1}
_READ_LARGE = {stored: number for number, stored in _LARGE_MARKS.items()}


class Parts(NamedTuple):
    """A batch as bytes."""

    plain: bytes
    packed: bytes


def join(batches: Sequence[Parts]) -> Frame:
    """Return the content of a message with these batches."""
    plain = b"".join([each.plain for each in batches])
    sizes = struct.pack(f"<{2 * len(batches)}I", *[len(part) for each in batches for part in each])
    packed = deflate(b"".join((sizes, *[each.packed for each in batches])), DICTIONARIES[EXAMPLE])
    return Frame(COLUMNS, EXAMPLE, len(batches), b"".join((_PLAIN_BYTES.pack(len(plain)), plain, packed)))


def split(frame: Frame) -> list[Parts]:
    """Return the batches of a message: the inverse of `join`. Raises `UnreadableBatch` or `struct.error`."""
    (plain_bytes,) = _PLAIN_BYTES.unpack_from(frame.content)
    plain = _Reader(frame.content, _PLAIN_BYTES.size)
    end = _PLAIN_BYTES.size + plain_bytes
    packed = _Reader(inflate(frame.content[end:], DICTIONARIES[frame.dictionary]))
    sizes = struct.unpack(f"<{2 * frame.batches}I", packed.take(8 * frame.batches))
    batches = [Parts(plain.take(a), packed.take(b)) for a, b in zip(sizes[::2], sizes[1::2], strict=True)]
    if not batches or plain.at != end or packed.left():
        raise UnreadableBatch("other batches than its frame says")
    return batches


def to_parts(batch: Batch) -> Parts:
    """Encode the batch. Raises `ValueError` or `struct.error` for a batch that no release accepts."""
    events, requests, count = batch.events, batch.requests, len(batch.events)
    types, videos, times, identities, watched, positions, quoted, places, named, plays, subjects = (
        zip(*map(_FIELDS, events), strict=True) if events else _NO_EVENTS
    )
    followed = _subject_lines(subjects)
    if followed:
        videos = tuple([id or NO_VIDEO for id in videos])
    accepted_ms = int(batch.accepted_at * 1000)
    playing = [(at, play) for at, play in enumerate(plays) if play is not None]
    newest_ms = max((*times, *[play.started_ms for _, play in playing]), default=accepted_ms)
    ago_low, ago_high = _halves([newest_ms - at for at in times])
    fractions, watched_low, watched_high = _watched_bytes(watched)
    sessions = {} if _are_none(named) else {id: at for at, id in enumerate(_without_none(dict.fromkeys(named)))}
    started_low, started_high = _halves([newest_ms - play.started_ms for _, play in playing])
    short_names = _short_names(batch)
    names = () if short_names else (batch.id, batch.user_key, _trace_line(batch.trace_id))
    lines = "\n".join((batch.tenant_id, *names, *sessions, *videos)).encode("ascii")
    flags = _flags(batch) | bool(short_names) * _SHORT_NAMES | fractions
    head = _HEAD.pack(flags, count, len(requests), len(sessions), len(playing), accepted_ms - newest_ms, len(lines))
    plain = (
        _ACCEPTED_AT.pack(batch.accepted_at),
        short_names,
        *[_RECEIPT_PLAIN.pack(each.served_at, each.model, each.key) for each in requests],
        struct.pack(f"<{count}I{count}H", *identities, *ago_low),
        watched_low,
        struct.pack(f"<{len(playing)}I{len(playing)}H", *[play.key for _, play in playing], *started_low),
    )
    packed = (
        head,
        lines,
        *map(_packed_receipt, requests),
        bytes(map(_CODES.__getitem__, types)),
        _small_bytes(ago_high),
        _small_bytes(watched_high),
        _small_bytes(positions),
        _small_bytes(quoted),
        _small_bytes(places),
        _small_bytes([sessions.get(id) for id in named] if sessions else named),
        _small_bytes(list(map(not_, batch.counted or ()))),
        _small_bytes([at for at, _ in playing]),
        _small_bytes(started_high),
        _small_bytes([play.before for _, play in playing]),
        followed,
    )
    return Parts(b"".join(plain), b"".join(packed))


def from_parts(parts: Parts) -> Batch:
    """Decode a batch: the inverse of `to_parts`. Raises `UnreadableBatch`, or any error that invalid bytes cause."""
    plain, packed = _Reader(parts.plain), _Reader(parts.packed)
    flags, count, requests, sessions, playing, before_ms, line_bytes = packed.unpack(_HEAD)
    (accepted_at,) = plain.unpack(_ACCEPTED_AT)
    tenant_id, *lines = packed.take(line_bytes).decode("ascii").split("\n")
    if flags & _SHORT_NAMES:
        id, user_key, trace_id = _long_names(*plain.unpack(_NAMES))
    else:
        id, user_key, trace_id, *lines = lines
    check_head(id, tenant_id, user_key, accepted_at)
    session_ids, videos = check_sessions(lines[:sessions]), lines[sessions:]
    receipts = tuple([_receipt(plain, packed) for _ in range(requests)])
    numbers = struct.unpack(f"<{count}I{count}H", plain.take(6 * count))
    identities, ago_low = numbers[:count], numbers[count:]
    types = packed.take(count)
    newest_ms = int(accepted_at * 1000) - before_ms
    ago = _whole(ago_low, packed.small(count, _U32, "timestamp"))
    check_times(newest_ms - max(ago, default=0), newest_ms)
    watched = _watched(plain, packed.small(count, _U32, "watchMs"), flags)
    positions = packed.small(count, MAX_POSITION, "position")
    quoted = packed.small(count, requests - 1, "request")
    places = packed.small(count, MAX_POSITION, "place", NOT_ON_PAGE)
    named = packed.small(count, sessions - 1, "session")
    not_counted = packed.small(count, 1, "counted")
    plays = _plays(plain, packed, count, playing, newest_ms)
    subjects = _subjects(packed, count)
    if len(videos) != count:
        raise UnreadableBatch("another number of videos than of events")
    if sessions:
        named = [None if at is None else session_ids[at] for at in named]
    times = [newest_ms - ms for ms in ago]
    columns: list[Sequence[Any]] = [types, videos, times, identities, watched, positions, quoted, places, named, plays]
    columns += [[subjects.get(at) for at in range(count)] if subjects else (None,) * count, not_counted]
    if max(types, default=0) >= len(_TYPES):
        known = [code < len(_TYPES) for code in types]
        columns = [list(compress(column, known)) for column in columns]
    codes, of_videos, *others, not_counted = columns
    check_video_ids(of_videos)
    if subjects:
        of_videos = [id if subject is None else "" for id, subject in zip(of_videos, others[-1], strict=True)]
    return Batch(
        id=id,
        tenant_id=tenant_id,
        user_key=user_key,
        accepted_at=accepted_at,
        events=tuple(map(Event, [_TYPES[code] for code in codes], of_videos, *others)),
        requests=receipts,
        trusted=bool(flags & _TRUSTED),
        consented=bool(flags & _CONSENTED),
        trace_id=trace_id,
        counted=tuple([flag == 0 for flag in not_counted]) if flags & _DECIDED else None,
        again=bool(flags & _AGAIN),
        passed_over=count - len(codes),
    )


def marked_again(parts: Parts) -> Parts:
    """Return the batch with the flag `again`: it can have been published before. Raises `IndexError` if `packed` is
    empty."""
    return Parts(parts.plain, bytes([parts.packed[0] | _AGAIN]) + parts.packed[1:])


def _flags(batch: Batch) -> int:
    decided = batch.counted is not None
    return batch.trusted * _TRUSTED | batch.consented * _CONSENTED | batch.again * _AGAIN | decided * _DECIDED


def _short_names(batch: Batch) -> bytes:
    """Return the ids of batch, user and trace as bytes; nothing if one does not have the usual format."""
    try:
        id, user_key, trace_id = (
            bytes.fromhex(batch.id),
            base64url.from_text(batch.user_key),
            bytes.fromhex(batch.trace_id),
        )
    except ValueError:
        return b""
    names = _NAMES.pack(id, user_key, trace_id)
    same = (id.hex(), trace_id.hex()) == (batch.id, batch.trace_id) and names == id + user_key + trace_id
    return names if same else b""


def _long_names(id: bytes, user_key: bytes, trace_id: bytes) -> tuple[str, str, str]:
    """Return the ids as text: the inverse of `_short_names`."""
    return id.hex(), base64url.to_text(user_key), trace_id.hex()


def _trace_line(trace_id: str) -> str:
    """Return the trace id, or an empty text if it is invalid: a bad trace id must not cost the batch."""
    return trace_id if SESSION_ID.matches(trace_id) else ""


def _packed_receipt(receipt: FeedReceipt) -> bytes:
    flags = receipt.personalized * _PERSONALIZED | receipt.warm * _WARM
    return _RECEIPT_PACKED.pack(flags, receipt.arm, receipt.explored_rank, receipt.feed, receipt.propensity)


def _receipt(plain: _Reader, packed: _Reader) -> FeedReceipt:
    served_at, model, key = plain.unpack(_RECEIPT_PLAIN)
    flags, arm, explored_rank, feed, propensity = packed.unpack(_RECEIPT_PACKED)
    check_propensity(propensity)
    personalized, warm = bool(flags & _PERSONALIZED), bool(flags & _WARM)
    return FeedReceipt(served_at, personalized, warm, model, arm, explored_rank, propensity, feed, key)


def _halves(values: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """Return the low 16 bits, which look random, and the bits above, which rarely do."""
    if max(values, default=0) <= _LOW:
        return values, (0,) * len(values)
    return [value & _LOW for value in values], [value >> _LOW_BITS for value in values]


def _whole(low: Sequence[int], high: Sequence[int]) -> Sequence[int]:
    """Return the numbers: the inverse of `_halves`."""
    return [above << _LOW_BITS | below for below, above in zip(low, high, strict=True)] if any(high) else low


def _watched_bytes(watched: Sequence[float | None]) -> tuple[int, bytes, Sequence[int]]:
    """Return a flag, bytes, and high halves of the watch times. Whole ms are raised by 1 (0 means none) and split in
    halves; times with fractions of ms are stored as 64-bit floats."""
    count = len(watched)
    if not set(map(type, watched)) <= _WHOLE:
        if any(ms is not None and ms != int(ms) for ms in watched):
            numbers = [nan if ms is None else ms for ms in watched]
            return _FRACTIONS, struct.pack(f"<{count}d", *numbers), (0,) * count
        watched = [None if ms is None else int(ms) for ms in watched]
    low, high = _halves([0 if ms is None else ms + 1 for ms in watched])  # type: ignore[misc]
    return 0, struct.pack(f"<{count}H", *low), high


def _watched(plain: _Reader, high: Sequence[int], flags: int) -> Sequence[float | None]:
    """Return the watch times: the inverse of `_watched_bytes`. Raises `OddField` for more than a video can be
    watched."""
    count = len(high)
    if flags & _FRACTIONS:
        found = [None if isnan(ms) else ms for ms in struct.unpack(f"<{count}d", plain.take(8 * count))]
        check_watched(_without_none(found))
        return found
    raised = _whole(struct.unpack(f"<{count}H", plain.take(2 * count)), high)
    check_range(0, max(raised, default=0), 0, MAX_WATCH_MS + 1, "watchMs")
    return [ms - 1 if ms else None for ms in raised]


def _plays(plain: _Reader, packed: _Reader, events: int, plays: int, newest_ms: int) -> Sequence[Play | None]:
    """Return the play of each event."""
    numbers = plain.unpack(struct.Struct(f"<{plays}I{plays}H"))
    of_event = packed.small(plays, events - 1, "plays")
    started = _whole(numbers[plays:], packed.small(plays, _U32, "plays"))
    before = packed.small(plays, _U32, "plays")
    rows = zip(of_event, numbers[:plays], [newest_ms - ms for ms in started], before, strict=True)
    found = check_plays([list(row) for row in rows], events)
    return [found.get(at) for at in range(events)] if found else (None,) * events


def _subject_lines(subjects: Sequence[Subject | None]) -> bytes:
    """Return three lines for each subject of a follow event: the event's index, kind and id. Empty if there is none."""
    if _are_none(subjects):
        return b""
    lines = "\n".join([f"{at}\n{s.kind}\n{s.id}" for at, s in enumerate(subjects) if s is not None]).encode()
    return _SUBJECTS + _SUBJECTS_HEAD.pack(len(lines)) + lines


def _subjects(packed: _Reader, events: int) -> dict[int, Subject]:
    """Return the subjects by event index: the inverse of `_subject_lines`. Empty if the message ends before them."""
    if not packed.left() or packed.take(1) != _SUBJECTS:
        return {}
    (size,) = packed.unpack(_SUBJECTS_HEAD)
    lines = packed.take(size).decode().split("\n")
    rows = [[int(at), kind, id] for at, kind, id in zip(lines[::3], lines[1::3], lines[2::3], strict=True)]
    return check_subjects(rows, events)


def _small_bytes(numbers: Sequence[int | None]) -> bytes:
    """Encode numbers of −1 or more, or None, as a column. Its first byte says how they are stored."""
    if not any(numbers) and None not in numbers:
        return _ZERO
    if _are_none(numbers):
        return _ABSENT
    try:
        return _BYTES + bytes(map(_STORED.__getitem__, numbers))
    except KeyError:
        stored = [_LARGE_MARKS.get(number, number) for number in numbers]  # type: ignore[call-overload]
        return _LARGE + struct.pack(f"<{len(stored)}I", *stored)


def _are_none(values: Sequence[Any]) -> bool:
    return values.count(None) == len(values)


def _without_none(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]


class _Reader:
    """Reads bytes from position `at`. Raises `UnreadableBatch` when they end too early."""

    __slots__ = ("_raw", "at")

    def __init__(self, raw: bytes, at: int = 0) -> None:
        self._raw = raw
        self.at = at

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._raw):
            raise UnreadableBatch("a column is cut off")
        found = self._raw[self.at : end]
        self.at = end
        return found

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self.take(layout.size))

    def small(self, count: int, most: int, name: str, least: int = 0) -> Sequence[Any]:
        """Read `count` numbers written by `_small_bytes`. Raises `OddField` unless each is from `least` to `most`."""
        kind = self.take(1)
        if kind == _ABSENT:
            return (None,) * count
        if kind == _ZERO:
            check_range(0, 0 if count else most, 0, most, name)
            return (0,) * count
        if kind == _BYTES:
            stored = self.take(count)
            if max(stored, default=0) < _OFF_PAGE:
                check_range(0, max(stored, default=most), 0, most, name)
                return stored
            found = [_READ[number] for number in stored]
        elif kind == _LARGE:
            found = [_READ_LARGE.get(number, number) for number in struct.unpack(f"<{count}I", self.take(4 * count))]
        else:
            raise UnreadableBatch("numbers of an odd kind")
        known = _without_none(found)
        check_range(min(known, default=least), max(known, default=most), least, most, name)
        return found

    def left(self) -> int:
        return len(self._raw) - self.at
