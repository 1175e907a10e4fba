from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.messages import dictionary_content
from events import batch_columns
from events.archive import from_lines, to_lines
from events.batch import Batch, decode, encode, encode_all, marked_again, parts
from events.fold import fold
from events.frame import (
    DICTIONARIES,
    MARK,
    MAX_CONTENT_BYTES,
    Frame,
    NewerMessage,
    UnreadableBatch,
    deflate,
    unwrap,
    wrap,
)
from events.schema import CLAMP_AHEAD_SECONDS, MAX_AGE_SECONDS, REJECTIONS, Event, Play, Rejected, parse_event
from ranking.stats import StatsTable
from shared.domain import base64url
from shared.domain.event_types import EVENT_TYPES, TYPE_CODES
from shared.domain.feed_receipt import FeedReceipt
from shared.domain.formats import TENANT_ID, VIDEO_ID
from shared.domain.signals_document import from_document, to_document
from shared.domain.user_signals import MAX_PLAY_SECONDS
from tests.events.rows_of_version_2 import encode_in_rows

NOW = 1_700_000_000.0

video_ids = st.from_regex(VIDEO_ID.pattern, fullmatch=True)
seconds = st.floats(0, 4e9, allow_nan=False)
one_event = st.builds(
    Event,
    type=st.sampled_from(list(EVENT_TYPES)),
    video_id=video_ids,
    at_ms=st.integers(0, 4 * 10**12),
    identity=st.integers(0, 2**32 - 1),
    watch_ms=st.none() | st.floats(0, 86_400_000) | st.integers(0, 86_400_000).map(float),
    position=st.none() | st.integers(0, 100_000),
    request=st.none() | st.integers(0, 2),
    place=st.none() | st.integers(-1, 49),
    play=st.none()
    | st.builds(
        Play,
        key=st.integers(1, 2**32 - 1),
        started_ms=st.integers(0, 4 * 10**12),
        before=st.none() | st.integers(0, MAX_PLAY_SECONDS),
    ),
)
one_request = st.builds(
    FeedReceipt,
    served_at=st.integers(0, 2**32 - 1),
    personalized=st.booleans(),
    warm=st.booleans(),
    model=st.integers(0, 2**32 - 1),
    arm=st.integers(0, 255),
    explored_rank=st.integers(0, 255),
    propensity=st.floats(0, 1),
    key=st.integers(0, 2**32 - 1),
)


def as_sent(batch: Batch) -> Batch:
    """Return the batch as a handler builds it: events quote receipts that the batch contains."""
    quoted = len(batch.requests)
    events = (e if e.request is None or e.request < quoted else replace(e, request=None) for e in batch.events)
    return replace(batch, events=tuple(events))


one_batch = st.builds(
    Batch,
    id=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    tenant_id=st.from_regex(TENANT_ID.pattern, fullmatch=True),
    user_key=st.text("abc-_019", min_size=1, max_size=43),
    accepted_at=seconds,
    events=st.lists(one_event, max_size=8).map(tuple),
    requests=st.lists(one_request, max_size=3).map(tuple),
    trusted=st.booleans(),
    consented=st.booleans(),
).flatmap(
    lambda batch: (
        st.tuples(*(st.booleans() for _ in batch.events)).map(lambda counted: as_sent(replace(batch, counted=counted)))
        | st.just(as_sent(batch))
    )
)


ENCODINGS: dict[str, Callable[[Sequence[Batch]], bytes]] = {
    "columns": encode_all,
    "rows": encode_in_rows,
    "rows in zlib": partial(encode_in_rows, in_zlib=True),
}
"""Of version 2."""


def names_of_ours(batch: Batch) -> Batch:
    return replace(batch, user_key=base64url.to_text(batch.id.encode()), trace_id=batch.id[::-1])


@st.composite
def some_batches(draw: st.DrawFn) -> list[Batch]:
    """Batches with every field that a version 2 message has."""
    batches = []
    for batch in draw(st.lists(one_batch | one_batch.map(names_of_ours), min_size=1, max_size=3)):
        requests = tuple(replace(request, feed=draw(st.integers(0, 2**32 - 1))) for request in batch.requests)
        session_ids = st.none() | st.text("abc-1", min_size=1, max_size=128)
        events = tuple(replace(event, session_id=draw(session_ids)) for event in batch.events)
        batches.append(replace(batch, requests=requests, events=events, again=draw(st.booleans())))
    return batches


