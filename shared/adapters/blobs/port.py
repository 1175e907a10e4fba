"""The blob port: stores whole files by name. Names use `/`; a write replaces an existing blob."""

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
"""Files that wait for their import, under `tenant/`; deleted after it."""
UPLOAD_DAYS = 7
"""Days after which a file is deleted even if its import has not ended."""
BLOB_CONTAINERS = (ARCHIVE, SAMPLES, TABLES, UPLOADS)

QUARANTINE = "quarantine"
"""Uploads that have not been checked yet, under `tenant/`; deleted a day later."""
MEDIA = "media"
"""Checked pictures and clips, under `tenant/`; deleted with the story that shows them."""
QUARANTINE_DAYS = 1
MEDIA_CONTAINERS = (QUARANTINE, MEDIA)
"""Containers of the media store, a separate account that phones can reach."""


class BlobsError(Exception):
    """Base class of the blob port's errors."""


class BlobsUnavailable(BlobsError):
    """The store failed to answer: it is down, throttled or cut off, or the blob has another client's lease."""


class BlobRefused(BlobsError):
    """Final refusal of a call on one blob: a repeat is refused too. Other blobs are not affected.

    `too_large`: whether the reason is its size.
    """

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        self.too_large = too_large
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """Name of a blob, its length in bytes and the time of its last write (seconds since the epoch)."""

    name: str
    size: int
    modified_at: float


class Blobs(Protocol):
    """The port. Every method can raise `BlobsUnavailable` or `BlobRefused`."""

    async def write(self, container: str, name: str, data: bytes) -> None:
        """Store `data` under `name`, all or nothing, replacing any earlier blob of that name."""
        ...

    async def read(self, container: str, name: str) -> bytes | None:
        """Return the whole blob, or None."""
        ...

    def list(self, container: str, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """Yield the blobs whose name starts with `prefix`, in name order."""
        ...

    async def delete(self, container: str, name: str) -> bool:
        """Delete a blob; return False when there was none."""
        ...

    async def ready(self) -> None:
        """Raise `BlobsUnavailable` when the store cannot answer."""
        ...

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class UploadLink:
    """Request by which a client stores one blob: the method, the address, the headers; the body is the blob."""

    method: str
    url: str
    headers: Mapping[str, str]


class LinkedBlobs(Blobs, Protocol):
    """A blob store that clients reach by signed links, each for one blob and one purpose.

    A link limits neither size nor type, so an upload is checked before others can see it. `expires_at`: seconds since
    the epoch. Links can be made while the store is down, unless they need a key of the store.
    """

    async def upload_url(self, container: str, name: str, content_type: str, expires_at: float) -> UploadLink:
        """Return a link that stores a new blob. It cannot replace, read or delete one."""
        ...

    async def download_url(self, container: str, name: str, content_type: str, expires_at: float) -> str:
        """Return a link that reads one blob, with this content type, whatever type the upload named."""
        ...

    async def head(self, container: str, name: str) -> BlobInfo | None:
        """Return name, size and time of a blob, or None."""
        ...

    async def read_range(self, container: str, name: str, start: int, length: int) -> bytes | None:
        """Return up to `length` bytes from `start`, empty beyond the end; None without such a blob."""
        ...

    async def move(self, source: tuple[str, str], target: tuple[str, str], content_type: str) -> bool:
        """Move a blob inside the store from one (container, name) to another, which it replaces.

        Returns True once the target exists, also after an earlier move; False when neither exists. An interrupted move
        leaves the source, the target or both, each of them whole; a repeat finishes it.
        """
        ...
