"""Batches packed into messages, on an event loop with simulated time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.batch import Batch, decode
from events.packing import MAX_BATCHES, MAX_BYTES, Packer
from events.schema import Event
from shared.adapters.bus.port import (
    MAX_MESSAGE_BYTES,
    NO_SESSION,
    SIGNALS,
    BusRefused,
    BusUnavailable,
    OutgoingMessage,
)
from shared.domain.event_types import MAX_EVENTS
from tests.simulated_time import SimulatedLoop

LINGER = 0.03


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine on a loop of its own."""

    async def told() -> None:
        await story()

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(told())


@dataclass
class Wire:
    """Accepts messages as the bus does, each id once. `seconds`: the time to confirm one."""

    seconds: float = 0.0
    unconfirmed: int = 0
    """Number of the next attempts that are accepted but not confirmed."""
    refuses: Callable[[tuple[Batch, ...]], bool] = lambda batches: False
    attempts: list[OutgoingMessage] = field(default_factory=list)
    taken: dict[str, OutgoingMessage] = field(default_factory=dict)

    async def publish(self, message: OutgoingMessage) -> None:
        self.attempts.append(message)
        if self.refuses(decode(message.body)):
            raise BusRefused("too large", too_large=True)
        self.taken.setdefault(message.message_id, message)
        await asyncio.sleep(self.seconds)
        if self.unconfirmed:
            self.unconfirmed -= 1
            raise BusUnavailable("not confirmed")

    def packs(self) -> list[list[str]]:
        """Return the batch ids of each accepted message."""
        return [[batch.id for batch in decode(message.body)] for message in self.taken.values()]


def packer(wire: Wire, version: int = 2, linger: float = LINGER, **more: Any) -> Packer:
    return Packer(wire, version=version, linger_seconds=linger, **more)  # type: ignore[arg-type]


def batch(number: int, events: int = 2) -> Batch:
    told = tuple(Event("like", f"v{n}", 1_700_000_000_000, n) for n in range(events))
    return Batch(f"{number:032x}", f"tenant_{number % 3}", f"user-{number}", 1_700_000_000.0, told)


