"""Layouts of version 3 keep promises beyond those that `test_signals_document.py` tests for all versions."""

from __future__ import annotations

import base64
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.request_units import stored_bytes
from benchmarks.users import KINDS, TYPICAL, catalog, user
from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from ranking import RankingOptions, global_model, score
from shared.domain.event_types import LIKE, NOT_INTERESTED, SKIP, VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.domain.signals_columns import NewerSignals, Reader, UnreadableSignals, fingerprints_bytes, sealed
from shared.domain.signals_document import VERSIONS, from_document, to_document
from shared.domain.signals_v3 import COLUMNS, PERIOD_MINUTES
from shared.domain.user_signals import INTEREST, SKIPS, VIEWS, Signals
from tests.events.first_layout import pack_rows
from tests.events.histories import NOW, event, everything, facts_of, rows_of
from tests.events.test_signals_document import assert_same, at_every_cap
from tests.ranking.catalogs import make_catalog, make_videos

AS_WRITTEN_BEFORE = (
    "AwEAAGBBFVWwAQ8AAAAAAAAAAAAAAAAAAAAOAAYHBQEMAgAAaQBRBkMKGlykIGarT0KGTRyYPqD6n5aFPvGJ6Xk//ALuPgAAAAAAAAAAiel5P8"
    "qImEZN7fg/JPDUPwAAAAAAAAAATe34P9buF0cr7vk/c+jzPwAAAAAAAAAAK+75P56LGEcR8Po/8j+rPwAAgD8AAAAAEfD6PwcpGUdr63o/9GEP"
    "PwAAAAAAAAAAa+t6PzAmmUbL8Ps/q0iyPwAAgD8AAIA/y/D7P7jFGUeCC6I4WY5+Q4gJb4hJXyfEMVzA1s+IBNfYY3/iTnU6QE51OkAAAAAAAA"
    "AAAE51OkDddTxAAXM5QAAAAAAAAIA/3XU8QGr0OkBaIBZAAACAPwAAAABq9DpAz2z7PxLzsz8AAIA/AAAAAM9s+z/Q8TpA5RoTQAAAAAAAAAAA"
    "0PE6QLVu9z+w+rU/AAAAAAAAAAC1bvc/Der5P2X6dD8AAIA/AAAAAA3q+T9CSi1FfhJYTsQT02FOBlx24KZStXk2PEA3qMI/AAAAAAAAAAB5Nj"
    "xAlHU7QJG7GkAAAAAAAACAP5R1O0CRbfo/urekPwAAgD8AAAAAkW36P+Nu+z/DxrE/AAAAAAAAAADjbvs/MGz5Pwdv1T8AAIA/AAAAADBs+T8P"
    "0wla6iA2NytG8y+fOzIOYUPvRFvg/F1Y22DZCGGZzGa1d3GTcYEj0cjg/F2eWuoghrV3cUbZCGHiD9MJ5J87MjaZzGYYNjcrvEbzL0rvRFutDm"
    "FDAljbYDiTcYG8KAAAgBsA2DYAMFIAiG0A4IgAOKQAkL8A6NoAQPYAmBEB8CwBAAAA/wD/AP8A/wD/AP8A/wD/AP8A/wD/I9HIU+D8XZ4AAAAA"
    "AAB4AWNkXOHz9Hw3IwMDJwMQ8IEIdMADFGCCCfrwOsKYtKT5Zyx0Mz/Hf8Ox/h2b86p0hRDeOUfDfIuP1Kzzaa2doH2tft6azKbexRdaL8pMXp"
    "3s4HG+svP1vROvKh/oVjn/gTsMAM4qIxe0YnXu"
)
"""`a_few_events` as an earlier package stored them."""
THOUSANDTH = 1e-3


def a_few_events() -> Signals:
    told = [event(VIDEO_VIEW, n, n * 7_000_000, 20_000) for n in range(12)]
    told += [event(SKIP, 13, 5_000), event(LIKE, 1, 4_000), event(NOT_INTERESTED, 14, 3_000)]
    return fold(None, told, facts_of(20), 14.0, NOW, NOW - 7)


