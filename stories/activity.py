"""Stores views of and reactions to stories: one small document for each view and each reaction, in the partition
of the story.

    view:PERSON        created once; writing it again changes nothing
    reaction:PERSON    one per person; another emoji replaces it, and taking it back sets the emoji to null

Nothing is added up here. Each document says how much of it is counted (`counted`). stories/counts.py updates that field
in the same batch as the sums, so a crash at any point loses nothing and counts nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.adapters.documents.port import (
    STORY_ACTIVITY,
    Create,
    Document,
    DocumentStore,
    Replace,
    StoreUnavailable,
    WriteRejected,
)
from shared.adapters.retry import retry
from stories.identity import Person
from stories.seen import SeenStories
from stories.story import Story

VIEW, REACTION = "view:", "reaction:"
KEEP_SECONDS = 9 * 86_400
ATTEMPTS = 20


class _Crossed(Exception):
    """Write conflict with another call of the same person."""


@dataclass(frozen=True, slots=True)
class Viewed:
    """A viewer of a story and their current reaction. `at`: seconds since the epoch; `emoji`: an index, or None."""

    id: str
    at: float
    emoji: int | None


def partition_of(tenant_id: str, story_id: str) -> str:
    """Return the partition that holds a story's views, reactions, reports and sums."""
    return f"{tenant_id}/{story_id}"


class Activity:
    """Writes views and reactions. Can raise `StoreUnavailable`; repeating the same call is safe then."""

    def __init__(self, documents: DocumentStore, seen: SeenStories) -> None:
        self._documents = documents
        self._seen = seen

    async def view(self, viewer: Person, story: Story, now: float, *, personal: bool = True) -> bool:
        """Record a view; return whether it is new. `personal`: whether it can change the viewer's own ranked row."""
        await self._seen.add(viewer, story, now, personal=personal)
        body = {
            "id": VIEW + viewer.id,
            "kind": "view",
            "authorId": story.author_id,
            "viewedAt": now,
            "counted": False,
            "ttl": KEEP_SECONDS,
        }
        try:
            await self._documents.write(STORY_ACTIVITY, partition_of(viewer.tenant_id, story.id), [Create(body)])
        except WriteRejected:
            return False  # written by an earlier call, or by this one when the store's response was lost
        return True

    async def react(self, who: Person, story: Story, emoji: int | None, now: float, *, personal: bool = True) -> bool:
        """Replace a person's reaction (None removes it); return whether anything changed.

        `personal`: whether it can change that person's own ranked row.
        """
        await self._seen.add(who, story, now, reacted=emoji is not None, personal=personal)
        partition, id = partition_of(who.tenant_id, story.id), REACTION + who.id

        async def once() -> bool:
            stored = await self._documents.read(STORY_ACTIVITY, partition, id, latest=True)
            if (stored.body["emoji"] if stored else None) == emoji:
                return False
            body = {
                "id": id,
                "kind": "reaction",
                "authorId": story.author_id,
                "emoji": emoji,
                "createdAt": now,
                "counted": stored.body["counted"] if stored else None,
                "countedOn": stored.body["countedOn"] if stored else None,
                "ttl": KEEP_SECONDS,
            }
            try:
                change = Create(body) if stored is None else Replace(body, stored.etag)
                await self._documents.write(STORY_ACTIVITY, partition, [change])
            except WriteRejected as refused:
                raise _Crossed from refused
            return True

        try:
            return await retry(once, (_Crossed,), attempts=ATTEMPTS, first_pause=0.002, longest_pause=0.05)
        except _Crossed as crossed:
            raise StoreUnavailable("a reaction changes faster than it can be written", 1.0) from crossed

    async def viewers(
        self, tenant_id: str, story_id: str, after: str | None, limit: int
    ) -> tuple[list[Viewed], str | None]:
        """Return a page of viewers in the order of their ids, and the id to continue after (None at the end)."""
        partition, last = partition_of(tenant_id, story_id), None if after is None else VIEW + after
        page = await self._documents.query(STORY_ACTIVITY, partition, id_prefix=VIEW, after=last, limit=limit)
        found = []
        for each in page.documents:
            id = each.id.removeprefix(VIEW)
            reaction = await self._documents.read(STORY_ACTIVITY, partition, REACTION + id)
            found.append(Viewed(id, each.body["viewedAt"], reaction.body["emoji"] if reaction else None))
        return found, None if page.next is None else page.next.removeprefix(VIEW)


def is_pending(document: Document) -> bool:
    """Return whether the sums lack a view or reaction, or still hold its earlier value."""
    if document.id.startswith(VIEW):
        return document.body.get("counted") is False
    return document.id.startswith(REACTION) and document.body.get("counted") != document.body.get("emoji")
