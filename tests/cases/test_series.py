"""A series lists its episodes in order with the viewer's progress, and offers the next one after a finished one."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.series_place import SeriesPlace
from tests.cases.viewers import Viewer, viewer_of
from tests.cms.editor import new_editor
from tests.faulty_documents import Trouble
from tests.served_app import App, Client, make_video, make_videos, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")


def episode(id: str, season: int | None, number: int | None, series: str = "garden", **fields: Any) -> Any:
    return make_video(id, "drama", duration_seconds=300.0, place=SeriesPlace(series, season, number), **fields)


EPISODES = [
    episode("vid_s1e2", 1, 2),
    episode("vid_extra", None, None),
    episode("vid_s2e1", 2, 1),
    episode("vid_s1e1", 1, 1),
    episode("vid_s1", 1, None),
    episode("vid_s1e10b", 1, 10),
    episode("vid_s1e10a", 1, 10),
]
ORDER = ["vid_s1e1", "vid_s1e2", "vid_s1e10a", "vid_s1e10b", "vid_s1", "vid_s2e1", "vid_extra"]


async def series(client: Client, id: str = "garden", headers: dict[str, str] | None = None, **query: Any) -> Any:
    return await client.get(f"/v1/series/{id}", headers, **query)


async def new_viewer(app: App, **configuration: Any) -> Viewer:
    """A viewer with enough events for a personal feed."""
    viewer = await viewer_of(await app.tenant([*EPISODES, *make_videos(30)], **configuration))
    for number in (1, 2, 3):
        await viewer.tell("video_view", f"vid_fitness_{number}", watchTimeMs=25_000)
    return viewer


async def test_series_is_listed_in_order_page_by_page(app: App) -> None:
    client = await app.tenant([*EPISODES, episode("vid_other", 1, 1, "sea")])
    whole = await series(client)
    assert whole.ids == ORDER
    assert (whole.json["seriesId"], whole.json["nextCursor"]) == ("garden", None)
    filtered = await client.feed(limit=50, **{"filter.series": "garden"})
    assert set(filtered.ids) == set(ORDER)
    assert [whole.json["items"][1][name] for name in ("seriesId", "season", "episode")] == ["garden", 1, 2]
    walked, page = [], await series(client, limit=2)
    while True:
        walked += page.ids
        if page.json["nextCursor"] is None:
            break
        page = await series(client, limit=2, cursor=page.json["nextCursor"])
    assert walked == ORDER
    other = await series(client, "sea", cursor=(await series(client, limit=2)).json["nextCursor"])
    assert (other.status, other.code) == (400, "invalid_cursor")


async def test_series_reports_the_viewers_progress(app: App) -> None:
    viewer = await new_viewer(app)
    await viewer.tell("impression", "vid_s1e1")
    shown = {item["videoId"]: item["seen"] for item in (await series(viewer.client)).json["items"]}
    assert shown == {id: id == "vid_s1e1" for id in ORDER}
    stranger = (await series(viewer.other().client)).json["items"]
    assert {item["seen"] for item in stranger} == {None}, "nothing is known of them"
    opted_out = await series(viewer.client, headers={"X-Personalization": "off"})
    assert {item["seen"] for item in opted_out.json["items"]} == {None}
    with app.documents.in_trouble(Trouble(frozenset({"user-activity"}), reads_fail=True)):
        assert {item["seen"] for item in (await series(viewer.client)).json["items"]} == {None}
    app.write_flags(personalized(False))
    try:
        assert await app.services.flags_refresher.refresh()
        assert {item["seen"] for item in (await series(viewer.client)).json["items"]} == {None}
    finally:
        app.write_flags(personalized())
        assert await app.services.flags_refresher.refresh()


async def test_series_shows_nothing_that_the_feed_filters_remove(app: App) -> None:
    editor = await new_editor(app, [*EPISODES, episode("vid_strong", 1, 3, rating="R")])
    await editor.post("videos/vid_s1e2/takedown")
    await editor.change("PATCH", "videos/vid_s1", {"publishedAt": "2099-01-01"})
    await editor.change("PATCH", "videos/vid_extra", {"countries": ["DE"]})
    rule = {"id": "no-s2", "name": "x", "action": "exclude", "match": {"videoIds": ["vid_s2e1"]}}
    assert (await editor.post("rules", rule)).status == 201
    await editor.seen()
    assert (await series(editor.client)).ids == ["vid_s1e1", "vid_s1e10a", "vid_s1e10b"]
    assert "vid_extra" in (await series(editor.client, country="DE")).ids
    await editor.change("PATCH", "configuration", {"ageBandPolicies": {"0-12": "G"}})
    child = await series(editor.client, ageBand="0-12")
    assert (child.status, child.code) == (404, "series_not_found"), "as one that does not exist"


@pytest.mark.parametrize("id", ["nothing", "a b", "x" * 200])
async def test_an_unknown_series_is_not_found(app: App, id: str) -> None:
    client, neighbor = await app.tenant(EPISODES), await app.tenant()
    for answer in (await series(client, id), await series(neighbor)):
        assert (answer.status, answer.code) == (404, "series_not_found")


async def test_next_episode_is_offered_once_near_the_top_after_a_finished_one(app: App) -> None:
    viewer = await new_viewer(app)
    assert (await viewer.client.feed()).ids[1] != "vid_s1e2"
    await viewer.tell("complete", "vid_s1e1")
    page = await viewer.client.feed()
    assert page.ids[1] == "vid_s1e2"
    assert [item["rank"] for item in page.json["items"]] == list(range(20))
    walk = [id for page in await viewer.client.walk(limit=5) for id in page.ids]
    assert (walk[1], walk.count("vid_s1e2")) == ("vid_s1e2", 1)
    await viewer.tell("impression", "vid_s1e2")
    assert "vid_s1e2" not in (await viewer.client.feed(limit=50)).ids, "offered once, and left"
    await viewer.tell("video_view", "vid_s1e2", watchTimeMs=280_000)
    assert (await viewer.client.feed()).ids[1] == "vid_s1e10a"
    await viewer.tell("complete", "vid_s1e1")
    assert (await viewer.client.feed()).ids[1] == "vid_s1e10a", "an earlier one watched again changes nothing"


async def test_brief_view_of_an_episode_offers_nothing(app: App) -> None:
    viewer = await new_viewer(app)
    await viewer.tell("video_view", "vid_s1e1", watchTimeMs=60_000)
    assert (await viewer.client.feed()).ids[1] != "vid_s1e2"


async def test_a_tenant_can_switch_the_offer_off(app: App) -> None:
    editor = await new_editor(app, [*EPISODES, *make_videos(30)])
    viewer = await viewer_of(editor.client)
    for number in (1, 2, 3):
        await viewer.tell("video_view", f"vid_fitness_{number}", watchTimeMs=25_000)
    await viewer.tell("complete", "vid_s1e1")
    assert (await editor.get("configuration")).json["offerNextEpisode"] is True
    assert (await viewer.client.feed()).ids[1] == "vid_s1e2"
    assert (await editor.change("PATCH", "configuration", {"offerNextEpisode": False})).status == 200
    await editor.seen()
    assert (await viewer.client.feed()).ids[1] != "vid_s1e2"


async def test_offer_ranks_below_pins_and_overrides_no_filter(app: App) -> None:
    editor = await new_editor(app, [*EPISODES, *make_videos(30)])
    viewer = await viewer_of(editor.client)
    for number in (1, 2, 3):
        await viewer.tell("video_view", f"vid_fitness_{number}", watchTimeMs=25_000)
    await viewer.tell("complete", "vid_s1e1")
    pin = {"id": "p", "name": "p", "action": "pin", "positions": [2], "match": {"videoIds": ["vid_travel_9"]}}
    assert (await editor.post("rules", pin)).status == 201
    await editor.seen()
    assert (await viewer.client.feed()).ids[1:3] == ["vid_travel_9", "vid_s1e2"]
    await editor.post("videos/vid_s1e2/takedown")
    await editor.seen()
    assert (await viewer.client.feed()).ids[2] == "vid_s1e10a", "the next that there is"
    await editor.change("PATCH", "configuration", {"maturityPolicy": "G"})
    await editor.seen()
    assert (await viewer.client.feed()).ids == []
