"""Who saw a story and what they made of it: one small document for each fact, beside the story's others.

    view:PERSON        created once; the same again changes nothing
    reaction:PERSON    one for each person; another emoji replaces it, taking it back leaves it empty

Nothing is added up here. Each document says itself what of it is counted (`counted`), and whoever counts it
(stories/counts.py) says so in the same batch as the sums: killed anywhere, nothing is lost and nothing counts twice.
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
    """Another call of the same person wrote in between."""


@dataclass(frozen=True, slots=True)
class Viewed:
    """Somebody who saw a story, and what they make of it now: the number of an emoji, or None."""

    id: str
    at: float
    emoji: int | None


def partition_of(tenant_id: str, story_id: str) -> str:
    """Where everything about a story lies."""
    return f"{tenant_id}/{story_id}"


class Activity:
    """Writes facts. May raise `StoreUnavailable`: the same call may be repeated then."""

    def __init__(self, documents: DocumentStore, seen: SeenStories) -> None:
        self._documents = documents
        self._seen = seen

    async def view(self, viewer: Person, story: Story, now: float, *, personal: bool = True) -> bool:
        """Note that somebody saw a story; whether that is new. `personal`: whether it may change their own order."""
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
            return False  # by an earlier call, or by this one before its answer was lost
        return True

    async def react(self, who: Person, story: Story, emoji: int | None, now: float, *, personal: bool = True) -> bool:
        """Put a reaction in place of the one before, None for none; whether that changes anything."""
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
        """A page of who saw a story, in the order of their ids, and where the next one goes on."""
        partition, last = partition_of(tenant_id, story_id), None if after is None else VIEW + after
        page = await self._documents.query(STORY_ACTIVITY, partition, id_prefix=VIEW, after=last, limit=limit)
        found = []
        for each in page.documents:
            id = each.id.removeprefix(VIEW)
            reaction = await self._documents.read(STORY_ACTIVITY, partition, REACTION + id)
            found.append(Viewed(id, each.body["viewedAt"], reaction.body["emoji"] if reaction else None))
        return found, None if page.next is None else page.next.removeprefix(VIEW)


def is_pending(document: Document) -> bool:
    """Whether a fact is not, or not rightly, in the sums yet."""
    if document.id.startswith(VIEW):
        return document.body.get("counted") is False
    return document.id.startswith(REACTION) and document.body.get("counted") != document.body.get("emoji")
