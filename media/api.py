"""Endpoints of uploads: issue a ticket with a signed link, and check and accept the uploaded file.

The user's own token is always required, because the uploader's identity must be proven. A server's key can upload for a
brand instead. While the flag `stories` is off for a tenant, these endpoints answer 404.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import azure.functions as func
from pydantic import ValidationError

from media.media_types import CONTENT_TYPES
from media.responses import CompletedUpload, UploadForm, UploadTicket
from media.tickets import TooMany
from media.uploads import Uploads
from shared.adapters.blobs.port import BlobsUnavailable
from shared.adapters.retry import with_timeout
from shared.domain.formats import iso_time
from shared.observability.metrics import Telemetry
from shared.web.admission import Kind, Limits
from shared.web.bodies import read_json
from shared.web.declaration import Body, Response
from shared.web.endpoint import Call, Edge, json_response
from shared.web.problem_codes import BODY
from shared.web.problems import Problem, bad_request, clock_wrong
from shared.web.social_endpoint import social_endpoint

MAX_BODY_BYTES = 4_096
START_SECONDS = 5.0
COMPLETE_SECONDS = 25.0
"""Longest waits for the stores. Completing takes longer, because the media store copies the file."""
_FORM = {"purpose": "story", "contentType": "image/jpeg", "bytes": 183_204}
_ID = "5f0c2a9be1d4477386a1c20e9b3d5f6478aa01cd"
_TICKET = {
    "uploadId": _ID,
    "method": "PUT",
    "url": f"https://media.blob.core.windows.net/quarantine/tenant/{_ID}?sp=c&se=2026-11-20T12:15:00Z&sig=example",
    "headers": {"x-ms-blob-type": "BlockBlob", "Content-Type": "image/jpeg"},
    "expiresAt": "2026-11-20T12:15:00Z",
}
_COMPLETED = {"mediaKey": f"{_ID}.jpg", "contentType": "image/jpeg", "bytes": 183_204}


class UploadsApi:
    """Issues tickets and completes uploads. `uploads` is None if no media store is configured.

    `owner_of(tenant_id, user_key)` returns the user's partition of `people`.
    """

    def __init__(
        self,
        edge: Edge,
        uploads: Uploads | None,
        owner_of: Callable[[str, str], str],
        *,
        limits: Limits,
        telemetry: Telemetry,
        clock_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self.edge = edge
        self._uploads, self._limits, self._telemetry = uploads, limits, telemetry
        self._owner_of = owner_of
        self._clock_trusted = clock_trusted

    @social_endpoint(
        "POST",
        "v1/uploads",
        "Get a ticket to upload one picture or clip",
        tag="stories",
        brand=True,
        description="Send the file to the ticket's URL, which belongs to the media store, then call `complete`. A user "
        "can have 30 tickets an hour, 1 GB a day, and 10 open tickets at a time.",
        responses={201: Response("The ticket.", UploadTicket, _TICKET)},
        body=Body(UploadForm, _FORM),
        problems=(
            *BODY,
            "invalid_json",
            "invalid_upload",
            "media_type_refused",
            "media_too_large",
            "too_many_uploads",
            "clock_wrong",
        ),
    )
    async def start_upload(self, call: Call) -> func.HttpResponse:
        """Issue a ticket: 201 with a link to store the file."""
        uploads = self._ready()
        with self._limits.admit(Kind.UPLOADS, call.tenant, call.user_key):
            form = _form(call, uploads.most_bytes)
            started = uploads.start(call.tenant.id, self._owner(call), form.content_type, form.bytes, call.now)
            try:
                ticket, link = await with_timeout(START_SECONDS, started, BlobsUnavailable)
            except TooMany as many:
                wait = many.retry_seconds
                raise Problem(
                    429,
                    "too_many_uploads",
                    "This user has started too many uploads. Wait the seconds in Retry-After.",
                    wait,
                ) from None
        self._telemetry.count("uploads", call.tenant.id, "started")
        answer = UploadTicket.unchecked(
            upload_id=ticket.id,
            method=link.method,
            url=link.url,
            headers=dict(link.headers),
            expires_at=iso_time(ticket.expires_at),
        )
        return json_response(answer, 201)

    @social_endpoint(
        "POST",
        "v1/uploads/{id}/complete",
        "Complete an upload",
        tag="stories",
        brand=True,
        description="Checks the file's length and first bytes. Accepts JPEG, PNG, WebP, MP4 and WebM only. A refused "
        "file is deleted at once. Repeating the call returns the same result.",
        responses={200: Response("The file can be shown.", CompletedUpload, _COMPLETED)},
        problems=(
            "upload_not_found",
            "upload_missing",
            "upload_expired",
            "media_refused",
            "clock_wrong",
        ),
    )
    async def complete_upload(self, call: Call) -> func.HttpResponse:
        """Check the file: 200 with its media key, or a `Problem` that says why it is refused."""
        uploads = self._ready()
        with self._limits.admit(Kind.UPLOADS, call.tenant, call.user_key):
            upload_id = call.request.route_params.get("id", "")
            completed = uploads.complete(call.tenant.id, self._owner(call), upload_id, call.now)
            done = await with_timeout(COMPLETE_SECONDS, completed, BlobsUnavailable)
        return json_response(
            CompletedUpload.unchecked(media_key=done.media_key, content_type=done.content_type, bytes=done.bytes)
        )

    def _owner(self, call: Call) -> str:
        return self._owner_of(call.tenant.id, call.user_key)

    def _ready(self) -> Uploads:
        if self._uploads is None:
            raise Problem(404, "not_found", "Uploads are switched off: no media store is configured.")
        if not self._clock_trusted():
            raise clock_wrong()
        return self._uploads


def _form(call: Call, most_bytes: Mapping[str, int]) -> UploadForm:
    """Validate the body. Raises a 4xx `Problem` that quotes none of its values."""
    given = read_json(call.request, MAX_BODY_BYTES)
    if isinstance(given, dict) and isinstance(wanted := given.get("contentType"), str):
        if wanted not in most_bytes:
            raise Problem(
                415,
                "media_type_refused",
                f"This file type is not accepted. Use one of {', '.join(sorted(CONTENT_TYPES))}.",
            )
        size = given.get("bytes")
        if isinstance(size, int) and size > most_bytes[wanted]:
            raise Problem(
                413,
                "media_too_large",
                f"A file of this type can have at most {most_bytes[wanted]:,} bytes. Make it smaller.",
            )
    try:
        return UploadForm.model_validate(given)
    except ValidationError:
        told = '{"purpose": "story", "contentType": …, "bytes": …}'
        raise bad_request("invalid_upload", f"The body must look like {told}.") from None
