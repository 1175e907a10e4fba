"""Exports and erases everything stored about one person by stories and the social graph.

An erasure deletes the person's stories, then their views, reactions and reports of other stories, then the follows and
blocks that others store, and their own partition last. So an interrupted erasure finds the rest when it is repeated.
Blocks that others made against the person stay, as 64-bit keys: a person who returns has the same id and must stay
blocked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from media.tickets import PREFIX as UPLOAD
from media.tickets import Ticket
from shared.adapters.documents.port import (
    MAX_OPERATIONS,
    PEOPLE,
    STORIES,
    STORY_ACTIVITY,
    Container,
    Delete,
    Document,
    DocumentStore,
    Replace,
    StoreUnavailable,
    WriteRejected,
    query_all,
)
from shared.domain.formats import iso_time
from shared.domain.keys import Identity
from stories.activity import REACTION, VIEW, partition_of
from stories.circle import CIRCLE_ID, Circle
from stories.graph import BLOCK, FOLLOW, FOLLOWER, Graph
from stories.identity import Person, person_of
from stories.media_check import MediaCheck
from stories.moderation import REPORT, REPORTED
from stories.posting import POST
from stories.responses import (
    BlockedPerson,
    CloseAuthor,
    ExportedPerson,
    ExportedReport,
    ExportedStory,
    ExportedUpload,
    FollowedPerson,
    FollowerItem,
    SeenStory,
)
from stories.seen import SeenStories
from stories.story import DELETED, Story, bucket_of
from stories.story_catalog import StoryCatalogs
from stories.story_forms import EMOJI
from stories.story_totals import TOTALS

TOMBSTONE_SECONDS = 86_400
AT_ONCE = 16
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class PersonalData:
    """Exports and erases. Can raise `StoreUnavailable`, an erasure also `BlobsUnavailable`: repeat the call then."""

    documents: DocumentStore
    identity: Identity
    graph: Graph
    seen: SeenStories
    catalogs: StoryCatalogs
    media: MediaCheck

    async def export(self, tenant_id: str, user_key: str) -> ExportedPerson | None:
        """Return everything stored about a user; None if there is nothing."""
        person = person_of(self.identity, tenant_id, user_key)
        held = await query_all(self.documents, PEOPLE, person.partition)
        if not held:
            return None
        stories = await self._each(_named(held, POST, "storyId"), lambda id: self._story(tenant_id, id))
        seen = await self.seen.read(person)
        viewed = await self._each(seen.stories, lambda id: self._seen_story(person, id))
        reports = await self._each(_named(held, REPORTED, "storyId"), lambda id: self._report(person, id))
        return ExportedPerson.unchecked(
            id=person.id,
            follows=[
                FollowedPerson.unchecked(
                    kind="person", id=id, state=body["state"], followed_at=iso_time(body["createdAt"])
                )
                for id, body in _of_kind(held, FOLLOW)
            ],
            followers=[
                FollowerItem.unchecked(id=id, state=body["state"], since=iso_time(body["since"]))
                for id, body in _of_kind(held, FOLLOWER)
            ],
            blocks=[BlockedPerson.unchecked(id=id, at=iso_time(body["at"])) for id, body in _of_kind(held, BLOCK)],
            stories=[
                ExportedStory.unchecked(
                    id=each.id,
                    text=each.text,
                    media_key=each.media.key if each.media else None,
                    visibility=each.visibility,
                    audience_user_ids=list(each.audience),
                    state=each.state,
                    created_at=iso_time(each.created_at),
                    expires_at=iso_time(each.expires_at),
                )
                for each in stories
                if each is not None
            ],
            seen=viewed,
            reports=[each for each in reports if each is not None],
            uploads=[
                ExportedUpload.unchecked(
                    upload_id=each.id,
                    content_type=each.content_type,
                    bytes=each.bytes,
                    state=each.state,
                    issued_at=iso_time(each.issued_at),
                )
                for each in (Ticket.read(each.body) for each in held if each.id.startswith(UPLOAD))
            ],
            close_to=[
                CloseAuthor.unchecked(id_begins=begins, amount=amount, at=iso_time(at))
                for begins, amount, at in seen.closeness.entries_by_id()
            ],
        )

    async def erase(self, tenant_id: str, user_key: str, now: float) -> dict[str, int]:
        """Erase a user; return the number of deleted items by kind."""
        person = person_of(self.identity, tenant_id, user_key)
        erased: Counter[str] = Counter()
        for _ in range(ATTEMPTS):
            held = await query_all(self.documents, PEOPLE, person.partition)
            if all(each.id == CIRCLE_ID for each in held):
                await self._keep_blocks_by_others(person)
                return dict(erased)
            for story_id in _named(held, POST, "storyId"):
                was_there = await self._erase_story(person, story_id, now)
                erased["stories"] += was_there
            for story_id in await self.seen.of(person, latest=True):
                partition = partition_of(tenant_id, story_id)
                left = await self._delete(STORY_ACTIVITY, partition, [VIEW + person.id, REACTION + person.id])
                erased["storyViews"] += left
            for story_id in _named(held, REPORTED, "storyId"):
                left = await self._delete(STORY_ACTIVITY, partition_of(tenant_id, story_id), [REPORT + person.id])
                erased["storyReports"] += left
            others = {kind: [id for id, _ in _of_kind(held, kind)] for kind in (FOLLOW, FOLLOWER, BLOCK)}
            for id in sorted(set().union(*others.values())):
                await self.graph.forget(Person(tenant_id, id), person)
            erased["follows"] += len(others[FOLLOW]) + len(others[FOLLOWER])
            erased["blocks"] += len(others[BLOCK])
            own = [each.id for each in held if each.id != CIRCLE_ID]
            await self._delete(PEOPLE, person.partition, own)
        raise StoreUnavailable("the person writes faster than they can be erased", 1.0)

    async def _keep_blocks_by_others(self, person: Person) -> None:
        stored = await self.graph.circle(person, latest=True)
        if stored.etag is None:
            return
        kept = Circle(blocked_by=stored.circle.blocked_by)
        change = stored.write(kept) if len(kept.blocked_by) else Delete(CIRCLE_ID, stored.etag)
        try:
            await self.documents.write(PEOPLE, person.partition, [change])
        except WriteRejected as refused:
            raise StoreUnavailable("the person was written at the same time", 1.0) from refused

    async def _erase_story(self, person: Person, story_id: str, now: float) -> bool:
        """Replace a story by a tombstone, which other instances read from the change feed, and delete its activity."""
        partition = bucket_of(person.tenant_id, story_id)
        stored = await self.documents.read(STORIES, partition, story_id, latest=True)
        await self._delete(STORIES, partition, [TOTALS + story_id])
        activity = partition_of(person.tenant_id, story_id)
        found = await query_all(self.documents, STORY_ACTIVITY, activity)
        await self._delete(STORY_ACTIVITY, activity, [each.id for each in found])
        if stored is None:
            return False
        story = Story.from_document(stored.body)
        if story is not None and story.media is not None:
            await self.media.remove(person.tenant_id, story.media.key)
        body = {
            **stored.body,
            "text": None,
            "media": None,
            "audience": [],
            "category": None,
            "tags": [],
            "state": DELETED,
            "deletedAt": now,
            "why": "erased",
            "ttl": TOMBSTONE_SECONDS,
        }
        try:
            await self.documents.write(STORIES, partition, [Replace(body, stored.etag)])
        except WriteRejected as refused:
            raise StoreUnavailable("a story was written at the same time", 1.0) from refused
        if (gone := Story.from_document(body)) is not None:
            self.catalogs.apply(person.tenant_id, gone)
        return True

    async def _delete(self, container: Container, partition: str, ids: Sequence[str]) -> int:
        """Delete those of the documents that exist; return how many did."""
        there = [id for id in ids if await self.documents.read(container, partition, id, latest=True) is not None]
        for begin in range(0, len(there), MAX_OPERATIONS):
            some = there[begin : begin + MAX_OPERATIONS]
            try:
                await self.documents.write(container, partition, [Delete(id) for id in some])
            except WriteRejected:  # one of them ended in between
                for id in some:
                    try:
                        await self.documents.write(container, partition, [Delete(id)])
                    except WriteRejected:
                        continue
        return len(there)

    async def _story(self, tenant_id: str, story_id: str) -> Story | None:
        return await self.catalogs.stored(tenant_id, story_id)

    async def _report(self, person: Person, story_id: str) -> ExportedReport | None:
        partition = partition_of(person.tenant_id, story_id)
        found = await self.documents.read(STORY_ACTIVITY, partition, REPORT + person.id)
        if found is None:  # the process died before it wrote the report, or the report's time to live is over
            return None
        return ExportedReport.unchecked(
            story_id=story_id, reason=found.body["reason"], text=found.body["text"], at=iso_time(found.body["at"])
        )

    async def _seen_story(self, person: Person, story_id: str) -> SeenStory:
        partition = partition_of(person.tenant_id, story_id)
        view = await self.documents.read(STORY_ACTIVITY, partition, VIEW + person.id)
        reaction = await self.documents.read(STORY_ACTIVITY, partition, REACTION + person.id)
        emoji = reaction.body["emoji"] if reaction else None
        return SeenStory.unchecked(
            story_id=story_id,
            viewed_at=iso_time(view.body["viewedAt"]) if view else None,
            emoji=None if emoji is None else EMOJI[emoji],
        )

    async def _each(self, ids: Sequence[str], look: Any) -> list[Any]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(id: str) -> Any:
            async with turns:
                return await look(id)

        return list(await asyncio.gather(*map(one, ids)))


def _of_kind(held: Sequence[Document], prefix: str) -> list[tuple[str, Any]]:
    return [(each.id.removeprefix(prefix), each.body) for each in held if each.id.startswith(prefix)]


def _named(held: Sequence[Document], prefix: str, name: str) -> list[str]:
    return [str(each.body[name]) for each in held if each.id.startswith(prefix)]
