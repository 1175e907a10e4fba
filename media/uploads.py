"""Runs uploads: issues a ticket and link, checks the file, and moves it to media. Files never pass through the app.

    start      the link is made, then ticket and limits are written in one batch
    (client)   PUT to the store: the file is stored in quarantine, where nobody can read it
    complete   size and first bytes are checked ── good: moved to media, then the ticket becomes done
                                                └─ bad: the ticket becomes refused, then the file is deleted

After an interruption, repeating `complete` gives the same result. Files that are never completed are deleted a day
later.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from media.media_types import SNIFFED_BYTES, TYPES, most_bytes, sniffed
from media.tickets import (
    DONE,
    FINISH_SECONDS,
    LIMITS_ID,
    OPEN,
    PREFIX,
    REFUSED,
    Spent,
    Ticket,
    is_id,
    new_id,
)
from shared.adapters.blobs.port import MEDIA, QUARANTINE, BlobInfo, LinkedBlobs, UploadLink
from shared.adapters.documents.port import (
    PEOPLE,
    Create,
    Delete,
    Document,
    DocumentStore,
    Replace,
    StoreUnavailable,
    WriteRejected,
    query_all,
)
from shared.adapters.retry import retry
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry
from shared.web.problems import Problem

log = logging.getLogger("feed.media")

Result = TypeVar("Result")
ATTEMPTS = 20
READ_SECONDS = 3600.0
"""How long a link can read media."""


class _Crossed(Exception):
    """Write conflict with another call of the same user."""


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """A checked picture or clip."""

    key: str
    content_type: str
    bytes: int


class Uploads:
    """Uploads of all tenants, in one media store. `owner` is always the user's partition of `people`."""

    def __init__(
        self,
        documents: DocumentStore,
        blobs: LinkedBlobs,
        telemetry: Telemetry,
        clock: Callable[[], float],
        new_id: Callable[[], str] = new_id,
        *,
        most_bytes: Mapping[str, int] = most_bytes(),
    ) -> None:
        self._documents, self._blobs, self._telemetry = documents, blobs, telemetry
        self._clock, self._new_id = clock, new_id
        self.most_bytes = most_bytes

    async def start(
        self, tenant_id: str, owner: str, content_type: str, size: int, now: float
    ) -> tuple[Ticket, UploadLink]:
        """Issue a ticket of at most `size` bytes, and its link.

        Raises `TooMany` and the errors of the stores; the upload was not started then.
        """
        ticket = Ticket(self._new_id(), content_type, size, now)
        link = await self._blobs.upload_url(QUARANTINE, _name(tenant_id, ticket.id), content_type, ticket.expires_at)

        async def once() -> None:
            stored = await self._read(owner, LIMITS_ID)
            spent = (Spent.read(stored.body) if stored else Spent()).with_ticket(ticket).document()
            limits = Replace(spent, stored.etag) if stored else Create(spent)
            try:
                await self._documents.write(PEOPLE, owner, [Create(ticket.document()), limits])
            except WriteRejected as refused:
                if await self._read(owner, PREFIX + ticket.id) is None:  # else an earlier attempt wrote it
                    raise _Crossed from refused

        await _uncrossed(once)
        return ticket, link

    async def complete(self, tenant_id: str, owner: str, upload_id: str, now: float) -> Ticket:
        """Check the uploaded file and move it to media.

        Raises a `Problem`: 404 `upload_not_found`, 409 `upload_missing`, 410 `upload_expired`, 422 `media_refused`.
        """
        return await _uncrossed(lambda: self._complete(tenant_id, owner, upload_id, now))

    async def _complete(self, tenant_id: str, owner: str, upload_id: str, now: float) -> Ticket:
        stored = await self._read(owner, PREFIX + upload_id) if is_id(upload_id) else None
        if stored is None:
            raise Problem(404, "upload_not_found", "This user has no upload with this id.")
        ticket, name = Ticket.read(stored.body), _name(tenant_id, upload_id)
        home = _name(tenant_id, ticket.media_key)
        if ticket.state == DONE:
            return ticket
        if ticket.state == REFUSED:
            await self._blobs.delete(QUARANTINE, name)  # an earlier deletion can have failed
            raise _refused()
        found = await self._blobs.head(QUARANTINE, name)
        moved = found is None
        if found is None:
            found = await self._blobs.head(MEDIA, home)  # moved by an interrupted call
        late = now > ticket.expires_at + FINISH_SECONDS
        if found is None and not late:
            raise Problem(
                409,
                "upload_missing",
                "No file has been uploaded to this upload's link yet. Upload the file, then complete.",
            )
        fault = "late" if found is None or (late and not moved) else await self._fault(ticket, found, moved)
        if fault is not None:
            return await self._refuse(tenant_id, owner, ticket, fault, moved)
        assert found is not None
        if not moved:
            await self._blobs.move((QUARANTINE, name), (MEDIA, home), ticket.content_type)
        done = replace(ticket, state=DONE, bytes=found.size)
        if not await self._settle(owner, done):  # the user was erased meanwhile
            await self._blobs.delete(MEDIA, home)
            raise Problem(404, "upload_not_found", "This user has no upload with this id.")
        self._telemetry.count("uploads", tenant_id, DONE)
        log_event(log, logging.INFO, "upload_done", tenant=tenant_id, type=done.content_type, bytes=done.bytes)
        return done

    async def media(self, owner: str, key: str) -> StoredMedia | None:
        """Return the user's own completed upload of a media key; None for any other key."""
        upload_id = key.partition(".")[0]
        stored = await self._read(owner, PREFIX + upload_id) if is_id(upload_id) else None
        ticket = Ticket.read(stored.body) if stored else None
        if ticket is None or ticket.state != DONE or ticket.media_key != key:
            return None
        return StoredMedia(key, ticket.content_type, ticket.bytes)

    async def media_url(self, tenant_id: str, key: str) -> str | None:
        """Return a link that reads media for an hour; None for an invalid key.

        Give it only to viewers who can see the story. Does not check that the media exists.
        """
        upload_id, dot, end = key.partition(".")
        content_type = TYPES.get(dot + end)
        if content_type is None or not is_id(upload_id):
            return None
        expires_at = self._clock() + READ_SECONDS
        return await self._blobs.download_url(MEDIA, _name(tenant_id, key), content_type, expires_at)

    async def delete_media(self, tenant_id: str, key: str) -> bool:
        """Delete a picture or clip; return False if it was gone already."""
        return await self._blobs.delete(MEDIA, _name(tenant_id, key))

    async def forget(self, tenant_id: str, owner: str) -> int:
        """Delete all files of a user, then their tickets; return the number of files. Repeat it after an error."""
        deleted = 0
        for document in await query_all(self._documents, PEOPLE, owner, PREFIX):
            ticket = Ticket.read(document.body)
            deleted += await self._blobs.delete(QUARANTINE, _name(tenant_id, ticket.id))
            deleted += await self._blobs.delete(MEDIA, _name(tenant_id, ticket.media_key))
            with contextlib.suppress(WriteRejected):  # it is gone already
                await self._documents.write(PEOPLE, owner, [Delete(document.id)])
        with contextlib.suppress(WriteRejected):
            await self._documents.write(PEOPLE, owner, [Delete(LIMITS_ID)])
        return deleted

    async def _fault(self, ticket: Ticket, found: BlobInfo, moved: bool) -> str | None:
        """Check a file against its ticket: return `size`, `type`, or None if it matches."""
        if found.size > min(ticket.bytes, self.most_bytes[ticket.content_type]):
            return "size"
        place = MEDIA if moved else QUARANTINE
        first = await self._blobs.read_range(place, found.name, 0, SNIFFED_BYTES)
        if first is None:
            raise _Crossed  # it was moved or deleted meanwhile
        return None if sniffed(first) == ticket.content_type else "type"

    async def _refuse(self, tenant_id: str, owner: str, ticket: Ticket, fault: str, moved: bool) -> Ticket:
        await self._settle(owner, replace(ticket, state=REFUSED))
        container, name = (MEDIA, ticket.media_key) if moved else (QUARANTINE, ticket.id)
        await self._blobs.delete(container, _name(tenant_id, name))
        self._telemetry.count("uploads", tenant_id, fault)
        log_event(log, logging.INFO, "upload_refused", tenant=tenant_id, fault=fault)
        if fault == "late":
            raise Problem(
                410,
                "upload_expired",
                "The upload was not completed in time, so its file was deleted. Start another upload.",
            )
        raise _refused()

    async def _settle(self, owner: str, ticket: Ticket) -> bool:
        """Store a ticket's final state and remove it from the open tickets; return False if the ticket is gone.

        A ticket that has a final state already stays as it is.
        """

        async def once() -> bool:
            stored, limits = await self._read(owner, PREFIX + ticket.id), await self._read(owner, LIMITS_ID)
            if stored is None:
                return False
            if Ticket.read(stored.body).state != OPEN:
                return True
            operations = [Replace(ticket.document(), stored.etag)]
            if limits is not None:
                operations.append(Replace(Spent.read(limits.body).without(ticket.id).document(), limits.etag))
            try:
                await self._documents.write(PEOPLE, owner, operations)
            except WriteRejected as refused:
                raise _Crossed from refused
            return True

        return await _uncrossed(once)

    async def _read(self, owner: str, id: str) -> Document | None:
        return await self._documents.read(PEOPLE, owner, id, latest=True)


async def _uncrossed(once: Callable[[], Awaitable[Result]]) -> Result:
    try:
        return await retry(once, (_Crossed,), attempts=ATTEMPTS, first_pause=0.005, longest_pause=0.2)
    except _Crossed as crossed:
        raise StoreUnavailable("the user's uploads change faster than they can be counted", 1.0) from crossed


def _name(tenant_id: str, upload_id: str) -> str:
    return f"{tenant_id}/{upload_id}"


def _refused() -> Problem:
    return Problem(
        422,
        "media_refused",
        "The file is larger than its ticket allows, or of another type, so it was deleted. Start another upload.",
    )
