"""Lists of saved, liked, followed and started videos are private to their user and follow every change."""

from __future__ import annotations

import pytest

import function_app
from shared.adapters.documents.port import USER_ACTIVITY
from shared.domain.user_lists import CAPS, document_id
from tests.cases.viewers import Viewer, viewer_of
from tests.cms.editor import new_editor
from tests.faulty_documents import Trouble
from tests.served_app import App, make_video, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTS = ("saved", "liked", "continue", "following")
LONG = [make_video(f"vid_long_{n}", duration_seconds=600.0) for n in range(3)]


async def new_viewer(app: App, count: int = 9) -> Viewer:
    return await viewer_of(await app.tenant([*make_videos(count), *LONG], maturity_policy="PG13"))


@pytest.mark.parametrize(("on", "off", "what"), [("save", "unsave", "saved"), ("like", "unlike", "liked")])
async def test_list_shows_added_videos_newest_first(app: App, on: str, off: str, what: str) -> None:
    viewer = await new_viewer(app)
    for number, ago in ((1, 30), (2, 10), (3, 20)):
        await viewer.tell(on, f"vid_fitness_{number}", ago=ago)
    assert await viewer.ids(what) == ["vid_fitness_2", "vid_fitness_3", "vid_fitness_1"]
    await viewer.tell(off, "vid_fitness_2")
    await viewer.tell(on, "vid_fitness_2", ago=5)  # arrives late, and is older than its withdrawal
    assert await viewer.ids(what) == ["vid_fitness_3", "vid_fitness_1"]
    item = (await viewer.me(what)).json["items"][0]
    assert item["title"] == "vid fitness 3"
    assert item["listedAt"].endswith("Z")
    assert "positionMs" not in item


async def test_started_video_can_be_continued_until_it_is_finished(app: App) -> None:
    viewer = await new_viewer(app)
    await viewer.tell("video_view", "vid_long_0", ago=50, watchTimeMs=59_000)
    await viewer.tell("video_view", "vid_fitness_1", ago=50, watchTimeMs=60_000)
    assert await viewer.ids("continue") == [], "nobody continues what they hardly began, or a short one"
    play = {"playId": "p1", "startedAt": app.now_ms(40)}
    await viewer.tell("progress", "vid_long_1", ago=30, positionMs=10_000, **play)
    await viewer.tell("progress", "vid_long_1", ago=20, positionMs=70_000, **play)
    await viewer.tell("video_view", "vid_long_2", ago=25, watchTimeMs=100_000)
    found = (await viewer.me("continue")).json["items"]
    assert [(item["videoId"], item["positionMs"]) for item in found] == [
        ("vid_long_1", 70_000),
        ("vid_long_2", 100_000),
    ]
    await viewer.tell("complete", "vid_long_1", ago=15)
    await viewer.tell("video_view", "vid_long_1", ago=10, watchTimeMs=30_000)  # of the same impression
    await viewer.tell("video_view", "vid_long_2", ago=5, watchTimeMs=550_000)
    assert await viewer.ids("continue") == []
    app.clock.advance(3_600)
    await viewer.tell("video_view", "vid_long_1", watchTimeMs=60_000)
    assert await viewer.ids("continue") == ["vid_long_1"], "watched once more"
    await viewer.tell("not_interested", "vid_long_1")
    assert await viewer.ids("continue") == []


async def test_taken_down_or_too_mature_videos_are_left_out_on_read(app: App) -> None:
    editor = await new_editor(app, make_videos(6))
    viewer = await viewer_of(editor.client)
    for number, ago in ((1, 30), (2, 20)):
        await viewer.tell("save", f"vid_fitness_{number}", ago=ago)
    await editor.post("videos/vid_fitness_2/takedown")
    await editor.seen()
    assert await viewer.ids("saved") == ["vid_fitness_1"]
    await editor.post("videos/vid_fitness_2/restore")
    await editor.change("PATCH", "videos/vid_fitness_1", {"maturityRating": "R"})
    await editor.seen()
    assert await viewer.ids("saved") == ["vid_fitness_2"]
    await editor.change("PATCH", "configuration", {"ageBandPolicies": {"0-12": "G"}})
    assert await viewer.ids("saved", ageBand="0-12") == []


