"""Operations of the bus port on Service Bus, and the outcome of each response."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from shared.adapters.answers import Kind
from shared.adapters.bus.port import ROLLUP, SIGNALS, BusUnavailable, OutgoingMessage
from shared.adapters.bus.servicebus import ServiceBusBus, ServiceBusBusReceiver
from shared.adapters.bus.servicebus_answers import kind_of
from shared.adapters.retry import retry
from tests.emulators.broker_here import broker_of_user_events
from tests.emulators.tcp_gate import TcpGate
from tests.matrix.answers import AMQP, always
from tests.matrix.outcomes import ABSENT, ANSWERED, CONFLICT, OUTAGE, REFUSAL, outcome

ANSWERS = AMQP
PREPARATIONS = 3
_numbers = itertools.count()


@dataclass(slots=True)
class Prepared:
    """A new client that holds a message, outside and inside of a session."""

    connect: Callable[[], ServiceBusBus]
    bus: ServiceBusBus
    plain: ServiceBusBusReceiver
    session: ServiceBusBusReceiver


Call = Callable[[Prepared], Awaitable[object]]


def _message() -> OutgoingMessage:
    return OutgoingMessage(f"m{next(_numbers)}", "tenant", b"events")


async def _ready(prepared: Prepared) -> object:
    again = prepared.connect()
    try:
        return await again.ready()
    finally:
        await again.close()


async def _next_session(prepared: Prepared) -> object:
    session = await prepared.bus.next_session(ROLLUP, 0.1)
    if session is not None:
        await session.close()
    return ANSWERED


async def _settle(prepared: Prepared, how: str, in_session: bool) -> object:
    receiver = prepared.session if in_session else prepared.plain
    found = await receiver.receive(1, 30)
    if not found:
        raise BusUnavailable("no message came")
    held = found[0]
    match how:
        case "complete":
            await receiver.complete([held])
        case "abandon":
            await receiver.abandon(held)
        case "dead-letter":
            await receiver.dead_letter(held, "a reason")
        case "renew":
            await receiver.renew(held)
    return ANSWERED


OPERATIONS: dict[str, tuple[str, Call]] = {
    "ready": ("open user-events", _ready),
    "publish": ("send user-events", lambda p: p.bus.publish(_message())),
    "resend": ("send user-events", lambda p: p.bus.resend(SIGNALS, _message())),
    "dead_letter": ("send user-events", lambda p: p.bus.dead_letter(SIGNALS, _message(), "a reason")),
    "receiver": ("open user-events", lambda p: p.bus.receiver(SIGNALS)),
    "next_session": ("open user-events", _next_session),
    "complete": ("settle", lambda p: _settle(p, "complete", False)),
    "complete in a session": ("settle", lambda p: _settle(p, "complete", True)),
    "abandon": ("settle", lambda p: _settle(p, "abandon", False)),
    "dead-letter what is held": ("settle", lambda p: _settle(p, "dead-letter", False)),
    "renew": ("manage user-events", lambda p: _settle(p, "renew", False)),
    "renew a session": ("manage user-events", lambda p: _settle(p, "renew", True)),
    "peek_dead_letters": ("manage user-events", lambda p: p.bus.peek_dead_letters(SIGNALS, 10)),
    "depth": ("manage user-events", lambda p: p.bus.depth(SIGNALS)),
}
"""Name → the label of the request with the injected response, and the call."""
HOLDS_A_LOCK = frozenset(
    {"complete", "complete in a session", "abandon", "dead-letter what is held", "renew", "renew a session"}
)
SENDS = frozenset({"publish", "resend", "dead_letter"})
SETTLES = HOLDS_A_LOCK - {"renew", "renew a session"}


def expected(operation: str, answer: str) -> set[str]:
    """Return the outcomes that the adapter's table and the operation permit."""
    fault = ANSWERS[answer]
    if not fault.condition:
        if operation == "next_session" and fault.stall:
            return {OUTAGE, ANSWERED}  # the service stays silent for a while when no session has messages
        if operation in SETTLES and fault.detach:
            return {OUTAGE, CONFLICT, ANSWERED}  # the SDK settles by a request when the link is lost
        if operation in HOLDS_A_LOCK:  # its locks are lost with the link
            return {OUTAGE, CONFLICT}
        return {OUTAGE}
    if answer == "com.microsoft:timeout" and operation == "next_session":
        return {ANSWERED}  # the service's condition for "no session has messages"
    match kind_of(fault.condition):
        case Kind.REFUSAL if operation in SENDS | SETTLES:
            return {REFUSAL}
        case Kind.CONFLICT if operation in HOLDS_A_LOCK:
            return {CONFLICT}
    return {OUTAGE}


@contextlib.asynccontextmanager
async def trials() -> AsyncIterator[Callable[[str, str], Awaitable[str]]]:
    """Yield `try_out(operation, answer)`: it returns the outcome of a response, or how the client failed to recover."""
    with broker_of_user_events() as broker:
        async with TcpGate(broker.port) as gate:
            address = broker.connection_string.replace(f":{broker.port};", f":{gate.port};")

            def connect() -> ServiceBusBus:
                return ServiceBusBus(
                    connection_string=address, publish_budget_seconds=20, call_seconds=20, busy_seconds=0.01
                )

            async def prepared() -> Prepared:
                """Prepare a trial; on a busy machine it can need several attempts."""
                return await retry(prepared_once, (BusUnavailable,), attempts=PREPARATIONS, first_pause=0.5)

            async def prepared_once() -> Prepared:
                bus = connect()
                try:
                    await bus.publish(_message())
                    session = await bus.next_session(ROLLUP, 30)
                    assert session is not None
                    return Prepared(connect, bus, await bus.receiver(SIGNALS), session)
                except BusUnavailable:
                    await bus.close()
                    raise

            async def try_out(operation: str, answer: str) -> str:
                label, call = OPERATIONS[operation]
                trial = await prepared()
                fault = ANSWERS[answer]
                if fault.garbage:
                    gate.spoil()
                else:
                    broker.faults.add(replace(always(fault), match=label))
                came = await outcome(lambda: call(trial))
                broker.faults.clear()
                gate.garbage = False
                if operation in HOLDS_A_LOCK:
                    await trial.bus.close()
                    trial = await prepared()
                after = await outcome(lambda: call(trial))
                for _ in range(3):  # a busy service asked to wait, so the next call waits too
                    if after != OUTAGE:
                        break
                    await asyncio.sleep(1)
                    after = await outcome(lambda: call(trial))
                await trial.bus.close()
                return came if after in (ANSWERED, ABSENT) else f"{came}, and after mending {after}"

            yield try_out
