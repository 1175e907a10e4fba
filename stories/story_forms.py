"""Validates request bodies for posting a story and for reacting. Pure. Invalid bodies raise a 400 `Problem`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.domain.records import RATINGS, Tenant, policy_rank
from shared.domain.text import clean, what_is_wrong
from shared.web.problems import Problem, bad_request
from stories.identity import Person, is_public_id
from stories.story import FRIENDS, HOUR_SECONDS, VISIBILITIES, Media, Story

MAX_TEXT, MAX_AUDIENCE, MAX_TAGS, MAX_WORD, MAX_MEDIA_KEY = 500, 100, 5, 64, 200
FIELDS = ("text", "mediaKey", "visibility", "audienceUserIds", "category", "tags", "maturityRating")
EMOJI = ("👍", "❤️", "😂", "😮", "😢", "🔥")
_SELECTOR = "\ufe0f"
_PLAIN = {each.replace(_SELECTOR, ""): number for number, each in enumerate(EMOJI)}


@dataclass(frozen=True, slots=True)
class StoryForm:
    """A story as its author sent it. Everything is validated except that its media exists."""

    visibility: str
    text: str | None
    media_key: str | None
    audience: tuple[str, ...]
    rating: str
    category: str | None
    tags: tuple[str, ...]

    def fingerprint(self) -> str:
        """Return a hash that differs for two bodies sent with the same Idempotency-Key."""
        said = [getattr(self, name) for name in self.__slots__]
        return hashlib.blake2b(orjson.dumps(said), digest_size=16).hexdigest()

    def story(self, id: str, author: Person, media: Media | None, created_at: float, hours: int) -> Story:
        """Build the story. `created_at` in seconds since the epoch; it ends `hours` later."""
        return Story(
            id=id,
            author_id=author.id,
            created_at=created_at,
            expires_at=created_at + hours * HOUR_SECONDS,
            visibility=self.visibility,
            text=self.text,
            media=media,
            audience=self.audience,
            rating=self.rating,
            category=self.category,
            tags=self.tags,
        )


def read_story(body: Mapping[str, Any], tenant: Tenant) -> StoryForm:
    """Validate a body. Raises a 400 `Problem`."""
    unknown = [name for name in body if name not in FIELDS]
    if unknown:
        raise _invalid(f"A story has only {', '.join(FIELDS)}.")
    given = {name: value for name, value in body.items() if value is not None}
    visibility = given.get("visibility")
    if visibility not in VISIBILITIES:
        raise bad_request("invalid_visibility", f"visibility must be one of {', '.join(VISIBILITIES)}.")
    text, media_key = _text(given, "text", MAX_TEXT), _text(given, "mediaKey", MAX_MEDIA_KEY)
    if not text and not media_key:
        raise _invalid("A story needs text, or the mediaKey of an upload.")
    audience = given.get("audienceUserIds", [])
    if not isinstance(audience, list) or len(audience) > MAX_AUDIENCE or not all(map(is_public_id, audience)):
        raise _invalid(f"audienceUserIds must be a list of at most {MAX_AUDIENCE} public ids.")
    if audience and visibility != FRIENDS:
        raise _invalid("audienceUserIds is only for visibility friends.")
    tags = given.get("tags", [])
    if not isinstance(tags, list) or len(tags) > MAX_TAGS:
        raise _invalid(f"tags must be a list of at most {MAX_TAGS} words.")
    words = [_text({"tags": each}, "tags", MAX_WORD) for each in tags]
    return StoryForm(
        visibility=str(visibility),
        text=text,
        media_key=media_key,
        audience=tuple(sorted(set(audience))),
        rating=_rating(given.get("maturityRating"), tenant),
        category=_text(given, "category", MAX_WORD),
        tags=tuple(dict.fromkeys(word for word in words if word)),
    )


def _rating(given: object, tenant: Tenant) -> str:
    """Return the author's rating; by default the strongest the tenant shows, hidden from viewers with a lower limit."""
    limit = policy_rank(tenant.maturity_policy)
    if given is None:
        return next(rating for rating, rank in RATINGS.items() if rank == limit)
    if not isinstance(given, str) or RATINGS.get(given, limit + 1) > limit:
        raise _invalid("maturityRating must be one of the ratings that the tenant shows.")
    return given


def _text(body: Mapping[str, Any], name: str, most: int) -> str | None:
    """Return a text in Unicode normal form C, or None. Raises a 400 `Problem` that says what is wrong with it."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _invalid(f"{name} must be text.")
    if len(value) > 4 * most:
        raise _invalid(f"{name} can have at most {most} characters.")
    text = clean(value)
    if len(text) > most:
        raise _invalid(f"{name} can have at most {most} characters.")
    wrong = what_is_wrong(text)
    if wrong:
        raise _invalid(f"{name} {wrong}")
    return text or None


def read_emoji(body: Mapping[str, Any]) -> int:
    """Return the index of an emoji in `EMOJI`, with or without a variation selector. Raises a 400 `Problem`."""
    given = body.get("emoji")
    found = _PLAIN.get(given.removesuffix(_SELECTOR)) if isinstance(given, str) else None
    if found is None:
        raise bad_request("invalid_emoji", f"emoji must be one of {' '.join(EMOJI)}.")
    return found


def _invalid(detail: str) -> Problem:
    return bad_request("invalid_story", detail)
