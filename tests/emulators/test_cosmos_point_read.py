"""Point reads without the SDK: accepted responses; everything else is retried through the SDK."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from feed.signals_reader import SignalsReader, SignalsUnavailable
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_point_read import PointReads
from shared.adapters.documents.cosmos_wire import REST_SECONDS, Endpoints, Wire, endpoints_of
from shared.adapters.documents.port import TENANTS, USER_ACTIVITY, Create, StoreUnavailable, Upsert
from shared.domain.signals_document import to_document
from shared.domain.user_signals import Signals
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from tests.emulators.cosmos import CosmosServer
from tests.emulators.faults import BEFORE, Fault
from tests.emulators.lean_store import Clock, free_port, opened
from tests.emulators.tcp_gate import TcpGate

BUDGET_SECONDS = 0.08
"""The feed's limit: a page waits no longer for a user's signals."""


@pytest.fixture
def calls() -> list[tuple[str, int]]:
    return []


@pytest.fixture
async def lean(cosmos: CosmosServer, calls: list[tuple[str, int]]) -> AsyncIterator[CosmosStore]:
    async with opened(cosmos, calls, cosmos.url) as store:
        yield store


async def test_document_or_its_absence_is_read_without_the_sdk(lean, calls):
    found = await lean.read(TENANTS, "t", "a")
    assert found is not None
    assert found.body == {"id": "a", "n": 1, "tenantId": "t"}
    assert await lean.read(TENANTS, "t", "nothing") is None
    assert calls == [("lean_read", 200), ("lean_read", 404)]


@pytest.mark.parametrize("id", ["a b", "ä€𝄞", "a%2Fb", "a+b&c=d", "signals:x"])
async def test_any_id_and_partition_is_requested_unchanged(lean, calls, id):
    await lean.write(TENANTS, f"of {id}", [Create({"id": id, "n": 2})])
    calls.clear()
    found = await lean.read(TENANTS, f"of {id}", id)
    assert found is not None
    assert found.id == id
    assert calls == [("lean_read", 200)]


UNUSUAL = {
    "throttled, with a time to wait": Fault(status=429, retry_after_ms=20),
    "unavailable": Fault(status=503),
    "a stale token": Fault(status=401),
    "a role that is missing": Fault(status=403, substatus=5302),
    "a partition that moves": Fault(status=410, substatus=1002),
    "a session that is ahead": Fault(status=404, substatus=1002),
    "a redirection": Fault(status=302, body="", headers={"Location": "http://127.0.0.1:9/"}),
    "a proxy's 404": Fault(status=404, body="<html>", content_type="text/html"),
    "a body that is no item": Fault(status=200, body="[]"),
    "another item": Fault(status=200, body='{"id": "b", "_etag": "x"}'),
    "an item without its etag": Fault(status=200, body='{"id": "a"}'),
    "half an item": Fault(status=200, body='{"id": "a", '),
    "a cut, and another one": Fault(cut=BEFORE, times=2),
    "no status anybody knows": Fault(status=299, body="{}"),
}


@pytest.mark.parametrize("fault", UNUSUAL.values(), ids=UNUSUAL)
async def test_any_other_response_is_retried_through_the_sdk(lean, cosmos, calls, fault):
    cosmos.faults.add(fault)
    found = await lean.read(TENANTS, "t", "a")
    assert found is not None
    assert found.body["n"] == 1
    assert [operation for operation, _ in calls] == ["lean_read", "read"]


ODD_CHARGE = {"x-ms-request-charge": "soon"}


@pytest.mark.parametrize("lean_reads", [True, False], ids=["lean", "by the SDK"])
async def test_invalid_request_charge_is_at_most_an_outage(cosmos, calls, lean_reads):
    async with opened(cosmos, calls, cosmos.url, reads_wanted=lambda: lean_reads) as store:
        cosmos.faults.add(Fault(status=503, body="{}", headers=ODD_CHARGE, times=None))
        with pytest.raises(StoreUnavailable):
            await store.read(TENANTS, "t", "a")


async def test_endpoint_is_skipped_after_an_unusual_response_and_tried_again_later(cosmos, calls):
    clock = Clock()
    async with opened(cosmos, calls, cosmos.url, clock) as store:
        cosmos.faults.add(Fault(status=503))
        for _ in range(3):
            assert await store.read(TENANTS, "t", "a") is not None
        assert [operation for operation, _ in calls] == ["lean_read", "read", "read", "read"]
        clock.now += REST_SECONDS
        calls.clear()
        assert await store.read(TENANTS, "t", "a") is not None
        assert calls == [("lean_read", 200)]


async def test_refused_token_is_requested_anew(cosmos, calls):
    clock = Clock()
    async with opened(cosmos, calls, cosmos.url, clock) as store:
        await store.read(TENANTS, "t", "a")
        cosmos.entra.valid.clear()  # revoked, long before it ends
        assert await store.read(TENANTS, "t", "a") is not None
        clock.now += REST_SECONDS
        calls.clear()
        assert await store.read(TENANTS, "t", "a") is not None
        assert calls == [("lean_read", 200)]
        assert len(cosmos.entra.scopes) == 2


async def test_token_is_kept_until_shortly_before_it_expires(cosmos, calls):
    async with opened(cosmos, calls, cosmos.url) as store:
        await asyncio.gather(*(store.read(TENANTS, "t", "a") for _ in range(20)))
        assert cosmos.entra.scopes == ["http://127.0.0.1/.default"]
    cosmos.entra.lives_seconds = 10.0  # less than the reserve
    wire = Wire(cosmos.url, "video", cosmos.entra.credential)
    for _ in range(2):
        await PointReads(wire).read(cosmos.url, "tenants", "t", "a", session=None)
    await wire.close()
    assert len(cosmos.entra.scopes) == 3


async def test_sdk_reads_when_there_is_no_token(lean, cosmos, calls):
    cosmos.entra.down = True
    assert await lean.read(TENANTS, "t", "a") is not None
    assert calls == [("lean_read", 0), ("read", 200)]


async def test_read_of_the_latest_version_sees_writes_of_this_process(lean, cosmos, calls):
    await lean.write(TENANTS, "t", [Upsert({"id": "a", "n": 2})])
    calls.clear()
    found = await lean.read(TENANTS, "t", "a", latest=True)
    assert found is not None
    assert found.body["n"] == 2
    assert calls == [("lean_read", 200)]


async def test_operators_can_disable_direct_reads_at_run_time(cosmos, calls):
    switched_on = True
    async with opened(cosmos, calls, cosmos.url, reads_wanted=lambda: switched_on) as store:
        await store.read(TENANTS, "t", "a")
        switched_on = False
        await store.read(TENANTS, "t", "a")
    assert calls == [("lean_read", 200), ("read", 200)]


async def test_next_region_is_used_while_the_first_is_skipped(cosmos, calls):
    clock = Clock()
    async with opened(cosmos, calls, cosmos.url, clock) as store:
        reads = store._point_reads
        assert reads is not None
        gone = f"http://127.0.0.1:{free_port()}"
        reads._endpoints = Endpoints((gone, cosmos.url), reads.wire.clock)
        assert await store.read(TENANTS, "t", "a") is not None  # nobody listens in the first region
        assert await store.read(TENANTS, "t", "a") is not None
        assert [operation for operation, _ in calls] == ["lean_read", "read", "lean_read"]


def test_region_endpoints_contain_the_account_name():
    account = "https://feed.documents.azure.com:443/"
    assert endpoints_of(account, ["West Europe", " northeurope"]) == (
        "https://feed-westeurope.documents.azure.com:443",
        "https://feed-northeurope.documents.azure.com:443",
    )
    assert endpoints_of(account, [""]) == ("https://feed.documents.azure.com:443",)


def test_a_token_is_never_sent_over_plain_http_to_another_machine():
    with pytest.raises(ValueError, match="https"):
        PointReads(Wire("http://feed.documents.azure.com", "feed", dict))


# A feed request


@contextlib.asynccontextmanager
async def reader_of(store: CosmosStore) -> AsyncIterator[SignalsReader]:
    settings = Settings.from_environment(
        {"SIGNALS_BUDGET_MS": str(BUDGET_SECONDS * 1000), "SIGNALS_CACHE_SECONDS": "0"}
    )
    document = to_document(Signals(14.0, newest_minute=29_000_000, updated_at=1.0))
    await store.write(USER_ACTIVITY, "u", [Upsert(document)])
    yield SignalsReader(store, settings, Telemetry(), asyncio.get_running_loop().time)


async def _answer(reader: SignalsReader) -> tuple[str, float]:
    """Return the mode of a page and the seconds until it was known."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        signals = await reader.get("t", "u")
    except SignalsUnavailable:
        return "fallback", loop.time() - began
    return "personalized" if signals else "newcomer", loop.time() - began


