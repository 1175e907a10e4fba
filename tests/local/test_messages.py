"""Service Bus triggers deliver messages of a bus to the functions of a toy app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest

from local.host import LocalHost
from local.invocation import UnsupportedFunction
from shared.adapters.bus.port import SIGNALS, BusUnavailable
from tests.local.bus import FEW_DELIVERIES, FakeBus
from tests.local.clock import ManualClock, settle

START = 1_800_000_000.25


def app_with(function: Callable[..., Any], **trigger: Any) -> func.FunctionApp:
    app = func.FunctionApp()
    wanted = {
        "arg_name": "message",
        "topic_name": "user-events",
        "subscription_name": SIGNALS,
        "connection": "Bus",
        "data_type": "binary",
    }
    app.service_bus_topic_trigger(**{**wanted, **trigger})(function)
    return app


def host_json(**service_bus: Any) -> dict[str, Any]:
    return {"extensions": {"http": {"routePrefix": ""}, "serviceBus": service_bus}}


class Work:
    """A function that waits for a permit per call, and fails where the test says so."""

    def __init__(self) -> None:
        self.permits = asyncio.Semaphore(0)
        self.seen: list[func.ServiceBusMessage] = []
        self.running = self.most = self.cancelled = 0
        self.fail_on: Callable[[func.ServiceBusMessage], bool] = lambda message: False

    async def function(self, message: func.ServiceBusMessage) -> None:
        self.seen.append(message)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.permits.acquire()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.fail_on(message):
            raise RuntimeError(message.get_body().decode())

    def let(self, calls: int) -> None:
        for _ in range(calls):
            self.permits.release()

    def bodies(self) -> list[bytes]:
        return [message.get_body() for message in self.seen]


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
async def bus(clock: ManualClock) -> FakeBus:
    return FakeBus(lock_seconds=60, clock=clock)


@pytest.fixture
async def work() -> Work:
    return Work()


@asynccontextmanager
async def running(app: func.FunctionApp, bus: FakeBus, clock: ManualClock, **options: Any) -> AsyncIterator[LocalHost]:
    host = LocalHost(app, bus, host_json(**options), clock=clock, lock_seconds=bus.lock_seconds)
    await host.start(port=0)
    await settle()
    yield host
    await host.stop(grace_seconds=0)


async def test_message_arrives_with_its_metadata_and_is_completed(bus: FakeBus, clock: ManualClock, work: Work) -> None:
    body = b'{"MessageId": "not this one", "\xff": 0}'
    async with running(app_with(work.function), bus, clock) as host:
        await bus.put(body)
        work.let(1)
        await host.idle()
    [message] = work.seen
    assert message.get_body() == body
    assert (message.message_id, message.session_id) == ("m1", "tenant_1")
    assert (message.delivery_count, message.sequence_number) == (1, 1)
    assert message.enqueued_time_utc == datetime.fromtimestamp(START, UTC)
    assert message.application_properties == {}
    assert len(message.lock_token or "") == 36
    assert message.metadata is not None
    assert message.metadata["MessageId"] == "m1"
    assert bus.done("complete") == [1]
    assert bus.done("abandon") == []


async def test_parameter_annotated_bytes_gets_only_the_body(bus: FakeBus, clock: ManualClock) -> None:
    seen: list[object] = []

    async def takes_bytes(message: bytes) -> None:
        seen.append(message)

    body = b'{"MessageId": "not this one", "\xff": 0}'
    async with running(app_with(takes_bytes), bus, clock) as host:
        await bus.put(body, b"")
        await host.idle()
    assert seen == [body, b""]
    assert sorted(bus.done("complete")) == [1, 2]


async def test_every_message_is_delivered_once_without_failures(bus: FakeBus, clock: ManualClock, work: Work) -> None:
    bodies = [b"%d" % number for number in range(100)]
    async with running(app_with(work.function), bus, clock, maxConcurrentCalls=7) as host:
        await bus.put(*bodies)
        work.let(len(bodies))
        await host.idle()
    assert sorted(work.bodies()) == sorted(bodies)
    assert sorted(bus.done("complete")) == list(range(1, 101))


async def test_concurrent_calls_and_locks_stay_within_host_json(bus: FakeBus, clock: ManualClock, work: Work) -> None:
    async with running(app_with(work.function), bus, clock, maxConcurrentCalls=3) as host:
        await bus.put(*[b"x"] * 10)
        await settle()
        assert (work.running, len(bus.free())) == (3, 7)
        work.let(2)
        await settle()
        assert (work.running, len(bus.free())) == (3, 5)
        work.let(8)
        await host.idle()
    assert work.most == 3
    assert all(1 <= asked <= 3 for asked in bus.done("receive"))


async def test_exception_abandons_its_message_at_once_and_no_other(
    bus: FakeBus, clock: ManualClock, work: Work
) -> None:
    work.fail_on = lambda message: message.get_body() == b"bad" and (message.delivery_count or 0) < 3
    async with running(app_with(work.function), bus, clock) as host:
        await bus.put(b"good", b"bad", b"fine")
        work.let(5)
        await host.idle()
    assert [message.delivery_count for message in work.seen if message.get_body() == b"bad"] == [1, 2, 3]
    assert bus.done("abandon") == [2, 2]
    assert sorted(bus.done("complete")) == [1, 2, 3]


async def test_a_message_that_always_fails_is_dead_lettered(
    bus: FakeBus, clock: ManualClock, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    work.fail_on = lambda message: True
    async with running(app_with(work.function), bus, clock) as host:
        await bus.put(b"secret-of-jane")
        work.let(FEW_DELIVERIES)
        await host.idle()
    assert len(work.seen) == FEW_DELIVERIES
    assert [message.body for message in bus.dead] == [b"secret-of-jane"]
    assert caplog.text.count("function function failed") == FEW_DELIVERIES
    assert "RuntimeError" in caplog.text
    assert "jane" not in caplog.text


async def test_unusable_result_is_refused(bus: FakeBus, clock: ManualClock) -> None:
    async def returns(message: func.ServiceBusMessage) -> str:
        return "something"

    async with running(app_with(returns), bus, clock) as host:
        await bus.put(b"x")
        await host.idle()
    assert bus.done("complete") == []
    assert len(bus.dead) == 1


# ---- locks


async def test_lock_is_renewed_while_the_function_runs(bus: FakeBus, clock: ManualClock, work: Work) -> None:
    async with running(app_with(work.function), bus, clock, maxAutoLockRenewalDuration="01:00:00") as host:
        await bus.put(b"slow")
        await clock.advance(20 * bus.lock_seconds)
        assert len(work.seen) == 1
        assert len(bus.free()) == 0
        work.let(1)
        await host.idle()
        renewals = len(bus.done("renew"))
        await clock.advance(5 * bus.lock_seconds)
    assert bus.done("complete") == [1]
    assert 20 <= renewals <= 40
    assert len(bus.done("renew")) == renewals


async def test_renewal_ends_with_max_auto_lock_renewal_duration(bus: FakeBus, clock: ManualClock, work: Work) -> None:
    options = {"maxAutoLockRenewalDuration": "00:02:00", "maxConcurrentCalls": 2}
    async with running(app_with(work.function), bus, clock, **options) as host:
        await bus.put(b"stuck")
        await clock.advance(4 * bus.lock_seconds)
        await bus.wake()
        await settle()
        assert [message.delivery_count for message in work.seen] == [1, 2]
        work.let(2)
        await host.idle()
    assert bus.done("complete").count(1) == 2


async def test_message_with_a_lost_lock_is_redelivered(
    bus: FakeBus, clock: ManualClock, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"maxAutoLockRenewalDuration": "00:00:00", "maxConcurrentCalls": 1}
    async with running(app_with(work.function), bus, clock, **options) as host:
        await bus.put(b"late")
        await clock.advance(2 * bus.lock_seconds)
        work.let(2)
        await host.idle()
    assert [message.delivery_count for message in work.seen] == [1, 2]
    assert "could not be completed and will come again" in caplog.text


async def test_completing_is_retried_before_the_lock_expires(bus: FakeBus, clock: ManualClock, work: Work) -> None:
    bus.refuse_completes = 2
    async with running(app_with(work.function), bus, clock) as host:
        await bus.put(b"x")
        work.let(1)
        await clock.advance(10)
        await host.idle()
    assert len(work.seen) == 1
    assert bus.done("complete") == [1]


# ---- a failing bus


async def test_receiving_from_a_failing_bus_is_retried_with_growing_pauses(
    bus: FakeBus, clock: ManualClock, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(app_with(work.function), bus, clock) as host:
        bus.failing = BusUnavailable("down")
        await bus.wake()
        await clock.advance(600)
        opened = bus.opened
        assert 20 <= opened <= 60
        assert bus.closed == opened
        bus.failing = None
        await bus.put(b"x")
        work.let(1)
        await clock.advance(60)
        await host.idle()
        assert bus.opened == opened + 1
    assert bus.done("complete") == [1]
    assert caplog.text.count("the bus failed") == 1
    assert caplog.text.count("the bus is back") == 1


async def test_an_unsettled_message_is_completed_after_its_receiver_failed(
    bus: FakeBus, clock: ManualClock, work: Work
) -> None:
    async with running(app_with(work.function), bus, clock) as host:
        await bus.put(b"unsettled")
        await settle()
        bus.failing = ConnectionResetError("a surprise")
        await bus.wake()
        await clock.advance(1)
        assert bus.opened > 1
        assert bus.closed == bus.opened - 1  # the first one is kept open for its message
        bus.failing = None
        work.let(1)
        await clock.advance(60)
        await host.idle()
        assert bus.closed == bus.opened - 1
    assert len(work.seen) == 1
    assert bus.done("complete") == [1]


# ---- stopping


async def test_stopping_finishes_a_running_call_and_receives_nothing_more(
    bus: FakeBus, clock: ManualClock, work: Work
) -> None:
    async with running(app_with(work.function), bus, clock, maxConcurrentCalls=1) as host:
        await bus.put(b"first", b"second")
        await settle()
        stopping = asyncio.create_task(host.stop(grace_seconds=30))
        await settle()
        work.let(2)
        await stopping
    assert work.bodies() == [b"first"]
    assert bus.done("complete") == [1]
    assert len(bus.free()) == 1
    assert bus.closed == bus.opened


async def test_call_that_exceeds_the_grace_period_is_cancelled_and_abandoned(
    bus: FakeBus, clock: ManualClock, work: Work
) -> None:
    async with running(app_with(work.function), bus, clock) as host:
        await bus.put(b"a", b"b")
        await settle()
        await host.stop(grace_seconds=0.01)
    assert work.cancelled == 2
    assert sorted(bus.done("abandon")) == [1, 2]
    assert len(bus.free()) == 2


async def test_message_arriving_while_stopping_is_abandoned(bus: FakeBus, clock: ManualClock, work: Work) -> None:
    bus.answer_after_cancel = True
    async with running(app_with(work.function), bus, clock):
        await bus.put(b"a", b"b")
        await settle()
        assert len(bus.free()) == 0
    assert work.seen == []
    assert sorted(bus.done("abandon")) == [1, 2]
    assert len(bus.free()) == 2


async def test_next_host_delivers_abandoned_messages(bus: FakeBus, clock: ManualClock, work: Work) -> None:
    async with running(app_with(work.function), bus, clock):
        await bus.put(b"a")
        await settle()
    async with running(app_with(work.function), bus, clock) as host:
        work.let(1)
        await host.idle()
    assert [message.delivery_count for message in work.seen] == [1, 2]
    assert bus.done("complete") == [1]


# ---- refusals


async def nothing(message: func.ServiceBusMessage) -> None:
    pass


@pytest.mark.parametrize(
    ("trigger", "reason"),
    [
        ({"subscription_name": "rollup"}, "has sessions; drain it from a timer"),
        ({"is_sessions_enabled": True}, "has sessions"),
        ({"subscription_name": "elsewhere"}, "no subscription 'elsewhere'; there are signals, rollup"),
        ({"cardinality": "many"}, "set cardinality to one"),
        ({"data_type": "string"}, "set data_type to binary"),
        ({"data_type": None}, "set data_type to binary"),
    ],
)
def test_a_trigger_that_would_not_run_as_deployed_is_refused(trigger: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedFunction, match=f"function nothing: .*{reason}"):
        LocalHost(app_with(nothing, **trigger), FakeBus(), host_json())


def test_binding_unknown_to_the_host_is_refused() -> None:
    app = func.FunctionApp()
    app.blob_trigger(arg_name="message", path="x", connection="y")(nothing)
    with pytest.raises(UnsupportedFunction, match="function nothing: the local host does not know a blobTrigger"):
        LocalHost(app, FakeBus(), host_json())


async def two_parameters(message: func.ServiceBusMessage, context: func.Context) -> None:
    pass


async def another_name(body: func.ServiceBusMessage) -> None:
    pass


async def another_type(message: func.QueueMessage) -> None:
    pass


def no_coroutine(message: func.ServiceBusMessage) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (two_parameters, "it must be `async def` with the one parameter message"),
        (another_name, "it must be `async def` with the one parameter message"),
        (no_coroutine, "it must be `async def` with the one parameter message"),
        (another_type, "a serviceBusTrigger does not give its parameter the type .*QueueMessage"),
    ],
)
def test_a_function_the_host_cannot_call_is_refused(function: Callable[..., Any], reason: str) -> None:
    with pytest.raises(UnsupportedFunction, match=f"function {function.__name__}: {reason}"):
        LocalHost(app_with(function), FakeBus(), host_json())
