"""Counts views and reactions per story: writes a story's sums in the same batch that marks the facts as counted.

A fact is a stored view or reaction; the change feed delivers those that are not counted. One conditional batch updates
the sums and the marks. So every fact counts once: after a crash, with two processes at once, or when the feed is read
again from an older position. A changed reaction first subtracts what it had counted before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from shared.adapters.documents.port import (
    MAX_OPERATIONS,
    STORIES,
    STORY_ACTIVITY,
    Create,
    Document,
    DocumentStore,
    Json,
    Operation,
    Replace,
    Upsert,
    WriteRejected,
)
from shared.adapters.retry import retry
from stories.activity import KEEP_SECONDS, REACTION, VIEW, is_pending
from stories.identity import Person, key_of
from stories.inbox import Inbox, event_of
from stories.story import STORY_ID, bucket_of
from stories.story_forms import EMOJI
from stories.story_totals import TOTALS, StoryTotals
from stories.viewer_sketch import ViewerSketch

COUNTS_ID = "counts"
PROGRESS_PARTITION, PROGRESS_ID = "~", "counting"
AT_ONCE = MAX_OPERATIONS - 1
ATTEMPTS = 5


def new_counts(author_id: str) -> Json:
    """Return empty sums for a story without views."""
    return {
        "id": COUNTS_ID,
        "kind": "counts",
        "authorId": author_id,
        "days": {},
        "viewers": ViewerSketch().to_json(),
        "facts": 0,
        "ttl": KEEP_SECONDS,
    }


def totals(days: dict[str, list[int]]) -> list[int]:
    """Add up some days: views, then reactions by emoji."""
    return [sum(column) for column in zip(*days.values(), strict=True)] or [0] * (1 + len(EMOJI))


def day_of(at: float) -> str:
    """Return the UTC date of a time in seconds since the epoch."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


class StoryCounter:
    """Follows the change feed of views and reactions. One process is enough; several do no harm."""

    def __init__(self, documents: DocumentStore, inbox: Inbox) -> None:
        self._documents = documents
        self._inbox = inbox

    async def run(self) -> int:
        """Count new facts; return how many. Can raise `StoreUnavailable`; the next run continues."""
        stored = await self._documents.read(STORY_ACTIVITY, PROGRESS_PARTITION, PROGRESS_ID, latest=True)
        token = stored.body["token"] if stored else None
        counted = 0
        while True:
            changes = await self._documents.changes(STORY_ACTIVITY, token)
            pending: dict[str, list[Document]] = {}
            for document in changes.documents:
                if is_pending(document):
                    pending.setdefault(document.partition, []).append(document)
            for partition, facts in pending.items():
                counted += await self.count(partition, facts)
            summed = [document for document in changes.documents if document.id == COUNTS_ID]
            for document in summed:
                await self._publish_totals(document)
            if changes.token != token and (pending or summed or changes.more or token is None):
                token = changes.token
                progress = {"id": PROGRESS_ID, "kind": "counting", "token": token}
                await self._documents.write(STORY_ACTIVITY, PROGRESS_PARTITION, [Upsert(progress)])
            if not changes.more:
                return counted

    async def count(self, partition: str, facts: Sequence[Document]) -> int:
        """Count those of one story's facts that are not counted yet; return how many."""
        counted = 0
        for begin in range(0, len(facts), AT_ONCE):
            some = list(facts[begin : begin + AT_ONCE])
            while pending := [each for each in some if is_pending(each)]:
                await self._add_missing_events(partition, pending)
                sums = await self._documents.read(STORY_ACTIVITY, partition, COUNTS_ID, latest=True)
                body, marked = counted_in(sums.body if sums else new_counts(pending[0].body["authorId"]), pending)
                operations: list[Operation] = [Create(body) if sums is None else Replace(body, sums.etag), *marked]
                try:
                    await self._documents.write(STORY_ACTIVITY, partition, operations)
                except WriteRejected:  # one of them was changed meanwhile: read them again
                    reads = [self._documents.read(STORY_ACTIVITY, partition, each.id, latest=True) for each in some]
                    some = [each for each in await asyncio.gather(*reads) if each is not None]
                    continue
                counted += len(pending)
                break
        return counted

    async def _publish_totals(self, sums: Document) -> None:
        """Publish a story's totals to the ranking if they changed enough.

        The change feed also delivers sums, so totals are published even if the process died after writing the sums.
        """
        tenant_id, _, story_id = sums.partition.partition("/")
        if not STORY_ID.matches(story_id):
            return
        views, *reactions = totals(sums.body["days"])
        now = StoryTotals(story_id, views, sum(reactions), sums.body.get("facts", 0))
        partition = bucket_of(tenant_id, story_id)

        async def once() -> None:
            stored = await self._documents.read(STORIES, partition, TOTALS + story_id, latest=True)
            if now.is_news(StoryTotals.from_document(stored.body) if stored else None):
                body = now.to_document()
                change = Create(body) if stored is None else Replace(body, stored.etag)
                await self._documents.write(STORIES, partition, [change])

        with suppress(WriteRejected):  # the other writer has later sums
            await retry(once, (WriteRejected,), attempts=ATTEMPTS, first_pause=0.002, longest_pause=0.05)

    async def _add_missing_events(self, partition: str, pending: Sequence[Document]) -> None:
        """Add events that are missing from the author's inbox because a process died before it could add them."""
        tenant_id, _, story_id = partition.partition("/")
        events: dict[str, list[Json]] = {}
        for each in pending:
            event = event_of(story_id, each.id, each.body)
            if event is not None:
                events.setdefault(each.body["authorId"], []).append(event)
        for author_id, found in events.items():
            await self._inbox.add(Person(tenant_id, author_id), found)


def counted_in(sums: Json, pending: Sequence[Document]) -> tuple[Json, list[Replace]]:
    """Return the sums with some facts added, and the writes that mark these facts as counted. Pure."""
    days: dict[str, list[int]] = {day: list(row) for day, row in sums["days"].items()}
    viewers = ViewerSketch.from_json(sums["viewers"])

    def add(day: str, place: int, amount: int) -> None:
        days.setdefault(day, [0] * (1 + len(EMOJI)))[place] += amount

    marked: list[Replace] = []
    for each in pending:
        body: dict[str, Any] = dict(each.body)
        if each.id.startswith(VIEW):
            add(day_of(body["viewedAt"]), 0, 1)
            viewers.add([key_of(each.id.removeprefix(VIEW))])
            body["counted"] = True
        elif each.id.startswith(REACTION):
            if body["counted"] is not None:
                add(body["countedOn"], 1 + body["counted"], -1)
            day = day_of(body["createdAt"])
            if body["emoji"] is not None:
                add(day, 1 + body["emoji"], 1)
            body |= {"counted": body["emoji"], "countedOn": day}
        marked.append(Replace(body, each.etag))
    facts = sums.get("facts", 0) + len(marked)
    return {**sums, "days": days, "viewers": viewers.to_json(), "facts": facts}, marked