BAD_DAYS = {
    "429 with Retry-After": (Fault(status=429, retry_after_ms=5, times=2), "personalized"),
    "503": (Fault(status=503), "personalized"),
    "a stale token": (Fault(status=401), "personalized"),
    "429 for long": (Fault(status=429, retry_after_ms=5_000, times=None), "fallback"),
    "503 for long": (Fault(status=503, times=None), "fallback"),
}


@pytest.mark.parametrize(("fault", "page"), BAD_DAYS.values(), ids=BAD_DAYS)
async def test_any_fault_still_yields_the_right_page_within_the_budget(lean, cosmos, fault, page):
    async with reader_of(lean) as reader:
        assert (await _answer(reader))[0] == "personalized"
        cosmos.faults.add(fault)
        got, seconds = await _answer(reader)
        assert got == page
        assert seconds < BUDGET_SECONDS + 0.25


async def test_sdk_reads_when_the_endpoint_is_gone_and_the_page_stays_personal(cosmos, calls):
    async with opened(cosmos, calls, f"http://127.0.0.1:{free_port()}") as store, reader_of(store) as reader:
        assert (await _answer(reader))[0] == "personalized"
        assert ("lean_read", 0) in calls
        assert calls[-1] == ("read", 200)


async def test_half_open_connection_makes_one_page_fall_back(cosmos, calls):
    async with TcpGate(cosmos.port) as gate:
        account = f"http://127.0.0.1:{gate.port}"
        async with opened(cosmos, calls, account) as store, reader_of(store) as reader:
            assert (await _answer(reader))[0] == "personalized"
            assert calls[-1] == ("lean_read", 200)
            gate.silent = True  # the connection looks open, but nobody answers
            got, seconds = await _answer(reader)
            assert got == "fallback"
            assert seconds < BUDGET_SECONDS + 0.25
            assert (await _answer(reader))[0] == "personalized"  # by the SDK, while the endpoint is skipped
            assert calls[-1] == ("read", 200)