def document_of(raw: bytes) -> dict[str, object]:
    return {"id": "signals", "v": 3, "packed": base64.b64encode(raw).decode(), "updatedAt": NOW}


def test_documents_of_an_earlier_release_are_read() -> None:
    again = from_document(document_of(base64.b64decode(AS_WRITTEN_BEFORE)))
    assert again is not None
    assert everything(again) == everything(a_few_events())
    assert rows_of(again.categories) == rows_of(a_few_events().categories)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_first_layout_reads_as_the_same_signals_and_is_then_replaced(seed: int) -> None:
    signals = at_every_cap(np.random.default_rng(seed))
    read = from_document(document_of(pack_rows(signals)) | {"updatedAt": signals.updated_at})
    assert read is not None
    assert rows_of(read.tags) == rows_of(signals.tags)
    assert_same(read, signals)
    written = to_document(read, 3)
    assert base64.b64decode(written["packed"])[1] == COLUMNS
    assert_same(from_document(written) or Signals(14.0), signals)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_ranking_reads_the_same_from_both_layouts(seed: int) -> None:
    signals = at_every_cap(np.random.default_rng(seed))
    rows = from_document(document_of(pack_rows(signals)), whole=False)
    columns = from_document(to_document(signals, 3), whole=False)
    assert rows is not None
    assert columns is not None
    assert set(rows.seen.keys.tolist()) == set(columns.seen.keys.tolist())
    for name in ("dismissed", "skipped", "watched", "follows", "progress"):
        assert_array_equal(getattr(rows, name).keys, getattr(columns, name).keys)
    assert_array_equal(rows.skipped.times, columns.skipped.times)
    assert_array_equal(rows.watched_minutes, columns.watched_minutes)
    assert_array_equal(rows.progress.seconds, columns.progress.seconds)


@pytest.mark.parametrize("whole", [True, False])
def test_newer_encoding_is_distinguished_from_damage(whole: bool) -> None:
    raw = base64.b64decode(to_document(a_few_events(), 3)["packed"])
    later = sealed(bytes([raw[0], COLUMNS + 1]) + raw[2:-4])
    with pytest.raises(NewerSignals):
        from_document(document_of(later), whole=whole)


@pytest.mark.parametrize("half_life", [0.0, 1e-30, -1e-3])
def test_invalid_half_life_is_damage(half_life: float) -> None:
    raw = base64.b64decode(to_document(a_few_events(), 3)["packed"])
    damaged = sealed(raw[:2] + struct.pack("<f", half_life) + raw[6:-4])
    with pytest.raises(UnreadableSignals):
        from_document(document_of(damaged))


@pytest.mark.parametrize("version", VERSIONS)
def test_invalid_minute_is_damage(version: int) -> None:
    document = to_document(a_few_events(), version)
    raw = base64.b64decode(document["packed"])
    at = 5 if version == 2 else 6
    damaged = sealed(raw[:at] + b"\xff\xff\xff\xff" + raw[at + 4 : -4])
    with pytest.raises(UnreadableSignals):
        from_document(document | {"packed": base64.b64encode(damaged).decode()})


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(0, 2**24 - 1), max_size=920))
def test_fingerprints_round_trip(found: set[int]) -> None:
    ascending = np.array(sorted(found), np.uint32)
    raw = fingerprints_bytes(ascending)
    assert len(raw) <= 3 * len(found)
    assert_array_equal(Reader(raw + bytes(4)).take_fingerprints(len(found)), ascending)


def test_fingerprints_with_damaged_bits_are_unreadable() -> None:
    raw = fingerprints_bytes(np.arange(100, dtype=np.uint32))
    with pytest.raises(UnreadableSignals):
        Reader(raw[:-1] + b"\xff").take_fingerprints(100)


