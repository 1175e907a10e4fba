"""Stores a tenant's learning: an immutable file in Blob Storage, and a document beside the configuration that names it.

Documents written together with that document, such as a model version, are stored completely or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

from learning.night_state import NightState, UnreadableState
from learning.sample_lines import Videos
from shared.adapters.blobs.port import TABLES, Blobs
from shared.adapters.documents.port import TENANTS, VIDEOS, Create, Document, DocumentStore, Operation, Replace
from shared.domain.records import AFTER_VIDEOS, Video
from shared.observability.metrics import Telemetry

STATE_ID = "learning-state"


@dataclass(frozen=True, slots=True)
class Kept:
    """Stored state of a tenant's learning: the document, and the state it names; each is None if it does not exist.

    `night`: the last finished night (UTC date). `file`: the state. `tables`: the nightly file in use after that night,
    in `ranking-tables`.
    """

    document: Document | None
    state: NightState | None

    @property
    def night(self) -> str:
        return self._text("night") or ""

    @property
    def file(self) -> str | None:
        return self._text("file")

    @property
    def tables(self) -> str | None:
        return self._text("tables")

    def _text(self, name: str) -> str | None:
        found: Any = self.document.body.get(name) if self.document else None
        return found if isinstance(found, str) and found else None

    def following(self, night: str, file: str, tables: str | None) -> Operation:
        """Return the write that finishes a night. It is refused if another worker has finished it."""
        body = {"id": STATE_ID, "kind": STATE_ID, "night": night, "file": file, "tables": tables}
        return Create(body) if self.document is None else Replace(body, self.document.etag)


class StateStore:
    """Reads and writes the stored state of every tenant's learning."""

    def __init__(self, documents: DocumentStore, blobs: Blobs, telemetry: Telemetry) -> None:
        self._documents = documents
        self._blobs = blobs
        self._telemetry = telemetry

    async def load(self, tenant_id: str) -> Kept:
        """Load the stored state. An unreadable file is counted, and learning starts again. Raises `StoreError` or
        `BlobsError`."""
        document = await self._documents.read(TENANTS, tenant_id, STATE_ID, latest=True)
        kept = Kept(document, None)
        content = None if kept.file is None else await self._blobs.read(TABLES, kept.file)
        if content is None:
            return kept
        try:
            return Kept(document, await asyncio.to_thread(NightState.from_bytes, content))
        except UnreadableState:
            self._telemetry.count("learning_files", "unreadable_state")
            return kept

    async def write(self, tenant_id: str, state: NightState) -> str:
        """Write a state under a name with its night and a hash of its content. Raises `BlobsError`."""
        content = await asyncio.to_thread(state.to_bytes)
        name = f"{tenant_id}/learning-{state.night}-{hashlib.blake2b(content, digest_size=8).hexdigest()}.bin"
        await self._blobs.write(TABLES, name, content)
        return name


async def load_videos(documents: DocumentStore, tenant_id: str) -> Videos:
    """Read a tenant's videos in the order of their ids. Other or unreadable documents are skipped. Raises
    `StoreUnavailable`."""
    found: list[Video] = []
    after: str | None = None
    while True:
        page = await documents.query(VIDEOS, tenant_id, after=after)
        for document in page.documents:
            if document.body.get("kind") == "video" and not document.body.get("deleted"):
                try:
                    found.append(Video.from_document(document.body))
                except Exception:  # noqa: S112 - a damaged video is not served either
                    continue
        if page.next is None or page.next.startswith(AFTER_VIDEOS):
            return Videos(found)
        after = page.next
