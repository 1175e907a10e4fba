"""The backends each contract suite runs on.

To add one: write an async context manager that takes a scratch folder and yields a `Rig`, and list it below under its
port. When a requirement is not installed, call `pytest.skip` with its name.

Suites never wait: `Rig.advance` moves the clock of the backend, in this process or on a server. `Rig.another` returns a
second client of the same state, as in another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from local.blob_door import BlobDoor
from local.doors import Doors
from shared.adapters.blobs.azure import AzureBlobs
from shared.adapters.blobs.door_links import DoorLinks
from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import MEDIA_CONTAINERS, Blobs, LinkedBlobs
from shared.adapters.bus.port import Bus
from shared.adapters.bus.servicebus import ServiceBusBus
from shared.adapters.bus.sqlite import SqliteBus
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_batch_write import BatchWrites
from shared.adapters.documents.cosmos_point_read import PointReads
from shared.adapters.documents.cosmos_wire import Wire
from shared.adapters.documents.port import DocumentStore
from shared.adapters.documents.sqlite import SqliteStore
from shared.adapters.flags.app_configuration import AppConfigurationFlags
from shared.adapters.flags.file import FileFlags
from shared.adapters.flags.port import FlagSource
from tests.contracts import containers
from tests.emulators import azurite
from tests.emulators.appconfig import AppConfigurationServer
from tests.emulators.broker_here import broker_of_user_events
from tests.emulators.cosmos import CosmosServer
from tests.emulators.faults import Fault


class Closable(Protocol):
    async def close(self) -> None: ...


Port = TypeVar("Port", bound=Closable)


class MovableClock:
    """A clock that stands still until it is moved; seconds since the epoch."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        self.now += seconds


FEW_DELIVERIES = 10
"""Deliveries before a rig's bus gives a message up: few, so that it shows sooner."""


@dataclass
class Rig(Generic[Port]):
    """A port under test, and the means to test it.

    `now` is the backend's idea of the time, `advance(seconds)` moves it. `quiet_seconds` is how long to wait before
    believing that nothing comes: 0 where an answer is immediate.
    """

    port: Port
    another: Callable[[], Awaitable[Port]]
    now: Callable[[], float]
    advance: Callable[[float], Awaitable[None]]
    quiet_seconds: float = 0.0


@dataclass
class FlagsRig:
    """A flag source under test. After `put` or `break_it` returns, the next `load` sees the change."""

    port: FlagSource
    put: Callable[[list[dict[str, Any]]], Awaitable[None]]
    break_it: Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def clients(connect: Callable[[], Port], clock: MovableClock) -> AsyncIterator[Rig[Port]]:
    """A rig of an embedded backend: clients share files and a clock, and are closed at the end."""
    opened: list[Port] = []

    async def another() -> Port:
        opened.append(connect())
        return opened[-1]

    yield Rig(await another(), another, clock, clock.advance)
    for client in opened:
        await client.close()


def sqlite_documents(folder: Path) -> AbstractAsyncContextManager[Rig[DocumentStore]]:
    clock = MovableClock()
    return clients(lambda: SqliteStore(folder / "documents.db", clock), clock)


def sqlite_bus(folder: Path) -> AbstractAsyncContextManager[Rig[Bus]]:
    clock = MovableClock()
    return clients(lambda: SqliteBus(folder / "bus.db", clock, max_deliveries=FEW_DELIVERIES), clock)


def folder_blobs(folder: Path) -> AbstractAsyncContextManager[Rig[Blobs]]:
    clock = MovableClock()
    return clients(lambda: FolderBlobs(folder / "blobs", clock), clock)


@contextlib.asynccontextmanager
async def file_flags(folder: Path) -> AsyncIterator[FlagsRig]:
    path = folder / "flags.json"

    async def put(flags: list[dict[str, Any]]) -> None:
        path.write_text(json.dumps({"feature_management": {"feature_flags": flags}}))

    async def break_it() -> None:
        path.write_text("<html>503 Service Unavailable</html>")

    source = FileFlags(path)
    yield FlagsRig(source, put, break_it)
    await source.close()


def cosmos_documents(folder: Path) -> AbstractAsyncContextManager[Rig[DocumentStore]]:
    return _cosmos(lean=False)


def lean_cosmos_documents(folder: Path) -> AbstractAsyncContextManager[Rig[DocumentStore]]:
    return _cosmos(lean=True)


