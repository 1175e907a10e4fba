from __future__ import annotations

import base64
import contextlib
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from events.fold import fold
from events.video_facts import Facts
from ranking.user_features import LAST_LONG_VIEWS
from shared.domain.counted_receipts import FULL_TYPES, MAX_RECEIPTS, CountedReceipt, CountedReceipts, pair
from shared.domain.daily_counts import DailyCounts
from shared.domain.event_types import COMPLETE, LIKE, NOT_INTERESTED, SKIP, VIDEO_VIEW
from shared.domain.signals_columns import NewerSignals, UnreadableSignals, sealed
from shared.domain.signals_document import VERSIONS, from_document, to_document
from shared.domain.user_signals import (
    APPROVALS,
    CATEGORY_FIELDS,
    INTEREST,
    MAX_CATEGORIES,
    MAX_CREATORS,
    MAX_DISMISSED,
    MAX_DOCUMENT_BYTES,
    MAX_FOLLOWS,
    MAX_IDENTITIES,
    MAX_PROGRESS,
    MAX_SEEN,
    MAX_SKIPPED,
    MAX_TAGS,
    MAX_WATCHED,
    ORDER_BITS,
    SKIPS,
    TAG_FIELDS,
    VIEWS,
    WATCH_FRACTION,
    Counters,
    Progress,
    Signals,
    Timeline,
)
from tests.events.histories import NOW, event, everything

each_version = pytest.mark.parametrize("version", VERSIONS)


def read_back(signals: Signals, version: int) -> Signals:
    """Return signals as read from the store."""
    again = from_document(orjson.loads(orjson.dumps(to_document(signals, version))))
    assert again is not None
    return again


SUMS_ARE_STORED_TO = 2.0**-15
"""Version 3 rounds a sum to 2^-16 of it."""


def assert_same(one: Signals, other: Signals) -> None:
    assert everything(one) == everything(other)
    for name in ("categories", "tags", "creators"):
        mine, its = getattr(one, name), getattr(other, name)
        assert_array_equal(mine.keys, its.keys)
        assert_allclose(mine.values, its.values, rtol=SUMS_ARE_STORED_TO)
        assert mine.lost == pytest.approx(its.lost)


def size(signals: Signals, version: int) -> int:
    """Return the stored bytes, with the store's partition field and the longest possible tenant id."""
    added = {"userKey": "k" * 43, "tenantId": "t" * 64, "erasedAt": NOW + 0.123456}
    return len(orjson.dumps({**to_document(signals, version), **added}))


def full_page() -> int:
    """The pairs of a receipt for 50 videos, with as many counted types per video as all receipts can have."""
    return sum(1 << pair(place, code) for place in range(50) for code in range(FULL_TYPES))


