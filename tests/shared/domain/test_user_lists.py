from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.list_changes import changes_of
from events.schema import Event
from events.video_facts import Facts
from shared.domain.event_types import COMPLETE, FOLLOW, LIKE, SAVE, UNFOLLOW, UNLIKE, UNSAVE, VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.domain.follows import KINDS, Subject, followed, followed_ring, names_of_kind
from shared.domain.user_lists import CAPS, FOLLOWING, SAVED, Entry, NewerList, UnreadableList, UserList
from shared.domain.user_signals import MAX_FOLLOWS

NOW = 1_700_000_000.0
FACTS = {f"v{n}": Facts("c", (), "", 120.0) for n in range(6)}
CHANGES = (SAVE, UNSAVE, LIKE, UNLIKE, FOLLOW, UNFOLLOW, VIDEO_VIEW, COMPLETE)

told = st.lists(
    st.builds(
        lambda kind, number, ago, watched: Event(
            kind,
            "" if kind in (FOLLOW, UNFOLLOW) else f"v{number}",
            int(NOW * 1000) - ago,
            0,
            watch_ms=float(watched) if kind == VIDEO_VIEW else None,
            subject=Subject(KINDS[number % 3], f"s{number}") if kind in (FOLLOW, UNFOLLOW) else None,
        ),
        st.sampled_from(CHANGES),
        st.integers(0, 5),
        st.integers(0, 5) | st.integers(0, 200_000),
        st.integers(0, 130_000),
    ),
    max_size=40,
)


def lists_after(events: list[Event], size: int) -> dict[str, UserList]:
    """Return the lists after the events came in batches of `size`, stored and read in between."""
    lists = {name: UserList(name) for name in CAPS}
    for at in range(0, len(events), size):
        for name, changes in changes_of(events[at : at + size], FACTS).items():
            stored = lists[name].with_changes(changes, NOW, NOW).to_document("t")
            lists[name] = UserList.from_document(stored)
    return lists


@given(told, st.integers(1, 10), st.randoms(use_true_random=False))
def test_lists_are_equal_for_any_order_and_repetition_of_events(events: list[Event], size: int, random: Random) -> None:
    again = [*events, *random.sample(events, len(events) // 2)]
    random.shuffle(again)
    assert lists_after(events, 40) == lists_after(again, size)


@given(told)
def test_latest_event_decides_what_is_followed(events: list[Event]) -> None:
    following = lists_after(events, 7)[FOLLOWING]
    last: dict[str, tuple[int, bool]] = {}
    for each in events:
        if each.subject is not None:
            last[each.subject.name] = max(last.get(each.subject.name, (0, False)), (each.at_ms, each.type == UNFOLLOW))
    assert {subject.name for subject, _ in followed(following, NOW)} == {n for n, (_, off) in last.items() if not off}
    ring = followed_ring(following, NOW)
    assert set(ring.keys.tolist()) == {subject.fingerprint for subject, _ in followed(following, NOW)}


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 10_000), st.booleans()), max_size=500), st.randoms())
def test_full_list_keeps_the_latest_changes_in_any_order(rows: list[tuple[int, int, bool]], random: Random) -> None:
    def after(order: list[tuple[int, int, bool]]) -> UserList:
        found = UserList(SAVED)
        for number, at, on in order:
            entry = Entry(on_ms=int(NOW * 1000) - at) if on else Entry(off_ms=int(NOW * 1000) - at)
            found = found.with_changes({f"v{number}": entry}, NOW, NOW)
        return found

    other = random.sample(rows, len(rows))
    kept = after(rows)
    assert kept == after(other)
    assert len(kept.entries) <= CAPS[SAVED]
    times = [entry.on_ms for _, entry in kept.listed(NOW)]
    assert all(one >= other for one, other in pairwise(times))


def test_nothing_stays_on_a_list_for_more_than_90_days() -> None:
    saved = UserList(SAVED).with_changes({"v1": Entry(on_ms=int(NOW * 1000))}, NOW, NOW)
    late = NOW + 90 * 86_400 + 1
    assert saved.listed(late) == []
    assert saved.with_changes({}, late, late).entries == {}
    assert saved.to_document("t")["ttl"] == 90 * 86_400


def test_entry_of_a_wrong_clock_is_moved_to_now() -> None:
    ahead = UserList(SAVED, {"v1": Entry(on_ms=int(NOW * 2_000))})
    again = ahead.with_changes({"v1": Entry(off_ms=int(NOW * 1000) + 700_000)}, NOW, NOW)
    assert not again.entries["v1"].listed


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"v": 2}, NewerList),
        ({"v": None}, UnreadableList),
        ({"entries": None}, UnreadableList),
        ({"entries": [["v1", "x", 0, 0]]}, UnreadableList),
        ({"entries": [[]]}, UnreadableList),
        ({"acceptedAt": "x"}, UnreadableList),
        ({"id": "list:other"}, UnreadableList),
    ],
)
def test_unreadable_list_is_distinguished_from_a_newer_one(changed: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as found:
        UserList.from_document(UserList(SAVED).to_document("t") | changed)
    assert type(found.value) is error


def test_followed_fingerprints_stay_within_the_limit_of_signals() -> None:
    names = {f"creator:c{n}": Entry(on_ms=int(NOW * 1000) - n) for n in range(CAPS[FOLLOWING])}
    following = UserList(FOLLOWING, names)
    assert len(followed(following, NOW)) == len(followed_ring(following, NOW).keys) == MAX_FOLLOWS


@given(st.text(max_size=20), st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_name_of_one_kind_does_not_match_another(id: str, kind: str, other: str) -> None:
    subject = Subject(kind, id)
    assert Subject.named(subject.name) == subject
    found = int(names_of_kind(np.array([subject.fingerprint], np.uint32), other)[0])
    assert (found == fingerprint(id)) is (kind == other)
