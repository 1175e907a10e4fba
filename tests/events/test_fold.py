from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from ranking.watching import counted_watch_time
from shared.domain.counted_receipts import MAX_RECEIPTS, CountedReceipt, CountedReceipts, pair
from shared.domain.daily_counts import DailyCounts
from shared.domain.event_types import COMPLETE, IMPRESSION, LIKE, NOT_INTERESTED, SKIP, TYPE_CODES, VIDEO_VIEW
from shared.domain.fingerprint import SEEN_MASK, fingerprint
from shared.domain.user_signals import (
    CATEGORY_FIELDS,
    MAX_CATEGORIES,
    MAX_CREATORS,
    MAX_DISMISSED,
    MAX_DOCUMENT_BYTES,
    MAX_IDENTITIES,
    MAX_SEEN,
    MAX_SKIPPED,
    MAX_TAGS,
    MAX_WATCHED,
    TAG_FIELDS,
    Counters,
    Signals,
    Timeline,
    UnreadableSignals,
    from_document,
    pack,
    to_document,
    unpack,
)
from tests.events.histories import (
    HALF_LIFE_DAYS,
    NO_UNLIKES,
    NOW,
    Sums,
    event,
    events,
    everything,
    facts_of,
    recount,
    rows_of,
    strength,
)

CLOSE = {"rel": 1e-4, "abs": 1e-4}
"""float32 is good for about one part in a million; a long history of foldings adds a few of those up."""

FEW = facts_of(40)
MANY = facts_of(400, categories=70, tags=61, creators=53)


def folded(
    batches: Sequence[Sequence[Event]], facts: Mapping[str, Facts] = FEW, *, stored: bool = True
) -> Signals | None:
    """The batches folded one after another; with `stored`, written and read back in between, as in production."""
    signals: Signals | None = None
    for batch in batches:
        signals = fold(signals, batch, facts, HALF_LIFE_DAYS, NOW)
        if stored:
            signals = from_document(orjson.loads(orjson.dumps(to_document(signals))))
    return signals


def in_batches(history: Sequence[Event], sizes: Sequence[int]) -> list[list[Event]]:
    batches, at = [], 0
    for size in sizes:
        batches.append(list(history[at : at + size]))
        at += size
    batches.append(list(history[at:]))
    return [batch for batch in batches if batch]


@st.composite
def retold(draw: st.DrawFn, most: int, videos: int = 40) -> tuple[list[Event], list[list[Event]], list[list[Event]]]:
    """A history, cut into batches, and the same batches in any order with any of them repeated."""
    history = draw(events(videos, most))
    batches = in_batches(history, draw(st.lists(st.integers(1, 9), max_size=12)))
    repeated = draw(st.lists(st.sampled_from(batches), max_size=6)) if batches else []
    return history, batches, draw(st.permutations(batches + repeated))


@settings(max_examples=80, deadline=None)
@given(retold(MAX_IDENTITIES))
def test_any_order_with_any_duplicates_of_the_same_batches_gives_the_same_signals(
    told: tuple[list[Event], list[list[Event]], list[list[Event]]],
) -> None:
    _, batches, otherwise = told
    first, second = folded(batches), folded(otherwise)
    if first is None or second is None:
        assert first is second
        return
    assert everything(first) == everything(second)
    for name in ("categories", "tags", "creators"):
        one, other = rows_of(getattr(first, name)), rows_of(getattr(second, name))
        assert one.keys() == other.keys()
        for key, row in one.items():
            assert row == pytest.approx(other[key], **CLOSE)


