"""Which stories somebody has seen or reacted to: what their row calls unseen, and how an erasure finds what they left.

Written before the view or reaction itself, so nothing is left anywhere that is not named here, but for what the newest
`MAX_SEEN` have pushed out.
"""

from __future__ import annotations

from shared.adapters.documents.port import PEOPLE, Create, DocumentStore, Replace, StoreUnavailable, WriteRejected
from shared.adapters.retry import retry
from stories.identity import Person

SEEN_ID = "seen"
MAX_SEEN = 1_000
KEEP_SECONDS = 9 * 86_400
ATTEMPTS = 20


class _Crossed(Exception):
    """Another call of the same person wrote in between."""


class SeenStories:
    """Reads and writes the list. May raise `StoreUnavailable`."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def of(self, person: Person, *, latest: bool = False) -> list[str]:
        """Ids of stories, the latest last."""
        stored = await self._documents.read(PEOPLE, person.partition, SEEN_ID, latest=latest)
        return [str(each) for each in stored.body["stories"]] if stored else []

    async def add(self, person: Person, story_id: str) -> None:
        """Note a story; one that is noted already costs no write."""

        async def once() -> None:
            stored = await self._documents.read(PEOPLE, person.partition, SEEN_ID, latest=True)
            before = stored.body["stories"] if stored else []
            if story_id in before:
                return
            seen = [*before, story_id][-MAX_SEEN:]
            body = {"id": SEEN_ID, "kind": "seen", "stories": seen, "ttl": KEEP_SECONDS}
            try:
                change = Create(body) if stored is None else Replace(body, stored.etag)
                await self._documents.write(PEOPLE, person.partition, [change])
            except WriteRejected as refused:
                raise _Crossed from refused

        try:
            await retry(once, (_Crossed,), attempts=ATTEMPTS, first_pause=0.002, longest_pause=0.05)
        except _Crossed as crossed:
            raise StoreUnavailable("what somebody has seen changes faster than it can be written", 1.0) from crossed
