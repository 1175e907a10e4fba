"""The contract suites on Microsoft's emulators from compose.yaml: with AZURE_EMULATORS=compose they join the others.

An emulator's clock cannot be moved, so tests that let time pass are left out. All tests share one bus: each begins by
emptying it, and they must not run in parallel (`-n 0`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.blobs.azure import AzureBlobs
from shared.adapters.blobs.port import BLOB_CONTAINERS, Blobs
from shared.adapters.bus.port import ROLLUP, SIGNALS, SUBSCRIPTIONS, Bus
from shared.adapters.bus.servicebus import ServiceBusBus
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.port import DocumentStore
from shared.adapters.flags.app_configuration import AppConfigurationFlags, FlagStore

if TYPE_CHECKING:
    from tests.contracts.backends import FlagsRig, Rig

WANTED = os.environ.get("AZURE_EMULATORS") == "compose"
_KEY = "ZW11bGF0b3ItZW11bGF0b3ItZW11bGF0b3I="
COSMOS = (
    "AccountEndpoint=http://127.0.0.1:8081/;AccountKey="
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==;"
)
SERVICE_BUS = (
    "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;"
    "UseDevelopmentEmulator=true;"
)
APP_CONFIGURATION = f"Endpoint=http://127.0.0.1:8483;Id=emulator;Secret={_KEY}"
BLOB = f"DefaultEndpointsProtocol=http;AccountName=feed;AccountKey={_KEY};BlobEndpoint=http://127.0.0.1:10000/feed;"


async def cannot_advance(seconds: float) -> None:
    pytest.skip("an emulator's clock cannot be moved")


@contextlib.asynccontextmanager
async def documents(folder: Path) -> AsyncIterator[Rig[DocumentStore]]:
    from tests.contracts.backends import Rig

    database = f"test-{uuid.uuid4().hex[:12]}"
    opened: list[DocumentStore] = []

    async def another() -> DocumentStore:
        opened.append(CosmosStore(database, connection_string=COSMOS, read_timeout_seconds=10))
        await opened[-1].ready()
        return opened[-1]

    yield Rig(await another(), another, time.time, cannot_advance)
    for store in opened:
        await store.close()


@contextlib.asynccontextmanager
async def bus(folder: Path) -> AsyncIterator[Rig[Bus]]:
    from tests.contracts.backends import Rig

    opened: list[Bus] = []

    async def another() -> Bus:
        opened.append(ServiceBusBus(connection_string=SERVICE_BUS, publish_budget_seconds=60, call_seconds=60))
        return opened[-1]

    rig = Rig(await another(), another, time.time, cannot_advance, quiet_seconds=5.0)
    await empty(rig.port)
    yield rig
    for each in opened:
        await each.close()


async def empty(port: Bus) -> None:
    """Remove what earlier tests left."""
    receivers = [await port.receiver(SIGNALS)]
    receivers += [await port.receiver(subscription, dead_letters=True) for subscription in SUBSCRIPTIONS]
    while (session := await port.next_session(ROLLUP, 2.0)) is not None:
        receivers.append(session)
    for receiver in receivers:
        while found := await receiver.receive(100, 2.0):
            await receiver.complete(found)
        await receiver.close()


@contextlib.asynccontextmanager
async def blobs(folder: Path) -> AsyncIterator[Rig[Blobs]]:
    from tests.contracts.backends import Rig

    opened: list[Blobs] = []

    async def another() -> Blobs:
        opened.append(AzureBlobs(connection_string=BLOB))
        await opened[-1].ready()
        return opened[-1]

    rig = Rig(await another(), another, time.time, cannot_advance)
    for container in BLOB_CONTAINERS:
        async for blob in rig.port.list(container):
            await rig.port.delete(container, blob.name)
    yield rig
    for each in opened:
        await each.close()


@contextlib.asynccontextmanager
async def flags(folder: Path) -> AsyncIterator[FlagsRig]:
    from tests.contracts.backends import FlagsRig

    source = AppConfigurationFlags(connection_string=APP_CONFIGURATION)

    async def put(wanted: list[dict[str, Any]]) -> None:
        def write() -> None:
            with FlagStore(connection_string=APP_CONFIGURATION) as store:
                store.replace(wanted)

        await asyncio.to_thread(write)
        await asyncio.sleep(1.05)

    async def break_it() -> None:
        pytest.skip("an emulator cannot be told to fail")

    yield FlagsRig(source, put, break_it)
    await source.close()
