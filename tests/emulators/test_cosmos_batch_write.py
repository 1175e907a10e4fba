"""Batch writes without the SDK: accepted responses, fallback to the SDK, and writes never sent again.

The promises of `test_cosmos_store.py` hold for them too: its tests run with both ways of writing.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bootstrap import App
from events.batch import Batch, decode, encode
from events.schema import Event
from shared.adapters.bus.port import ROLLUP
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.cosmos_batch_write import encoded
from shared.adapters.documents.cosmos_wire import REST_SECONDS, Unusual
from shared.adapters.documents.metered import count_cosmos_calls
from shared.adapters.documents.port import (
    TENANTS,
    USER_ACTIVITY,
    Create,
    Delete,
    Failure,
    Replace,
    StoreRefused,
    StoreUnavailable,
    Upsert,
    WriteRejected,
)
from shared.domain.fingerprint import fingerprint
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID
from shared.observability.metrics import Telemetry
from tests.emulators.cosmos import CosmosServer
from tests.emulators.faults import AFTER, BEFORE, Fault
from tests.emulators.lean_store import Clock, free_port, opened
from tests.emulators.tcp_gate import TcpGate
from tests.events.topic import MemoryTopic, services_on
from tests.parts import signals_consumer

BUDGET_SECONDS = 3.0
"""A fold delayed by one fault finishes within it: time-outs here are 0.3 s. On Azure a batch has 10 s."""
NEW = [Create({"id": "new", "n": 1})]


@pytest.fixture
def calls() -> list[tuple[str, int]]:
    return []


@pytest.fixture
async def lean(cosmos: CosmosServer, calls: list[tuple[str, int]]) -> AsyncIterator[CosmosStore]:
    async with opened(cosmos, calls, cosmos.url, writes_wanted=lambda: True) as store:
        yield store


async def test_batch_is_written_without_the_sdk(lean, calls):
    [etag] = await lean.write(TENANTS, "t", NEW)
    again, other, gone = await lean.write(
        TENANTS, "t", [Replace({"id": "new", "n": 2}, etag), Upsert({"id": "other"}), Delete("a")]
    )
    found = await lean.read(TENANTS, "t", "new", latest=True)
    assert (found.etag, found.body["n"]) == (again, 2)
    assert (other is not None, gone) == (True, None)
    assert await lean.read(TENANTS, "t", "a", latest=True) is None
    assert [call for call in calls if "write" in call[0]] == [("lean_write", 200)] * 2


class ListeningServer(CosmosServer):
    """Records the headers and the body of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[dict[str, str], Any]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if "x-ms-cosmos-is-batch-request" in request.headers:
            self.batches.append(({k.lower(): value for k, value in request.headers.items()}, await request.json()))
        return await super().handle(request)


OWN_HEADERS = {"authorization", "x-ms-date", "user-agent", "content-length", "x-ms-session-token", "accept-encoding"}


async def test_request_equals_the_one_the_sdk_sends(calls):
    lean_is_wanted = True
    operations = [
        Upsert({"id": "ä€𝄞 %2F+&", "ttl": None}),
        Replace({"id": "a", "n": 2.5}, "*"),
        Delete("b"),
        Delete("c", "*"),
    ]
    async with ListeningServer() as cosmos:
        async with opened(cosmos, calls, cosmos.url, writes_wanted=lambda: lean_is_wanted) as store:
            for lean_is_wanted in (True, False):
                await store.write(TENANTS, "t", [Upsert({"id": id}) for id in ("a", "b", "c")])
                cosmos.batches.clear() if lean_is_wanted else cosmos.batches.pop()
                await store.write(TENANTS, "t", operations)
        (lean_headers, lean_body), (sdk_headers, sdk_body) = cosmos.batches
    assert [operation for operation, _ in calls] == ["lean_write", "lean_write", "write", "write"]
    assert lean_body == sdk_body
    assert lean_headers.keys() <= sdk_headers.keys() | OWN_HEADERS
    named = {name for name in lean_headers if name.startswith("x-ms-")} - OWN_HEADERS | {"content-type", "accept"}
    assert {name: lean_headers[name] for name in named} == {name: sdk_headers[name] for name in named}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=8,
)


@given(ANY_JSON)
def test_any_document_is_sent_unchanged(value):
    body = encoded([Create({"id": "a", "value": value})], TENANTS, "t")
    assert json.loads(body)[0]["resourceBody"] == {"id": "a", "value": value, "tenantId": "t"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), 2**80, "\ud800"])