@settings(max_examples=80, deadline=None)
@given(one_batch | one_batch.map(names_of_ours), st.sampled_from([1, 2]))
def test_batch_decodes_as_it_was_encoded(batch: Batch, version: int) -> None:
    assert decode(encode(batch, version)) == (batch,)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=25, deadline=None)
@given(batches=some_batches())
def test_several_batches_of_a_message_decode_separately(encoding: str, batches: list[Batch]) -> None:
    body = ENCODINGS[encoding](batches)
    assert decode(body) == tuple(batches)
    assert [decode(part) for part in parts(body)] == [(batch,) for batch in batches]
    assert decode(marked_again(body)) == tuple(replace(batch, again=True) for batch in batches)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=50, deadline=None)
@given(batch=one_batch | one_batch.map(names_of_ours), data=st.data())
def test_truncated_or_altered_version_2_message_is_unreadable_or_newer(
    encoding: str, batch: Batch, data: st.DataObject
) -> None:
    body = ENCODINGS[encoding]([batch])
    at = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises((UnreadableBatch, NewerMessage)):
        decode(body[:at])
    changed = bytearray(body)
    changed[at] ^= data.draw(st.integers(1, 255))
    check_that_it_is_harmless(bytes(changed))


@settings(max_examples=120, deadline=None)
@given(one_batch | one_batch.map(names_of_ours), st.data())
def test_columns_with_any_altered_byte_are_a_batch_or_unreadable(batch: Batch, data: st.DataObject) -> None:
    """Alters bytes below the compression, where they have a meaning."""
    stored = list(batch_columns.to_parts(batch))
    which = data.draw(st.sampled_from([0, 1]))
    at = data.draw(st.integers(0, len(stored[which]) - 1))
    stored[which] = stored[which][:at] + data.draw(st.binary(min_size=1, max_size=3)) + stored[which][at + 1 :]
    check_that_it_is_harmless(wrap(batch_columns.join([batch_columns.Parts(*stored)])))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=200), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2))
def test_random_bytes_in_a_frame_are_a_batch_or_unreadable_or_newer(
    plain: bytes, packed: bytes, batches: int, encoding: int, dictionary: int
) -> None:
    content = len(plain).to_bytes(4, "little") + plain + deflate(packed, b"")
    check_that_it_is_harmless(wrap(Frame(encoding, dictionary, batches, content)))
    check_that_it_is_harmless(wrap(Frame(encoding, dictionary, batches, packed)))


def check_that_it_is_harmless(body: bytes) -> None:
    """Fail unless it is unreadable, or every batch in it can be published again, folded, counted and archived."""
    try:
        read = decode(body)
    except (UnreadableBatch, NewerMessage):
        return
    for batch in read:
        sent = as_sent(replace(batch, trace_id=""))  # an invalid trace is dropped
        assert decode(encode(sent, 2)) == (sent,)
        assert len(decode(encode(batch, 2))) == 1
        from_document(to_document(fold(None, batch.events, {}, 14.0, NOW, batch.accepted_at)))
        assert len(list(from_lines(to_lines([batch], str)))) == len(batch.events)


def test_decompression_stops_at_its_limit() -> None:
    bomb = (4).to_bytes(4, "little") + bytes(4) + deflate(bytes(MAX_CONTENT_BYTES + 1), b"")
    assert len(bomb) < MAX_CONTENT_BYTES / 500
    with pytest.raises(UnreadableBatch, match="too large"):
        decode(wrap(Frame(2, 0, 1, bomb)))


LIKE = Batch("f" * 32, "t_1", "user", NOW, (Event("like", "v", 1, 1),))


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_later_version_encoding_or_dictionary_is_newer_and_not_unreadable(encoding: str, place: int) -> None:
    body = bytearray(ENCODINGS[encoding]([LIKE]))
    assert body[0] == MARK
    body[place] = 7
    with pytest.raises(NewerMessage):
        decode(bytes(body))
    with pytest.raises(NewerMessage):
        decode(orjson.dumps({"v": 3, "batch": "of a later release"}))


