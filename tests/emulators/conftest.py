"""Servers and adapters for the tests of this folder, fresh for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.stores.cosmos import CosmosStore
from tests.emulators.clock import MovableClock
from tests.emulators.cosmos import CosmosServer


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def cosmos(clock: MovableClock) -> AsyncIterator[CosmosServer]:
    async with CosmosServer(clock, partitions=3) as server:
        yield server


@pytest.fixture
async def store(cosmos: CosmosServer) -> AsyncIterator[CosmosStore]:
    store = CosmosStore(
        "video",
        connection_string=cosmos.connection_string,
        read_timeout_seconds=0.3,
        write_timeout_seconds=0.3,
        reopen_after_seconds=0.0,
    )
    await store.ready()
    cosmos.faults.requests.clear()
    yield store
    await store.close()