@settings(max_examples=60, deadline=None)
@given(retold(MAX_IDENTITIES), st.booleans())
def test_below_the_caps_signals_agree_with_a_plain_recount(
    told: tuple[list[Event], list[list[Event]], list[list[Event]]], stored: bool
) -> None:
    history, _, otherwise = told
    signals = folded(otherwise, stored=stored)
    if signals is None:
        return
    wanted = recount(history, FEW, signals.newest_minute)
    for counters, sums in zip((signals.categories, signals.tags, signals.creators), wanted, strict=True):
        assert counters.lost == 0
        assert rows_of(counters).keys() == sums.keys()
        for key, row in rows_of(counters).items():
            assert row == pytest.approx(sums[key], **CLOSE)
    distinct = {one.identity: one for one in history}.values()
    assert signals.events == sum(one.type != IMPRESSION for one in distinct)
    assert set(signals.seen.keys.tolist()) == {fingerprint(one.video_id) & SEEN_MASK for one in distinct}
    newest_day = signals.newest_minute // 1_440
    week = [one for one in distinct if newest_day - one.at_ms // 86_400_000 < 7]
    assert signals.daily["views"].sum() == sum(one.type == VIDEO_VIEW for one in week)
    assert signals.daily["watch_ms"].sum() == pytest.approx(
        sum(counted_watch_time(one.watch_ms, FEW[one.video_id].duration_seconds) for one in week)
    )
    assert signals.daily["skips"].sum() == sum(one.type in (SKIP, NOT_INTERESTED) for one in week)


def check_bound(counters: Counters, sums: Sums, cap: int, *, exact: bool) -> None:
    """No entry is above the truth, none is below it by more than `lost`, and all together by exactly that."""
    rows = rows_of(counters)
    assert len(rows) <= cap
    slack = 1e-3 + 1e-5 * sum(strength(row) for row in sums.values())
    for key, row in sums.items():
        shown = strength(rows.get(key, [0.0] * len(row)))
        assert shown >= strength(row) - counters.lost - slack
        if exact:
            assert shown <= strength(row) + slack
    if exact:
        total = sum(strength(row) for row in rows.values()) + counters.lost
        assert total == pytest.approx(sum(strength(row) for row in sums.values()), **CLOSE)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_above_the_caps_every_count_is_within_the_stated_bound_in_any_order(seed: int, with_unlikes: bool) -> None:
    draw = np.random.default_rng(seed)
    kinds = (*NO_UNLIKES, "unlike") if with_unlikes else NO_UNLIKES
    history = [
        event(
            kinds[int(draw.integers(len(kinds)))],
            int(draw.zipf(1.3)) % 400,
            int(draw.integers(0, 7 * 86_400_000)),
            int(draw.integers(0, 60_000)),
        )
        for _ in range(600)
    ]
    history = list({one.identity: one for one in history}.values())
    for order in (history, history[::-1], [history[i] for i in draw.permutation(len(history))]):
        signals = folded([order[at : at + 50] for at in range(0, len(order), 50)], MANY)
        assert signals is not None
        wanted = recount(history, MANY, signals.newest_minute)
        check_bound(signals.categories, wanted[0], MAX_CATEGORIES, exact=not with_unlikes)
        check_bound(signals.tags, wanted[1], MAX_TAGS, exact=not with_unlikes)
        check_bound(signals.creators, wanted[2], MAX_CREATORS, exact=not with_unlikes)
        assert signals.categories.lost > 0, "the history is meant to overflow"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_full_rings_keep_the_newest_whatever_the_order(seed: int) -> None:
    draw = np.random.default_rng(seed)
    history = [event((COMPLETE, NOT_INTERESTED)[n % 2], n, int(draw.integers(0, 6 * 86_400_000))) for n in range(1_300)]
    first = folded([history[at : at + 100] for at in range(0, 1_300, 100)], {})
    shuffled = [history[i] for i in draw.permutation(1_300)]
    second = folded([shuffled[at : at + 100] for at in range(0, 1_300, 100)], {})
    assert first is not None
    assert second is not None
    assert everything(first) == everything(second)
    sizes = {name: len(getattr(first, name).keys) for name in ("seen", "watched", "skipped", "dismissed", "identities")}
    assert sizes == {
        "seen": MAX_SEEN,
        "watched": MAX_WATCHED,
        "skipped": MAX_SKIPPED,
        "dismissed": MAX_DISMISSED,
        "identities": MAX_IDENTITIES,
    }
    completes = sorted((one for one in history if one.type == COMPLETE), key=lambda one: -one.at_ms)
    minutes = [one.at_ms // 60_000 for one in completes]
    assert sorted(first.watched.times.tolist(), reverse=True) == minutes[:MAX_WATCHED]


def test_an_event_twice_in_one_batch_counts_once() -> None:
    one = event(VIDEO_VIEW, 1, 60_000, 5_000)
    assert everything(fold(None, [one, one], FEW, 14.0, NOW)) == everything(fold(None, [one], FEW, 14.0, NOW))


def test_the_ring_of_identities_holds_the_last_hundred_events() -> None:
    history = [event(VIDEO_VIEW, n % 40, n * 60_000, 5_000) for n in range(MAX_IDENTITIES)]
    signals = fold(None, history, FEW, 14.0, NOW)
    assert fold(signals, history, FEW, 14.0, NOW).events == MAX_IDENTITIES


def test_an_event_about_an_unknown_video_is_seen_and_counted_in_the_totals_only() -> None:
    signals = fold(None, [event(VIDEO_VIEW, 999, 60_000, 5_000)], FEW, 14.0, NOW)
    assert (signals.events, signals.daily["views"].sum(), len(signals.seen.keys)) == (1, 1, 1)
    assert len(signals.categories.keys) == len(signals.tags.keys) == len(signals.creators.keys) == 0


def test_a_taste_fades_by_half_in_a_half_life() -> None:
    old = fold(None, [event(LIKE, 1, 0)], FEW, 14.0, NOW)
    later = NOW + 14 * 86_400
    newer = replace(event(LIKE, 2, 0), at_ms=int(later * 1000))
    signals = fold(old, [newer], FEW, 14.0, later)
    held = {key: row[3] for key, row in rows_of(signals.categories).items()}
    assert held == pytest.approx({fingerprint("category 1"): 0.5, fingerprint("category 2"): 1.0}, rel=1e-3)


def test_what_is_older_than_90_days_is_dropped_by_the_next_fold() -> None:
    old = fold(
        None, [event(kind, 1, 0, 50_000) for kind in (VIDEO_VIEW, COMPLETE, SKIP, NOT_INTERESTED)], FEW, 14.0, NOW
    )
    later = NOW + 91 * 86_400
    newer = replace(event(VIDEO_VIEW, 2, 0, 50_000), at_ms=int(later * 1000))
    signals = fold(old, [newer], FEW, 14.0, later)
    assert set(rows_of(signals.categories)) == {fingerprint("category 2")}
    assert signals.seen.keys.tolist() == [fingerprint("v2") & SEEN_MASK]
    assert signals.watched.keys.tolist() == [fingerprint("v2")]
    assert len(signals.skipped.keys) == len(signals.dismissed.keys) == 0
    assert signals.identities.keys.tolist() == [newer.identity]
    assert signals.daily["views"].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_years_of_activity_neither_overflow_nor_lose_the_present() -> None:
    signals: Signals | None = None
    for day in range(0, 3_650, 5):
        at = NOW + day * 86_400
        batch = [
            replace(event(VIDEO_VIEW, n, 0, 20_000), at_ms=int(at * 1000) + n, identity=fingerprint(f"{day} {n}"))
            for n in range(10)
        ]
        signals = fold(signals, batch, FEW, 1.0, at)
        signals = from_document(to_document(signals))
    assert signals is not None
    assert np.isfinite(signals.categories.values).all()
    assert signals.daily["views"].tolist()[0] == 10
    assert signals.events == 7_300


# ---- the document


def size(signals: Signals) -> int:
    """Bytes as stored, with the partition field the store adds and the longest tenant there is."""
    added = {"userKey": "k" * 43, "tenantId": "t" * 64, "erasedAt": NOW + 0.123456}
    return len(orjson.dumps({**to_document(signals), **added}))


def full_page() -> int:
    """The pairs of a receipt for 50 videos with every event of each of them counted."""
    return sum(1 << pair(place, code) for place in range(50) for code in TYPE_CODES.values())


def at_every_cap(draw: np.random.Generator) -> Signals:
    """The largest signals there can be: everything full, the seen ring spread over every day it may hold."""
    newest_minute = int(NOW // 60) + 5
    newest_day = newest_minute // 1_440

    def counters(cap: int, fields: int) -> Counters:
        values = draw.standard_normal((cap, fields)).astype(np.float32) * np.float32(1e30)
        return Counters(values, draw.integers(0, 2**32, cap, np.uint32), np.full(cap, newest_day - 90, np.int32), 1e30)

    def ring(cap: int, times: np.ndarray, bits: int = 32) -> Timeline:
        return Timeline(draw.integers(0, 2**bits, cap, np.uint32), times.astype(np.int32))

    signals = Signals(
        half_life_days=1.0 + float(draw.random()) * 29,
        newest_minute=newest_minute,
        events=2**32 - 1,
        categories=counters(MAX_CATEGORIES, CATEGORY_FIELDS),
        tags=counters(MAX_TAGS, TAG_FIELDS),
        creators=counters(MAX_CREATORS, TAG_FIELDS),
        seen=ring(MAX_SEEN, newest_day - np.arange(MAX_SEEN) % 92, 24),
        watched=ring(MAX_WATCHED, newest_minute - draw.integers(0, 91 * 1_440, MAX_WATCHED)),
        skipped=ring(MAX_SKIPPED, newest_minute - draw.integers(0, 91 * 1_440, MAX_SKIPPED)),
        dismissed=ring(MAX_DISMISSED, newest_day - draw.integers(0, 91, MAX_DISMISSED)),
        identities=ring(MAX_IDENTITIES, newest_minute - draw.integers(0, 10_080, MAX_IDENTITIES)),
        updated_at=NOW + 0.1234567,
        counted=CountedReceipts(
            tuple(CountedReceipt(int(NOW) - n, int(draw.integers(2**32)), full_page()) for n in range(MAX_RECEIPTS)),
            int(NOW) - 90_000,
        ),
        daily_counts=DailyCounts(newest_day, draw.bytes(128)),
    )
    signals.daily["watch_ms"] = 6.048e8 + draw.random(7)
    return signals


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_document_at_every_cap_stays_within_12_kb_and_reads_back_whole(seed: int) -> None:
    signals = at_every_cap(np.random.default_rng(seed))
    assert size(signals) <= MAX_DOCUMENT_BYTES
    assert len(pack(signals)) <= 7_900
    again = from_document(orjson.loads(orjson.dumps(to_document(signals))))
    assert again is not None
    assert everything(again) == everything(signals)
    for name in ("categories", "tags", "creators"):
        assert rows_of(getattr(again, name)) == rows_of(getattr(signals, name))


def test_a_document_without_what_was_counted_counts_nothing_again() -> None:
    signals = at_every_cap(np.random.default_rng(3))
    document = to_document(signals)
    for name in ("counted", "dailyCounts"):
        del document[name]  # as the release before writes it
    again = from_document(document)
    assert again is not None
    assert everything(again) == {**everything(signals), "counted": again.counted, "daily_counts": DailyCounts()}
    assert again.counted == CountedReceipts(oldest=int(NOW) + 1)
    assert all(again.counted.is_counted(n, int(NOW) - n, 0, 0) for n in range(100))


@pytest.mark.parametrize("damaged", [None, 7, "", "?", "AAAA", [], "é"])
def test_damaged_records_of_what_was_counted_count_nothing_again(damaged: object) -> None:
    document = to_document(at_every_cap(np.random.default_rng(3))) | {"counted": damaged, "dailyCounts": damaged}
    again = from_document(document)
    assert again is not None
    assert again.counted == CountedReceipts(oldest=int(NOW) + 1)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90))
def test_no_history_however_long_makes_a_document_of_more_than_12_kb(seed: int, days: int) -> None:
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
        assert size(signals) <= MAX_DOCUMENT_BYTES
        signals = from_document(to_document(signals))


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=400).map(lambda raw: orjson.dumps(raw.hex()).decode())))
def test_a_text_that_is_no_document_is_unreadable_and_nothing_worse(text: str) -> None:
    with pytest.raises(UnreadableSignals):
        unpack(text)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_document_is_unreadable_or_signals_and_nothing_worse(data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(str(to_document(at_every_cap(np.random.default_rng(1)))["packed"])))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    with contextlib.suppress(UnreadableSignals):
        unpack(base64.b64encode(raw).decode())


def test_a_partial_read_equals_the_whole_document_and_cannot_be_stored() -> None:
    document = to_document(at_every_cap(np.random.default_rng(2)))
    whole, part = from_document(document), from_document(document, whole=False)
    assert whole is not None
    assert part is not None
    for name in ("categories", "tags", "creators"):
        for column in ("keys", "values"):
            assert_array_equal(getattr(getattr(part, name), column), getattr(getattr(whole, name), column))
    for name in ("seen", "dismissed", "watched", "skipped"):
        assert_array_equal(getattr(part, name).keys, getattr(whole, name).keys)
    for name in ("watched", "skipped"):
        assert_array_equal(getattr(part, name).times, getattr(whole, name).times)
    for name in ("half_life_days", "newest_minute", "events", "updated_at"):
        assert getattr(part, name) == getattr(whole, name)
    with pytest.raises(ValueError, match="cannot be stored"):
        to_document(part)
