import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranking import VideoColumns, title_key
from ranking.columns import NO_CODE
from shared.domain.fingerprint import SEEN_MASK, fingerprint
from shared.domain.records import UNRATED, Video


def video(video_id: str, **fields: object) -> Video:
    return Video(**{"id": video_id, "title": video_id, "playback_url": "", "category": "news", **fields})  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 5)), max_size=120))
def test_upserts_and_removals_leave_the_same_videos_as_a_dict(steps: list) -> None:
    columns, expected = VideoColumns(), {}
    for keep, number, category in steps:
        name = f"v{number}"
        if keep:
            columns.upsert(video(name, category=f"c{category}"))
            expected[name] = f"c{category}"
        else:
            assert columns.remove(name) == (expected.pop(name, None) is not None)
    assert {columns.ids[row]: columns.categories.texts[columns.category[row]] for row in columns.rows()} == expected
    prints = np.array([fingerprint(name) for name in expected], np.uint32)
    assert sorted(columns.find(prints)) == sorted(columns.rows())
    assert sorted(columns.find(prints & np.uint32(SEEN_MASK), bits=24)) == sorted(columns.rows())


def test_growth_beyond_the_initial_capacity_keeps_every_row() -> None:
    columns = VideoColumns(video(f"v{i}", duration_seconds=float(i)) for i in range(1000))
    assert len(columns) == 1000
    assert [columns.duration[columns.row(f"v{i}")] for i in (0, 63, 64, 999)] == [0.0, 63.0, 64.0, 999.0]


def test_every_video_with_a_24_bit_collision_is_found() -> None:
    seen: dict[int, str] = {}
    pair: tuple[str, str] | None = None
    for i in range(20_000):
        bits = fingerprint(f"v{i}") & SEEN_MASK
        if bits in seen:
            pair = (seen[bits], f"v{i}")
            break
        seen[bits] = f"v{i}"
    assert pair is not None
    columns = VideoColumns([video(name) for name in (*pair, "other")])
    wanted = np.array([fingerprint(pair[0]) & SEEN_MASK], np.uint32)
    assert {columns.ids[row] for row in columns.find(wanted, bits=24)} == set(pair)
    assert (~columns.without(wanted, bits=24)).sum() == 2


def test_an_unknown_fingerprint_finds_nothing() -> None:
    columns = VideoColumns([video("a")])
    unknown = np.array([fingerprint("b")], np.uint32)
    assert len(columns.find(unknown)) == 0
    assert columns.row_of_each(unknown).tolist() == [-1]
    assert VideoColumns().without(unknown).tolist() == []


def test_removed_row_is_inactive_and_its_number_is_reused() -> None:
    columns = VideoColumns([video("a", maturity_rating="R", tags=("x",)), video("b")])
    row = columns.row("a")
    assert columns.remove("a")
    assert not columns.active[row]
    assert columns.upsert(video("c")) == row
    assert columns.tags[row].tolist() == [NO_CODE] * 8


def test_an_unknown_rating_ranks_above_every_policy() -> None:
    columns = VideoColumns([video("a", maturity_rating="X"), video("b", maturity_rating="PG13")])
    assert columns.maturity.tolist() == [UNRATED, 2]


def test_near_duplicate_titles_share_a_key_and_different_parts_do_not() -> None:
    assert title_key("Fitness Warmup!") == title_key("  warmup – FITNESS ")
    assert title_key("Part 1") != title_key("Part 2")
    assert title_key("!!!") == 0


def test_a_video_is_allowed_in_its_listed_countries_or_everywhere_without_a_list() -> None:
    columns = VideoColumns([video("a", countries=("DE", "AT")), video("b")])
    assert columns.allowed_in("DE").tolist() == [True, True]
    assert columns.allowed_in("FR").tolist() == [False, True]
    columns.upsert(video("c", countries=("FR",)))
    assert columns.allowed_in("FR").tolist() == [False, True, True]


def test_every_change_increments_the_version() -> None:
    columns = VideoColumns()
    versions = [columns.version]
    columns.upsert(video("a"))
    versions.append(columns.version)
    columns.upsert(video("a"))
    versions.append(columns.version)
    columns.remove("a")
    versions.append(columns.version)
    assert len(set(versions)) == 4


@given(
    schedules=st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), min_size=1, max_size=12),
    steps=st.lists(st.tuples(st.integers(-1, 10), st.none() | st.integers(0, 11)), min_size=1, max_size=12),
)
def test_the_on_air_mask_is_right_at_any_time_and_after_any_change(schedules, steps) -> None:
    videos = [
        video(f"v{number}", published_at=float(starts), expires_at=None if ends is None else float(ends))
        for number, (starts, ends) in enumerate(schedules)
    ]
    columns = VideoColumns(videos)
    for now, changed in steps:
        if changed is not None and changed < len(videos):
            columns.upsert(video(f"v{changed}", published_at=5.0))
        on_air = (columns.published_at <= now) & (now < columns.expires_at)
        assert columns.on_air(float(now)).tolist() == on_air.tolist()


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5), st.lists(st.sampled_from("abcdefghijk"))), max_size=30)
)
def test_bulk_insert_equals_one_by_one_insert(drawn: list) -> None:
    videos = [
        video(f"v{number}", category=f"c{n}", tags=tuple(tags), duration_seconds=float(n)) for number, n, tags in drawn
    ]
    together, one_by_one = VideoColumns(), VideoColumns()
    assert together.upsert_all(videos) == [one_by_one.upsert(each) for each in videos]
    for name in ("fingerprint", "key", "category", "duration", "title", "tags", "tag_bits", "tag_share", "expires_at"):
        assert np.array_equal(getattr(together, name), getattr(one_by_one, name)), name
    assert np.array_equal(together.tagged(["a", "k"]), one_by_one.tagged(["a", "k"]))
