"""Story reports: who can report, when a story is hidden, editors' decisions, and crashes in between."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from cms.changes import Author, Change, apply_change
from shared.adapters.documents.port import PEOPLE, STORIES, STORY_ACTIVITY, Create, query_all
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from stories.activity import partition_of
from stories.identity import Person
from stories.media_check import NoMedia
from stories.moderation import APPROVED, OPEN, REPORT, REPORTED, Moderation, decided, wanted_state
from stories.story import HELD, LIVE, REMOVED, STATES, bucket_of
from stories.story_catalog import StoryCatalogs
from stories.story_forms import read_story
from tests.cms.editor import Editor
from tests.served_app import Answer, App
from tests.stories.breaking_store import BreakingStore, killed_between_any_writes
from tests.stories.social import Someone, someone_of, stories_on
from tests.stories.test_stories import post, row, sees

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = 1_800_000_000.0


async def editor_of(someone: Someone) -> Editor:
    key = secrets.token_urlsafe(24)
    await someone.app.save_key(someone.client.tenant_id, key, "cms", name="Anna")
    return Editor(someone.app, someone.client, key)


async def report(who: Someone, story: dict[str, Any], reason: str = "spam", text: str | None = None) -> Answer:
    return await who.call("POST", f"stories/{story['id']}/report", {"reason": reason, "text": text})


async def test_enough_reports_hide_a_story_from_all_but_its_author(app: App) -> None:
    author = await someone_of(app, story_hold_reports=2)
    story, (one, two, viewer) = await post(author), [await author.another() for _ in range(3)]
    for _ in range(3):
        assert (await report(one, story)).status == 202
    assert (await report(author, story)).status == 202, "an author's own report does not count"
    assert await sees(viewer, story["id"])
    assert (await report(two, story, "hate", "Look at it.")).status == 202
    assert not await sees(viewer, story["id"])
    assert (await author.get(f"stories/{story['id']}")).json["state"] == "held"
    assert (await report(two, story)).status == 202, "the same again, once it is held back"
    assert (await report(viewer, story)).code == "story_not_found"


async def test_only_visible_stories_can_be_reported_with_a_valid_report(app: App) -> None:
    author = await someone_of(app)
    stranger, private = await author.another(), await post(author, "private")
    assert (await report(stranger, private)).code == "story_not_found"
    assert (await report(stranger, {"id": "nothing"})).code == "story_not_found"
    public = await post(author)
    for body in ({}, {"reason": "dislike"}, {"reason": "spam", "text": "x" * 301}, {"reason": "spam", "text": 7},
                 {"reason": "spam", "text": "a\u0000b"}, {"reason": "spam", "why": "x"}):  # fmt: skip
        answer = await stranger.call("POST", f"stories/{public['id']}/report", body)
        assert (answer.status, answer.code) == (400, "invalid_report")
    partition = partition_of(author.client.tenant_id, public["id"])
    assert await query_all(app.documents, STORY_ACTIVITY, partition) == []
    assert await query_all(app.documents, STORIES, author.client.tenant_id) == []


async def test_editor_sees_the_queue_and_can_make_a_story_visible_again(app: App) -> None:
    author = await someone_of(app, story_hold_reports=1)
    editor, viewer = await editor_of(author), await author.another()
    stories = [await post(author, text=f"Story {number}.") for number in range(3)]
    for number, story in enumerate(stories):
        await report(viewer, story, "violence", f"Text {number}.")
    listed: list[Any] = []
    cursor: dict[str, str] = {}
    while not listed or cursor:
        page = (await editor.get("stories", limit=2, **cursor)).json
        listed += page["stories"]
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else {}
    assert {each["id"]: each["texts"][0]["text"] for each in listed} == {
        story["id"]: f"Text {number}." for number, story in enumerate(stories)
    }
    first = next(each for each in listed if each["id"] == stories[0]["id"])
    assert (first["held"], first["reports"], first["text"]) == (True, {"violence": 1}, "Story 0.")
    stale = await editor.post(f"stories/{first['id']}/approve", headers={"If-Match": '"0"'})
    assert (stale.status, stale.code) == (412, "stale_etag")
    approved = await editor.post(f"stories/{first['id']}/approve", {"reason": "Fine."}, {"If-Match": first["etag"]})
    assert (approved.status, approved.json) == (200, {"id": first["id"], "state": "live"})
    assert await sees(viewer, first["id"])
    assert first["id"] not in {each["id"] for each in (await editor.get("stories")).json["stories"]}
    assert (await report(viewer, stories[0])).status == 202
    assert await sees(viewer, first["id"]), "what was reported before the decision does not count again"
    await report(await author.another(), stories[0])
    assert not await sees(viewer, first["id"]), "what is reported after it does"
    entries = (await editor.get("audit", resource="story")).json["entries"]
    assert [(each["action"], each["name"], each["why"]) for each in entries] == [("approve", first["id"], "Fine.")]
    assert (await editor.get("stories", cursor="AAAA")).code == "invalid_cursor"


async def test_removed_story_is_gone_for_everybody_and_cannot_return(app: App) -> None:
    author = await someone_of(app)
    editor, viewer, story = await editor_of(author), await author.another(), await post(author)
    await report(viewer, story)
    for _ in range(2):  # a second run finishes what a crash left
        removed = await editor.post(f"stories/{story['id']}/remove", {"reason": "Against the rules."})
        assert (removed.status, removed.json["state"]) == (200, "removed")
    for each in (viewer, author):
        assert not await sees(each, story["id"])
    assert (await editor.post(f"stories/{story['id']}/approve")).code == "story_removed"
    assert len((await editor.get("audit", resource="story")).json["entries"]) == 1
    stored = await app.documents.read(STORIES, bucket_of(author.client.tenant_id, story["id"]), story["id"])
    assert stored is not None
    assert (stored.body["state"], stored.body["text"], stored.body["media"]) == ("removed", None, None)
    unreported = await post(author)
    assert (await editor.post(f"stories/{unreported['id']}/approve")).code == "not_found"
    assert (await editor.post(f"stories/{unreported['id']}/remove")).json["state"] == "removed"
    assert await row(viewer) == []


async def test_an_editor_of_another_tenant_sees_and_decides_nothing(app: App) -> None:
    author = await someone_of(app, story_hold_reports=1)
    story = await post(author)
    await report(await author.another(), story)
    elsewhere = await editor_of(await someone_of(app))
    assert (await elsewhere.get("stories")).json["stories"] == []
    for action in ("approve", "remove"):
        assert (await elsewhere.post(f"stories/{story['id']}/{action}")).code == "not_found"
    assert (await author.get(f"stories/{story['id']}")).json["state"] == "held"


async def test_moderation_queue_is_absent_while_stories_are_off(app: App) -> None:
    editor = await editor_of(await someone_of(app))
    await stories_on(app, on=False)
    assert (await editor.get("stories")).status == 404
    assert (await editor.post("stories/01KB8ZKQ3V5WJ4Y8N2T6R1C9XD-2/remove")).status == 404


async def test_erasure_deletes_the_users_reports(app: App) -> None:
    author = await someone_of(app)
    story, reporter = await post(author), await author.another()
    await report(reporter, story, "other", "My own words.")
    partition = partition_of(author.client.tenant_id, story["id"])
    assert len(await query_all(app.documents, STORY_ACTIVITY, partition, REPORT)) == 1
    user_key = app.services.social.parts.identity.user_key(reporter.client.tenant_id, reporter.client.user)
    erased = await app.services.social.personal_data.erase(reporter.client.tenant_id, user_key, app.clock.now())
    assert erased["storyReports"] == 1
    assert await query_all(app.documents, STORY_ACTIVITY, partition, REPORT) == []
    assert await query_all(app.documents, PEOPLE, f"{reporter.client.tenant_id}/{reporter.id}") == []


# ---- crashes


TENANT_ID, HOLD_AT = "t", 2
AUTHOR, *REPORTERS = [Person(TENANT_ID, f"{number:04d}".ljust(21, "0") + "A") for number in range(5)]
FORM = read_story({"visibility": "public", "text": "x"}, Tenant(TENANT_ID))
STORY = FORM.story("01KB8ZKQ3V5WJ4Y8N2T6R1C9XD-2", AUTHOR, None, NOW, 24)


def moderation(store: BreakingStore) -> Moderation:
    catalogs = StoryCatalogs(store, Settings(), Telemetry(), lambda: NOW, lambda: 0.0)  # type: ignore[arg-type]
    return Moderation(store, catalogs, NoMedia(), Telemetry())  # type: ignore[arg-type]


async def state_of(store: BreakingStore) -> str:
    stored = await store.read(STORIES, bucket_of(TENANT_ID, STORY.id), STORY.id)
    assert stored is not None
    return str(stored.body["state"])


async def posted(store: BreakingStore) -> None:
    await store.write(STORIES, bucket_of(TENANT_ID, STORY.id), [Create(STORY.to_document(NOW))])


async def reported(store: BreakingStore, who: Person) -> None:
    await moderation(store).report(who, STORY, "spam", None, NOW)
    await moderation(store).settle(TENANT_ID, STORY.id, HOLD_AT, NOW)


async def decide(store: BreakingStore, state: str) -> None:
    found = await moderation(store).entry(TENANT_ID, STORY.id)
    assert found is not None
    if found.body["state"] == OPEN:
        after = decided(found.body, state, STORY, NOW + 1)
        change = Change(STORIES, TENANT_ID, "story", STORY.id, state, found, after)
        await apply_change(store, change, Author("Anna", NOW))
    await moderation(store).settle(TENANT_ID, STORY.id, HOLD_AT, NOW + 1)


async def test_killed_report_is_queued_and_counts_once_when_repeated() -> None:
    async def prepared(store: BreakingStore) -> None:
        await posted(store)
        await reported(store, REPORTERS[0])

    async def then(store: BreakingStore, number: int) -> None:
        (entry,) = await query_all(store, STORIES, TENANT_ID, REPORTED)  # type: ignore[arg-type]
        facts = await query_all(store, STORY_ACTIVITY, partition_of(TENANT_ID, STORY.id), REPORT)  # type: ignore[arg-type]
        assert entry.body["state"] == OPEN
        if any(each.id == REPORT + REPORTERS[1].id for each in facts):  # an erasure finds the report by it
            assert await store.read(PEOPLE, REPORTERS[1].partition, REPORTED + STORY.id) is not None
        await reported(store, REPORTERS[1])
        assert await state_of(store) == HELD
        assert len(await query_all(store, STORY_ACTIVITY, partition_of(TENANT_ID, STORY.id), REPORT)) == 2  # type: ignore[arg-type]

    assert await killed_between_any_writes(prepared, lambda store: reported(store, REPORTERS[1]), then) >= 3


async def test_timer_finishes_interrupted_moderation() -> None:
    async def prepared(store: BreakingStore) -> None:
        await posted(store)
        await reported(store, REPORTERS[0])

    async def held(store: BreakingStore, number: int) -> None:
        facts = await query_all(store, STORY_ACTIVITY, partition_of(TENANT_ID, STORY.id), REPORT)  # type: ignore[arg-type]
        await moderation(store).finish(TENANT_ID, HOLD_AT, NOW + 2)
        assert await state_of(store) == (HELD if len(facts) == HOLD_AT else LIVE)

    async def removed(store: BreakingStore, number: int) -> None:
        entry = await moderation(store).entry(TENANT_ID, STORY.id)
        await moderation(store).finish(TENANT_ID, HOLD_AT, NOW + 2)
        assert entry is not None
        assert await state_of(store) == (REMOVED if entry.body["state"] == REMOVED else LIVE)

    assert await killed_between_any_writes(prepared, lambda store: reported(store, REPORTERS[1]), held) >= 3
    assert await killed_between_any_writes(prepared, lambda store: decide(store, REMOVED), removed) >= 2


@pytest.mark.parametrize("state", STATES)
async def test_expired_story_stays_expired_and_removal_overrides_everything(state: str) -> None:
    for entry in (OPEN, APPROVED, REMOVED):
        for reports in (0, 5):
            found = wanted_state({"state": entry}, state, reports, 5)
            if state not in (LIVE, HELD):
                assert found == state
            elif entry == REMOVED:
                assert found == REMOVED
            else:
                assert found == (HELD if reports == 5 or (entry == OPEN and state == HELD) else LIVE)
