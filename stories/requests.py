"""What is sent, field by field, for the OpenAPI document. What decides on a body is read where it is used."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.domain.formats import USER_HASH

MAX_IDS = 100


class Sent(BaseModel):
    """A JSON object in camelCase that is sent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class UserHashes(Sent):
    """Users, as an app would send them in `X-User`."""

    users: Annotated[list[Annotated[str, Field(pattern=f"^{USER_HASH.pattern}$")]], Field(max_length=MAX_IDS)]
