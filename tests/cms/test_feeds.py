"""Named feeds in the CMS: drafts, publishing, disabling, reverting, and playlists in use."""

from __future__ import annotations

import pytest

from cms.feeds.models import BaseSetForm
from shared.domain.feeds import BASES
from tests.cms.editor import Editor, new_editor
from tests.served_app import App, make_video

pytestmark = pytest.mark.asyncio(loop_scope="module")

KITCHEN = {"title": "Kitchen", "base": {"categories": ["cooking"]}, "fallbackOrder": "newest"}


async def with_two_categories(app: App) -> Editor:
    videos = [make_video(f"v{n}", "cooking" if n % 2 else "travel") for n in range(8)]
    return await new_editor(app, videos)


async def test_feed_is_served_as_soon_as_it_is_saved(app: App) -> None:
    editor = await with_two_categories(app)
    assert (await editor.client.feed(feed="kitchen")).code == "feed_not_found"
    assert (await editor.post("feeds", {"id": "kitchen", **KITCHEN})).status == 201
    page = await editor.client.feed(feed="kitchen")
    assert set(page.ids) == {"v1", "v3", "v5", "v7"}
    assert page.json["modelVersion"] == "newest"


async def test_feed_draft_is_invisible_until_published(app: App) -> None:
    editor = await with_two_categories(app)
    saved = await editor.call("PUT", "feeds/kitchen/draft", KITCHEN)
    assert saved.status == 200, saved.body
    assert (await editor.client.feed(feed="kitchen")).code == "feed_not_found"
    published = await editor.call(
        "POST", "feeds/kitchen/draft/publish", {"reason": "opening"}, {"If-Match": saved.headers["Etag"]}
    )
    assert published.status == 200, published.body
    assert len((await editor.client.feed(feed="kitchen")).ids) == 4
    assert (await editor.get("feeds/kitchen/draft")).status == 404
    (newest, *_) = (await editor.get("audit", resource="feed")).json["entries"]
    assert (newest["action"], newest["name"], newest["why"]) == ("publish", "kitchen", "opening")


async def test_a_draft_of_a_feed_that_changed_since_is_outdated(app: App) -> None:
    editor = await with_two_categories(app)
    await editor.post("feeds", {"id": "kitchen", **KITCHEN})
    saved = await editor.call("PUT", "feeds/kitchen/draft", {**KITCHEN, "title": "Later"})
    await editor.change("PATCH", "feeds/kitchen", {"title": "Now"})
    published = await editor.call("POST", "feeds/kitchen/draft/publish", {}, {"If-Match": saved.headers["Etag"]})
    assert (published.status, published.code) == (412, "draft_outdated")


async def test_reserved_feed_names_cannot_be_drafted(app: App) -> None:
    editor = await with_two_categories(app)
    for id in ("home", "following"):
        assert (await editor.call("PUT", f"feeds/{id}/draft", KITCHEN)).code == "invalid_document"


async def test_disabled_or_deleted_feed_is_404_and_returns_by_a_revert(app: App) -> None:
    editor = await with_two_categories(app)
    await editor.post("feeds", {"id": "kitchen", **KITCHEN})
    assert (await editor.change("PATCH", "feeds/kitchen", {"enabled": False})).status == 200
    assert (await editor.client.feed(feed="kitchen")).code == "feed_not_found"
    assert (await editor.client.get("/v1/config")).json["feeds"] == []
    assert (await editor.change("DELETE", "feeds/kitchen")).status == 204
    for expected in ("delete", "update"):
        entries = (await editor.get("audit", resource="feed")).json["entries"]
        entry = next(each for each in entries if each["action"] == expected)
        assert (await editor.post(f"audit/{entry['id']}/revert")).status == 200
    assert len((await editor.client.feed(feed="kitchen")).ids) == 4
    assert (await editor.client.get("/v1/config")).json["feeds"] == [{"id": "kitchen", "title": "Kitchen"}]


async def test_playlist_of_a_feed_cannot_be_deleted(app: App) -> None:
    editor = await with_two_categories(app)
    await editor.post("playlists", {"id": "cup", "name": "Cup", "videoIds": ["v5", "v2"]})
    await editor.post("feeds", {"id": "cup", "title": "The cup", "base": {"playlists": ["cup"]}})
    refused = await editor.change("DELETE", "playlists/cup")
    assert (refused.status, refused.code) == (409, "in_use")
    assert "The cup" in refused.json["detail"]
    assert set((await editor.client.feed(feed="cup")).ids) == {"v5", "v2"}
    await editor.change("PATCH", "playlists/cup", {"videoIds": ["v2", "v7", "v1"]})
    assert set((await editor.client.feed(feed="cup")).ids) == {"v2", "v7", "v1"}


async def test_maturity_ceiling_of_a_feed_never_exceeds_the_policy(app: App) -> None:
    editor = await new_editor(app, [make_video(rating, rating=rating) for rating in ("G", "PG", "PG13")])
    await editor.post("feeds", {"id": "kids", "title": "Kids", "maturityCeiling": "PG"})
    await editor.post("feeds", {"id": "wild", "title": "Wild", "maturityCeiling": "NC17"})
    confirmed = {"X-Confirm-Maturity": "yes"}
    for policy, home, kids in (("PG13", 3, 2), ("G", 1, 1), ("R", 3, 2)):
        await editor.change("PATCH", "configuration", {"maturityPolicy": policy}, **confirmed)
        counts = [len((await editor.client.feed(feed=name)).ids) for name in ("home", "wild", "kids")]
        assert counts == [home, home, kids]


ARMS = [{"name": "now", "percent": 50}, {"name": "more", "percent": 50, "weights": {"quality": 1}}]


@pytest.mark.parametrize(
    ("feeds", "home", "kitchen"),
    [(None, True, False), (["kitchen"], False, True), (["home", "kitchen"], True, True), (["other"], False, False)],
)
async def test_experiment_runs_only_in_the_feeds_it_names(
    app: App, feeds: list[str] | None, home: bool, kitchen: bool
) -> None:
    """There an arm's weights override those of the feed."""
    editor = await with_two_categories(app)
    await editor.post("feeds", {"id": "kitchen", **KITCHEN, "weights": {"recency": 0.5}})
    named = {} if feeds is None else {"feeds": feeds}
    made = await editor.post("experiments", {"id": "taste", "name": "Taste", "arms": ARMS, **named})
    assert made.json["feeds"] == (feeds or ["home"])
    assert (await editor.post("experiments/taste/start")).status == 200
    events = [
        {"type": "video_view", "videoId": f"v{n}", "timestamp": app.now_ms(60), "watchTimeMs": 30_000} for n in range(4)
    ]
    await editor.client.post(events)
    await app.folded()
    await editor.seen()
    models = set()
    for name, runs in (("home", home), ("kitchen", kitchen)):
        page = (await editor.client.feed(feed=name)).json
        assert page["mode"] == "personalized"
        assert (page["experiment"] is not None) == runs
        models.add(page["modelVersion"])
    assert len(models) == 2


async def test_editable_base_set_fields_are_those_the_feed_reads() -> None:
    assert set(BaseSetForm.model_fields) == set(BASES)
