"""Injects faults into the backends, to show what the app survives: `python -m local serve --faults FILE`.

The file has one JSON object. It is read again before a call when it has changed, so faults can be set and removed while
the app runs. Without the file there are no faults. Its fields:

    store_down, bus_down, blobs_down   every call fails (the bus still delivers, so consumers fail too)
    cut_writes, cut_publishes, cut_blobs   share of writes that are done and then reported as failed
    slow_seconds   each call of the document store takes up to this much longer
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from shared.adapters.blobs.port import Blobs, BlobsUnavailable
from shared.adapters.bus.port import Bus, BusUnavailable, OutgoingMessage
from shared.adapters.documents.port import Container, Document, DocumentStore, Operation, Page, StoreUnavailable


class Faults:
    """Current faults of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -1
        self._fields: dict[str, Any] = {}

    def _current(self) -> dict[str, Any]:
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._read_at:
                self._fields = orjson.loads(self._path.read_bytes() or b"{}")
                self._read_at = changed_at
        except FileNotFoundError:
            self._fields = {}
        except orjson.JSONDecodeError:
            pass  # it is being written: the next call reads it again
        return self._fields

    def down(self, name: str) -> bool:
        """Whether a dependency is down."""
        return self._current().get(name) is True

    def strikes(self, name: str) -> bool:
        """Whether this call is in the share that is reported as failed."""
        return random.random() < float(self._current().get(name, 0.0))

    async def slow(self) -> None:
        """Wait for the delay of a slow store."""
        if longest := self._current().get("slow_seconds", 0.0):
            await asyncio.sleep(random.uniform(0.0, longest))


class _Around:
    """Passes other calls on to the inner part."""

    def __init__(self, inner: Any, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _FaultyDocuments(_Around):
    async def _suffer(self) -> None:
        await self._faults.slow()
        if self._faults.down("store_down"):
            raise StoreUnavailable("down on demand")

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        await self._suffer()
        found: Document | None = await self._inner.read(container, partition, id, latest=latest)
        return found

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        await self._suffer()
        etags: list[str | None] = await self._inner.write(container, partition, operations)
        if self._faults.strikes("cut_writes"):
            raise StoreUnavailable("cut off on demand, after the write")
        return etags

    async def query(self, *arguments: Any, **named: Any) -> Page:
        await self._suffer()
        page: Page = await self._inner.query(*arguments, **named)
        return page


class _FaultyBus(_Around):
    async def publish(self, message: OutgoingMessage) -> None:
        if self._faults.down("bus_down"):
            raise BusUnavailable("down on demand")
        await self._inner.publish(message)
        if self._faults.strikes("cut_publishes"):
            raise BusUnavailable("cut off on demand, after the publish")


class _FaultyBlobs(_Around):
    async def ready(self) -> None:
        if self._faults.down("blobs_down"):
            raise BlobsUnavailable("down on demand")
        await self._inner.ready()

    async def write(self, container: str, name: str, data: bytes) -> None:
        if self._faults.down("blobs_down"):
            raise BlobsUnavailable("down on demand")
        await self._inner.write(container, name, data)
        if self._faults.strikes("cut_blobs"):
            raise BlobsUnavailable("cut off on demand, after the write")


def faulty(documents: DocumentStore, bus: Bus, blobs: Blobs, faults: Faults) -> tuple[DocumentStore, Bus, Blobs]:
    """Wrap the three ports with the faults."""
    around: Any = (_FaultyDocuments(documents, faults), _FaultyBus(bus, faults), _FaultyBlobs(blobs, faults))
    return around  # type: ignore[no-any-return]