def test_unencodable_value_is_left_to_the_sdk(value):
    with pytest.raises(Unusual) as raised:
        encoded([Create({"id": "a", "value": value})], TENANTS, "t")
    assert raised.value.untried


UNTRIED = {
    "a stale token": Fault(status=401),
    "a role that is missing": Fault(status=403, substatus=5302),
    "a write region that moved": Fault(status=403, substatus=3),
    "a request that is not understood": Fault(status=400),
    "a request that is too large": Fault(status=413),
}


@pytest.mark.parametrize("fault", UNTRIED.values(), ids=UNTRIED)
async def test_unstarted_batch_is_sent_by_the_sdk_at_once(lean, cosmos, calls, fault):
    cosmos.faults.add(fault)
    assert await lean.write(TENANTS, "t", NEW)
    assert calls == [("lean_write", fault.status), ("write", 200)]


@pytest.mark.parametrize("status", [429, 449])
async def test_throttled_batch_waits_for_retry_after_before_the_sdk_sends_it(lean, cosmos, calls, status):
    cosmos.faults.add(Fault("batch", status=status, retry_after_ms=20))
    assert await lean.write(TENANTS, "t", NEW)
    assert calls == [("lean_write", status), ("write", 200)]
    cosmos.faults.add(Fault("batch", status=status, retry_after_ms=60_000))
    with pytest.raises(StoreUnavailable) as raised:
        await lean.write(TENANTS, "t", [Upsert({"id": "new"})])
    assert raised.value.retry_after_seconds == pytest.approx(60)


UNCLEAR = {
    "the service ran out of time": Fault(status=408),
    "a partition that moves": Fault(status=410, substatus=1002),
    "an error": Fault(status=500),
    "unavailable": Fault(status=503),
    "a cut before the write": Fault(cut=BEFORE),
    "a cut after the write": Fault(cut=AFTER),
    "an answer that never ends": Fault(stall=True),
    "a silence": Fault(delay=2.0),
    "a container that is gone": Fault(status=404, substatus=1003),
    "a redirection": Fault(status=302, body="", headers={"Location": "http://127.0.0.1:9/"}),
    "a page": Fault(status=200, body="<html>", content_type="text/html"),
    "a page that refuses": Fault(status=403, body="<html>", content_type="text/html"),
    "no results": Fault(status=200, body="[]"),
    "half an answer": Fault(status=200, body='[{"statusCode": 201'),
    "results of somebody else": Fault(status=200, body='[{"statusCode": 201, "eTag": "x"}]'),
    "a result without its status": Fault(status=200, body="[{}]"),
    "nothing": Fault(status=204, body=""),
}


@pytest.mark.parametrize("fault", UNCLEAR.values(), ids=UNCLEAR)
async def test_possibly_applied_batch_is_never_resent(lean, cosmos, calls, fault):
    sent = cosmos.faults.count("batch")
    cosmos.faults.add(fault)
    with pytest.raises(StoreUnavailable):
        await lean.write(TENANTS, "t", NEW)
    assert cosmos.faults.count("batch") == sent + 1
    assert [operation for operation, _ in calls] == ["lean_write"]
    await lean.write(TENANTS, "t", [Upsert({"id": "new", "n": 2})])
    assert calls[-1] == ("write", 200)  # the endpoint rests


async def _answered(cosmos: CosmosServer, statuses: list[int]) -> None:
    results = json.dumps([{"statusCode": status} for status in statuses])
    cosmos.faults.add(Fault("batch", status=207, body=results, headers={"x-ms-activity-id": "a"}))


@pytest.mark.parametrize(
    ("statuses", "failures"),
    [
        ([424, 409], {1: Failure.ALREADY_EXISTS}),
        ([412, 424], {0: Failure.CONFLICT}),
        ([424, 404], {1: Failure.NOT_FOUND}),
    ],
)
async def test_refused_operation_is_reported_to_the_caller(lean, cosmos, calls, statuses, failures):
    await _answered(cosmos, statuses)
    with pytest.raises(WriteRejected) as raised:
        await lean.write(TENANTS, "t", [*NEW, Upsert({"id": "b"})])
    assert raised.value.failures == failures
    assert calls == [("lean_write", max(set(statuses) - {424}))]


@pytest.mark.parametrize("status", [409, 412])
async def test_refusal_of_the_whole_batch_counts_for_each_operation(lean, cosmos, calls, status):
    cosmos.faults.add(Fault(status=status))
    with pytest.raises(WriteRejected) as raised:
        await lean.write(TENANTS, "t", [*NEW, Upsert({"id": "b"})])
    assert raised.value.failures == dict.fromkeys(range(2), Failure.CONFLICT)
    assert calls == [("lean_write", status)]


