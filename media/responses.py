"""Request and response models of the upload endpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from media.media_types import CONTENT_TYPES, LARGEST_BYTES
from shared.web.responses import Count, Time, View

ContentType = Annotated[str, Field(json_schema_extra={"enum": sorted(CONTENT_TYPES)})]


class UploadForm(BaseModel):
    """The file that the client wants to upload."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)

    purpose: Annotated[str, Field(pattern="^story$", description="Always `story`.")]
    content_type: ContentType
    bytes: Annotated[
        int, Field(ge=1, le=LARGEST_BYTES, description="Largest length of the file; the file can be shorter.")
    ]


class UploadTicket(View):
    """How to store the file: send it as the body of a request with this method, URL and headers."""

    upload_id: str
    method: Annotated[str, Field(description="Always `PUT`.")]
    url: Annotated[str, Field(description="Stores this one file once, until `expiresAt`; it replaces nothing.")]
    headers: Annotated[dict[str, str], Field(description="Send them unchanged.")]
    expires_at: Time


class CompletedUpload(View):
    """A checked file that can be shown."""

    media_key: Annotated[str, Field(description="Send it as `mediaKey` of a story. Only the uploader can use it.")]
    content_type: ContentType
    bytes: Count
