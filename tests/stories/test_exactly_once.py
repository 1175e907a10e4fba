"""Posts, views and reactions count once when a process is killed between any two writes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from shared.adapters.documents.port import PEOPLE, STORIES, STORY_ACTIVITY, query_all
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from shared.web.problems import Problem
from stories.activity import Activity, partition_of
from stories.counts import COUNTS_ID, StoryCounter, totals
from stories.identity import Person, key_of
from stories.inbox import MAX_EVENTS, Inbox
from stories.media_check import NoMedia
from stories.posting import POST, POSTS_A_MINUTE, Posting
from stories.seen import SeenStories
from stories.story import Story, bucket_of
from stories.story_catalog import StoryCatalogs
from stories.story_forms import read_story
from stories.story_stats import StoryStatistics
from stories.viewer_sketch import MAX_EXACT, ViewerSketch
from tests.memory_documents import MemoryDocuments
from tests.stories.breaking_store import BreakingStore, Killed, killed_between_any_writes

NOW = 1_800_000_000.0
TENANT = Tenant("t")
AUTHOR, *VIEWERS = [Person("t", f"{number:04d}".ljust(21, "0") + "A") for number in range(130)]
FORM = read_story({"visibility": "public", "text": "Off to the lake."}, TENANT)


class Process:
    """The parts of one process on a store that others can share."""

    def __init__(self, store: BreakingStore | MemoryDocuments) -> None:
        documents = store  # type: ignore[assignment]
        self.catalogs = StoryCatalogs(documents, Settings(), Telemetry(), lambda: NOW, lambda: 0.0)  # type: ignore[arg-type]
        self.posting = Posting(documents, self.catalogs, NoMedia())  # type: ignore[arg-type]
        self.inbox = Inbox(documents, lambda: NOW)  # type: ignore[arg-type]
        self.activity = Activity(documents, SeenStories(documents))  # type: ignore[arg-type]
        self.counter = StoryCounter(documents, self.inbox)  # type: ignore[arg-type]
        self.statistics = StoryStatistics(documents)  # type: ignore[arg-type]

    async def post(self, key: str = "", now: float = NOW) -> Story:
        return (await self.posting.post(AUTHOR, FORM, TENANT, key, now))[0]


async def stored_stories(store: BreakingStore | MemoryDocuments) -> list[str]:
    pointers = await query_all(store, PEOPLE, AUTHOR.partition, POST)  # type: ignore[arg-type]
    ids = [each.body["storyId"] for each in pointers]
    return [id for id in ids if await store.read(STORIES, bucket_of("t", id), id) is not None]


async def test_killed_post_is_finished_by_its_key_and_created_once() -> None:
    async def nothing(store: BreakingStore) -> None:
        return None

    async def post(store: BreakingStore) -> None:
        process = Process(store)
        await process.post("a-key")
        await process.catalogs.close()

    async def then(store: BreakingStore, number: int) -> None:
        before = await stored_stories(store)
        assert len(before) == (number == 2)
        again = Process(store)
        story = await again.post("a-key")
        assert await stored_stories(store) == [story.id] == (before or [story.id])
        await again.catalogs.close()

    assert await killed_between_any_writes(nothing, post, then) == 2


async def test_minute_limit_is_exact_across_processes() -> None:
    store = MemoryDocuments()
    processes = [Process(store), Process(store)]
    posts = [processes[at % 2].post(now=NOW + at / 100) for at in range(POSTS_A_MINUTE + 5)]
    ended = await asyncio.gather(*posts, return_exceptions=True)
    refused = [each for each in ended if isinstance(each, Problem)]
    assert [each.code for each in refused] == ["rate_limited"] * 5
    assert len(await stored_stories(store)) == POSTS_A_MINUTE
    for process in processes:
        await process.catalogs.close()


async def counts_of(store: BreakingStore | MemoryDocuments, story: Story) -> list[int]:
    sums = await store.read(STORY_ACTIVITY, partition_of("t", story.id), COUNTS_ID)
    return totals(sums.body["days"] if sums else {})


async def recount(store: BreakingStore | MemoryDocuments, story: Story) -> list[int]:
    """Recount from the stored facts, without the sums."""
    facts = await query_all(store, STORY_ACTIVITY, partition_of("t", story.id))  # type: ignore[arg-type]
    kinds = Counter(each.id.partition(":")[0] for each in facts)
    emoji = Counter(each.body["emoji"] for each in facts if each.id.startswith("reaction:"))
    return [kinds["view"], *(emoji[at] for at in range(6))]


async def test_killed_view_and_reaction_count_once_when_resent() -> None:
    story = FORM.story("01KB8ZKQ3V5WJ4Y8N2T6R1C9XD-2", AUTHOR, None, NOW, 24)
    viewer = VIEWERS[0]

    async def prepared(store: BreakingStore) -> None:
        await Process(store).activity.react(viewer, story, 1, NOW)
        await Process(store).counter.run()

    async def both(store: BreakingStore) -> None:
        process = Process(store)
        await process.activity.view(viewer, story, NOW)
        await process.activity.react(viewer, story, 5, NOW + 1)
        await process.counter.run()

    async def then(store: BreakingStore, number: int) -> None:
        found = await recount(store, story)
        if found[0]:
            assert story.id in await SeenStories(store).of(viewer), "an erasure finds it"  # type: ignore[arg-type]
        await both(store)
        assert await counts_of(store, story) == await recount(store, story) == [1, 0, 0, 0, 0, 0, 1]
        told = (await Process(store).inbox.after(AUTHOR, 0)).events
        assert [each["type"] for each in told] == ["story.reacted", "story.viewed", "story.reacted"]

    assert await killed_between_any_writes(prepared, both, then) >= 4


async def test_sums_equal_a_recount_despite_kills_and_concurrent_counts() -> None:
    story = FORM.story("01KB8ZKQ3V5WJ4Y8N2T6R1C9XD-2", AUTHOR, None, NOW, 24)
    store, chance = BreakingStore(), random.Random(7)
    for turn in range(40):
        process = Process(store)
        for viewer in chance.sample(VIEWERS, 8):
            await process.activity.view(viewer, story, NOW + turn)
            await process.activity.react(viewer, story, chance.choice([0, 3, 5, None]), NOW + turn)
        store.left = chance.randrange(4)
        try:
            await process.counter.run()
        except Killed:
            pass
        finally:
            store.left = None
    await asyncio.gather(*(Process(store).counter.run() for _ in range(3)))
    assert await counts_of(store, story) == await recount(store, story)
    sums = await store.read(STORY_ACTIVITY, partition_of("t", story.id), COUNTS_ID)
    assert sums is not None
    facts = await query_all(store, STORY_ACTIVITY, partition_of("t", story.id), "view:")  # type: ignore[arg-type]
    assert ViewerSketch.from_json(sums.body["viewers"]).keys == {
        key_of(each.id.removeprefix("view:")) for each in facts
    }


async def test_inbox_keeps_the_newest_events_and_reports_missed_ones() -> None:
    inbox = Inbox(MemoryDocuments(), lambda: NOW)  # type: ignore[arg-type]
    events = [{"id": str(at), "at": NOW - 500 + at, "type": "story.viewed"} for at in range(MAX_EVENTS + 20)]
    for at in range(0, len(events), 10):
        await inbox.add(AUTHOR, events[at : at + 10])
        await inbox.add(AUTHOR, events[at : at + 10])
    told = await inbox.after(AUTHOR, 5)
    assert ([each["id"] for each in told.events], told.missed) == ([str(at) for at in range(20, 120)], True)
    await inbox.add(AUTHOR, events[:20])
    assert (await inbox.after(AUTHOR, told.next)).events == [], "what was pushed out is not told again"


@pytest.mark.parametrize("amount", [0, 1, MAX_EXACT, MAX_EXACT + 1, 60_000])
def test_distinct_viewers_are_exact_while_few_and_within_a_tenth_later(amount: int) -> None:
    chance = random.Random(3)
    keys = [chance.getrandbits(64) for _ in range(amount)]
    one, other = ViewerSketch(), ViewerSketch()
    one.add(keys[: amount * 2 // 3])
    other.add(keys[amount // 3 :])
    one.merge(ViewerSketch.from_json(other.to_json()))
    one = ViewerSketch.from_json(one.to_json())
    assert one.approximate == (amount > MAX_EXACT)
    assert abs(one.count() - amount) <= (0 if amount <= MAX_EXACT else amount / 10)
