"""Posting, reading, viewing and reacting: audiences, exact counts, and notifications of authors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.adapters.documents.port import PEOPLE, STORIES, STORY_ACTIVITY, query_all
from stories.posting import POSTS_A_MINUTE
from stories.story import bucket_of
from stories.story_forms import EMOJI
from tests.faulty_documents import Trouble
from tests.served_app import App
from tests.stories.social import Someone, someone_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR = 3_600.0


async def post(author: Someone, visibility: str = "public", key: str = "", **fields: Any) -> dict[str, Any]:
    body = {"visibility": visibility, "text": "Off to the lake.", **fields}
    answer = await author.call("POST", "stories", body, {"Idempotency-Key": key} if key else None)
    assert answer.status in (200, 201), answer.body
    found: dict[str, Any] = answer.json
    return found


async def row(viewer: Someone, **query: Any) -> list[str]:
    """Return every story of the row, by paging."""
    found, cursor = [], None
    while True:
        page = await viewer.get("stories", **query, **({"cursor": cursor} if cursor else {}))
        assert page.status == 200, page.body
        found += [story["id"] for author in page.json["authors"] for story in author["stories"]]
        cursor = page.json["nextCursor"]
        if cursor is None:
            return found


async def sees(viewer: Someone, story_id: str) -> bool:
    """Return whether the story is visible by id and in the row alike."""
    answer = await viewer.get(f"stories/{story_id}")
    listed = story_id in await row(viewer)
    assert (answer.status, answer.code) in ((200, None), (404, "story_not_found"))
    assert listed == (answer.status == 200)
    for call in (("PUT", "view", None), ("PUT", "reaction", {"emoji": "🔥"}), ("DELETE", "reaction", None)):
        if not listed:
            assert (await viewer.call(call[0], f"stories/{story_id}/{call[1]}", call[2])).code == "story_not_found"
    return listed


async def test_each_audience_sees_exactly_its_stories(app: App) -> None:
    author = await someone_of(app)
    friend, stranger, invited = [await author.another() for _ in range(3)]
    assert (await friend.call("PUT", f"follow/{author.id}")).json == {"state": "accepted"}
    everybody, friends, nobody = [(await post(author, each))["id"] for each in ("public", "friends", "private")]
    some = (await post(author, "friends", audienceUserIds=[invited.id]))["id"]
    for viewer, seen in (
        (author, (True, True, True, True)), (friend, (True, True, False, False)),
        (stranger, (True, False, False, False)), (invited, (True, False, False, True)),
    ):  # fmt: skip
        assert tuple([await sees(viewer, each) for each in (everybody, friends, nobody, some)]) == seen
    assert (await invited.get(f"stories/{some}")).json.get("audienceUserIds") is None
    assert (await author.get(f"stories/{some}")).json["audienceUserIds"] == [invited.id]

    await author.call("PUT", f"blocks/{friend.id}")
    assert await row(friend) == []
    await friend.call("PUT", f"blocks/{stranger.id}")
    assert not await sees(stranger, (await post(friend))["id"])
    elsewhere = await someone_of(app)
    assert not await sees(elsewhere, everybody)


async def test_expired_story_is_in_no_response_a_second_later(app: App) -> None:
    author = await someone_of(app, story_hours=1)
    story = await post(author)
    viewer = await author.another()
    app.clock.advance(HOUR - 1)
    assert await sees(viewer, story["id"])
    app.clock.advance(2)
    for each in (viewer, author):
        assert not await sees(each, story["id"])
    await app.services.social.expire()
    stored = await app.documents.read(STORIES, bucket_of(author.client.tenant_id, story["id"]), story["id"])
    assert stored is not None
    assert (stored.body["state"], stored.body["deletedAt"] > stored.body["expiresAt"]) == ("expired", True)
    assert await app.services.social.expire() == 0, "once"


async def test_another_process_sees_a_story_and_its_expiry(app: App) -> None:
    author = await someone_of(app)
    app.services.social.catalogs.forget(author.client.tenant_id)
    story = await post(author)
    assert await row(author) == [story["id"]]
    app.services.social.catalogs.forget(author.client.tenant_id)
    assert await row(author) == [story["id"]], "loaded from its bucket"
    assert (await author.call("DELETE", f"stories/{story['id']}")).status == 204
    assert (await author.call("DELETE", f"stories/{story['id']}")).code == "story_not_found"
    assert not await sees(author, story["id"])
    other = await author.another()
    assert (await other.call("DELETE", f"stories/{(await post(author))['id']}")).code == "story_not_found"


async def test_one_key_sent_fifty_times_at_once_creates_one_story(app: App) -> None:
    author = await someone_of(app)
    stories = await asyncio.gather(*(post(author, key="the-same") for _ in range(50)))
    assert len({story["id"] for story in stories}) == 1
    assert await row(author) == [stories[0]["id"]]
    other = await author.call(
        "POST", "stories", {"visibility": "public", "text": "Another."}, {"Idempotency-Key": "the-same"}
    )
    assert (other.status, other.code) == (409, "idempotency_conflict")
    assert (await post(author, key="the-next"))["id"] != stories[0]["id"]


async def test_twenty_first_post_of_a_minute_is_refused_for_that_author_only(app: App) -> None:
    author = await someone_of(app)
    for _ in range(POSTS_A_MINUTE):
        await post(author)
    refused = await author.call("POST", "stories", {"visibility": "public", "text": "One too many."})
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    await post(await author.another())
    app.clock.advance(61)
    await post(author)
    assert len(await row(author)) == POSTS_A_MINUTE + 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": "x"}, "invalid_visibility"),
        ({"text": "x", "visibility": "everybody"}, "invalid_visibility"),
        ({"visibility": "public"}, "invalid_story"),
        ({"visibility": "public", "text": " \n "}, "invalid_story"),
        ({"visibility": "public", "text": "x" * 501}, "invalid_story"),
        ({"visibility": "public", "text": "a\u0000b"}, "invalid_story"),
        ({"visibility": "public", "text": "\u202egnp.exe"}, "invalid_story"),
        ({"visibility": "public", "text": 7}, "invalid_story"),
        ({"visibility": "public", "text": "x", "audienceUserIds": ["A" * 22]}, "invalid_story"),
        ({"visibility": "friends", "text": "x", "audienceUserIds": ["nobody"]}, "invalid_story"),
        ({"visibility": "friends", "text": "x", "audienceUserIds": ["A" * 22] * 101}, "invalid_story"),
        ({"visibility": "public", "text": "x", "tags": ["a"] * 6}, "invalid_story"),
        ({"visibility": "public", "text": "x", "maturityRating": "NC17"}, "invalid_story"),
        ({"visibility": "public", "text": "x", "expiresAt": "2099-01-01T00:00:00Z"}, "invalid_story"),
        ({"visibility": "public", "mediaKey": "somebody-elses"}, "media_not_ready"),
    ],
)
async def test_invalid_story_is_refused_and_nothing_of_it_is_stored(app: App, body: dict[str, Any], code: str) -> None:
    author = await someone_of(app)
    answer = await author.call("POST", "stories", body)
    assert (answer.status // 100, answer.code) == (4, code)
    assert await query_all(app.documents, PEOPLE, f"{author.client.tenant_id}/{author.id}") == []
    assert (await author.call("POST", "stories", {"visibility": "public", "text": "é" * 500})).status == 201


async def test_view_counts_once_and_the_last_reaction_replaces_earlier_ones(app: App) -> None:
    author = await someone_of(app)
    story = await post(author)
    viewers = [await author.another() for _ in range(3)]
    for viewer in (*viewers, *viewers, author):
        assert (await viewer.call("PUT", f"stories/{story['id']}/view")).status == 204
    for emoji in EMOJI:
        answer = await viewers[0].call("POST", f"stories/{story['id']}/reactions", {"emoji": emoji})
        assert answer.json == {"emoji": emoji}
        plain = emoji.replace("\ufe0f", "")
        assert (await viewers[0].call("PUT", f"stories/{story['id']}/reaction", {"emoji": plain})).json[
            "emoji"
        ] == emoji
    await viewers[1].call("PUT", f"stories/{story['id']}/reaction", {"emoji": "😢"})
    await viewers[1].call("DELETE", f"stories/{story['id']}/reaction")
    for wrong in ("👎", "🔥🔥", "", "\ufe0f", 7, None):
        refused = await viewers[0].call("PUT", f"stories/{story['id']}/reaction", {"emoji": wrong})
        assert (refused.status, refused.code) == (400, "invalid_emoji")

    await app.services.social.count()
    counts = (await author.get(f"stories/{story['id']}")).json["counts"]
    assert counts == {"views": 3, "reactions": {**dict.fromkeys(EMOJI, 0), "🔥": 1}}
    assert "counts" not in (await viewers[0].get(f"stories/{story['id']}")).json
    stats = (await author.get("me/stats")).json
    assert (stats["posted"], stats["views"], stats["uniqueViewers"], stats["approximate"]) == (1, 3, 3, False)
    assert stats["reactions"] == counts["reactions"]
    assert (len(stats["days"]), stats["days"][0]["views"]) == (7, 3)

    page = (await author.get(f"stories/{story['id']}/viewers", limit=2)).json
    rest = (await author.get(f"stories/{story['id']}/viewers", cursor=page["nextCursor"])).json
    listed = {each["viewerId"]: each["emoji"] for each in page["items"] + rest["items"]}
    assert listed == {viewers[0].id: "🔥", viewers[1].id: None, viewers[2].id: None}
    assert (await viewers[0].get(f"stories/{story['id']}/viewers")).code == "story_not_found"


async def test_author_is_notified_at_once_and_can_catch_up(app: App) -> None:
    author = await someone_of(app)
    story, viewer = await post(author), await author.another()
    await viewer.call("PUT", f"stories/{story['id']}/view")
    first = (await author.get("me/events")).json
    assert [(each["type"], each["viewerId"]) for each in first["events"]] == [("story.viewed", viewer.id)]
    await viewer.call("PUT", f"stories/{story['id']}/view")
    await viewer.call("PUT", f"stories/{story['id']}/reaction", {"emoji": "😮"})
    await app.services.social.count()
    then = (await author.get("me/events", after=first["next"])).json
    assert [(each["type"], each["userId"], each["emoji"]) for each in then["events"]] == [
        ("story.reacted", viewer.id, "😮"),
    ]  # fmt: skip
    assert (await author.get("me/events", after=then["next"])).json["events"] == []
    assert (await author.get("me/events", after="soon")).code == "invalid_after"
    with app.documents.in_trouble(Trouble(containers=frozenset({"people"}), partitions=frozenset(
        {f"{author.client.tenant_id}/{author.id}"}), writes_fail=True)):  # fmt: skip
        other = await author.another()
        assert (await other.call("PUT", f"stories/{story['id']}/view")).status == 204
    await app.services.social.count()
    late = (await author.get("me/events", after=then["next"])).json
    assert [each["viewerId"] for each in late["events"]] == [other.id], "the counter tells what was not told"


async def test_sixty_one_reactions_in_a_minute_are_too_many(app: App) -> None:
    author = await someone_of(app)
    story, viewer = await post(author), await author.another()
    codes = [
        (await viewer.call("PUT", f"stories/{story['id']}/reaction", {"emoji": EMOJI[at % 2]})).status
        for at in range(61)
    ]
    assert codes == [200] * 60 + [429]


async def test_nothing_is_shown_without_the_graph_nor_accepted_without_the_store(app: App) -> None:
    author = await someone_of(app)
    story, viewer = await post(author), await author.another()
    assert await row(viewer) == [story["id"]]
    with app.documents.in_trouble(Trouble(reads_fail=True, writes_fail=True)):
        page = (await viewer.get("stories")).json
        assert (page["authors"], page["reason"]) == ([], "follows_unavailable")
        assert (await viewer.call("PUT", f"stories/{story['id']}/view")).status == 503
        assert (await author.call("POST", "stories", {"visibility": "public", "text": "x"})).status == 503
    assert await query_all(app.documents, STORY_ACTIVITY, f"{author.client.tenant_id}/{story['id']}") == []


async def test_row_marks_unseen_stories_and_paging_repeats_no_author(app: App) -> None:
    viewer = await someone_of(app)
    authors = [await viewer.another() for _ in range(5)]
    for author in authors:
        await post(author)
        app.clock.advance(1)
    page = (await viewer.get("stories", limit=2)).json
    assert [each["authorId"] for each in page["authors"]] == [each.id for each in reversed(authors[3:])]
    await post(authors[0])  # moves to the front, which the cursor has passed
    rest = (await viewer.get("stories", limit=50, cursor=page["nextCursor"])).json
    assert [each["authorId"] for each in rest["authors"]] == [authors[2].id, authors[1].id]
    assert rest["nextCursor"] is None
    await viewer.call("PUT", f"stories/{page['authors'][0]['stories'][0]['id']}/view")
    again = {each["authorId"]: each["unseen"] for each in (await viewer.get("stories")).json["authors"]}
    assert again == {**dict.fromkeys([each.id for each in authors], 1), authors[4].id: 0, authors[0].id: 2}
    stolen = await authors[1].get("stories", cursor=page["nextCursor"])
    assert (stolen.status, stolen.code) == (400, "invalid_cursor")


async def test_story_above_the_viewers_rating_is_not_shown(app: App) -> None:
    author = await someone_of(app, maturity_policy="R", age_band_policies={"13-17": "PG"})
    strong, mild = (await post(author))["id"], (await post(author, maturityRating="G"))["id"]
    viewer = await author.another()
    assert set(await row(viewer)) == {strong, mild}
    assert await row(viewer, ageBand="13-15") == [mild]
    assert (await viewer.get(f"stories/{strong}", ageBand="13-15")).code == "story_not_found"


async def found(viewer: Someone, query: str, **more: Any) -> list[str]:
    """Return every story that a search finds, by paging."""
    ids, cursor = [], None
    while True:
        page = await viewer.get("search", q=query, **more, **({"cursor": cursor} if cursor else {}))
        assert page.status == 200, page.body
        ids += [story["id"] for story in page.json["items"]]
        cursor = page.json["nextCursor"]
        if cursor is None:
            return ids


async def test_search_matches_word_prefixes_without_case_and_accents(app: App) -> None:
    author = await someone_of(app)
    viewer = await author.another()
    texts = ("Café at the Lake-house", "CAFE\u0301 lakeside", "A cafeteria in Łódź", "No words for it", "Ο Σίσυφος")
    ids = []
    for text in texts:
        ids.append((await post(author, text=text))["id"])
        app.clock.advance(1)
    for query, places in (("cafe", [2, 1, 0]), ("LAKE café", [1, 0]), ("house", [0]), ("lodz", [2]), ("ake", []),
                          ("σισυφοσ", [4]), ("\"no\" for", [3])):  # fmt: skip
        assert await found(viewer, query, limit=1) == [ids[place] for place in places], query
    for wrong in ({"q": ""}, {"q": "!?"}, {"q": "x" * 101}, {"q": "cafe", "in": "videos"}, {}):
        assert (await viewer.get("search", **wrong)).code == "invalid_query"
    cursor = (await viewer.get("search", q="cafe", limit=1)).json["nextCursor"]
    assert (await viewer.get("search", q="lake", cursor=cursor)).code == "invalid_cursor"


async def test_a_search_finds_only_what_the_row_would_show(app: App) -> None:
    author = await someone_of(app)
    friend, stranger = await author.another(), await author.another()
    await friend.call("PUT", f"follow/{author.id}")
    shown = {
        each: (await post(author, each, text=f"Lake for {each}"))["id"] for each in ("public", "friends", "private")
    }
    assert set(await found(author, "lake")) == set(shown.values())
    assert set(await found(friend, "lake")) == {shown["public"], shown["friends"]}
    assert set(await found(stranger, "lake")) == {shown["public"]}
    await author.call("PUT", f"blocks/{friend.id}")
    assert await found(friend, "lake") == []
    await author.call("DELETE", f"stories/{shown['public']}")
    assert await found(stranger, "lake") == []
    app.clock.advance(24 * HOUR + 1)
    assert await found(author, "lake") == []
    with app.documents.in_trouble(Trouble(reads_fail=True)):
        assert (await stranger.get("search", q="lake")).status == 503
