"""Base class of response models, from which JSON bodies and the OpenAPI document are made."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _without_defaults(schema: dict[str, Any]) -> None:
    """Remove defaults: a field that is left out has no value, so clients must not assume the default."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class View(BaseModel):
    """JSON object of a response, in camelCase. An unset field with a default is left out.

    Views have no bounds, because stored values can predate today's rules. Clients must accept additional fields.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, json_schema_extra=_without_defaults, defer_build=True
    )

    @classmethod
    def unchecked(cls, **fields: Any) -> Self:
        """Return a view of stored values without validation, so that a damaged document can be read and repaired."""
        return cls.model_construct(**fields)


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC, whole seconds."""
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
