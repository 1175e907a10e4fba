"""Wraps the ports to report how their calls end. An outage becomes one log line, not one per call."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from shared.adapters.blobs.port import BlobInfo, BlobRefused, Blobs, BlobsUnavailable, LinkedBlobs, UploadLink
from shared.adapters.bus.port import Bus, BusRefused, BusUnavailable, DeadLetter, OutgoingMessage, Receiver
from shared.adapters.documents.port import (
    Changes,
    Container,
    Document,
    DocumentStore,
    Operation,
    Page,
    StoreRefused,
    StoreUnavailable,
)
from shared.adapters.flags.port import FlagsUnavailable
from shared.observability.dependencies import Dependencies
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.dependencies")

DOCUMENTS_READ, DOCUMENTS_WRITE = "documents.read", "documents.write"
BUS_PUBLISH, BUS_RECEIVE = "bus.publish", "bus.receive"
BLOBS_READ, BLOBS_WRITE = "blobs.read", "blobs.write"
BLOBS_MEDIA = "blobs.media"

UNAVAILABLE = (StoreUnavailable, BusUnavailable, BlobsUnavailable)
"""Outages of the ports that requests depend on."""
REFUSED = (StoreRefused, BusRefused, BlobRefused)
"""Final refusals of the ports, each about one document or message."""
_SENTENCES = (*UNAVAILABLE, *REFUSED, FlagsUnavailable)
"""Errors with a text of our own, which names no user and quotes no caller."""


_CUT_SHORT = {StoreUnavailable: DOCUMENTS_READ, BusUnavailable: BUS_PUBLISH, BlobsUnavailable: BLOBS_READ}
"""By error: the call that requests give a time-out of their own."""


def reason_of(error: BaseException) -> str:
    """Return a failure's reason for the log: the text of a port's own error, else only the error's type."""
    return str(error) if isinstance(error, _SENTENCES) and str(error) else type(error).__name__


def outage_id(dependencies: Dependencies, error: BaseException) -> str:
    """Return the error id of the outage behind a port's error.

    A call that its caller's time-out cancelled is not reported yet, so it is reported here.
    """
    name = next(name for kind, name in _CUT_SHORT.items() if isinstance(error, kind))
    port = name.partition(".")[0]
    outages = [each for failing, each in dependencies.failing().items() if failing.partition(".")[0] == port]
    if outages and not isinstance(error.__cause__, TimeoutError):
        return max(outages, key=lambda outage: outage.last_failure).error_id
    return dependencies.failed(name, reason_of(error))


class _Reported:
    """Context of one call that reports success or failure. Outcomes that say nothing about the dependency (a refused
    write, a cancelled call) are not reported."""

    __slots__ = ("_dependencies", "_name")

    def __init__(self, dependencies: Dependencies, name: str) -> None:
        self._dependencies, self._name = dependencies, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if error is None:
            self._dependencies.works(self._name)
        elif isinstance(error, UNAVAILABLE):
            self._dependencies.failed(self._name, reason_of(error))


class _Port:
    """Passes calls that are not in the port on to the backend."""

    def __init__(self, inner: Any, dependencies: Dependencies) -> None:
        self._inner = inner
        self._dependencies = dependencies

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _reported(self, name: str) -> _Reported:
        return _Reported(self._dependencies, name)


class ReportedDocuments(_Port):
    """`DocumentStore` around `inner`, which also reports damaged documents of reads and queries.

    Readers of changes report damaged documents themselves. Items of other programs among changes are counted, and the
    first of each container is logged.
    """

    def __init__(self, inner: Any, telemetry: Telemetry) -> None:
        super().__init__(inner, telemetry.dependencies)
        self._telemetry = telemetry
        self._unreadable = telemetry.unreadable
        self._with_foreign_items: set[str] = set()

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        with self._reported(DOCUMENTS_READ):
            found: Document | None = await self._inner.read(container, partition, id, latest=latest)
        if found is not None and not found.body:
            self._unreadable.found(container.name, partition, id)
        elif self._unreadable:
            self._unreadable.readable(container.name, partition, id)
        return found

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        with self._reported(DOCUMENTS_WRITE):
            etags: list[str | None] = await self._inner.write(container, partition, operations)
        return etags

    async def query(
        self, container: Container, partition: str, *, id_prefix: str = "", after: str | None = None, limit: int = 200
    ) -> Page:
        with self._reported(DOCUMENTS_READ):
            page: Page = await self._inner.query(container, partition, id_prefix=id_prefix, after=after, limit=limit)
        for id in page.unreadable:
            self._unreadable.found(container.name, partition, id)
        return page

    async def changes(self, container: Container, since: str | None, *, limit: int = 500) -> Changes:
        with self._reported(DOCUMENTS_READ):
            changes: Changes = await self._inner.changes(container, since, limit=limit)
        if changes.passed_over:
            self._telemetry.count("changes_passed_over", container.name, amount=changes.passed_over)
            if container.name not in self._with_foreign_items:
                self._with_foreign_items.add(container.name)
                log_event(log, logging.WARNING, "changes_passed_over", always=True, container=container.name)
        return changes

    async def ready(self) -> None:
        with self._reported(DOCUMENTS_WRITE):
            await self._inner.ready()

    async def close(self) -> None:
        await self._inner.close()


