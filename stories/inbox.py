"""An author's inbox: the newest 100 view and reaction events of the last 24 hours, in one document per author.

Events are numbered as they arrive, so `after` also finds events that were added late. The event id is a hash of the
fact, so adding it twice has no effect. The process that stored the view or reaction adds the event at once; the counter
(stories/counts.py) adds it later if that process failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters.documents.port import (
    PEOPLE,
    Create,
    DocumentStore,
    Json,
    Replace,
    StoreUnavailable,
    WriteRejected,
)
from shared.adapters.retry import retry
from shared.domain import alphabet
from stories.identity import Person

INBOX_ID = "inbox"
MAX_EVENTS = 100
KEEP_SECONDS = 86_400
VIEWED, REACTED = "story.viewed", "story.reacted"
ATTEMPTS = 30
Nudge = Callable[[Person, Sequence[Json]], Awaitable[None]]
"""Called with events that were just added to an inbox. It must not raise."""


class _Crossed(Exception):
    """Write conflict with another process that added to the same inbox."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events in the order of their arrival. `next` is the number to continue after; `missed`: earlier ones are gone."""

    events: list[Json]
    next: int
    missed: bool


async def _no_nudge(person: Person, events: Sequence[Json]) -> None:
    return None


class Inbox:
    """Reads and writes inboxes. Can raise `StoreUnavailable`."""

    def __init__(self, documents: DocumentStore, clock: Callable[[], float], nudge: Nudge = _no_nudge) -> None:
        self._documents = documents
        self._clock = clock
        self.nudge = nudge

    async def add(self, author: Person, events: Sequence[Json]) -> None:
        """Add events to an author's inbox, skipping those it already has, and call `nudge` with the new ones."""

        async def once() -> list[Json]:
            stored = await self._documents.read(PEOPLE, author.partition, INBOX_ID, latest=True)
            before, number = (stored.body["events"], stored.body["number"]) if stored else ([], 0)
            known = {each["id"] for each in before}
            oldest = min((each["at"] for each in before), default=0.0) if len(before) >= MAX_EVENTS else 0.0
            new = [each for each in events if each["id"] not in known and each["at"] >= oldest]
            if not new:
                return []
            numbered = [{**each, "number": number + place} for place, each in enumerate(new, 1)]
            body = {
                "id": INBOX_ID,
                "kind": "inbox",
                "events": [*before, *numbered][-MAX_EVENTS:],
                "number": number + len(new),
                "ttl": KEEP_SECONDS,
            }
            try:
                change = Create(body) if stored is None else Replace(body, stored.etag)
                await self._documents.write(PEOPLE, author.partition, [change])
            except WriteRejected as refused:
                raise _Crossed from refused
            return numbered

        try:
            told = await retry(once, (_Crossed,), attempts=ATTEMPTS, first_pause=0.002, longest_pause=0.05)
        except _Crossed as crossed:
            raise StoreUnavailable("an inbox changes faster than it can be written", 1.0) from crossed
        if told:
            await self.nudge(author, told)

    async def after(self, author: Person, number: int) -> Events:
        """Return an author's events of the last 24 hours that come after the event of this number."""
        stored = await self._documents.read(PEOPLE, author.partition, INBOX_ID, latest=True)
        if stored is None:
            return Events([], number, False)
        held = stored.body["events"]
        since = self._clock() - KEEP_SECONDS
        events = [each for each in held if each["number"] > number and each["at"] > since]
        missed = bool(held) and number < held[0]["number"] - 1 and number > 0
        return Events(events, max(number, stored.body["number"]), missed)


def event_of(story_id: str, fact_id: str, body: Mapping[str, Any]) -> Json | None:
    """Build the event of a stored view or reaction; None for a removed reaction."""
    kind, _, who = fact_id.partition(":")
    viewed = kind == "view"
    emoji = None if viewed else body["emoji"]
    if not viewed and emoji is None:
        return None
    at = body["viewedAt"] if viewed else body["createdAt"]
    name = f"{story_id}|{who}|view" if viewed else f"{story_id}|{who}|reaction|{int(at * 1000)}"
    event = {
        "id": alphabet.to_text(hashlib.blake2b(name.encode(), digest_size=16).digest()),
        "type": VIEWED if viewed else REACTED,
        "storyId": story_id,
        "personId": who,
        "at": at,
    }
    return event if viewed else {**event, "emoji": emoji}
