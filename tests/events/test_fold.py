from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from ranking.watching import counted_watch_time
from shared.domain.event_types import COMPLETE, IMPRESSION, LIKE, NOT_INTERESTED, OF_PLAYING, SKIP, VIDEO_VIEW
from shared.domain.fingerprint import SEEN_MASK, fingerprint
from shared.domain.signals_document import from_document, to_document
from shared.domain.user_signals import (
    INTEREST,
    MAX_CATEGORIES,
    MAX_CREATORS,
    MAX_DISMISSED,
    MAX_IDENTITIES,
    MAX_SEEN,
    MAX_SKIPPED,
    MAX_TAGS,
    MAX_WATCHED,
    ORDER_BITS,
    VIEWS,
    Counters,
    Signals,
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
"""Tolerance: float32 is exact to about one part in a million, and a long series of folds adds a few of those up."""

FEW = facts_of(40)
MANY = facts_of(400, categories=70, tags=61, creators=53)


def folded(
    batches: Sequence[Sequence[Event]], facts: Mapping[str, Facts] = FEW, *, stored: bool = True
) -> Signals | None:
    """Fold the batches in sequence; with `stored`, written and read back in between, as in production."""
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
    """A history cut into batches, and the same batches in any order with repeats."""
    history = draw(events(videos, most))
    batches = in_batches(history, draw(st.lists(st.integers(1, 9), max_size=12)))
    repeated = draw(st.lists(st.sampled_from(batches), max_size=6)) if batches else []
    return history, batches, draw(st.permutations(batches + repeated))


@settings(max_examples=80, deadline=None)
@given(retold(MAX_IDENTITIES))
def test_signals_are_equal_for_any_order_and_duplicates_of_batches(
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
def test_signals_below_the_caps_equal_a_plain_recount(
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
    assert signals.events == sum(one.type not in (IMPRESSION, *OF_PLAYING) for one in distinct)
    assert set(signals.seen.keys.tolist()) == {fingerprint(one.video_id) & SEEN_MASK for one in distinct}
    newest_day = signals.newest_minute // 1_440
    week = [one for one in distinct if newest_day - one.at_ms // 86_400_000 < 7]
    assert signals.daily["views"].sum() == sum(one.type == VIDEO_VIEW for one in week)
    assert signals.daily["watch_ms"].sum() == pytest.approx(
        sum(counted_watch_time(one.watch_ms, FEW[one.video_id].duration_seconds) for one in week)
    )
    assert signals.daily["skips"].sum() == sum(one.type in (SKIP, NOT_INTERESTED) for one in week)


def check_bound(counters: Counters, sums: Sums, cap: int, *, exact: bool) -> None:
    """Fail if an entry is above the truth or more than `lost` below it; all together must be below by exactly that."""
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
def test_counts_above_the_caps_stay_within_the_stated_bound_in_any_order(seed: int, with_unlikes: bool) -> None:
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
def test_full_rings_keep_the_newest_entries_whatever_order_they_came_in(seed: int) -> None:
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
    seconds = [one.at_ms // 1_000 for one in completes]
    assert (first.watched.times >> ORDER_BITS).tolist() == seconds[:MAX_WATCHED]


def test_event_repeated_in_one_batch_counts_once() -> None:
    one = event(VIDEO_VIEW, 1, 60_000, 5_000)
    assert everything(fold(None, [one, one], FEW, 14.0, NOW)) == everything(fold(None, [one], FEW, 14.0, NOW))


def test_identity_ring_holds_the_last_hundred_events() -> None:
    history = [event(VIDEO_VIEW, n % 40, n * 60_000, 5_000) for n in range(MAX_IDENTITIES)]
    signals = fold(None, history, FEW, 14.0, NOW)
    assert fold(signals, history, FEW, 14.0, NOW).events == MAX_IDENTITIES


def test_event_about_an_unknown_video_counts_in_the_totals_only() -> None:
    signals = fold(None, [event(VIDEO_VIEW, 999, 60_000, 5_000)], FEW, 14.0, NOW)
    assert (signals.events, signals.daily["views"].sum(), len(signals.seen.keys)) == (1, 1, 1)
    assert len(signals.categories.keys) == len(signals.tags.keys) == len(signals.creators.keys) == 0


def test_taste_halves_in_a_half_life() -> None:
    old = fold(None, [event(LIKE, 1, 0)], FEW, 14.0, NOW)
    later = NOW + 14 * 86_400
    newer = replace(event(LIKE, 2, 0), at_ms=int(later * 1000))
    signals = fold(old, [newer], FEW, 14.0, later)
    held = {key: row[3] for key, row in rows_of(signals.categories).items()}
    assert held == pytest.approx({fingerprint("category 1"): 0.5, fingerprint("category 2"): 1.0}, rel=1e-3)


def test_next_fold_drops_data_older_than_90_days() -> None:
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


def test_long_views_of_one_second_keep_their_acceptance_order() -> None:
    at_ms = int(NOW) * 1000 - 5_000
    first = [replace(event(COMPLETE, n, 0), at_ms=at_ms + 7 * n) for n in (1, 2, 3)]
    later = [replace(event(COMPLETE, n, 0), at_ms=at_ms) for n in (8, 9)]
    ways = []
    for batches in ([(first, NOW - 3), (later, NOW - 2)], [(later, NOW - 2), (first, NOW - 3)]):
        signals = None
        for batch, accepted_at in batches:
            signals = fold(signals, batch, {}, 14.0, NOW, accepted_at)
        assert signals is not None
        ways.append(signals.watched.keys.tolist())
    accepted_last = sorted(fingerprint(f"v{n}") for n in (8, 9))
    assert ways[0] == ways[1] == [*accepted_last, *(fingerprint(f"v{n}") for n in (3, 2, 1))]


def test_brief_views_add_little_interest_and_still_count_as_views() -> None:
    glances = [event(VIDEO_VIEW, 1, n * 1_000, 150) for n in range(12)]
    whole = [event(VIDEO_VIEW, 2, n * 1_000, 60_000) for n in range(4)]
    signals = fold(None, glances + whole, FEW, 14.0, NOW)
    held = rows_of(signals.categories)
    glanced, watched = held[fingerprint("category 1")], held[fingerprint("category 2")]
    assert (round(glanced[VIEWS]), round(watched[VIEWS])) == (12, 4)
    assert glanced[INTEREST] == pytest.approx(12 * 150 / 7_000, rel=1e-2)
    assert watched[INTEREST] == pytest.approx(4.0, rel=1e-2)
