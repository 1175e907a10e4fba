"""Stores which stories a person has seen: for unseen counts, closeness to authors, and erasure.

The document is written before the view or reaction itself. So an erasure finds every view and reaction through it,
except those of stories older than the newest `MAX_SEEN`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from shared.adapters.documents.port import PEOPLE, Create, DocumentStore, Replace, StoreUnavailable, WriteRejected
from shared.adapters.retry import retry
from stories.closeness import NOBODY_CLOSE, Closeness
from stories.identity import Person
from stories.story import Story

SEEN_ID = "seen"
MAX_SEEN = 1_000
MAX_REACTED = 200
"""Newest reactions that are remembered. Changing an older one counts towards closeness again."""
KEEP_SECONDS = 9 * 86_400
ATTEMPTS = 20


class _Crossed(Exception):
    """Write conflict with another call of the same person."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A person's seen stories, as ids with the latest last, and their closeness to authors."""

    stories: list[str] = field(default_factory=list)
    closeness: Closeness = NOBODY_CLOSE


class SeenStories:
    """Reads and writes the document of seen stories. Can raise `StoreUnavailable`."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def read(self, person: Person) -> Seen:
        """Read seen stories and closeness as stored now."""
        stored = await self._documents.read(PEOPLE, person.partition, SEEN_ID, latest=True)
        if stored is None:
            return Seen()
        return Seen(_texts(stored.body["stories"]), Closeness.from_text(stored.body.get("closeness")))

    async def of(self, person: Person, *, latest: bool = False) -> list[str]:
        """Read the ids of seen stories, the latest last."""
        stored = await self._documents.read(PEOPLE, person.partition, SEEN_ID, latest=latest)
        return _texts(stored.body["stories"]) if stored else []

    async def add(
        self, person: Person, story: Story, now: float, *, reacted: bool = False, personal: bool = True
    ) -> None:
        """Record that a story was seen, and a first reaction to it. Writes nothing if both are recorded already.

        Each counts once towards closeness, because both are written together. Without `personal` neither counts.
        """

        async def once() -> None:
            stored = await self._documents.read(PEOPLE, person.partition, SEEN_ID, latest=True)
            body = stored.body if stored else {}
            stories, reactions = body.get("stories", []), body.get("reacted", [])
            new = [story.id] if story.id not in stories else []
            new_reaction = [story.id] if reacted and personal and story.id not in reactions else []
            if not new and not new_reaction:
                return
            close = Closeness.from_text(body.get("closeness"))
            if personal and story.author_id != person.id:
                close = close.adding(story.author_key, len(new) + len(new_reaction), now)
            body = {
                "id": SEEN_ID,
                "kind": "seen",
                "stories": [*stories, *new][-MAX_SEEN:],
                "reacted": [*reactions, *new_reaction][-MAX_REACTED:],
                "closeness": close.to_text(),
                "ttl": KEEP_SECONDS,
            }
            try:
                change = Create(body) if stored is None else Replace(body, stored.etag)
                await self._documents.write(PEOPLE, person.partition, [change])
            except WriteRejected as refused:
                raise _Crossed from refused

        try:
            await retry(once, (_Crossed,), attempts=ATTEMPTS, first_pause=0.002, longest_pause=0.05)
        except _Crossed as crossed:
            raise StoreUnavailable("what somebody has seen changes faster than it can be written", 1.0) from crossed


def _texts(values: Iterable[Any]) -> list[str]:
    return [str(each) for each in values]
