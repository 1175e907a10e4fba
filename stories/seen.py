"""Which stories somebody has seen or reacted to: what their row calls unseen, how close it makes them to the authors,
and how an erasure finds what they left.

Written before the view or reaction itself, so nothing is left anywhere that is not named here, but for what the newest
`MAX_SEEN` have pushed out.
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
"""A reaction that is changed counts once more towards closeness when it is not among so many newest."""
KEEP_SECONDS = 9 * 86_400
ATTEMPTS = 20


class _Crossed(Exception):
    """Another call of the same person wrote in between."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What somebody has seen: ids of stories, the latest last, and how close that makes them to whom."""

    stories: list[str] = field(default_factory=list)
    closeness: Closeness = NOBODY_CLOSE


class SeenStories:
    """Reads and writes the document. May raise `StoreUnavailable`."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def read(self, person: Person) -> Seen:
        """All of it, as it is stored now."""
        stored = await self._documents.read(PEOPLE, person.partition, SEEN_ID, latest=True)
        if stored is None:
            return Seen()
        return Seen(_texts(stored.body["stories"]), Closeness.from_text(stored.body.get("closeness")))

    async def of(self, person: Person, *, latest: bool = False) -> list[str]:
        """Ids of stories, the latest last."""
        stored = await self._documents.read(PEOPLE, person.partition, SEEN_ID, latest=latest)
        return _texts(stored.body["stories"]) if stored else []

    async def add(
        self, person: Person, story: Story, now: float, *, reacted: bool = False, personal: bool = True
    ) -> None:
        """Note a story, and a first reaction to it; what is noted already costs no write. Each counts once towards
        closeness: it is in the same write as what tells that it was counted. Not `personal`: neither ever does."""

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
