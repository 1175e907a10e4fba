"""Fields that several CMS responses share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from shared.domain.formats import iso_time_or_none
from shared.web.responses import Time, View

Etag = Annotated[str, Field(description="Send it in If-Match to change this one.")]
NextCursor = Annotated[str | None, Field(description="null: the list ends here.")]
KeyName = Annotated[str | None, Field(description="The name of a key.")]
Position = Annotated[int, Field(ge=1)]


def one_of(*values: str) -> dict[str, list[str]]:
    """JSON schema of a text that is one of these."""
    return {"enum": list(values)}


class Stamped(View):
    """When a document was last written, and by whom."""

    updated_at: Time | None
    updated_by: KeyName


class FaultView(View):
    """One thing that is wrong with a document. `field` is a path, empty for the document as a whole."""

    field: str
    code: str
    message: str


def stamp(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Stamped` from a stored document."""
    return {"updatedAt": iso_time_or_none(document.get("updatedAt")), "updatedBy": document.get("updatedBy")}
