"""What is sent, field by field, for the OpenAPI document. What decides on a body is read where it is used."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.domain.formats import PUBLIC_ID, USER_HASH

MAX_IDS = 100


class Sent(BaseModel):
    """A JSON object in camelCase that is sent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, defer_build=True)


class UserHashes(Sent):
    """Users, as an app would send them in `X-User`."""

    users: Annotated[list[Annotated[str, Field(pattern=f"^{USER_HASH.pattern}$")]], Field(max_length=MAX_IDS)]


class StoryToPost(Sent):
    """A story. Text, or media, or both."""

    visibility: Annotated[str, Field(json_schema_extra={"enum": ["public", "friends", "private"]})]
    text: Annotated[str | None, Field(max_length=500, description="Without characters that hide what is read.")] = None
    media_key: Annotated[str | None, Field(max_length=200, description="Of a completed upload of the user's own.")] = (
        None
    )
    audience_user_ids: Annotated[
        list[Annotated[str, Field(pattern=f"^{PUBLIC_ID.pattern}$")]] | None,
        Field(max_length=100, description="Only with `friends`: these see it, and nobody else."),
    ] = None
    category: Annotated[str | None, Field(max_length=64)] = None
    tags: Annotated[list[str] | None, Field(max_length=5)] = None
    maturity_rating: Annotated[str | None, Field(description="The tenant's strongest when absent.")] = None


class ReportOfStory(Sent):
    """What somebody has against a story."""

    reason: Annotated[
        str,
        Field(json_schema_extra={"enum": ["spam", "harassment", "hate", "violence", "sexual", "other"]}),
    ]
    text: Annotated[str | None, Field(max_length=300, description="In the reporter's words.")] = None


class ReactionToStory(Sent):
    """One of six emoji."""

    emoji: Annotated[str, Field(description="One of 👍 ❤️ 😂 😮 😢 🔥, with or without a variation selector.")]
