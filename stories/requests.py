"""Request models of people and stories, for the OpenAPI document only. stories/story_forms.py and others validate."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.domain.formats import PUBLIC_ID, USER_HASH

MAX_IDS = 100


class Sent(BaseModel):
    """A request body: a JSON object in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, defer_build=True)


class UserHashes(Sent):
    """Users, by the hashes that apps send as `X-User`."""

    users: Annotated[list[Annotated[str, Field(pattern=f"^{USER_HASH.pattern}$")]], Field(max_length=MAX_IDS)]


class StoryToPost(Sent):
    """A story to post: text, media, or both."""

    visibility: Annotated[str, Field(json_schema_extra={"enum": ["public", "friends", "private"]})]
    text: Annotated[str | None, Field(max_length=500, description="Without invisible control characters.")] = None
    media_key: Annotated[
        str | None, Field(max_length=200, description="The `mediaKey` of the caller's own completed upload.")
    ] = None
    audience_user_ids: Annotated[
        list[Annotated[str, Field(pattern=f"^{PUBLIC_ID.pattern}$")]] | None,
        Field(max_length=100, description="Public ids of the only people who see it. Only with `friends`."),
    ] = None
    category: Annotated[str | None, Field(max_length=64)] = None
    tags: Annotated[list[str] | None, Field(max_length=5)] = None
    maturity_rating: Annotated[
        str | None, Field(description="When absent, the strongest rating that the tenant shows.")
    ] = None


class ReportOfStory(Sent):
    """A report of a story."""

    reason: Annotated[
        str,
        Field(json_schema_extra={"enum": ["spam", "harassment", "hate", "violence", "sexual", "other"]}),
    ]
    text: Annotated[str | None, Field(max_length=300, description="The reporter's explanation.")] = None


class ReactionToStory(Sent):
    """A reaction: one of six emoji."""

    emoji: Annotated[str, Field(description="One of 👍 ❤️ 😂 😮 😢 🔥, with or without a variation selector.")]