def watched_for_weeks(seed: int, days: int, batches_a_day: int) -> list[tuple[float, list[Event]]]:
    """Batches of ten events: acceptance time and events of each."""
    draw = np.random.default_rng(seed)
    kinds = (VIDEO_VIEW, VIDEO_VIEW, SKIP, LIKE)
    batches = []
    for number in range(days * batches_a_day):
        at = NOW + 86_400 * (number / batches_a_day + float(draw.random()) / batches_a_day)
        batches.append(
            (
                at,
                [
                    Event(
                        kinds[int(draw.integers(4))],
                        f"vid_{int(draw.integers(300))}",
                        int(at * 1_000),
                        fingerprint(f"{number} {place}"),
                        float(draw.integers(40_000)),
                    )
                    for place in range(10)
                ],
            )
        )
    return batches


def folded(batches: list[tuple[float, list[Event]]], facts: dict[str, Facts], stored: bool) -> Signals:
    """Fold the batches in sequence, kept in memory or stored and read between any two."""
    signals: Signals | None = None
    for at, told in batches:
        signals = fold(signals, told, facts, 14.0, at)
        if stored:
            signals = from_document(to_document(signals, 3))
    assert signals is not None
    return signals


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batches_a_day=st.sampled_from([1, 4, 12]))
def test_scores_move_by_less_than_a_thousandth_however_often_stored(seed: int, batches_a_day: int) -> None:
    videos = [replace(video, creator=f"creator {n % 11}") for n, video in enumerate(make_videos(300, seed % 7))]
    facts = {each.id: Facts(each.category, each.tags, each.creator, each.duration_seconds) for each in videos}
    batches = watched_for_weeks(seed, 40, batches_a_day)
    kept, stored = (folded(batches, facts, each) for each in (False, True))
    for name in ("categories", "tags", "creators"):
        mine, its = getattr(kept, name), getattr(stored, name)
        assert_array_equal(mine.keys, its.keys)
        for column in (VIEWS, SKIPS, INTEREST):
            assert_allclose(its.values[:, column], mine.values[:, column], rtol=THOUSANDTH / 4)
    columns, stats = make_catalog(videos)
    options = RankingOptions(batches[-1][0] + 60)
    before, after = (score(columns, stats, each, columns.rows(), global_model(), options) for each in (kept, stored))
    assert float(np.abs(after - before).max()) < THOUSANDTH * float(np.abs(before).mean())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), later_minutes=st.integers(0, 2 * PERIOD_MINUTES))
def test_untouched_values_are_stored_bit_for_bit(seed: int, later_minutes: int) -> None:
    """Decay never rounds a second time, except once at the end of a period."""
    signals = from_document(to_document(at_every_cap(np.random.default_rng(seed)), 3))
    assert signals is not None
    faded = signals
    for step in range(4):
        at = NOW + 60 * later_minutes * (step + 1) / 4
        view = Event(VIDEO_VIEW, "nobody knows it", int(at * 1000), step, 1_000.0)
        faded = from_document(to_document(fold(faded, [view], {}, signals.half_life_days, NOW), 3)) or signals
    exact = signals.tags.values * 2.0 ** (
        (signals.newest_minute - faded.newest_minute) / (signals.half_life_days * 1_440)
    )
    alive = np.isin(signals.tags.keys, faded.tags.keys)
    assert_allclose(faded.tags.values, exact[alive], rtol=2.0**-14)


@pytest.mark.parametrize("kind", ["after one batch", "after a day of four batches", TYPICAL])
def test_version_3_is_at_most_four_fifths_of_version_2(kind: str) -> None:
    signals = user(*KINDS[kind], catalog())
    assert stored_bytes(signals, 3) < 0.8 * stored_bytes(signals, 2)


def test_a_user_of_one_day_fits_into_two_kilobytes() -> None:
    """Below 2 kB the charge of a write rises fastest with size."""
    assert stored_bytes(user(*KINDS["after a day of four batches"], catalog()), 3) < 2_048
