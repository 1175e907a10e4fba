"""A story: a post that ends after the tenant's `storyHours`. Pure.

Its id is a ULID (github.com/ulid/spec) followed by the author's shard, so the id alone determines the partition
(bucket).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.domain.formats import Format, is_number
from shared.domain.records import MAX_STORY_HOURS, rating_rank
from stories.identity import Person, is_public_id, key_of

PUBLIC, FRIENDS, PRIVATE = "public", "friends", "private"
VISIBILITIES = (PUBLIC, FRIENDS, PRIVATE)
LIVE, HELD, EXPIRED, DELETED, REMOVED = "live", "held", "expired", "deleted", "removed"
STATES = (LIVE, HELD, EXPIRED, DELETED, REMOVED)
TEXT, IMAGE, VIDEO = "text", "image", "video"
SHARDS = 4
HOUR_SECONDS = 3_600
BROOM_SECONDS = 2 * 86_400
"""How long a story stays stored after its end. Nobody sees it then."""
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
STORY_ID = Format(r"[0-7][0-9A-HJKMNP-TV-Z]{25}-[0-3]", "the id of a story")


@dataclass(frozen=True, slots=True)
class Media:
    """A picture or clip that the story's author uploaded and the service checked. `kind`: image or video."""

    key: str
    kind: str
    content_type: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """One story. Times are in seconds since the epoch; `rating` is the name of its maturity rating."""

    id: str
    author_id: str
    created_at: float
    expires_at: float
    visibility: str
    text: str | None = None
    media: Media | None = None
    audience: tuple[str, ...] = ()
    rating: str = ""
    category: str | None = None
    tags: tuple[str, ...] = ()
    state: str = LIVE

    @property
    def author_key(self) -> int:
        return key_of(self.author_id)

    @property
    def rating_rank(self) -> int:
        return rating_rank(self.rating)

    @property
    def kind(self) -> str:
        return TEXT if self.media is None else self.media.kind

    def to_document(self, now: float) -> dict[str, Any]:
        """Return the stored shape. The store deletes it two days after the story ends."""
        media = self.media
        return {
            "id": self.id,
            "kind": "story",
            "authorId": self.author_id,
            "createdAt": self.created_at,
            "expiresAt": self.expires_at,
            "visibility": self.visibility,
            "text": self.text,
            "media": None
            if media is None
            else {
                "key": media.key,
                "kind": media.kind,
                "contentType": media.content_type,
                "width": media.width,
                "height": media.height,
                "durationSeconds": media.duration_seconds,
            },
            "audience": list(self.audience),
            "maturityRating": self.rating,
            "category": self.category,
            "tags": list(self.tags),
            "state": self.state,
            "ttl": max(1, int(self.expires_at - now) + BROOM_SECONDS),
        }

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> Story | None:
        """Parse a stored document. Unreadable fields fail closed.

        None if id, author or times are unreadable; private if the visibility or audience is; removed if the state is;
        above every policy if the rating is.
        """
        id, author, created, expires = (body.get(name) for name in ("id", "authorId", "createdAt", "expiresAt"))
        if not (isinstance(id, str) and STORY_ID.matches(id) and isinstance(author, str) and is_public_id(author)):
            return None
        if not (is_number(created) and is_number(expires)):
            return None
        visibility, audience, tags = body.get("visibility"), body.get("audience"), body.get("tags")
        members = audience if isinstance(audience, list) else ["unreadable"]
        readable = visibility in VISIBILITIES and all(map(is_public_id, members))
        state, category = body.get("state"), body.get("category")
        text = body.get("text")
        return cls(
            id=id,
            author_id=author,
            created_at=float(created),  # type: ignore[arg-type]
            expires_at=min(float(expires), float(created) + MAX_STORY_HOURS * HOUR_SECONDS),  # type: ignore[arg-type]
            visibility=str(visibility) if readable else PRIVATE,
            text=text if isinstance(text, str) else None,
            media=_media(body.get("media")),
            audience=tuple(members) if readable else (),
            rating=str(body.get("maturityRating") or ""),
            category=category if isinstance(category, str) else None,
            tags=tuple(each for each in tags if isinstance(each, str)) if isinstance(tags, list) else (),
            state=state if state in STATES else REMOVED,
        )


def _media(body: object) -> Media | None:
    if not isinstance(body, dict) or not isinstance(body.get("key"), str):
        return None
    return Media(
        body["key"],
        str(body.get("kind")),
        str(body.get("contentType")),
        body.get("width"),
        body.get("height"),
        body.get("durationSeconds"),
    )


def new_story_id(author: Person, now: float) -> str:
    """Return a new id that nobody can guess. `now` in seconds since the epoch."""
    number = (int(now * 1000) << 80) | secrets.randbits(80)
    letters = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
    return f"{letters}-{author.key % SHARDS}"


def created_ms(story_id: str) -> int:
    """Return the creation time in a story id, in ms since the epoch."""
    number = 0
    for letter in story_id[:10]:
        number = number * 32 + _VALUES[letter]
    return number


def bucket_of(tenant_id: str, story_id: str) -> str:
    """Return the partition for a story id; the story need not exist."""
    return f"{tenant_id}/{_hour(created_ms(story_id) / 1000)}/{story_id[-1]}"


def buckets_between(tenant_id: str, start: float, end: float) -> list[str]:
    """Return every partition that can hold a story created from `start` to `end` (seconds), both included."""
    hours = range(int(start // HOUR_SECONDS), int(end // HOUR_SECONDS) + 1)
    return [f"{tenant_id}/{_hour(hour * HOUR_SECONDS)}/{shard}" for hour in hours for shard in range(SHARDS)]


def _hour(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H")