def at_every_cap(draw: np.random.Generator) -> Signals:
    """The largest possible signals: everything full, the seen ring spread over every day it can hold."""
    newest_minute = int(NOW // 60) + 5
    newest_day = newest_minute // 1_440

    def counters(cap: int, fields: int) -> Counters:
        values = draw.standard_normal((cap, fields)).astype(np.float32) * np.float32(1e20)
        return Counters(values, draw.integers(0, 2**32, cap, np.uint32), np.full(cap, newest_day - 90, np.int32), 1e30)

    def ring(cap: int, times: np.ndarray, bits: int = 32) -> Timeline:
        return Timeline(draw.integers(0, 2**bits, cap, np.uint32), times.astype(np.int32))

    times = (newest_minute * 60 - draw.integers(0, 91 * 86_400, MAX_WATCHED)) << ORDER_BITS
    times = np.sort(times | draw.integers(0, 2**16, MAX_WATCHED))[::-1]
    watched = Timeline(draw.integers(0, 2**32, MAX_WATCHED, np.uint32), times)
    signals = Signals(
        half_life_days=1.0 + float(draw.random()) * 29,
        newest_minute=newest_minute,
        events=2**32 - 1,
        categories=counters(MAX_CATEGORIES, CATEGORY_FIELDS),
        tags=counters(MAX_TAGS, TAG_FIELDS),
        creators=counters(MAX_CREATORS, TAG_FIELDS),
        seen=ring(MAX_SEEN, newest_day - np.arange(MAX_SEEN) % 92, 24),
        watched=watched,
        follows=ring(MAX_FOLLOWS, newest_day - draw.integers(0, 91, MAX_FOLLOWS)),
        progress=Progress(
            draw.integers(0, 2**32, MAX_PROGRESS, np.uint32),
            (newest_minute - draw.integers(0, 91 * 1_440, MAX_PROGRESS)).astype(np.int32),
            draw.integers(0, 65_536, MAX_PROGRESS, np.uint32),
        ),
        skipped=ring(MAX_SKIPPED, newest_minute - draw.integers(0, 91 * 1_440, MAX_SKIPPED)),
        dismissed=ring(MAX_DISMISSED, newest_day - draw.integers(0, 91, MAX_DISMISSED)),
        identities=ring(MAX_IDENTITIES, newest_minute - draw.integers(0, 10_080, MAX_IDENTITIES)),
        updated_at=NOW + 0.1234567,
        counted=CountedReceipts.of(
            tuple(CountedReceipt(int(NOW) - n, int(draw.integers(2**32)), full_page()) for n in range(MAX_RECEIPTS)),
            int(NOW) - 90_000,
        ),
        daily_counts=DailyCounts(newest_day, draw.bytes(128)),
    )
    signals.daily["watch_ms"] = 6.048e8 + draw.random(7)
    return signals


@each_version
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_document_at_every_cap_stays_within_13_kb_and_reads_back_whole(version: int, seed: int) -> None:
    signals = at_every_cap(np.random.default_rng(seed))
    assert size(signals, version) <= MAX_DOCUMENT_BYTES
    assert_same(read_back(signals, version), signals)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(VERSIONS), min_size=2, max_size=5))
def test_no_version_of_the_document_loses_anything(seed: int, versions: list[int]) -> None:
    signals = again = at_every_cap(np.random.default_rng(seed))
    for version in versions:
        again = read_back(again, version)
    assert_same(again, signals)


@each_version
def test_empty_signals_read_back_unchanged(version: int) -> None:
    assert_same(read_back(Signals(14.0), version), Signals(14.0))


def test_older_document_uses_views_for_interest_and_minutes() -> None:
    signals = at_every_cap(np.random.default_rng(5))
    document = to_document(signals)
    for name in ("additions", "counted", "dailyCounts"):
        del document[name]
    again = from_document(document)
    assert again is not None
    assert_array_equal(again.categories.values[:, INTEREST], signals.categories.values[:, VIEWS])
    assert_array_equal(again.tags.values[:, INTEREST], signals.tags.values[:, VIEWS])
    assert sorted(again.watched_minutes.tolist()) == sorted(signals.watched_minutes.tolist())[-20:]
    assert len(again.follows.keys) == 0
    assert again.progress.plays() == []
    assert again.progress.closed_until == signals.newest_minute, "nothing that may have counted counts again"


def test_additions_to_another_state_are_ignored() -> None:
    document = to_document(at_every_cap(np.random.default_rng(5)))
    other = to_document(at_every_cap(np.random.default_rng(6)))
    mixed = from_document(document | {"additions": other["additions"]})
    assert mixed is not None
    assert len(mixed.watched.keys) == 20


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "newer",
    [{"v": 4}, {"v": 99, "packed": None}, {"packed": base64.b64encode(sealed(bytes([4]) + bytes(90))).decode()}],
    ids=["named", "of another shape", "in the first byte"],
)
def test_newer_version_is_distinguished_from_damage(newer: dict[str, object], whole: bool) -> None:
    document = to_document(at_every_cap(np.random.default_rng(5)), 3)
    with pytest.raises(NewerSignals):
        from_document(document | newer, whole=whole)


