"""Fields shared by several CMS responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from shared.domain.formats import iso_time_or_none
from shared.web.responses import Time, View

Etag = Annotated[str, Field(description="Send it in If-Match to change this entry.")]
NextCursor = Annotated[str | None, Field(description="null: this is the last page.")]
KeyName = Annotated[str | None, Field(description="The name of the key that was used.")]
Position = Annotated[int, Field(ge=1)]


def one_of(*values: str) -> dict[str, list[str]]:
    """Build the JSON schema of a text that is one of these values."""
    return {"enum": list(values)}


class Stamped(View):
    """Time and author of a document's last change."""

    updated_at: Time | None
    updated_by: KeyName


class FaultView(View):
    """One problem of a document. `field` is a path, empty for the whole document."""

    field: str
    code: str
    message: str


def stamp(document: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of `Stamped` from a stored document."""
    return {"updatedAt": iso_time_or_none(document.get("updatedAt")), "updatedBy": document.get("updatedBy")}
