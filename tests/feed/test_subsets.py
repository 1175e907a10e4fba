"""Base sets and filters as masks: any value within a kind, all kinds, no caching by caller input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feed.subsets import KINDS, Catalogued, Subsets, rows_meant
from ranking.columns import VideoColumns
from shared.domain.feeds import Criteria, NamedFeed, criteria_of
from shared.domain.languages import language_key, same_language
from shared.domain.records import Video
from shared.domain.rules import Editorial
from shared.domain.series_place import NO_SERIES, SeriesPlace

PLAYLISTS = {"cup": ("v3", "v1", "gone"), "empty": ()}
EDITORIAL = Editorial(playlists=PLAYLISTS)

videos = st.lists(
    st.builds(
        Video,
        id=st.just(""),
        title=st.just(""),
        playback_url=st.just("https://cdn.example/v.m3u8"),
        category=st.sampled_from(["fitness", "cooking", ""]),
        tags=st.lists(st.sampled_from([f"t{n}" for n in range(12)]), max_size=12, unique=True).map(tuple),
        creator=st.sampled_from(["x", "y", ""]),
        language=st.sampled_from([None, "en", "pt-BR", "pt-PT"]),
        place=st.sampled_from([NO_SERIES, SeriesPlace("dunes"), SeriesPlace("harbour", 1, 2)]),
    ),
    max_size=20,
).map(lambda found: [replace(video, id=f"v{n}") for n, video in enumerate(found)])
values = {
    "tag": ["t0", "t5", "t11", "unknown"],
    "category": ["fitness", "cooking", "unknown"],
    "creator": ["x", "y", "unknown"],
    "playlist": ["cup", "empty", "unknown"],
    "series": ["dunes", "harbour", "unknown"],
    "language": ["en", "pt", "pt-BR", "no language at all"],
}
criteria = st.fixed_dictionaries(
    {}, optional={kind: st.lists(st.sampled_from(some), min_size=1, max_size=3) for kind, some in values.items()}
).map(criteria_of)


def meets(video: Video, kind: str, value: str) -> bool:
    """The rule as documented, written without the code under test."""
    if kind == "playlist":
        return video.id in PLAYLISTS.get(value, ())
    if kind == "language":
        asked, spoken = language_key(value), language_key(video.language)
        return asked is not None and spoken is not None and same_language(spoken, asked)
    has = {
        "tag": video.tags,
        "category": (video.category,),
        "creator": (video.creator,),
        "series": (video.place.series_id,),
    }
    return value in has[kind]


@given(videos, criteria)
def test_filter_matches_any_value_within_a_kind_and_all_kinds(catalog: list[Video], asked: Criteria) -> None:
    columns = VideoColumns(catalog)
    mask = rows_meant(asked, Catalogued(columns, EDITORIAL))
    wanted = [all(any(meets(video, kind, value) for value in some) for kind, some in asked) for video in catalog]
    assert wanted == ([True] * len(catalog) if mask is None else mask.tolist())


@given(videos, criteria)
def test_cached_base_set_equals_a_new_one(catalog: list[Video], asked: Criteria) -> None:
    """Also after videos were added, removed and moved, and after the playlist changed."""
    subsets, columns, editorial = Subsets(), VideoColumns(), EDITORIAL
    named = NamedFeed("f", base=asked)
    for step, video in enumerate(catalog):
        columns.upsert(video)
        if step % 3 == 2:
            columns.remove(catalog[step - 1].id)
        if step % 5 == 4:
            editorial = Editorial(playlists={"cup": tuple(each.id for each in catalog[:step:2])})
        base = subsets.base("t", named, columns, editorial)
        plain = rows_meant(asked, Catalogued(columns, editorial))
        assert (base is None) == (plain is None)
        if base is not None and plain is not None:
            assert base.mask.tolist() == plain.tolist()
            assert subsets.base("t", named, columns, editorial) is base


def test_base_set_keeps_the_order_of_its_playlist() -> None:
    columns = VideoColumns([Video(f"v{n}", "", "https://cdn.example/v.m3u8", "a") for n in range(5)])
    base = Subsets().base("t", NamedFeed("f", base=(("playlist", ("cup",)),)), columns, EDITORIAL)
    assert base is not None
    assert [columns.ids[row] for row in base.sequence.tolist()] == ["v3", "v1"]


def test_caller_filters_are_not_cached() -> None:
    subsets = Subsets()
    columns = VideoColumns([Video("v1", "", "https://cdn.example/v.m3u8", "a", language="en")])
    for number in range(500):
        for kind in KINDS:
            mask = subsets.wanted("t", ((kind, (f"invented {number}",)),), columns, EDITORIAL)
            assert mask is not None
            assert not np.any(mask)
    assert (len(subsets.bases), len(subsets.playlists), len(columns.languages._having)) == (0, 0, 0)