def with_types_200(body: bytes, at: int) -> bytes:
    """A message of one batch with one event of an unknown type."""
    if body[0] != MARK:
        raw = orjson.loads(body)
        raw["events"][at][0] = 200
        return orjson.dumps(raw)
    ((plain, packed),) = batch_columns.split(unwrap(body))
    types = packed.index(bytes([TYPE_CODES["like"]] * 3))
    packed = packed[: types + at] + bytes([200]) + packed[types + at + 1 :]
    return wrap(batch_columns.join([batch_columns.Parts(plain, packed)]))


def three_likes() -> Batch:
    events = tuple(Event("like", f"v{n}", 1, n, place=n) for n in range(3))
    return Batch("f" * 32, "t_1", "user", NOW, events, counted=(True, False, True))


@pytest.mark.parametrize("version", [1, 2])
def test_events_of_unknown_types_are_skipped_and_counted(version: int) -> None:
    batch = three_likes()
    (read,) = decode(with_types_200(encode(batch, version), 1))
    assert read == replace(batch, events=(batch.events[0], batch.events[2]), counted=(True, True))
    assert read.passed_over == 1


def test_extra_values_of_a_later_release_are_ignored() -> None:
    batch = Batch("f" * 32, "t_1", "user", NOW, (Event("like", "v", 1, 1, request=0),), (FeedReceipt(1, True, True),))

    def more(raw: list[Any]) -> None:
        for row in (*raw[0]["events"], *raw[0]["requests"]):
            row.append("of a later release")

    assert decode(encode_in_rows([batch], change=more)) == (batch,)


def test_columns_of_a_later_release_are_skipped_and_kept() -> None:
    batch, other = three_likes(), replace(LIKE, id="e" * 32)
    plain, packed = batch_columns.to_parts(batch)
    later = batch_columns.Parts(plain + b"later", packed + b"\xfflater")
    body = wrap(batch_columns.join([batch_columns.to_parts(other), later]))
    assert decode(body) == (other, batch)
    for kept in (parts(body)[1], parts(marked_again(body))[1]):
        ((kept_plain, kept_packed),) = batch_columns.split(unwrap(kept))
        assert (kept_plain, kept_packed[1:]) == (later.plain, later.packed[1:])


def test_splitting_a_message_leaves_a_batch_with_later_types_unchanged() -> None:
    body = with_types_200(encode(three_likes(), 2), 1)
    both = batch_columns.join([*batch_columns.split(unwrap(body)), batch_columns.to_parts(LIKE)])
    assert parts(wrap(both))[0] == body


def test_compression_dictionary_never_changes() -> None:
    made = [hashlib.sha256(DICTIONARIES[number]).hexdigest()[:16] for number in (0, 1)]
    assert made == ["e3b0c44298fc1c14", "0e14c78ae7adafdc"]
    assert dictionary_content() == DICTIONARIES[1]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | json_values.map(orjson.dumps))
def test_body_that_is_no_batch_is_unreadable(body: bytes) -> None:
    with pytest.raises((UnreadableBatch, NewerMessage)):
        decode(body)


@settings(max_examples=150, deadline=None)
@given(one_batch.filter(lambda batch: bool(batch.events)), st.data())
def test_batch_with_one_invalid_value_is_unreadable_or_a_batch(batch: Batch, data: st.DataObject) -> None:
    raw = orjson.loads(encode(batch))
    raw[data.draw(st.sampled_from(sorted(raw)))] = data.draw(json_values)
    try:
        (read,) = decode(orjson.dumps(raw))
    except (UnreadableBatch, NewerMessage):
        return
    for version in (1, 2):
        (again,) = decode(encode(as_sent(read), version))
        assert replace(again, trace_id="") == replace(as_sent(read), trace_id="")