@contextlib.asynccontextmanager
async def _cosmos(*, lean: bool) -> AsyncIterator[Rig[DocumentStore]]:
    async with CosmosServer(partitions=3) as server:
        opened: list[DocumentStore] = []

        async def another() -> DocumentStore:
            wire = Wire(server.url, "feed", server.entra.credential)
            opened.append(
                CosmosStore(
                    "feed",
                    connection_string=server.connection_string,
                    point_reads=PointReads(wire) if lean else None,
                    batch_writes=BatchWrites(wire) if lean else None,
                )
            )
            await opened[-1].ready()
            return opened[-1]

        yield Rig(await another(), another, server.clock.now, server.clock.pass_by)
        for store in opened:
            await store.close()


@contextlib.asynccontextmanager
async def servicebus_bus(folder: Path) -> AsyncIterator[Rig[Bus]]:
    with broker_of_user_events(max_deliveries=FEW_DELIVERIES) as broker:
        opened: list[Bus] = []

        async def another() -> Bus:
            patient = ServiceBusBus(
                connection_string=broker.connection_string, publish_budget_seconds=600, call_seconds=1200
            )
            opened.append(patient)
            return opened[-1]

        async def advance(seconds: float) -> None:
            broker.clock.advance(seconds)
            broker.call(broker.tick)

        yield Rig(await another(), another, broker.clock.now, advance, quiet_seconds=0.05)
        for bus in opened:
            await bus.close()


@contextlib.asynccontextmanager
async def azure_blobs(folder: Path) -> AsyncIterator[Rig[Blobs]]:
    account = azurite.running().account()
    opened: list[Blobs] = []

    async def another() -> Blobs:
        opened.append(AzureBlobs(connection_string=account))
        await opened[-1].ready()
        return opened[-1]

    yield Rig(await another(), another, time.time, asyncio.sleep)  # it has no clock to move
    for blobs in opened:
        await blobs.close()


@contextlib.asynccontextmanager
async def folder_media(folder: Path) -> AsyncIterator[Rig[LinkedBlobs]]:
    clock, doors = MovableClock(), Doors(0)
    links = DoorLinks(b"k" * 32, f"http://{doors.origin}")

    def folder_of_media() -> FolderBlobs:
        return FolderBlobs(folder / "media", clock, containers=MEDIA_CONTAINERS, links=links)

    def connect() -> LinkedBlobs:
        return folder_of_media()

    await doors.start(BlobDoor(folder_of_media(), links, clock).routes())
    async with clients(connect, clock) as rig:
        yield rig
    await doors.stop()


@contextlib.asynccontextmanager
async def azure_media(folder: Path) -> AsyncIterator[Rig[LinkedBlobs]]:
    blobs = AzureBlobs(connection_string=azurite.running().account(), containers=MEDIA_CONTAINERS)
    await blobs.ready()

    async def another() -> LinkedBlobs:
        return blobs

    yield Rig[LinkedBlobs](blobs, another, time.time, asyncio.sleep)
    await blobs.close()


@contextlib.asynccontextmanager
async def app_configuration_flags(folder: Path) -> AsyncIterator[FlagsRig]:
    async with AppConfigurationServer() as server:
        source = AppConfigurationFlags(connection_string=server.connection_string)

        async def put(flags: list[dict[str, Any]]) -> None:
            server.faults.clear()
            server.clear()
            for flag in flags:
                server.put_flag(flag)

        async def break_it() -> None:
            server.faults.add(Fault("GET", status=503, times=None))

        yield FlagsRig(source, put, break_it)
        await source.close()


DOCUMENTS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig[DocumentStore]]]] = {
    "sqlite": sqlite_documents,
    "cosmos": cosmos_documents,
    "cosmos, without its SDK": lean_cosmos_documents,
}
BUS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig[Bus]]]] = {
    "sqlite": sqlite_bus,
    "servicebus": servicebus_bus,
}
BLOBS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig[Blobs]]]] = {
    "folder": folder_blobs,
    "azure": azure_blobs,
}
MEDIA: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig[LinkedBlobs]]]] = {
    "folder": folder_media,
    "azure": azure_media,
}
FLAGS: dict[str, Callable[[Path], AbstractAsyncContextManager[FlagsRig]]] = {
    "file": file_flags,
    "appconfig": app_configuration_flags,
}

if containers.WANTED:
    DOCUMENTS["cosmos emulator"] = containers.documents
    BUS["servicebus emulator"] = containers.bus
    BLOBS["azurite container"] = containers.blobs
    FLAGS["appconfig emulator"] = containers.flags
