"""Response models of people and stories."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.formats import PUBLIC_ID
from shared.web.list_cursor import MAX_CHARS
from shared.web.responses import Time, View

PublicId = Annotated[str, Field(pattern=f"^{PUBLIC_ID.pattern}$")]
"""Somebody of the tenant, as others may see them."""
NextCursor = Annotated[str | None, Field(max_length=MAX_CHARS, description="null: nothing follows.")]
FollowStateName = Annotated[
    str,
    Field(
        json_schema_extra={"enum": ["accepted", "requested"]},
        description="`requested`: the followed person has yet to agree.",
    ),
]


class Me(View):
    """The user as others see them."""

    id: PublicId


class FollowState(View):
    """How a follow stands."""

    state: FollowStateName


class FollowedPerson(View):
    """Somebody the user follows, or asked to."""

    kind: Annotated[str, Field(json_schema_extra={"enum": ["person"]})]
    id: PublicId
    state: FollowStateName
    followed_at: Time


class FollowedPeople(View):
    """A page of the people the user follows."""

    items: Annotated[list[FollowedPerson], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class FollowerItem(View):
    """Somebody who follows the user, or asks to."""

    id: PublicId
    state: FollowStateName
    since: Time


class FollowersPage(View):
    """A page of those who follow the user."""

    items: Annotated[list[FollowerItem], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class BlockedPerson(View):
    """Somebody the user blocks."""

    id: PublicId
    at: Time


class BlocksPage(View):
    """A page of those whom the user blocks."""

    items: Annotated[list[BlockedPerson], Field(description="In the order of their ids.")]
    next_cursor: NextCursor


class PublicIds(View):
    """Public ids of users."""

    ids: Annotated[dict[str, PublicId], Field(description="By the hash that was sent.")]
