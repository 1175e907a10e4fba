"""The blob port: whole files by name. Names use `/`; a write replaces what was there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

ARCHIVE = "userevents-raw"
"""Raw events as compressed JSON lines under `tenant/yyyy/MM/dd/HH`; deleted by day 90."""
SAMPLES = "learning-samples"
"""The events of a sample of users, in the lines of the archive, under `tenant/yyyy/MM/dd`; deleted by day 90."""
TABLES = "ranking-tables"
"""Immutable column files built for ranking (co-watch)."""
UPLOADS = "cms-uploads"
"""Files of videos that wait to be imported, under `tenant/`; deleted when they are done."""
UPLOAD_DAYS = 7
"""A file whose import never ends is deleted after that."""
BLOB_CONTAINERS = (ARCHIVE, SAMPLES, TABLES, UPLOADS)

QUARANTINE = "quarantine"
"""What somebody uploaded and nobody looked at yet, under `tenant/`; deleted a day later."""
MEDIA = "media"
"""Pictures and clips that were looked at, under `tenant/`; deleted with what shows them."""
QUARANTINE_DAYS = 1
MEDIA_CONTAINERS = (QUARANTINE, MEDIA)
"""The containers of the media store, which is another account: that one can be reached by phones."""


class BlobsError(Exception):
    """Anything the blob port raises on purpose."""


class BlobsUnavailable(BlobsError):
    """The store did not answer as it should: down, throttled, cut off, or the blob is held by somebody else."""


class BlobRefused(BlobsError):
    """The store will never do this with this blob; the same again is refused again, other blobs are not concerned.

    `too_large`: because of its size.
    """

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        self.too_large = too_large
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob's name, its length in bytes and when it was last written (seconds since the epoch)."""

    name: str
    size: int
    modified_at: float


class Blobs(Protocol):
    """The port. Every method may raise `BlobsUnavailable` or `BlobRefused`."""

    async def write(self, container: str, name: str, data: bytes) -> None:
        """Store `data` under `name`, all or nothing, replacing any earlier blob of that name."""
        ...

    async def read(self, container: str, name: str) -> bytes | None:
        """The whole blob, or None."""
        ...

    def list(self, container: str, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """Blobs whose name starts with `prefix`, in name order."""
        ...

    async def delete(self, container: str, name: str) -> bool:
        """Remove a blob; False when there was none."""
        ...

    async def ready(self) -> None:
        """Raise `BlobsUnavailable` when the store cannot answer."""
        ...

    async def close(self) -> None:
        """Let go of connections. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class UploadLink:
    """Request by which a client stores one blob: the method, the address, the headers; the body is the blob."""

    method: str
    url: str
    headers: Mapping[str, str]


class LinkedBlobs(Blobs, Protocol):
    """A blob store that clients reach by signed links, each for one blob and one purpose.

    A link limits neither size nor type: what came by one is looked at before anybody else sees it. `expires_at` is in
    seconds since the epoch. Links may be made while the store is down, unless they need a key of its own.
    """

    async def upload_url(self, container: str, name: str, content_type: str, expires_at: float) -> UploadLink:
        """A link that stores a blob which is not there yet: it replaces nothing, reads nothing, deletes nothing."""
        ...

    async def download_url(self, container: str, name: str, content_type: str, expires_at: float) -> str:
        """A link that reads one blob. It is answered with this content type, whatever was said when it was stored."""
        ...

    async def head(self, container: str, name: str) -> BlobInfo | None:
        """Size and time of a blob, or None."""
        ...

    async def read_range(self, container: str, name: str, start: int, length: int) -> bytes | None:
        """At most `length` bytes from `start` on, none beyond the end; None where there is no such blob."""
        ...

    async def move(self, source: tuple[str, str], target: tuple[str, str], content_type: str) -> bool:
        """Move a blob, inside the store, from one container and name to another, which it replaces.

        True once the target is there, also when it was moved before; False when there is neither. A move that is cut
        off leaves the source, the target or both, each of them whole; moving again finishes it.
        """
        ...
