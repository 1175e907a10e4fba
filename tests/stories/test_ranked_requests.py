"""`GET /v1/stories?order=ranked`: when the row is ranked, and the reason when it is not."""

from __future__ import annotations

from typing import Any

import pytest

from shared.adapters.documents.port import PEOPLE, USER_ACTIVITY
from stories.api import StoriesApi
from tests.faulty_documents import Trouble
from tests.served_app import App
from tests.stories.social import Someone, someone_of, stories_on
from tests.stories.test_stories import post, row

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ordered(viewer: Someone, **query: Any) -> tuple[str, str | None, list[str]]:
    """Return mode, reason and authors of the first page."""
    page = (await viewer.get("stories", order="ranked", **query)).json
    return page["mode"], page["reason"], [each["authorId"] for each in page["authors"]]


async def three_authors(viewer: Someone, app: App) -> list[str]:
    """Create three authors with one public story each, in posting order."""
    authors = [await viewer.another() for _ in range(3)]
    for author in authors:
        await post(author)
        app.clock.advance(1)
    return [each.id for each in authors]


async def test_authors_with_unseen_stories_come_first(app: App) -> None:
    viewer = await someone_of(app)
    authors = await three_authors(viewer, app)
    (newest,) = [each for each in (await viewer.get("stories")).json["authors"] if each["authorId"] == authors[-1]]
    assert (await viewer.call("PUT", f"stories/{newest['stories'][0]['id']}/view")).status == 204
    mode, reason, shown = await ordered(viewer)
    assert (mode, reason) == ("ranked", None)
    assert set(shown) == set(authors)
    assert shown[-1] == authors[-1]
    assert (await viewer.get("stories")).json["authors"][0]["authorId"] == authors[-1], "newest first, seen or not"
    labels = (viewer.client.tenant_id, "ranked", "none")
    assert app.counted("story_rows", *labels) == 1


async def test_unranked_row_is_newest_first_with_a_reason(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await someone_of(app)
    authors = await three_authors(first, app)
    wanted = authors[::-1]

    async def reason(viewer: Someone, **headers: str) -> str:
        page = (await viewer.call("GET", "stories", None, headers, order="ranked")).json
        assert [each["authorId"] for each in page["authors"]] == wanted
        assert page["mode"] == "fallback"
        assert app.counted("story_rows", viewer.client.tenant_id, "fallback", page["reason"]) >= 1
        return str(page["reason"])

    viewer = await first.another()
    before = app.documents.touched[USER_ACTIVITY.name]
    assert await reason(viewer, **{"X-Personalization": "off"}) == "no_consent"
    await stories_on(app, personal=False)
    assert await reason(viewer) == "kill_switch"
    await stories_on(app, ranked=False)
    assert await reason(viewer) == "ranked_off"
    await stories_on(app)
    assert app.documents.touched[USER_ACTIVITY.name] == before, "nothing of the user is read"
    signals = frozenset({USER_ACTIVITY.name})
    with app.documents.in_trouble(Trouble(signals, reads_fail=True)):
        assert await reason(await first.another()) == "signals_unavailable"
    with app.documents.in_trouble(Trouble(signals, delay_seconds=60)):
        assert await reason(await first.another()) == "signals_unavailable"
    with monkeypatch.context() as patched:
        patched.setattr(app.services.feed.signals.breaker, "allows", lambda now: False)
        assert await reason(await first.another()) == "signals_paused"
    assert (await ordered(viewer))[:2] == ("ranked", None)
    with app.documents.in_trouble(Trouble(frozenset({PEOPLE.name}), reads_fail=True)):
        assert await ordered(viewer) == ("fallback", "follows_unavailable", [])


async def test_row_does_not_wait_for_slow_ranking_columns(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = await someone_of(app)
    await three_authors(viewer, app)
    with monkeypatch.context() as patched:
        patched.setattr("stories.story_videos.SLICE", 1)
        patched.setattr(app.services.social.apis[StoriesApi]._rows, "_videos_seconds", 0.0)
        assert (await ordered(viewer))[:2] == ("fallback", "ranking_late")
    assert (await ordered(viewer))[:2] == ("ranked", None)


async def test_paging_continues_when_ranking_is_switched_off_and_on_again(app: App) -> None:
    viewer = await someone_of(app)
    authors = await three_authors(viewer, app) + await three_authors(viewer, app)
    found, modes, cursor = list[str](), list[str](), ""
    for ranked in (True, True, False, True, True, True):
        await stories_on(app, ranked=ranked)
        page = (await viewer.get("stories", order="ranked", limit=1, cursor=cursor)).json
        found += [each["authorId"] for each in page["authors"]]
        modes.append(page["reason"] or page["mode"])
        cursor = page["nextCursor"]
    assert cursor is None
    assert sorted(found) == sorted(authors)
    assert modes == ["ranked", "ranked", "ranked_off", *["walk_newest_first"] * 3]


async def test_cursor_is_valid_for_one_order_and_one_person(app: App) -> None:
    viewer = await someone_of(app)
    await three_authors(viewer, app)
    ranked = (await viewer.get("stories", order="ranked", limit=1)).json["nextCursor"]
    newest = (await viewer.get("stories", limit=1)).json["nextCursor"]
    other = await viewer.another()
    for someone, query in (
        (viewer, {"cursor": ranked}),
        (viewer, {"cursor": newest, "order": "ranked"}),
        (other, {"cursor": ranked, "order": "ranked"}),
    ):
        assert (await someone.get("stories", **query)).code == "invalid_cursor"
    assert (await viewer.get("stories", order="random")).code == "invalid_order"
    odd = await viewer.call("GET", "stories", None, {"X-Personalization": "perhaps"}, order="ranked")
    assert (odd.status, odd.code) == (400, "invalid_personalization")
    assert len(await row(viewer, order="ranked", limit=1)) == 3