class ReportedBus(_Port):
    """`Bus` around `inner`."""

    async def publish(self, message: OutgoingMessage) -> None:
        with self._reported(BUS_PUBLISH):
            await self._inner.publish(message)

    async def receiver(self, subscription: str, *, dead_letters: bool = False) -> Receiver:
        with self._reported(BUS_RECEIVE):
            receiver: Receiver = await self._inner.receiver(subscription, dead_letters=dead_letters)
        return receiver

    async def next_session(self, subscription: str, wait_seconds: float) -> Receiver | None:
        with self._reported(BUS_RECEIVE):
            receiver: Receiver | None = await self._inner.next_session(subscription, wait_seconds)
        return receiver

    async def peek_dead_letters(self, subscription: str, limit: int, after: int = 0) -> list[DeadLetter]:
        with self._reported(BUS_RECEIVE):
            letters: list[DeadLetter] = await self._inner.peek_dead_letters(subscription, limit, after)
        return letters

    async def dead_letter(
        self, subscription: str, message: OutgoingMessage, reason: str, description: str = ""
    ) -> None:
        with self._reported(BUS_PUBLISH):
            await self._inner.dead_letter(subscription, message, reason, description)

    async def resend(self, subscription: str, message: OutgoingMessage) -> None:
        with self._reported(BUS_PUBLISH):
            await self._inner.resend(subscription, message)

    async def depth(self, subscription: str) -> tuple[int, int]:
        with self._reported(BUS_RECEIVE):
            depth: tuple[int, int] = await self._inner.depth(subscription)
        return depth

    async def oldest(self, subscription: str) -> float | None:
        with self._reported(BUS_RECEIVE):
            oldest: float | None = await self._inner.oldest(subscription)
        return oldest

    async def ready(self) -> None:
        with self._reported(BUS_PUBLISH):
            await self._inner.ready()

    async def close(self) -> None:
        await self._inner.close()


class ReportedBlobs(_Port):
    """`Blobs` around `inner`."""

    async def write(self, container: str, name: str, data: bytes) -> None:
        with self._reported(BLOBS_WRITE):
            await self._inner.write(container, name, data)

    async def read(self, container: str, name: str) -> bytes | None:
        with self._reported(BLOBS_READ):
            found: bytes | None = await self._inner.read(container, name)
        return found

    async def list(self, container: str, prefix: str = "") -> AsyncIterator[BlobInfo]:
        with self._reported(BLOBS_READ):
            async for each in self._inner.list(container, prefix):
                yield each

    async def delete(self, container: str, name: str) -> bool:
        with self._reported(BLOBS_WRITE):
            gone: bool = await self._inner.delete(container, name)
        return gone

    async def ready(self) -> None:
        with self._reported(BLOBS_WRITE):
            await self._inner.ready()

    async def close(self) -> None:
        await self._inner.close()


class ReportedMedia(_Port):
    """`LinkedBlobs` around `inner`, with the methods that uploads use."""

    async def upload_url(self, container: str, name: str, content_type: str, expires_at: float) -> UploadLink:
        with self._reported(BLOBS_MEDIA):
            link: UploadLink = await self._inner.upload_url(container, name, content_type, expires_at)
        return link

    async def download_url(self, container: str, name: str, content_type: str, expires_at: float) -> str:
        with self._reported(BLOBS_MEDIA):
            url: str = await self._inner.download_url(container, name, content_type, expires_at)
        return url

    async def head(self, container: str, name: str) -> BlobInfo | None:
        with self._reported(BLOBS_MEDIA):
            found: BlobInfo | None = await self._inner.head(container, name)
        return found

    async def read_range(self, container: str, name: str, start: int, length: int) -> bytes | None:
        with self._reported(BLOBS_MEDIA):
            found: bytes | None = await self._inner.read_range(container, name, start, length)
        return found

    async def move(self, source: tuple[str, str], target: tuple[str, str], content_type: str) -> bool:
        with self._reported(BLOBS_MEDIA):
            moved: bool = await self._inner.move(source, target, content_type)
        return moved

    async def delete(self, container: str, name: str) -> bool:
        with self._reported(BLOBS_MEDIA):
            gone: bool = await self._inner.delete(container, name)
        return gone


def reported_media(media: LinkedBlobs | None, telemetry: Telemetry) -> LinkedBlobs | None:
    """Wrap the media store, if there is one, to report its outages."""
    around: Any = None if media is None else ReportedMedia(media, telemetry.dependencies)
    found: LinkedBlobs | None = around
    return found


def reported(
    documents: DocumentStore, bus: Bus, blobs: Blobs, telemetry: Telemetry
) -> tuple[DocumentStore, Bus, Blobs]:
    """Wrap the three ports to report their outages and damaged documents."""
    return (
        ReportedDocuments(documents, telemetry),
        ReportedBus(bus, telemetry.dependencies),
        ReportedBlobs(blobs, telemetry.dependencies),
    )
