"""Videos by id, for links into an app, pass the filters of the feed; filtered ones are 404."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.domain.records import Tenant
from tests.cms.editor import RULE, VIDEO, Editor, new_editor
from tests.served_app import Answer, App, Client, make_video, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def video(client: Client, id: str, headers: dict[str, str] | None = None, **query: Any) -> Answer:
    return await client.get(f"/v1/videos/{id}", headers, **query)


async def several(client: Client, *ids: str, **query: Any) -> list[str]:
    answer = await client.get("/v1/videos", ids=",".join(ids), **query)
    assert answer.status == 200
    return answer.ids


async def assert_hidden(client: Client, id: str, **query: Any) -> None:
    """Fail unless the video is 404 alone and missing from a list, like one that does not exist."""
    hidden, absent = await video(client, id, **query), await video(client, "vid_that_is_not_there", **query)
    assert (hidden.status, hidden.code) == (404, "video_not_found")
    bodies = [{**answer.json, "errorId": ""} for answer in (hidden, absent)]
    assert bodies[0] == bodies[1]
    assert id not in await several(client, id, "vid_that_is_not_there", **query)


async def test_linked_video_is_a_feed_item_without_score_and_rank(app: App) -> None:
    client = await app.tenant(make_videos(5))
    for item in (await client.feed()).json["items"]:
        answer = await video(client, item["videoId"])
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert answer.json == {name: value for name, value in item.items() if name not in ("score", "rank")}


async def test_videos_come_in_the_order_of_their_ids_each_once(app: App) -> None:
    client = await app.tenant([make_video(f"v{n}") for n in range(60)])
    assert await several(client, "v3", "v1", "absent", " v2 ", "v1") == ["v3", "v1", "v2"]
    asked = [f"v{n}" for n in range(50)]
    assert await several(client, *asked) == asked
    repeated = await app.request("GET", "/v1/videos?ids=v2&ids=v1", client.headers)
    assert repeated.ids == ["v2", "v1"]


@pytest.mark.parametrize("ids", ["", ",", " , "])
async def test_missing_ids_are_refused(app: App, ids: str) -> None:
    client = await app.tenant(make_videos(3))
    assert (await client.get("/v1/videos", ids=ids)).code == "invalid_ids"
    assert (await client.get("/v1/videos")).code == "invalid_ids"


async def test_more_than_fifty_ids_are_refused_and_invalid_ones_are_not_found(app: App) -> None:
    client = await app.tenant(make_videos(3))
    assert (await client.get("/v1/videos", ids=",".join(f"v{n}" for n in range(51)))).code == "invalid_ids"
    assert await several(client, "x" * 500, "-", "vid_fitness_1", "~import:1", "<script>") == ["vid_fitness_1"]
    for odd in ("x" * 500, "~import:1", "a%2Fb"):
        assert (await video(client, odd)).status == 404


HIDDEN: dict[str, Callable[[Editor], Awaitable[Any]]] = {
    "taken down": lambda editor: editor.post("videos/vid_a/takedown"),
    "inactive": lambda editor: editor.change("PATCH", "videos/vid_a", {"status": "inactive"}),
    "scheduled": lambda editor: editor.change("PATCH", "videos/vid_a", {"publishedAt": "2099-01-01T00:00:00Z"}),
    "expired": lambda editor: editor.change("PATCH", "videos/vid_a", {"expiresAt": "2026-01-01T00:00:00Z"}),
    "rated above the policy": lambda editor: editor.change("PATCH", "videos/vid_a", {"maturityRating": "R"}),
    "restricted to a country": lambda editor: editor.change("PATCH", "videos/vid_a", {"countries": ["FR"]}),
    "excluded by a rule": lambda editor: editor.post(
        "rules", {**RULE, "id": "none", "action": "exclude", "multiplier": None, "match": {"tags": ["secret"]}}
    ),
    "outside the limit of a rule": lambda editor: editor.post(
        "rules", {**RULE, "id": "only", "action": "limit", "multiplier": None, "match": {"tags": ["other"]}}
    ),
}


@pytest.mark.parametrize("why", HIDDEN)
async def test_video_hidden_from_feeds_is_not_found(app: App, why: str) -> None:
    editor = await new_editor(app, [make_video("vid_b", tags=("other",))])
    body = {**VIDEO, "id": "vid_a", "tags": ["secret"], "publishedAt": "2025-01-01T00:00:00Z"}
    assert (await editor.post("videos", body)).status == 201
    await editor.seen()
    assert (await video(editor.client, "vid_a")).status == 200
    changed = await HIDDEN[why](editor)
    assert changed.status in (200, 201), changed.json
    await editor.seen()
    await assert_hidden(editor.client, "vid_a")
    assert "vid_a" not in (await editor.client.feed()).ids
    assert await several(editor.client, "vid_a", "vid_b") == ["vid_b"]


async def test_hints_restrict_linked_videos_as_in_the_feed(app: App) -> None:
    client = await app.tenant(
        [make_video("vid_fr", countries=("FR",)), make_video("vid_pg13", rating="PG13")],
        age_band_policies={"0-12": "G"},
    )
    assert (await video(client, "vid_fr", country="fr")).status == 200
    await assert_hidden(client, "vid_fr")
    await assert_hidden(client, "vid_fr", country="DE")
    assert (await video(client, "vid_pg13")).status == 200
    for band in ("0-12", "10-15", "who knows"):
        await assert_hidden(client, "vid_pg13", ageBand=band)


async def test_seen_or_dismissed_video_can_still_be_linked(app: App) -> None:
    client = await app.tenant(make_videos(5))
    now = app.now_ms(9)
    kinds = ("impression", "not_interested")
    await client.post([{"type": kind, "videoId": "vid_fitness_1", "timestamp": now} for kind in kinds])
    await app.folded()
    assert (await video(client, "vid_fitness_1")).status == 200


async def test_video_of_another_tenant_is_not_found(app: App) -> None:
    one, other = await app.tenant([make_video("vid_one")]), await app.tenant([make_video("vid_other")])
    assert (await video(one, "vid_one")).status == 200
    await assert_hidden(other, "vid_one")
    await assert_hidden(one, "vid_other")


async def test_etag_lasts_until_the_video_changes_and_belongs_to_one_user(app: App) -> None:
    editor = await new_editor(app, [make_video("vid_a"), make_video("vid_b")])
    client = editor.client
    for path, query in (("/v1/videos/vid_a", {}), ("/v1/videos", {"ids": "vid_b,vid_a"})):
        page = await client.get(path, **query)
        known = {"If-None-Match": page.headers["Etag"]}
        assert page.headers["Cache-Control"] == "private, no-cache"
        assert {"X-Tenant-Id", "X-User", "X-Api-Key"} <= {name.strip() for name in page.headers["Vary"].split(",")}
        assert (await client.get(path, known, **query)).status == 304
        assert (await client.get(path, known, include="metadata", **query)).status == 200
        assert (await client.as_user().get(path, known, **query)).status == 200
        await editor.change("PATCH", "videos/vid_a", {"metadata": {"of": path}})
        await editor.seen()
        assert (await client.get(path, known, **query)).status == 200
    page = await video(client, "vid_a", include="metadata")
    assert page.json["metadata"] == {"of": "/v1/videos"}
    await editor.post("videos/vid_a/takedown")
    await editor.seen()
    assert (await video(client, "vid_a", {"If-None-Match": page.headers["Etag"]}, include="metadata")).status == 404


async def test_keys_users_and_include_names_are_checked_as_for_a_feed(app: App) -> None:
    client = await app.tenant(make_videos(3))
    headers = client.headers
    assert (await client.with_key("a-guessed-key").get("/v1/videos/vid_fitness_1")).status == 401
    nobody = {name: value for name, value in headers.items() if name != "X-User"}
    assert (await app.request("GET", "/v1/videos/vid_fitness_1", nobody)).status == 400
    assert (await video(client, "vid_fitness_1", include="all")).code == "invalid_include"
    await app.configure(Tenant(client.tenant_id, "PG13", require_user_token=True))
    for path in ("/v1/videos/vid_fitness_1", "/v1/videos?ids=vid_fitness_1"):
        assert (await app.request("GET", path, headers)).status == 401
    await app.configure(Tenant(client.tenant_id, "PG13", feed_requests_per_second=1.0))
    answers = [(await video(client, "vid_fitness_1")).status for _ in range(20)]
    assert set(answers) == {200, 429}
