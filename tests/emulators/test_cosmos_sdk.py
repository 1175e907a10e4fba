"""Records undocumented behavior of the Cosmos DB SDK that the adapter is built around.

When an upgrade changes one and a test here fails, check whether the adapter can be simpler.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.port import TENANTS, Upsert
from tests.emulators.cosmos import CosmosServer
from tests.emulators.faults import AFTER, Fault


@pytest.fixture
async def stock(cosmos: CosmosServer, store: CosmosStore) -> AsyncIterator[ContainerProxy]:
    """The container `tenants` through a client with default settings, entered as a context manager."""
    async with CosmosClient.from_connection_string(cosmos.connection_string) as client:
        container = client.get_database_client("video").get_container_client("tenants")
        await container.read()
        cosmos.faults.requests.clear()
        yield container


async def test_the_stock_client_repeats_a_cut_write_and_reports_a_false_conflict(stock, cosmos):
    cosmos.faults.add(Fault("batch", cut=AFTER))
    with pytest.raises(CosmosBatchOperationError) as raised:
        await stock.execute_item_batch([("create", ({"id": "a", "tenantId": "t"},))], "t")
    assert raised.value.status_code == 409
    assert cosmos.faults.count("batch") == 2
    assert cosmos.container("tenants").get("t", "a")


async def test_stock_client_resends_a_write_after_a_503(stock, cosmos):
    cosmos.faults.add(Fault("batch", status=503))
    await stock.execute_item_batch([("create", ({"id": "a", "tenantId": "t"},))], "t")
    assert cosmos.faults.count("batch") == 2


async def test_stock_client_tries_ten_times_while_throttled(stock, cosmos):
    cosmos.faults.add(Fault("read", status=429, retry_after_ms=1, times=None))
    with pytest.raises(CosmosHttpResponseError):
        await stock.read_item("a", "t")
    assert cosmos.faults.count("read") == 10


async def test_a_total_timeout_does_not_interrupt_a_request_in_flight(stock, cosmos):
    cosmos.faults.add(Fault("read", delay=0.4))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stock.read_item("a", "t", timeout=0.05), 0.2)


async def test_a_read_timeout_is_followed_by_further_tries(stock, cosmos):
    cosmos.faults.add(Fault("read", delay=0.3))
    with pytest.raises(CosmosHttpResponseError):
        await stock.read_item("a", "t", read_timeout=0.1)
    assert cosmos.faults.count("read") == 2


async def test_sdk_returns_an_empty_dict_for_a_304(stock, store):
    [etag] = await store.write(TENANTS, "t", [Upsert({"id": "a"})])
    answer = await stock.read_item("a", "t", etag=etag, match_condition=MatchConditions.IfModified)
    assert dict(answer) == {}


async def test_sdk_forgets_the_session_token_of_a_batch(stock, cosmos):
    cosmos.container("tenants").freeze_replica()
    await stock.execute_item_batch([("create", ({"id": "a", "tenantId": "t"},))], "t")
    with pytest.raises(CosmosHttpResponseError) as raised:
        await stock.read_item("a", "t")
    assert raised.value.status_code == 404


async def test_sdk_client_without_context_manager_keeps_no_session(cosmos, store):
    client = CosmosClient.from_connection_string(cosmos.connection_string)
    container = client.get_database_client("video").get_container_client("tenants")
    await store.write(TENANTS, "t", [Upsert({"id": "a"})])
    await container.read_item("a", "t")
    assert client.client_connection.session is None
    await client.close()
