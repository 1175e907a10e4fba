"""Lists and series never contain filtered videos, for any catalog and viewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from feed.catalog import Catalog
from feed.filters import Viewer, apply_filters
from feed.lists import page_of_videos
from feed.query import NO_HINTS, FeedQuery
from feed.series import in_order, next_episodes, offered, place_of
from shared.adapters.documents.port import Document
from shared.domain.fingerprint import fingerprint
from shared.domain.finished_episodes import Finished, FinishedEpisodes
from shared.domain.records import RATINGS, Video
from shared.domain.series_place import SeriesPlace
from shared.domain.user_lists import CONTINUE, LIKED, SAVED, Entry, UserList
from tests.served_app import make_video

NOW = 1_700_000_000.0
IDS = [f"v{n}" for n in range(12)]
NOTHING = np.zeros(0, np.uint32)

videos = st.builds(
    lambda id, rating, active, published, expires, countries, place: make_video(
        id,
        rating=rating,
        active=active,
        published_at=NOW + published,
        expires_at=expires and NOW + expires,
        countries=countries,
        place=place,
    ),
    st.sampled_from(IDS),
    st.sampled_from([*RATINGS, "", "X"]),
    st.booleans(),
    st.sampled_from([-100.0, -1.0, 0.0, 1.0]),
    st.sampled_from([None, -1.0, 0.0, 1.0]),
    st.sampled_from([(), ("DE",), ("US", "DE")]),
    st.builds(
        SeriesPlace, st.sampled_from(["", "s", "t"]), st.none() | st.integers(0, 2), st.none() | st.integers(0, 3)
    ),
)
catalogs = st.lists(videos, max_size=12, unique_by=lambda video: video.id)
masks = st.none() | st.lists(st.booleans(), min_size=12, max_size=12)


def made(found: Sequence[Video]) -> Catalog:
    catalog = Catalog("t")
    catalog.apply_all([Document(video.id, "t", video.to_document(), "e") for video in found])
    return catalog


def viewer_of(catalog: Catalog, maturity: int, country: str | None, excluded: list[bool] | None) -> Viewer:
    mask = None if excluded is None else np.array(excluded[: len(catalog.columns)], np.bool_)
    return Viewer(NOW, maturity, country, NOTHING, excluded=mask)


@given(catalogs, st.integers(0, 4), st.sampled_from([None, "DE", "FR"]), masks, st.integers(1, 5))
def test_list_pages_equal_the_filtered_list(
    found: list[Video], maturity: int, country: str | None, excluded: list[bool] | None, limit: int
) -> None:
    catalog = made(found)
    viewer = viewer_of(catalog, maturity, country, excluded)
    kept = {catalog.columns.ids[row] for row in apply_filters(catalog.columns, viewer).kept.tolist()}
    for name in (SAVED, LIKED, CONTINUE):
        entries = {id: Entry(on_ms=int(NOW * 1000) - at // 2, position_ms=at) for at, id in enumerate([*IDS, "gone"])}
        stored, shown, after = UserList(name, entries), list[str](), None
        while True:
            page = page_of_videos(stored, catalog, viewer, FeedQuery(limit, None, NO_HINTS, True), after)
            shown += [orjson.loads(item)["videoId"] for item in page.items]
            if page.next is None:
                break
            after = page.next
        assert shown == [id for id, _ in stored.listed(NOW) if id in kept]


@given(catalogs, st.integers(0, 4), st.sampled_from([None, "DE", "FR"]), masks, st.integers(0, 3), st.integers(0, 4))
def test_series_and_next_episode_pass_the_filters(
    found: list[Video], maturity: int, country: str | None, excluded: list[bool] | None, season: int, limit: int
) -> None:
    catalog = made(found)
    columns, viewer = catalog.columns, viewer_of(catalog, maturity, country, excluded)
    kept = apply_filters(columns, viewer).kept
    rows = in_order(columns, viewer, "s")
    assert rows == sorted(rows, key=lambda row: place_of(columns, row))
    assert set(rows) == {
        row
        for row in kept.tolist()
        if columns.series[row] == columns.series_names.code("s") and _series(found, columns.ids[row]) == "s"
    }
    finished = FinishedEpisodes((Finished(fingerprint("s"), season, 1, 0), Finished(fingerprint("x"), 0, 0, 0)))
    pins = offered({1: int(kept[0])} if len(kept) else {}, next_episodes(columns, finished, viewer), kept, limit)
    for place, row in pins.items():
        assert row in kept
        if place != 1:
            assert place_of(columns, row)[:2] > (season, 1)
            assert place < limit


def _series(found: Sequence[Video], id: str) -> str:
    return next(video.place.series_id for video in found if video.id == id)
