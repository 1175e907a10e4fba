"""Any events an SDK can send lead to a readable, small document that counts them once."""

from __future__ import annotations

import random
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from events.fold import fold
from events.schema import MAX_AGE_SECONDS, MAX_WATCH_MS, Event, Rejected, parse_event
from events.video_facts import Facts
from shared.domain.event_types import EVENT_TYPES, MAX_EVENTS, UNLIKE
from shared.domain.signals_document import from_document, to_document
from shared.domain.user_signals import MAX_DOCUMENT_BYTES, MAX_IDENTITIES, Signals

NOW = 1_700_000_000.0
LONGEST_ID = "v" * 126
videos = st.integers(0, 99).map(lambda n: f"{LONGEST_ID}{n:02}")
FACTS = {
    f"{LONGEST_ID}{n:02}": Facts(
        "category " * 100 + str(n % 40), tuple(f"tag {n * k} " * 100 for k in range(5)), f"creator {n}", float(n % 7)
    )
    for n in range(100)
}
wire = st.fixed_dictionaries(
    {
        "type": st.sampled_from([*EVENT_TYPES, UNLIKE]),
        "videoId": videos,
        "timestamp": st.one_of(
            st.integers(int((NOW - MAX_AGE_SECONDS - 10) * 1000), int((NOW + 400) * 1000)),
            st.sampled_from([0, 10**14, "2023-11-14T22:13:20Z", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00"]),
        ),
        "watchTimeMs": st.one_of(st.none(), st.integers(0, MAX_WATCH_MS), st.floats(0, MAX_WATCH_MS)),
    },
    optional={"eventId": st.text(min_size=1, max_size=128), "rankPosition": st.integers(0, 100_000)},
)


def parsed(rows: list[dict[str, Any]]) -> list[Event]:
    events = []
    for row in rows:
        try:
            events.append(parse_event(row, NOW)[0])
        except Rejected:
            continue
    return events


@settings(max_examples=100)
@given(st.lists(st.lists(wire, max_size=40), max_size=6), st.floats(1.0, 30.0))
def test_no_event_sequence_makes_a_document_unreadable_or_too_large(
    batches: list[list[dict[str, Any]]], half_life_days: float
) -> None:
    signals: Signals | None = None
    for number, rows in enumerate(batches):
        signals = fold(signals, parsed(rows), FACTS, half_life_days, NOW + number * 86_400, NOW)
        added = {"userKey": "k" * 43, "tenantId": "t" * 64, "erasedAt": NOW + 0.123456}
        body = orjson.dumps({**to_document(signals), **added})
        assert len(body) <= MAX_DOCUMENT_BYTES
        again = from_document(orjson.loads(body))
        assert again is not None
        assert to_document(again) == to_document(signals)
        signals = again


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_repacked_events_count_once_at_any_age_and_order(seed: int) -> None:
    """A hundred events, a first packing, and any number of later-accepted other packings."""
    draw = random.Random(seed)
    history = [
        Event("like", f"v{n}", int((NOW - draw.uniform(0, MAX_AGE_SECONDS)) * 1000), draw.getrandbits(32))
        for n in range(MAX_IDENTITIES)
    ]
    packings: list[tuple[float, list[Event]]] = []
    for _ in range(3):
        draw.shuffle(history)
        cuts = sorted(draw.sample(range(1, len(history)), 4))
        parts = [history[a:b] for a, b in zip([0, *cuts], [*cuts, len(history)], strict=True)]
        packings += [(NOW + len(packings) + at * 0.001, part) for at, part in enumerate(parts)]
    draw.shuffle(packings)
    signals: Signals | None = None
    for accepted_at, events in packings:
        signals = fold(signals, events, {}, 14.0, NOW + 60, accepted_at)
        signals = from_document(to_document(signals))
    assert signals is not None
    assert signals.events == len(history)


def test_newest_batch_is_known_although_newer_events_fill_the_ring() -> None:
    full = [Event("like", f"v{n}", int(NOW * 1000), n) for n in range(MAX_IDENTITIES)]
    old = [Event("like", f"o{n}", int((NOW - 6 * 86_400) * 1000), 1_000 + n) for n in range(MAX_EVENTS)]
    signals = fold(None, full, {}, 14.0, NOW, NOW)
    signals = fold(signals, old, {}, 14.0, NOW + 0.01, NOW + 0.01)
    again = fold(signals, old[::-1], {}, 14.0, NOW + 0.02, NOW + 0.02)
    assert again.events == MAX_IDENTITIES + MAX_EVENTS
