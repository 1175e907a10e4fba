"""Servers and adapters for the tests of this folder, fresh for every test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from shared.adapters.bus.servicebus import ServiceBusBus
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_batch_write import BatchWrites
from shared.adapters.documents.cosmos_wire import Wire
from tests.emulators.broker_here import broker_of_user_events
from tests.emulators.clock import MovableClock
from tests.emulators.cosmos import CosmosServer
from tests.emulators.hurried_loop import HurriedLoop

if TYPE_CHECKING:
    from tests.emulators.servicebus.broker import ServiceBusBroker


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the Service Bus tests on a faster loop, because the SDK sleeps a second at a time."""
    of_the_bus = item.path.name.startswith("test_servicebus")
    return {"hurried": HurriedLoop} if of_the_bus else {"plain": asyncio.new_event_loop}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def cosmos(clock: MovableClock) -> AsyncIterator[CosmosServer]:
    async with CosmosServer(clock, partitions=3) as server:
        yield server


@pytest.fixture(params=[False, True], ids=["by the SDK", "without it"])
async def store(request: pytest.FixtureRequest, cosmos: CosmosServer) -> AsyncIterator[CosmosStore]:
    wire = Wire(cosmos.url, "video", cosmos.entra.credential)
    store = CosmosStore(
        "video",
        connection_string=cosmos.connection_string,
        read_timeout_seconds=0.3,
        write_timeout_seconds=0.3,
        reopen_after_seconds=0.0,
        batch_writes=BatchWrites(wire, timeout_seconds=0.3) if request.param else None,
    )
    await store.ready()
    cosmos.faults.requests.clear()
    yield store
    await store.close()


@pytest.fixture
def broker(clock: MovableClock) -> Iterator[ServiceBusBroker]:
    with broker_of_user_events(clock) as broker:
        yield broker


@pytest.fixture
async def bus(broker: ServiceBusBroker) -> AsyncIterator[ServiceBusBus]:
    """A bus on the faster loop, so its time-outs are a tenth of their numbers: long, for a busy machine."""
    bus = ServiceBusBus(connection_string=broker.connection_string, publish_budget_seconds=200, call_seconds=600)
    yield bus
    await bus.close()