async def test_too_large_operation_is_refused_for_good(lean, cosmos, calls):
    await _answered(cosmos, [413])
    with pytest.raises(StoreRefused) as raised:
        await lean.write(TENANTS, "t", NEW)
    assert raised.value.too_large
    assert calls == [("lean_write", 413)]


async def test_a_throttled_operation_throttles_its_batch(lean, cosmos, calls):
    await _answered(cosmos, [424, 429])
    assert await lean.write(TENANTS, "t", [*NEW, Upsert({"id": "b"})])
    assert calls == [("lean_write", 429), ("write", 200)]


async def test_other_failed_operation_is_an_outage(lean, cosmos, calls):
    await _answered(cosmos, [500, 424])
    with pytest.raises(StoreUnavailable):
        await lean.write(TENANTS, "t", [*NEW, Upsert({"id": "b"})])
    assert calls == [("lean_write", 500)]


async def test_sdk_writes_when_there_is_no_token(lean, cosmos, calls):
    cosmos.entra.down = True
    assert await lean.write(TENANTS, "t", NEW)
    assert calls == [("lean_write", 0), ("write", 200)]


async def test_failed_endpoint_is_skipped_and_tried_again_later(cosmos, calls):
    clock = Clock()
    async with opened(cosmos, calls, cosmos.url, clock, writes_wanted=lambda: True) as store:
        cosmos.faults.add(Fault(status=401))
        for n in range(3):
            await store.write(TENANTS, "t", [Upsert({"id": "a", "n": n})])
        assert [operation for operation, _ in calls] == ["lean_write", "write", "write", "write"]
        clock.now += REST_SECONDS
        calls.clear()
        await store.write(TENANTS, "t", [Upsert({"id": "a"})])
        assert calls == [("lean_write", 200)]


async def test_refused_token_is_requested_anew(cosmos, calls):
    clock = Clock()
    async with opened(cosmos, calls, cosmos.url, clock, writes_wanted=lambda: True) as store:
        await store.write(TENANTS, "t", [Upsert({"id": "a"})])
        cosmos.entra.valid.clear()  # revoked, long before it ends
        await store.write(TENANTS, "t", [Upsert({"id": "a"})])
        clock.now += REST_SECONDS
        calls.clear()
        await store.write(TENANTS, "t", [Upsert({"id": "a"})])
        assert calls == [("lean_write", 200)]
        assert len(cosmos.entra.scopes) == 2


async def test_failed_read_does_not_stop_direct_writes(lean, cosmos, calls):
    cosmos.faults.add(Fault("read", status=503))
    await lean.read(TENANTS, "t", "a")
    calls.clear()
    await lean.write(TENANTS, "t", NEW)
    assert calls == [("lean_write", 200)]


async def test_operators_can_disable_direct_writes_at_run_time(cosmos, calls):
    switched_on = True
    async with opened(cosmos, calls, cosmos.url, writes_wanted=lambda: switched_on) as store:
        await store.write(TENANTS, "t", [Upsert({"id": "a"})])
        switched_on = False
        await store.write(TENANTS, "t", [Upsert({"id": "a"})])
    assert calls == [("lean_write", 200), ("write", 200)]


async def test_invalid_request_charge_does_not_hide_a_successful_write(lean, cosmos):
    results = json.dumps([{"statusCode": 201, "eTag": "x"}])
    headers = {"x-ms-activity-id": "a", "x-ms-request-charge": "soon"}
    cosmos.faults.add(Fault(status=200, body=results, headers=headers))
    assert await lean.write(TENANTS, "t", NEW) == ["x"]


async def test_metrics_label_direct_writes_with_their_request_units(cosmos):
    telemetry = Telemetry()
    on_call = count_cosmos_calls(telemetry)
    async with opened(cosmos, [], cosmos.url, writes_wanted=lambda: True) as store:
        store._on_call = on_call
        await store.write(TENANTS, "t", NEW)
        with pytest.raises(WriteRejected):
            await store.write(TENANTS, "t", NEW)
    assert telemetry.counters["store_calls", ("lean_write", "ok")] == 1
    assert telemetry.counters["store_calls", ("lean_write", "rejected")] == 1
    assert telemetry.counters["store_request_units", ("lean_write",)] >= 5


# A batch of events

TENANT, USER, EVENTS = "tenant_1", "user-key", 3


