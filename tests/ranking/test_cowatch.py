from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import VideoColumns, key64
from ranking.cowatch import CoWatch, CoWatchTable, UnreadableTable, build
from shared.domain.records import Video


def long_views(*users: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One string per user, one letter per video, in the order of watching."""
    rows = [(user, key64(video), float(at)) for user, watched in enumerate(users) for at, video in enumerate(watched)]
    who, keys, times = zip(*rows, strict=True)
    return np.array(who), np.array(keys, np.uint64), np.array(times)


def catalog(letters: str) -> VideoColumns:
    return VideoColumns(Video(id=letter, title=letter, playback_url="", category="") for letter in letters)


def neighbours(table: CoWatchTable, video: str) -> list[str]:
    names = {key64(chr(code)): chr(code) for code in range(ord("a"), ord("z") + 1)}
    row = table.neighbours[table.keys.tolist().index(key64(video))]
    return [names[int(table.keys[place])] for place in row if place >= 0]


def test_neighbors_are_ordered_by_number_of_shared_users() -> None:
    table = build(*long_views("abc", "ab", "ab", "xy", "xy"))
    assert neighbours(table, "a") == ["b", "c"]
    assert neighbours(table, "x") == ["y"]


def test_video_is_never_its_own_neighbor_even_when_rewatched() -> None:
    table = build(*long_views("aaab", "ab"))
    assert neighbours(table, "a") == ["b"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=12), st.randoms())
def test_any_order_of_a_log_gives_the_same_bytes(users, random) -> None:
    columns = long_views(*users)
    order = list(range(len(columns[0])))
    random.shuffle(order)
    assert build(*(column[order] for column in columns)).to_bytes() == build(*columns).to_bytes()


def test_no_video_has_more_neighbors_than_allowed() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    table = build(*long_views(letters, letters), neighbours=5)
    assert table.neighbours.shape == (26, 5)
    assert (np.diff(table.weights, axis=1) <= 0).all()


def test_table_reads_back_the_same_and_a_damaged_one_is_refused() -> None:
    table = build(*long_views("abc", "bcd"), built_at=5.0)
    raw = table.to_bytes()
    back = CoWatchTable.from_bytes(raw)
    assert (back.built_at, back.to_bytes()) == (5.0, raw)
    for broken in (b"", raw[:-1], raw[:-1] + bytes([raw[-1] ^ 1]), b"XXXX" + raw[4:]):
        with pytest.raises(UnreadableTable):
            CoWatchTable.from_bytes(broken)


def test_file_without_day_parts_is_read_and_gives_no_lift() -> None:
    table = build(*long_views("abc", "bcd"), built_at=5.0)
    old = CoWatchTable.from_bytes(replace(table, dayparts=None).to_bytes())
    assert old.dayparts is None
    assert old.neighbours.tolist() == table.neighbours.tolist()
    assert CoWatch(catalog("abcd"), old).daypart_lift(0.0) is None


def test_an_empty_log_gives_an_empty_table_without_similarities() -> None:
    nothing = np.zeros(0)
    table = CoWatchTable.from_bytes(build(nothing.astype(int), nothing.astype(np.uint64), nothing).to_bytes())
    assert CoWatch(catalog("ab"), table).similar_to(np.array([0])) is None


def test_only_neighbors_of_watched_videos_are_similar() -> None:
    columns = catalog("abcxyz")
    similar = CoWatch(columns, build(*long_views("abc", "xy"))).similar_to(np.array([columns.row("a")]))
    assert similar is not None
    assert {columns.ids[row] for row in np.flatnonzero(similar)} == {"b", "c"}


def test_user_without_long_views_in_the_table_gets_no_similarities() -> None:
    columns = catalog("abq")
    assert CoWatch(columns, build(*long_views("ab"))).similar_to(np.array([columns.row("q")])) is None


def test_the_reused_row_of_a_removed_video_has_no_similarity() -> None:
    columns = catalog("abc")
    bound = CoWatch(columns, build(*long_views("abc")))
    before = bound.similar_to(np.array([columns.row("a")]))
    columns.remove("b")
    columns.upsert(Video(id="new", title="", playback_url="", category=""))
    after = bound.similar_to(np.array([columns.row("a")]))
    assert before is not None
    assert after is not None
    assert before[columns.row("c")] == after[columns.row("c")]
    assert after[columns.row("new")] == 0
