"""Posts stories: at most one per Idempotency-Key and 20 a minute per author, across all processes.

    1  one batch in the author's partition: the key (fails if it was used), the minute's posts (only if unchanged), and
       a pointer to the story
    2  the story itself, created once by its id

If the process dies between the two, nobody has seen the story and the client got no response. It repeats the call with
its key, which finds the same id and writes the story. A pointer without a story is never shown and expires by itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from shared.adapters.documents.port import (
    PEOPLE,
    STORIES,
    Create,
    Document,
    DocumentStore,
    Operation,
    Replace,
    StoreUnavailable,
    WriteRejected,
)
from shared.adapters.retry import retry
from shared.domain import alphabet
from shared.domain.formats import is_number
from shared.domain.records import Tenant
from shared.web.problems import Problem
from stories.identity import Person
from stories.media_check import MediaCheck
from stories.story import Story, bucket_of, new_story_id
from stories.story_catalog import MAX_STORIES, StoryCatalogs
from stories.story_forms import StoryForm

POSTS_A_MINUTE, MINUTE_SECONDS = 20, 60.0
LIMITS_ID, POST, IDEMPOTENT = "limits", "post:", "idem:"
POINTER_SECONDS = 9 * 86_400
IDEMPOTENT_SECONDS = 86_400
LIMITS_SECONDS = 3_600
ATTEMPTS = 60
_LATEST_MS = 10**13


class _Crossed(Exception):
    """Write conflict: read again and retry."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The id and creation time assigned to a story. `new`: this call assigned them."""

    story_id: str
    created_at: float
    hours: int
    new: bool


class Posting:
    """Writes stories. Can raise `StoreUnavailable`; repeating the same call with its key is safe then."""

    def __init__(self, documents: DocumentStore, catalogs: StoryCatalogs, media: MediaCheck) -> None:
        self._documents = documents
        self._catalogs = catalogs
        self._media = media

    async def post(
        self, author: Person, form: StoryForm, tenant: Tenant, idempotency_key: str, now: float
    ) -> tuple[Story, bool]:
        """Create a story, or find the one of this key; return it and whether it is new.

        Raises a `Problem`: 409 `idempotency_conflict`, `media_not_ready`, 429 `rate_limited`, `stories_full`.
        """
        columns = await self._catalogs.get(tenant.id)
        if len(columns) >= MAX_STORIES and columns.drop_ended(now) >= MAX_STORIES:
            raise Problem(
                429, "stories_full", "The tenant has reached its limit of active stories. Try again later.", 60.0
            )
        media = None
        if form.media_key is not None:
            media = await self._media.accepted(author, form.media_key)
            if media is None:
                raise Problem(
                    409,
                    "media_not_ready",
                    "You have no completed upload with this mediaKey. Complete the upload first.",
                )
        try:
            place = await retry(
                lambda: self._place(author, form, tenant, idempotency_key, now),
                (_Crossed,),
                attempts=ATTEMPTS,
                first_pause=0.002,
                longest_pause=0.05,
            )
        except _Crossed as crossed:
            raise StoreUnavailable("the author's posts change faster than they can be written", 1.0) from crossed
        story = form.story(place.story_id, author, media, place.created_at, place.hours)
        story, created = await self._create(tenant.id, story, now)
        self._catalogs.apply(tenant.id, story)
        return story, created and place.new

    async def _place(self, author: Person, form: StoryForm, tenant: Tenant, key: str, now: float) -> _Place:
        id, sent = IDEMPOTENT + _hashed(key), form.fingerprint()
        if key:
            known = await self._read(author, id)
            if known is not None:
                if known.body["sent"] != sent:
                    raise Problem(
                        409,
                        "idempotency_conflict",
                        "This Idempotency-Key was already used with another body. Send a new key.",
                    )
                return _Place(known.body["storyId"], known.body["createdAt"], known.body["hours"], new=False)
        limits = await self._read(author, LIMITS_ID)
        posts = [at for at in (limits.body["posts"] if limits else []) if is_number(at) and at > now - MINUTE_SECONDS]
        if len(posts) >= POSTS_A_MINUTE:
            wait = min(posts) + MINUTE_SECONDS - now
            raise Problem(
                429,
                "rate_limited",
                f"A person can post at most {POSTS_A_MINUTE} stories a minute. Wait the seconds in Retry-After.",
                wait,
            )
        story_id = new_story_id(author, now)
        body = {"id": LIMITS_ID, "kind": "limits", "posts": [*posts, now], "ttl": LIMITS_SECONDS}
        pointer = {
            "id": f"{POST}{_LATEST_MS - int(now * 1000):013d}:{story_id}",
            "kind": "post",
            "storyId": story_id,
            "createdAt": now,
            "ttl": POINTER_SECONDS,
        }
        operations: list[Operation] = [Create(body) if limits is None else Replace(body, limits.etag), Create(pointer)]
        if key:
            note = {"id": id, "kind": "idem", "storyId": story_id, "createdAt": now, "hours": tenant.story_hours}
            operations.append(Create({**note, "sent": sent, "ttl": IDEMPOTENT_SECONDS}))
        try:
            await self._documents.write(PEOPLE, author.partition, operations)
        except WriteRejected as refused:
            raise _Crossed from refused
        return _Place(story_id, now, tenant.story_hours, new=True)

    async def _create(self, tenant_id: str, story: Story, now: float) -> tuple[Story, bool]:
        """Write the story, or read the stored one; return it and whether this call wrote it."""
        try:
            await self._documents.write(STORIES, bucket_of(tenant_id, story.id), [Create(story.to_document(now))])
        except WriteRejected as refused:
            stored = await self._catalogs.stored(tenant_id, story.id)
            if stored is None:
                raise StoreUnavailable("a story is neither there nor can be written") from refused
            return stored, False
        return story, True

    async def _read(self, author: Person, id: str) -> Document | None:
        return await self._documents.read(PEOPLE, author.partition, id, latest=True)


def _hashed(key: str) -> str:
    return alphabet.to_text(hashlib.blake2b(key.encode(), digest_size=16).digest())
