"""Counts and times the calls of a document store. The Cosmos DB adapter counts its own, with request units."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from shared.adapters.documents.port import (
    Changes,
    Container,
    Document,
    DocumentStore,
    Operation,
    Page,
    StoreUnavailable,
    WriteRejected,
)
from shared.observability.metrics import Telemetry


class MeteredDocuments:
    """`DocumentStore` around `inner`."""

    def __init__(self, inner: DocumentStore, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        call = _Call(self._telemetry, "read")
        with call:
            found = await self._inner.read(container, partition, id, latest=latest)
            call.status = "ok" if found is not None else "not_found"
        return found

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        with _Call(self._telemetry, "write"):
            return await self._inner.write(container, partition, operations)

    async def query(
        self, container: Container, partition: str, *, id_prefix: str = "", after: str | None = None, limit: int = 200
    ) -> Page:
        with _Call(self._telemetry, "query"):
            return await self._inner.query(container, partition, id_prefix=id_prefix, after=after, limit=limit)

    async def changes(self, container: Container, since: str | None, *, limit: int = 500) -> Changes:
        with _Call(self._telemetry, "changes"):
            return await self._inner.changes(container, since, limit=limit)

    def __getattr__(self, name: str) -> Any:
        """Return a backend's method that is not in the port, such as `purge`."""
        return getattr(self._inner, name)

    async def ready(self) -> None:
        await self._inner.ready()

    async def close(self) -> None:
        await self._inner.close()


class _Call:
    """Counts one call by its outcome."""

    __slots__ = ("operation", "started", "status", "telemetry")

    def __init__(self, telemetry: Telemetry, operation: str) -> None:
        self.telemetry, self.operation, self.status = telemetry, operation, "ok"

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            known = {StoreUnavailable: "unavailable", WriteRejected: "rejected"}
            self.status = known.get(kind, "failed")  # a call that its budget ended is a CancelledError
        self.telemetry.count("store_calls", self.operation, self.status)
        self.telemetry.observe("store_call_ms", (time.perf_counter() - self.started) * 1000, self.operation)


def count_cosmos_calls(telemetry: Telemetry) -> Callable[[str, int, float, float], None]:
    """Return a callback that counts each request of the Cosmos DB adapter."""

    def on_call(operation: str, status: int, request_units: float, seconds: float) -> None:
        telemetry.count("store_calls", operation, _STATUSES.get(status, "unavailable" if status == 0 else "failed"))
        telemetry.observe("store_call_ms", seconds * 1000, operation)
        telemetry.count("store_request_units", operation, amount=request_units)

    return on_call


_STATUSES = {
    200: "ok",
    201: "ok",
    204: "ok",
    207: "rejected",
    304: "ok",
    404: "not_found",
    409: "rejected",
    410: "unavailable",
    412: "rejected",
    408: "unavailable",
    429: "throttled",
    503: "unavailable",
}