def test_document_without_counted_records_counts_nothing_again() -> None:
    signals = at_every_cap(np.random.default_rng(3))
    document = to_document(signals)
    for name in ("counted", "dailyCounts"):
        del document[name]  # as the previous release writes it
    again = from_document(document)
    assert again is not None
    assert everything(again) == {**everything(signals), "counted": again.counted, "daily_counts": DailyCounts()}
    assert again.counted == CountedReceipts(oldest=int(NOW) + 1)
    assert all(again.counted.is_counted(n, int(NOW) - n, 0, 0) for n in range(100))


@pytest.mark.parametrize("damaged", [None, 7, "", "?", "AAAA", [], "é"])
def test_damaged_counted_records_count_nothing_again(damaged: object) -> None:
    document = to_document(at_every_cap(np.random.default_rng(3)), 2) | {"counted": damaged, "dailyCounts": damaged}
    again = from_document(document)
    assert again is not None
    assert again.counted == CountedReceipts(oldest=int(NOW) + 1)


@each_version
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), days=st.integers(1, 90))
def test_no_history_makes_a_document_exceed_13_kb(version: int, seed: int, days: int) -> None:
    draw = np.random.default_rng(seed)
    facts = {
        f"v{n}": Facts(f"category {n}", tuple(f"tag {n} {k}" for k in range(5)), f"creator {n}", 30.0)
        for n in range(1_500)
    }
    kinds = [VIDEO_VIEW, COMPLETE, SKIP, NOT_INTERESTED, LIKE]
    signals: Signals | None = None
    for day in np.linspace(0, days, 20):
        at = NOW + float(day) * 86_400
        batch = []
        for _ in range(100):
            kind, video = kinds[int(draw.integers(5))], int(draw.integers(1_500))
            made = event(kind, video, 0, 30_000)
            batch.append(replace(made, at_ms=int(at * 1000), identity=int(draw.integers(2**32))))
        signals = fold(signals, batch, facts, 14.0, at)
        assert size(signals, version) <= MAX_DOCUMENT_BYTES
        signals = from_document(to_document(signals, version))


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=400).map(lambda raw: orjson.dumps(raw.hex()).decode())))
def test_text_that_is_no_document_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableSignals):
        from_document({"packed": text, "updatedAt": NOW})


@each_version
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_document_is_unreadable_or_signals(version: int, data: st.DataObject) -> None:
    document = to_document(at_every_cap(np.random.default_rng(1)), version)
    raw = bytearray(base64.b64decode(str(document["packed"])))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    if data.draw(st.booleans()):
        raw = bytearray(sealed(bytes(raw)))  # wrong, but with a valid checksum
    with contextlib.suppress(UnreadableSignals):
        from_document(document | {"packed": base64.b64encode(raw).decode()})


@each_version
def test_read_for_ranking_has_only_ranking_fields_and_cannot_be_stored(version: int) -> None:
    document = to_document(at_every_cap(np.random.default_rng(2)), version)
    whole, part = from_document(document), from_document(document, whole=False)
    assert whole is not None
    assert part is not None
    for name in ("categories", "tags", "creators"):
        one, other = getattr(part, name), getattr(whole, name)
        assert_array_equal(one.keys, other.keys)
        for column in (VIEWS, WATCH_FRACTION, SKIPS, APPROVALS):
            assert_array_equal(one.values[:, column], other.values[:, column])
    assert_array_equal(np.sort(part.seen.keys), np.sort(whole.seen.keys))
    for name in ("dismissed", "skipped"):
        assert_array_equal(getattr(part, name).keys, getattr(whole, name).keys)
    assert_array_equal(part.watched.keys[:LAST_LONG_VIEWS], whole.watched.keys[:LAST_LONG_VIEWS])
    assert_array_equal(part.watched_minutes[:LAST_LONG_VIEWS], whole.watched_minutes[:LAST_LONG_VIEWS])
    assert_array_equal(part.skipped.times, whole.skipped.times)
    for name in ("half_life_days", "newest_minute", "events", "updated_at"):
        assert getattr(part, name) == getattr(whole, name)
    with pytest.raises(ValueError, match="cannot be stored"):
        to_document(part)
