"""The course of an upload: ticket, link, look, move. No byte of it passes the app.

    start      the link is made, then ticket and limits are written in one batch
    (client)   PUT to the store: lands in quarantine, where nobody sees it
    complete   size and first bytes are looked at ── good: moved to media, then the ticket says done
                                                  └─ bad: the ticket says refused, then the file is deleted

Broken off anywhere, `complete` sent again ends the same. What is never completed is deleted a day later.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from media.media_types import MOST_BYTES, SNIFFED_BYTES, sniffed
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
    USER_ACTIVITY,
    Create,
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
"""How long a link reads media."""


class _Crossed(Exception):
    """Another call of the same user wrote in between."""


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """A picture or clip that was looked at."""

    key: str
    content_type: str
    bytes: int


class Uploads:
    """Uploads of every tenant, in one media store."""

    def __init__(
        self, documents: DocumentStore, blobs: LinkedBlobs, telemetry: Telemetry, new_id: Callable[[], str] = new_id
    ) -> None:
        self._documents, self._blobs, self._telemetry, self._new_id = documents, blobs, telemetry, new_id

    async def start(
        self, tenant_id: str, user_key: str, content_type: str, size: int, now: float
    ) -> tuple[Ticket, UploadLink]:
        """A ticket and its link. Raises `TooMany`, and what the stores raise; then nothing was written."""
        ticket = Ticket(self._new_id(), content_type, size, now)
        link = await self._blobs.upload_url(QUARANTINE, _name(tenant_id, ticket.id), content_type, ticket.expires_at)

        async def once() -> None:
            stored = await self._read(user_key, LIMITS_ID)
            spent = (Spent.read(stored.body) if stored else Spent()).with_ticket(ticket).document()
            limits = Replace(spent, stored.etag) if stored else Create(spent)
            try:
                await self._documents.write(USER_ACTIVITY, user_key, [Create(ticket.document()), limits])
            except WriteRejected as refused:
                if await self._read(user_key, PREFIX + ticket.id) is None:  # else it was this very write, sent twice
                    raise _Crossed from refused

        await _uncrossed(once)
        return ticket, link

    async def complete(self, tenant_id: str, user_key: str, upload_id: str, now: float) -> Ticket:
        """Look at what came, and make it media. Raises a `Problem`: 404 `upload_not_found`, 409 `upload_missing`,
        410 `upload_expired`, 422 `media_refused`."""
        return await _uncrossed(lambda: self._complete(tenant_id, user_key, upload_id, now))

    async def _complete(self, tenant_id: str, user_key: str, upload_id: str, now: float) -> Ticket:
        stored = await self._read(user_key, PREFIX + upload_id) if is_id(upload_id) else None
        if stored is None:
            raise Problem(404, "upload_not_found", "There is no such upload of this user.")
        ticket, name = Ticket.read(stored.body), _name(tenant_id, upload_id)
        if ticket.state == DONE:
            return ticket
        if ticket.state == REFUSED:
            await self._blobs.delete(QUARANTINE, name)  # a deletion may have failed before
            raise _refused()
        found = await self._blobs.head(QUARANTINE, name)
        moved = found is None
        if found is None:
            found = await self._blobs.head(MEDIA, name)  # moved by a call that was broken off
        late = now > ticket.expires_at + FINISH_SECONDS
        if found is None and not late:
            raise Problem(409, "upload_missing", "Nothing has been stored by this upload's link yet.")
        fault = "late" if found is None or (late and not moved) else await self._fault(ticket, found, moved)
        if fault is not None:
            return await self._refuse(tenant_id, user_key, ticket, fault, moved)
        assert found is not None
        if not moved:
            await self._blobs.move((QUARANTINE, name), (MEDIA, name), ticket.content_type)
        done = replace(ticket, state=DONE, bytes=found.size)
        if not await self._settle(user_key, done):  # the user was erased meanwhile
            await self._blobs.delete(MEDIA, name)
            raise Problem(404, "upload_not_found", "There is no such upload of this user.")
        self._telemetry.count("uploads", tenant_id, DONE)
        log_event(log, logging.INFO, "upload_done", tenant=tenant_id, type=done.content_type, bytes=done.bytes)
        return done

    async def media(self, user_key: str, key: str) -> StoredMedia | None:
        """What this user may show under a media key: their own, completed. None for anything else."""
        stored = await self._read(user_key, PREFIX + key) if is_id(key) else None
        ticket = Ticket.read(stored.body) if stored else None
        if ticket is None or ticket.state != DONE:
            return None
        return StoredMedia(key, ticket.content_type, ticket.bytes)

    async def media_url(self, tenant_id: str, key: str, content_type: str, now: float) -> str:
        """A link that reads media for an hour, to be given only to who may see what shows it."""
        return await self._blobs.download_url(MEDIA, _name(tenant_id, key), content_type, now + READ_SECONDS)

    async def delete_media(self, tenant_id: str, key: str) -> bool:
        """Delete a picture or clip; False when it was gone already."""
        return await self._blobs.delete(MEDIA, _name(tenant_id, key))

    async def forget(self, tenant_id: str, user_key: str) -> int:
        """Delete every file of a user, before an erasure deletes the tickets; how many there were."""
        deleted = 0
        for document in await query_all(self._documents, USER_ACTIVITY, user_key, PREFIX):
            name = _name(tenant_id, document.id.removeprefix(PREFIX))
            for container in (QUARANTINE, MEDIA):
                deleted += await self._blobs.delete(container, name)
        return deleted

    async def _fault(self, ticket: Ticket, found: BlobInfo, moved: bool) -> str | None:
        """What is wrong with a file, in one word; None where it is what the ticket says."""
        if found.size > min(ticket.bytes, MOST_BYTES[ticket.content_type]):
            return "size"
        place = MEDIA if moved else QUARANTINE
        first = await self._blobs.read_range(place, found.name, 0, SNIFFED_BYTES)
        if first is None:
            raise _Crossed  # it was moved or deleted since
        return None if sniffed(first) == ticket.content_type else "type"

    async def _refuse(self, tenant_id: str, user_key: str, ticket: Ticket, fault: str, moved: bool) -> Ticket:
        await self._settle(user_key, replace(ticket, state=REFUSED))
        await self._blobs.delete(MEDIA if moved else QUARANTINE, _name(tenant_id, ticket.id))
        self._telemetry.count("uploads", tenant_id, fault)
        log_event(log, logging.INFO, "upload_refused", tenant=tenant_id, fault=fault)
        if fault == "late":
            raise Problem(410, "upload_expired", "The upload was not completed in time. Start another one.")
        raise _refused()

    async def _settle(self, user_key: str, ticket: Ticket) -> bool:
        """Write the end of a ticket, and free its place; False where it is gone. Ended already is ended."""

        async def once() -> bool:
            stored, limits = await self._read(user_key, PREFIX + ticket.id), await self._read(user_key, LIMITS_ID)
            if stored is None:
                return False
            if Ticket.read(stored.body).state != OPEN:
                return True
            operations = [Replace(ticket.document(), stored.etag)]
            if limits is not None:
                operations.append(Replace(Spent.read(limits.body).without(ticket.id).document(), limits.etag))
            try:
                await self._documents.write(USER_ACTIVITY, user_key, operations)
            except WriteRejected as refused:
                raise _Crossed from refused
            return True

        return await _uncrossed(once)

    async def _read(self, user_key: str, id: str) -> Document | None:
        return await self._documents.read(USER_ACTIVITY, user_key, id, latest=True)


async def _uncrossed(once: Callable[[], Awaitable[Result]]) -> Result:
    try:
        return await retry(once, (_Crossed,), attempts=ATTEMPTS, first_pause=0.005, longest_pause=0.2)
    except _Crossed as crossed:
        raise StoreUnavailable("the user's uploads change faster than they can be counted", 1.0) from crossed


def _name(tenant_id: str, upload_id: str) -> str:
    return f"{tenant_id}/{upload_id}"


def _refused() -> Problem:
    return Problem(422, "media_refused", "The file is not what its ticket says, or not a kind that is taken.")