class Folding:
    """A consumer that writes through `store`, and the results of its messages."""

    def __init__(self, store: CosmosStore, folder: Path) -> None:
        self.store, self.topic = store, MemoryTopic()
        self.app: App = services_on(store, self.topic, lambda: 1_700_000_000.0, folder)
        self.consumer = signals_consumer(self.app, patience_seconds=BUDGET_SECONDS, elapsed=time.monotonic)

    async def fold(self, number: int) -> str:
        """Fold a batch of three views, each of another video."""
        events = tuple(
            Event("video_view", f"v{n}", 1_699_999_999_000 - n, fingerprint(f"event {n}"), watch_ms=1_000.0)
            for n in range(number * EVENTS, (number + 1) * EVENTS)
        )
        return await self.consumer.handle(encode(Batch(f"{number:032x}", TENANT, USER, 1_700_000_000.0, events)))

    async def views(self) -> int:
        """Return how many views the user's signals have counted."""
        found = await self.store.read(USER_ACTIVITY, USER, SIGNALS_ID, latest=True)
        return int(from_document(found.body).daily["views"].sum()) if found else 0

    def handed_on(self) -> Counter[int]:
        """Return how often each event was published to the roll-up."""
        bodies = [message.body for message in self.topic.published if message.to == ROLLUP]
        return Counter(event.identity for body in bodies for batch in decode(body) for event in batch.events)

    async def holds(self, batches: int) -> None:
        """Fail unless every event of so many batches was counted once and published once."""
        assert await self.views() == batches * EVENTS
        assert list(self.handed_on().values()) == [1] * (batches * EVENTS)


BAD_DAYS = {
    "429 with Retry-After": (Fault("batch", status=429, retry_after_ms=5), "folded"),
    "429 twice": (Fault("batch", status=429, retry_after_ms=5, times=2), "folded"),
    "503": (Fault("batch", status=503), "folded"),
    "a stale token": (Fault("batch", status=401), "folded"),
    "a cut before the write": (Fault("batch", cut=BEFORE), "folded"),
    "an answer that was lost after the write": (Fault("batch", cut=AFTER), "duplicate"),
    "a silence before the write": (Fault("batch", delay=0.5), "folded"),
    "an answer that is no JSON": (Fault("batch", status=200, body="<html>"), "folded"),
    "an etag that has changed": (
        Fault(
            "batch", status=207, body='[{"statusCode": 424}, {"statusCode": 412}]', headers={"x-ms-activity-id": "a"}
        ),
        "folded",
    ),
    "a marker that is taken": (
        Fault(
            "batch", status=207, body='[{"statusCode": 409}, {"statusCode": 424}]', headers={"x-ms-activity-id": "a"}
        ),
        "folded",
    ),
}


@pytest.mark.parametrize(("fault", "outcome"), BAD_DAYS.values(), ids=BAD_DAYS)
async def test_each_event_counts_once_after_any_fault(lean, cosmos, tmp_path, fault, outcome):
    folding = Folding(lean, tmp_path)
    assert await folding.fold(0) == "folded"
    cosmos.faults.add(fault)
    began = time.monotonic()
    assert await folding.fold(1) == outcome
    assert time.monotonic() - began < BUDGET_SECONDS
    assert await folding.fold(1) == "duplicate"
    await folding.holds(2)


async def test_outage_returns_the_message_and_loses_nothing(lean, cosmos, tmp_path):
    folding = Folding(lean, tmp_path)
    cosmos.faults.add(Fault("batch", status=503, times=None))
    with pytest.raises(StoreUnavailable):
        await folding.fold(0)
    cosmos.faults.clear()
    assert await folding.fold(0) == "folded"
    await folding.holds(1)


async def test_sdk_folds_when_the_endpoint_is_gone(cosmos, calls, tmp_path):
    gone = f"http://127.0.0.1:{free_port()}"
    async with opened(cosmos, calls, gone, writes_wanted=lambda: True) as store:
        folding = Folding(store, tmp_path)
        assert await folding.fold(0) == "folded"
        assert [call for call in calls if "write" in call[0]] == [("lean_write", 0), ("write", 200)]
        await folding.holds(1)


async def test_a_half_open_connection_counts_nothing_twice(cosmos, calls, tmp_path):
    async with TcpGate(cosmos.port) as gate:
        account = f"http://127.0.0.1:{gate.port}"
        reads = {"reads_wanted": lambda: False}
        async with opened(cosmos, calls, account, writes_wanted=lambda: True, **reads) as store:
            folding = Folding(store, tmp_path)
            assert await folding.fold(0) == "folded"
            assert ("lean_write", 200) in calls
            gate.silent = True  # requests still arrive, but no response comes back
            assert await folding.fold(1) == "duplicate"
            await folding.holds(2)