def ids(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


async def send_all(packer: Packer, *numbers: int) -> list[Any]:
    sends = (packer.publish(batch(number), SIGNALS, NO_SESSION) for number in numbers)
    return await asyncio.gather(*sends, return_exceptions=True)


def test_batch_after_a_pause_is_sent_at_once() -> None:
    async def story() -> None:
        wire = Wire()
        packing = packer(wire)
        for number in range(3):
            began = asyncio.get_running_loop().time()
            await send_all(packing, number)
            assert asyncio.get_running_loop().time() - began < LINGER / 10
            await asyncio.sleep(2 * LINGER)
        assert wire.packs() == [ids(0), ids(1), ids(2)]
        assert [message.message_id for message in wire.attempts] == ids(0, 1, 2), "alone it keeps its own id"

    run(story)


def test_batches_within_the_linger_share_the_next_message() -> None:
    async def story() -> None:
        wire = Wire()
        began = asyncio.get_running_loop().time()
        assert await send_all(packer(wire), *range(5)) == [None] * 5
        assert asyncio.get_running_loop().time() - began < 1.1 * LINGER
        assert wire.packs() == [ids(0), ids(1, 2, 3, 4)]
        assert {message.to for message in wire.attempts} == {SIGNALS}

    run(story)


@pytest.mark.parametrize(("version", "linger"), [(1, LINGER), (2, 0.0)])
def test_each_batch_has_its_own_message_in_version_1_or_without_linger(version: int, linger: float) -> None:
    async def story() -> None:
        wire = Wire()
        await send_all(packer(wire, version, linger), *range(5))
        assert wire.packs() == [ids(number) for number in range(5)]
        assert asyncio.get_running_loop().time() < LINGER / 10

    run(story)


def test_a_batch_that_fills_a_message_sends_it_at_once() -> None:
    async def story() -> None:
        wire = Wire()
        await send_all(packer(wire), *range(1 + MAX_BATCHES))
        assert asyncio.get_running_loop().time() < LINGER
        assert [len(pack) for pack in wire.packs()] == [1, MAX_BATCHES]

    run(story)


def test_no_message_exceeds_the_bus_limit() -> None:
    async def story() -> None:
        wire = Wire()
        draw, at_ms = random.Random(1), 1_700_000_000_000

        def longest(number: int) -> Batch:
            events = (
                Event("video_view", draw.randbytes(64).hex(), at_ms - n, draw.getrandbits(32), draw.random() * 1e7, 99)
                for n in range(MAX_EVENTS)
            )
            return replace(batch(number), events=tuple(events))

        packing = packer(wire, max_batches=1_000)
        sends = [packing.publish(longest(n), SIGNALS, NO_SESSION) for n in range(50)]
        await asyncio.gather(*sends)
        assert sum(len(pack) for pack in wire.packs()) == 50
        assert max(len(pack) for pack in wire.packs()) > 3
        assert max(len(message.body) for message in wire.attempts) < MAX_MESSAGE_BYTES / 2
        assert MAX_BYTES < MAX_MESSAGE_BYTES / 2

    run(story)


def test_messages_of_different_sessions_are_packed_separately() -> None:
    async def story() -> None:
        wire = Wire()
        packing = packer(wire, suffix=".x")
        sends = [packing.publish(batch(n), "rollup", f"tenant_{n % 2}") for n in range(6)]
        await asyncio.gather(*sends)
        assert sorted(wire.packs()) == sorted([ids(0), ids(1), ids(2, 4), ids(3, 5)])
        assert {message.session_id for message in wire.attempts} == {"tenant_0", "tenant_1"}
        assert all(message.message_id.endswith(".x") for message in wire.attempts)

    run(story)


def test_cancelled_caller_removes_its_batch_from_an_unsent_message() -> None:
    async def story() -> None:
        wire = Wire()
        packing = packer(wire)
        await send_all(packing, 0)
        tasks = [asyncio.create_task(packing.publish(batch(n), SIGNALS, NO_SESSION)) for n in (1, 2, 3)]
        await asyncio.sleep(LINGER / 2)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert wire.packs() == [ids(0), ids(1, 3)]
        alone = asyncio.create_task(packing.publish(batch(4), SIGNALS, NO_SESSION))
        await asyncio.sleep(LINGER / 2)
        alone.cancel()
        await asyncio.sleep(2 * LINGER)
        assert len(wire.attempts) == 2, "a message that all have left is not sent"
        await send_all(packing, 5)
        assert wire.packs()[-1] == ids(5)

    run(story)


def test_cancelled_caller_does_not_affect_others_of_a_sent_message() -> None:
    async def story() -> None:
        wire = Wire(seconds=1.0)
        packing = packer(wire)
        tasks = [asyncio.create_task(packing.publish(batch(n), SIGNALS, NO_SESSION)) for n in (0, 1, 2)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        assert await asyncio.gather(tasks[0], tasks[2]) == [None, None]
        assert wire.packs() == [ids(0), ids(1, 2)]

    run(story)


def test_refused_message_is_split_and_only_the_batch_at_fault_fails() -> None:
    async def story() -> None:
        wire = Wire(refuses=lambda batches: any(batch.id == f"{2:032x}" for batch in batches))
        outcomes = await send_all(packer(wire), *range(5))
        assert [type(outcome) for outcome in outcomes] == [type(None), type(None), BusRefused, type(None), type(None)]
        assert wire.packs() == [ids(n) for n in (0, 1, 3, 4)]

    run(story)


def test_a_batch_that_cannot_be_encoded_fails_alone() -> None:
    async def story() -> None:
        wire = Wire()
        packing = packer(wire)
        odd = replace(batch(1), events=(Event("no such type", "v", 1, 1),))
        sends = [packing.publish(each, SIGNALS, NO_SESSION) for each in (batch(0), odd, batch(2), batch(3))]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False, False]
        assert sorted(id for pack in wire.packs() for id in pack) == ids(0, 2, 3)

    run(story)


def test_unconfirmed_message_is_reported_to_each_caller_and_resent_unchanged() -> None:
    async def story() -> None:
        wire = Wire()
        packing = packer(wire)
        await send_all(packing, 0)
        wire.unconfirmed = 2
        packed = [packing.add(batch(n), SIGNALS, NO_SESSION) for n in (1, 2, 3)]
        for _ in range(2):
            outcomes = await asyncio.gather(*(each.confirmed() for each in packed), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [BusUnavailable] * 3
        await asyncio.gather(*(each.confirmed() for each in packed))
        sent = wire.attempts[1:]
        assert len(sent) == 3
        assert len({(message.message_id, message.body) for message in sent}) == 1
        await packed[0].confirmed()
        assert len(wire.attempts) == 4, "what is confirmed is not sent again"

    run(story)


def test_refusal_after_an_unconfirmed_send_reports_a_possible_duplicate() -> None:
    async def story() -> None:
        wire = Wire(unconfirmed=1)
        packing = packer(wire)
        await send_all(packing, 0)
        wire.unconfirmed = 1
        packed = [packing.add(batch(n), SIGNALS, NO_SESSION) for n in (1, 2)]
        await asyncio.gather(*(each.confirmed() for each in packed), return_exceptions=True)
        wire.refuses = lambda batches: len(batches) > 1
        await asyncio.gather(*(each.confirmed() for each in packed))
        assert [decode(message.body)[0].again for message in wire.attempts[-2:]] == [True, True]

    run(story)


def test_closing_sends_what_still_waits() -> None:
    async def story() -> None:
        wire = Wire()
        packing = packer(wire, linger=10.0)
        sends = asyncio.create_task(send_all(packing, *range(4)))
        await asyncio.sleep(0.01)
        await packing.close()
        assert await sends == [None] * 4
        assert wire.packs() == [ids(0), ids(1, 2, 3)]
        assert asyncio.get_running_loop().time() < 1.0

    run(story)


@pytest.mark.parametrize("rate", [120, 200, 230])
def test_message_has_3_4_batches_at_the_rate_of_a_full_instance(rate: int) -> None:
    async def story() -> None:
        wire, draw = Wire(seconds=0.005), random.Random(1)
        packing, loop = packer(wire), asyncio.get_running_loop()
        waits: list[float] = []

        async def one(number: int) -> None:
            began = loop.time()
            await packing.publish(batch(number), SIGNALS, NO_SESSION)
            waits.append(loop.time() - began)

        async with asyncio.TaskGroup() as tasks:
            for number in range(2_000):
                await asyncio.sleep(draw.expovariate(rate))
                tasks.create_task(one(number))
        assert 2_000 / len(wire.attempts) > 3.4
        assert max(waits) < LINGER + 0.01

    run(story)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 0.03), st.sampled_from(["", "", "", "unconfirmed", "leaves"]), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
def test_each_confirmed_batch_is_sent_exactly_once(
    arrivals: list[tuple[float, str, bool]],
) -> None:
    """With callers that retry until their batch is confirmed, as the fold does."""

    async def story() -> None:
        refused = {f"{n:032x}" for n, (_, _, is_refused) in enumerate(arrivals) if is_refused}
        wire = Wire(seconds=0.003, refuses=lambda batches: any(each.id in refused for each in batches))
        packing = packer(wire, max_batches=5)

        async def one(number: int, leaves: bool) -> str:
            packed = packing.add(batch(number), SIGNALS, NO_SESSION)
            while True:
                try:
                    async with asyncio.timeout(0.004 if leaves else None):
                        await packed.confirmed()
                    return "confirmed"
                except TimeoutError:
                    return "left"
                except BusRefused:
                    return "refused"
                except BusUnavailable:
                    await asyncio.sleep(0.001)

        tasks = []
        for number, (pause, event, _) in enumerate(arrivals):
            await asyncio.sleep(pause)
            wire.unconfirmed += event == "unconfirmed"
            tasks.append(asyncio.create_task(one(number, event == "leaves")))
        outcomes = await asyncio.gather(*tasks)
        taken = [id for pack in wire.packs() for id in pack]
        again = {b.id for message in wire.taken.values() for b in decode(message.body) if b.again}
        assert {id for id in taken if taken.count(id) > 1} <= again, "twice only where the second one says so"
        for number, outcome in enumerate(outcomes):
            id = f"{number:032x}"
            if outcome != "left":
                assert (outcome == "refused") is (id in refused)
                assert (id in taken) is (outcome == "confirmed")

    run(story)
