"""Response models: what an endpoint answers, field by field, for the JSON and for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _without_defaults(schema: dict[str, Any]) -> None:
    """A field that is left out has no value: its default is none that a client could assume."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class View(BaseModel):
    """A JSON object in camelCase that is answered. A field with a default is left out when it is not set.

    Views carry no bounds: a response shows what was stored under other rules too. Clients must accept more fields.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, json_schema_extra=_without_defaults)

    @classmethod
    def unchecked(cls, **fields: Any) -> Self:
        """A view of stored values as they are, so that a damaged document can be read and repaired."""
        return cls.model_construct(**fields)


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC, whole seconds."""
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
