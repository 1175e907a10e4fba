"""Similar videos: co-watched first, then of the same subject, under the feed's rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ranking import build, key64
from shared.adapters.flags.evaluation import CO_WATCH
from tests.cases.test_video_links import HIDDEN
from tests.cms.editor import VIDEO, new_editor
from tests.served_app import Answer, App, Client, make_video, make_videos, personalized

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def similar(client: Client, id: str, headers: dict[str, str] | None = None, **query: Any) -> Answer:
    return await client.get(f"/v1/videos/{id}/similar", headers, **query)


async def learn_together(client: Client, ids: Sequence[str]) -> None:
    """Store a nightly table in which two users watched these videos together."""
    catalog = await client.app.services.feed.catalogs.get(client.tenant_id)
    keys = np.array([key64(id) for id in ids] * 2, np.uint64)
    users = np.repeat(np.arange(2), len(ids))
    catalog.stats.use_cowatch(build(users, keys, np.arange(len(keys), dtype=np.float64)))


def reasons_of(answer: Answer) -> dict[str, str]:
    return {item["videoId"]: item["because"] for item in answer.json["items"]}


async def test_videos_watched_together_come_first_with_that_reason(app: App) -> None:
    client = await app.tenant(make_videos(9))
    await learn_together(client, ["vid_fitness_1", "vid_cooking_2"])
    answer = await similar(client, "vid_fitness_1")
    assert answer.status == 200
    assert answer.ids[0] == "vid_cooking_2"
    assert reasons_of(answer) == {
        "vid_cooking_2": "watched_together",
        "vid_fitness_2": "same_subject",
        "vid_fitness_3": "same_subject",
    }
    assert [item["rank"] for item in answer.json["items"]] == [0, 1, 2]
    assert (answer.json["mode"], answer.json["reason"]) == ("fallback", "cold_start")
    assert len((await similar(client, "vid_fitness_1", limit=2)).ids) == 2


async def test_viewer_with_a_history_gets_a_personal_order_and_filters(app: App) -> None:
    client = await app.tenant(make_videos(15))
    now = app.now_ms(9)
    await client.post(
        [{"type": "video_view", "videoId": f"vid_fitness_{n}", "timestamp": now, "watchTimeMs": 29_000} for n in (2, 3)]
        + [{"type": "not_interested", "videoId": "vid_fitness_4", "timestamp": now}]
    )
    await app.folded()
    mine = await similar(client, "vid_fitness_1")
    assert (mine.json["mode"], mine.json["reason"]) == ("personalized", None)
    assert mine.ids == ["vid_fitness_5"]
    anybody = await similar(client, "vid_fitness_1", {"X-Personalization": "off"})
    assert anybody.json["reason"] == "no_consent"
    assert set(anybody.ids) == {f"vid_fitness_{n}" for n in (2, 3, 4, 5)}
    seen = await similar(client, "vid_fitness_2")
    assert (seen.status, "vid_fitness_2" in seen.ids) == (200, False)


async def test_kill_switch_keeps_learned_neighbors_and_ignores_the_viewer(app: App) -> None:
    client = await app.tenant(make_videos(9))
    await learn_together(client, ["vid_fitness_1", "vid_cooking_2"])
    app.write_flags(personalized(False))
    try:
        await app.services.flags_refresher.refresh()
        answer = await similar(client, "vid_fitness_1")
        assert (answer.json["reason"], answer.ids[0]) == ("kill_switch", "vid_cooking_2")
        app.write_flags(personalized(), {"id": CO_WATCH, "enabled": False})
        await app.services.flags_refresher.refresh()
        without = await similar(client, "vid_fitness_1")
        assert set(reasons_of(without).values()) == {"same_subject"}
    finally:
        app.write_flags(personalized())
        await app.services.flags_refresher.refresh()


@pytest.mark.parametrize("why", HIDDEN)
async def test_video_hidden_from_feeds_is_neither_listed_nor_a_valid_seed(app: App, why: str) -> None:
    editor = await new_editor(app, [make_video("vid_b", tags=("other",)), make_video("vid_c", tags=("other",))])
    body = {**VIDEO, "id": "vid_a", "tags": ["secret"], "publishedAt": "2025-01-01T00:00:00Z"}
    assert (await editor.post("videos", body)).status == 201
    await editor.seen()
    await learn_together(editor.client, ["vid_a", "vid_b"])
    assert "vid_a" in (await similar(editor.client, "vid_b")).ids
    assert (await similar(editor.client, "vid_a")).status == 200
    await HIDDEN[why](editor)
    await editor.seen()
    assert (await similar(editor.client, "vid_b")).ids == ["vid_c"]
    hidden, absent = await similar(editor.client, "vid_a"), await similar(editor.client, "vid_that_is_not_there")
    assert (hidden.status, hidden.code) == (404, "video_not_found")
    assert {**hidden.json, "errorId": ""} == {**absent.json, "errorId": ""}


async def test_similar_videos_of_another_tenant_are_never_listed(app: App) -> None:
    one = await app.tenant([make_video("vid_one"), make_video("vid_same")])
    other = await app.tenant([make_video("vid_other"), make_video("vid_same")])
    await learn_together(one, ["vid_one", "vid_same"])
    assert (await similar(one, "vid_other")).code == "video_not_found"
    assert (await similar(other, "vid_one")).code == "video_not_found"
    assert (await similar(one, "vid_same")).ids == ["vid_one"]
    assert reasons_of(await similar(other, "vid_same")) == {"vid_other": "same_subject"}


async def test_events_of_the_list_count_once_by_its_receipt(app: App) -> None:
    client = await app.tenant(make_videos(6))
    answer = await similar(client, "vid_fitness_1")
    quoted = answer.json["feedRequestId"]
    event = {"type": "video_view", "timestamp": app.now_ms(5), "watchTimeMs": 29_000, "feedRequestId": quoted}
    for _ in range(2):
        await client.post([{**event, "videoId": "vid_fitness_2"}])
    await app.folded()
    await app.rolled_up()
    catalog = await app.services.feed.catalogs.get(client.tenant_id)
    views = catalog.stats.table.week("vid_fitness_2", app.clock.now())
    assert views["views"] == 1


async def test_filters_apply_to_the_list_and_not_to_the_seed_video(app: App) -> None:
    client = await app.tenant(make_videos(9))
    await learn_together(client, ["vid_fitness_1", "vid_cooking_2", "vid_travel_3"])
    narrowed = await similar(client, "vid_fitness_1", **{"filter.category": "cooking"})
    assert reasons_of(narrowed) == {"vid_cooking_2": "watched_together"}
    assert (await similar(client, "vid_fitness_1", **{"filter.tag": "nothing has it"})).ids == []
    assert (await similar(client, "vid_fitness_1", **{"filter.size": "large"})).code == "invalid_filter"


async def test_etag_lasts_until_the_list_changes_and_belongs_to_one_user(app: App) -> None:
    client = await app.tenant(make_videos(9))
    page = await similar(client, "vid_fitness_1")
    known = {"If-None-Match": page.headers["Etag"]}
    assert (await similar(client, "vid_fitness_1", known)).status == 304
    assert (await similar(client, "vid_fitness_2", known)).status == 200
    assert (await similar(client, "vid_fitness_1", known, include="metadata")).status == 200
    assert (await similar(client.as_user(), "vid_fitness_1", known)).status == 200
    await learn_together(client, ["vid_fitness_1", "vid_fitness_3"])
    assert (await similar(client, "vid_fitness_1", known)).status == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [({"limit": "0"}, "invalid_limit"), ({"limit": "51"}, "invalid_limit"), ({"include": "all"}, "invalid_include")],
)
async def test_invalid_query_is_refused(app: App, query: dict[str, str], code: str) -> None:
    client = await app.tenant(make_videos(3))
    answer = await similar(client, "vid_fitness_1", **query)
    assert (answer.status, answer.code) == (400, code)