async def test_paging_visits_each_list_entry_once(app: App) -> None:
    viewer = await new_viewer(app)
    ids = [f"vid_{kind}_{n}" for kind in ("fitness", "cooking", "travel") for n in (1, 2, 3)]
    for at, video in enumerate(ids):
        await viewer.tell("save", video, ago=100 - at // 2)
    seen: list[str] = []
    page = await viewer.me("saved", limit=2)
    while True:
        seen += [item["videoId"] for item in page.json["items"]]
        if page.json["nextCursor"] is None:
            break
        page = await viewer.me("saved", limit=2, cursor=page.json["nextCursor"])
        assert page.status == 200
        if len(seen) == 4:
            await viewer.tell("save", seen[0])
    assert seen[: len(ids)] == await viewer.ids("saved") or sorted(seen) == sorted(ids)
    assert len(seen) == len(set(seen)) == len(ids)


async def test_cursor_is_valid_for_one_user_and_one_list(app: App) -> None:
    viewer = await new_viewer(app)
    for number in (1, 2, 3):
        await viewer.tell("save", f"vid_fitness_{number}")
        await viewer.tell("like", f"vid_fitness_{number}")
    cursor = (await viewer.me("saved", limit=1)).json["nextCursor"]
    for answer in (
        await viewer.me("liked", cursor=cursor),
        await viewer.other().me("saved", cursor=cursor),
        await viewer.me("saved", cursor=f"{cursor}A"),
        await viewer.me("saved", cursor="AAAA"),
        await viewer.me("following", cursor=cursor),
        await viewer.client.get("/v1/series/s", cursor=cursor),
    ):
        assert (answer.status, answer.code) in ((400, "invalid_cursor"),)


@pytest.mark.parametrize("what", LISTS)
async def test_list_requires_the_users_own_token(app: App, what: str) -> None:
    viewer = await new_viewer(app)
    await viewer.tell("save", "vid_fitness_1")
    plain = await viewer.client.get(f"/v1/me/{what}")
    assert (plain.status, plain.code) == (401, "missing_user_token")
    key = "a-key-of-every-scope-of-" + viewer.client.tenant_id
    await app.save_key(viewer.client.tenant_id, key, "sdk", "cms", "ops", "privacy", name="server")
    with_more = await viewer.client.with_key(key).get(f"/v1/me/{what}")
    assert (with_more.status, with_more.code) == (401, "missing_user_token"), "whatever the key's scope"
    others = await viewer.client.get(f"/v1/me/{what}", viewer.other().token)
    assert (others.status, others.code) == (403, "user_token_mismatch")
    wrong = await viewer.client.get(f"/v1/me/{what}", {"X-User-Token": "a.b.c"})
    assert (wrong.status, wrong.code) == (401, "invalid_user_token")


async def test_every_call_under_me_requires_the_users_own_token(app: App) -> None:
    about_me = [each for each in function_app.api.endpoints if each.path.startswith("v1/me")]
    assert {each.path for each in about_me} > {f"v1/me/{what}" for what in LISTS}
    assert all(each.user and each.user_token for each in about_me)


@pytest.mark.parametrize("what", LISTS)
async def test_users_and_tenants_never_see_each_others_lists(app: App, what: str) -> None:
    viewer, neighbor = await new_viewer(app), await new_viewer(app)
    await viewer.tell("save", "vid_fitness_1")
    await viewer.tell("like", "vid_fitness_1")
    await viewer.tell("video_view", "vid_long_0", watchTimeMs=90_000)
    await viewer.follow("creator", "anna")
    assert len(await viewer.ids(what)) == 1
    same_name = Viewer(neighbor.client.as_user(viewer.client.user))
    for other in (viewer.other(), neighbor, same_name):
        assert await other.ids(what) == []
    foreign = await viewer.client.get(f"/v1/me/{what}", same_name.token)
    assert (foreign.status, foreign.code) == (401, "invalid_user_token")


@pytest.mark.parametrize("what", LISTS)
async def test_lists_of_an_opted_out_user_are_not_read(app: App, what: str) -> None:
    viewer = await new_viewer(app)
    await viewer.tell("save", "vid_fitness_1")
    with app.documents.in_trouble(Trouble(frozenset({USER_ACTIVITY.name}), reads_fail=True)):
        assert (await viewer.me(what)).status == 503
        answer = await viewer.me(what, {"X-Personalization": "off"})
    assert (answer.status, answer.json["items"]) == (200, [])


async def test_lists_are_exported_and_erased(app: App) -> None:
    viewer = await new_viewer(app)
    await viewer.tell("save", "vid_fitness_1")
    await viewer.tell("like", "vid_fitness_2")
    await viewer.tell("unlike", "vid_fitness_2")
    await viewer.follow("creator", "anna")
    post = viewer.app.request
    sent = {**viewer.client.headers, **viewer.token}
    export = (await post("POST", "/v1/privacy/export", sent)).json
    assert [entry["id"] for entry in export["lists"]["saved"]] == ["vid_fitness_1"]
    assert export["lists"]["liked"][0]["removedAt"] is not None
    assert [entry["id"] for entry in export["lists"]["following"]] == ["creator:anna"]
    assert [each["id"][:1] for each in export["signals"]["follows"]] == ["#"], "no video is of this creator"
    receipt = (await post("POST", "/v1/privacy/erase", sent)).json
    assert receipt["deleted"]["lists"] == 3
    for what in LISTS:
        assert await viewer.ids(what) == []
    app.clock.advance(1.0)
    await viewer.tell("save", "vid_fitness_3")
    assert await viewer.ids("saved") == ["vid_fitness_3"], "what was erased does not come back with what is new"


async def test_list_is_bounded_and_keeps_the_latest_changes(app: App) -> None:
    viewer = await new_viewer(app)
    at = app.now_ms(1_000)
    for start in range(0, CAPS["saved"] + 50, 50):
        await viewer.send(
            *({"type": "save", "videoId": f"vid_{n}", "timestamp": at + n} for n in range(start, start + 50))
        )
    stored = await app.documents.read(USER_ACTIVITY, viewer.client.user_key, document_id("saved"))
    assert stored is not None
    assert [row[0] for row in stored.body["entries"]] == [f"vid_{n}" for n in range(249, 49, -1)]
    assert stored.body["ttl"] == 90 * 86_400


async def test_a_batch_of_short_videos_writes_no_list(app: App) -> None:
    viewer = await new_viewer(app)
    await viewer.tell("video_view", "vid_fitness_1", watchTimeMs=20_000)
    await viewer.tell("complete", "vid_fitness_1")
    await viewer.tell("impression", "vid_long_1")
    for name in CAPS:
        assert await app.documents.read(USER_ACTIVITY, viewer.client.user_key, document_id(name)) is None
