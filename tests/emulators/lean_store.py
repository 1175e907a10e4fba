"""A store that calls the Cosmos DB test server without the SDK, as with the flags `lean-reads` and `lean-writes`."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_batch_write import BatchWrites
from shared.adapters.documents.cosmos_point_read import PointReads
from shared.adapters.documents.cosmos_wire import Wire
from shared.adapters.documents.port import TENANTS, Create
from tests.emulators.cosmos import CosmosServer


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def opened(
    cosmos: CosmosServer,
    calls: list[tuple[str, int]],
    account: str,
    clock: Clock | None = None,
    *,
    reads_wanted: Callable[[], bool] = lambda: True,
    writes_wanted: Callable[[], bool] = lambda: False,
    write_timeout_seconds: float = 0.3,
) -> AsyncIterator[CosmosStore]:
    """A store with one document, which calls `account` first. `calls` receives the operations and their statuses."""
    wire = Wire(account, "video", cosmos.entra.credential, clock=clock or Clock())
    store = CosmosStore(
        "video",
        connection_string=cosmos.connection_string,
        read_timeout_seconds=0.3,
        write_timeout_seconds=write_timeout_seconds,
        throttle_wait_seconds=0.5,
        point_reads=PointReads(wire, wanted=reads_wanted),
        batch_writes=BatchWrites(wire, wanted=writes_wanted, timeout_seconds=write_timeout_seconds),
        on_call=lambda operation, status, *_: calls.append((operation, status)),
    )
    await store.ready()
    sdk = CosmosStore("video", connection_string=cosmos.connection_string)
    await sdk.write(TENANTS, "t", [Create({"id": "a", "n": 1})])
    await sdk.close()
    calls.clear()
    yield store
    await store.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
