"""What the upload endpoints take and answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from media.media_types import CONTENT_TYPES, LARGEST_BYTES
from shared.web.responses import Count, Time, View

ContentType = Annotated[str, Field(json_schema_extra={"enum": sorted(CONTENT_TYPES)})]


class UploadForm(BaseModel):
    """What somebody wants to upload."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)

    purpose: Annotated[str, Field(pattern="^story$", description="What it is for: `story`.")]
    content_type: ContentType
    bytes: Annotated[int, Field(ge=1, le=LARGEST_BYTES, description="Its length; what comes may be shorter.")]


class UploadTicket(View):
    """How to store the file: this method, this address, these headers, the file as the body."""

    upload_id: str
    method: Annotated[str, Field(description="`PUT`.")]
    url: Annotated[str, Field(description="For this one file, until `expiresAt`. It stores once and replaces nothing.")]
    headers: Annotated[dict[str, str], Field(description="To be sent as they are.")]
    expires_at: Time


class CompletedUpload(View):
    """A file that was looked at and can be shown."""

    media_key: Annotated[str, Field(description="Names it, for its owner.")]
    content_type: ContentType
    bytes: Count
