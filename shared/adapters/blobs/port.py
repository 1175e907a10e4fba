"""The blob port: whole files by name. Names use `/`; a write replaces what was there."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
