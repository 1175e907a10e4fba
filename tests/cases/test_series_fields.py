"""A video's place in a series: written by every API, kept by every save, in feeds where there is one."""

from __future__ import annotations

from typing import Any

import pytest

from ranking.columns import NO_CODE, VideoColumns
from shared.domain.records import Video
from shared.domain.series_place import NO_SERIES, UNNUMBERED, SeriesPlace
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.served_app import App, make_video

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACE: dict[str, Any] = {"seriesId": "Garden_1", "season": 2, "episode": 7}


async def with_an_episode(app: App) -> Editor:
    editor = await new_editor(app, [make_video("vid_plain")])
    assert (await editor.post("videos", {"id": "vid_e7", **VIDEO, **PLACE})).status == 201
    await editor.seen()
    return editor


async def test_written_series_place_reads_back_and_can_be_sent_back(app: App) -> None:
    editor = await with_an_episode(app)
    read = (await editor.get("videos/vid_e7")).json
    assert {name: read[name] for name in PLACE} == PLACE
    assert (await editor.change("PUT", "videos/vid_e7", read)).json["season"] == 2
    assert (await editor.post("imports", (await editor.get("videos")).json)).json["counts"] == {"unchanged": 2}
    plain = (await editor.get("videos/vid_plain")).json
    assert [plain[name] for name in PLACE] == [None, None, None]


async def test_every_other_write_keeps_the_series_place(app: App) -> None:
    editor = await with_an_episode(app)
    for after in (
        await editor.change("PATCH", "videos/vid_e7", {"title": "Another"}),
        await editor.post("videos/vid_e7/takedown"),
        await editor.post("videos/vid_e7/restore"),
    ):
        assert {name: after.json[name] for name in PLACE} == PLACE


async def test_feeds_include_the_series_place_where_there_is_one(app: App) -> None:
    editor = await with_an_episode(app)
    found = {item["videoId"]: item for item in (await editor.client.feed()).json["items"]}
    assert {name: found["vid_e7"][name] for name in PLACE} == PLACE
    assert not set(PLACE) & set(found["vid_plain"]), "a video without a series costs no byte more"
    await editor.change("PATCH", "videos/vid_e7", dict.fromkeys(PLACE))
    await editor.seen()
    assert not set(PLACE) & set((await editor.client.get("/v1/videos/vid_e7")).json)


async def test_table_import_reads_the_series_place(app: App) -> None:
    editor = await with_an_episode(app)
    table = b"id;series id;Season;episode\nvid_plain;Garden_1;2;8\nvid_e7;;3,0;\n"
    answer = await editor.post("imports", table, {"Content-Type": "text/csv"})
    assert answer.json["counts"] == {"updated": 2}, answer.json
    assert (await editor.get("videos/vid_plain")).json["episode"] == 8
    moved = (await editor.get("videos/vid_e7")).json
    assert [moved[name] for name in PLACE] == ["Garden_1", 3, 7]


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({"season": 1}, "season", "missing_series"),
        ({"episode": 1}, "episode", "missing_series"),
        ({**PLACE, "seriesId": "a,b"}, "seriesId", "format"),
        ({**PLACE, "season": -1}, "season", "greater_than_equal"),
        ({**PLACE, "episode": 100_001}, "episode", "less_than_equal"),
        ({**PLACE, "episode": 1.5}, "episode", "int_type"),
    ],
)
async def test_invalid_series_places_are_refused(app: App, given: dict[str, Any], field: str, code: str) -> None:
    editor = await new_editor(app)
    answer = await editor.post("videos", {"id": "vid_odd", **VIDEO, **given})
    assert (answer.status, answer.code) == (422, "invalid_document")
    assert (answer.json["errors"][0]["field"], answer.json["errors"][0]["code"]) == (field, code)


async def test_unreadable_parts_of_a_stored_series_place_are_left_out() -> None:
    read = SeriesPlace.from_document
    assert read({"seriesId": "", "season": 1}) == read({"seriesId": 5}) == read({"season": 1}) == NO_SERIES
    assert read({"seriesId": "s", "season": True, "episode": -1}) == SeriesPlace("s")
    assert read({"seriesId": "s", "season": 0, "episode": 10**9}) == SeriesPlace("s", 0)


async def test_columns_hold_the_series_place_and_drop_it_with_the_video() -> None:
    columns = VideoColumns([make_video("v1", place=SeriesPlace("s", 1)), make_video("v2")])
    assert columns.series.tolist() == [0, NO_CODE]
    assert (columns.season.tolist()[0], columns.episode.tolist()[0]) == (1, UNNUMBERED)
    columns.remove("v1")
    assert columns.series.tolist() == [NO_CODE, NO_CODE]
    video = make_video("v1", place=SeriesPlace("s", 1, 2))
    assert Video.from_document(video.to_document()) == video