@settings(max_examples=150, deadline=None)
@given(one_batch.filter(lambda batch: bool(batch.events)), st.data())
def test_invalid_event_value_never_passes_decoding(batch: Batch, data: st.DataObject) -> None:
    """Any decoded event can be folded, added to statistics and archived."""
    raw = orjson.loads(encode(batch))
    rows = data.draw(st.sampled_from([name for name in ("events", "requests") if raw[name]]))
    row = data.draw(st.sampled_from(raw[rows]))
    row[data.draw(st.integers(0, len(row) - 1))] = data.draw(json_values | st.sampled_from([-1, 1e300, 2**63]))
    try:
        (read,) = decode(orjson.dumps(raw))
    except UnreadableBatch:
        return
    from_document(to_document(fold(None, read.events, {}, 14.0, NOW, read.accepted_at)))
    assert len(list(from_lines(to_lines([read], str)))) == len(read.events)
    table = StatsTable()
    table.add([(event.video_id, event.at_ms / 1000, event.type, event.watch_ms or 0.0, 30.0) for event in read.events])
    StatsTable.unpack(table.pack())


def test_largest_batch_fits_into_a_message() -> None:
    from shared.adapters.bus.port import MAX_MESSAGE_BYTES
    from shared.domain.event_types import MAX_EVENTS

    event = Event("not_interested", "v" * 128, 10**15, 2**32 - 1, 86_399_999.123456, 100_000, 99, 49)
    request = FeedReceipt(2**32 - 1, True, True, 2**32 - 1, 255, 255, 1 / 3)
    full = Batch(
        "f" * 32,
        "t" * 64,
        "u" * 43,
        NOW,
        (event,) * MAX_EVENTS,
        (request,) * MAX_EVENTS,
        True,
        counted=(True,) * MAX_EVENTS,
    )
    assert len(encode(full)) < MAX_MESSAGE_BYTES / 10
    assert len(encode(full, 2)) < len(encode(full))


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["type", "videoId", "timestamp", "watchTimeMs", "feedRequestId", "rankPosition", "eventId", "x"]
        ),
        json_values | st.sampled_from([*EVENT_TYPES, "vid_1", NOW * 1000, "2023-11-14T22:13:20Z"]),
    )
    | json_values
)
def test_any_json_event_is_accepted_or_refused_with_a_known_code(raw: object) -> None:
    try:
        event, quoted = parse_event(raw, NOW)
    except Rejected as error:
        refusal: str | None = error.code
    else:
        refusal = None
    assert refusal is None or refusal in REJECTIONS
    if refusal is not None:
        return
    assert event.type in EVENT_TYPES
    assert (NOW - MAX_AGE_SECONDS) * 1000 <= event.at_ms <= (NOW + CLAMP_AHEAD_SECONDS) * 1000
    assert quoted is None or len(quoted) <= 256


def good(**changes: object) -> dict[str, object]:
    return {"type": "like", "videoId": "vid_1", "timestamp": NOW * 1000, **changes}


def test_five_minutes_ahead_is_accepted_and_more_is_clamped_to_now() -> None:
    assert parse_event(good(timestamp=(NOW + 300) * 1000), NOW)[0].at_ms == (NOW + 300) * 1000
    assert parse_event(good(timestamp=(NOW + 301) * 1000), NOW)[0].at_ms == NOW * 1000


def test_seven_days_old_is_accepted_and_older_is_not() -> None:
    assert parse_event(good(timestamp=(NOW - MAX_AGE_SECONDS) * 1000), NOW)
    with pytest.raises(Rejected, match="too_old"):
        parse_event(good(timestamp=(NOW - MAX_AGE_SECONDS) * 1000 - 1), NOW)


def test_clamped_event_keeps_the_identity_it_was_sent_with() -> None:
    """Resent a minute later it would be clamped to another time, and is still the same event."""
    sent = good(timestamp=(NOW + 4_000) * 1000)
    first, later = parse_event(sent, NOW)[0], parse_event(sent, NOW + 60)[0]
    assert first.at_ms != later.at_ms
    assert first.identity == later.identity


def test_identity_of_an_event_is_its_event_id_or_its_type_video_and_time() -> None:
    def identity(**changes: object) -> int:
        return parse_event(good(**changes), NOW)[0].identity

    assert identity() == identity(watchTimeMs=5, rankPosition=3, feedRequestId="r")
    assert len({identity(), identity(type="skip"), identity(videoId="vid_2"), identity(timestamp=NOW * 1000 - 1)}) == 4
    assert identity(eventId="e") == identity(eventId="e", type="skip", timestamp=NOW * 1000 - 1)
    assert identity(eventId="e") != identity(eventId="f")
