"""Tests of the embedded bus only; the contract of every bus is in `tests/contracts/`."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.bus.port import DUPLICATE_WINDOW_SECONDS, ROLLUP, SIGNALS, BusUnavailable, OutgoingMessage
from shared.adapters.bus.sqlite import SqliteBus
from tests.contracts.backends import MovableClock
from tests.contracts.drain import PATIENCE, ids, message

clock = MovableClock()


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[SqliteBus]:
    bus = SqliteBus(tmp_path / "bus.db", clock)
    yield bus
    await bus.close()


def rows(folder: Path, table: str) -> int:
    connection = sqlite3.connect(folder / "bus.db")
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


async def cancelled_before_its_answer(bus: SqliteBus, work: Coroutine[Any, Any, Any]) -> None:
    """Start `work`, let it send a query, and cancel it before the answer."""
    answer = threading.Event()
    holding_up = bus.writer.call(lambda file: answer.wait(timeout=120))
    task = asyncio.create_task(work)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    answer.set()
    await holding_up
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_receive_locks_nothing(bus: SqliteBus) -> None:
    await bus.publish(message("m1"))
    receiver = await bus.receiver(SIGNALS)

    await cancelled_before_its_answer(bus, receiver.receive(10, 0))

    (received,) = await (await bus.receiver(SIGNALS)).receive(10, 0)
    assert (received.message_id, received.delivery_count) == ("m1", 1)


async def test_cancelled_wait_for_a_session_owns_none(bus: SqliteBus) -> None:
    await bus.publish(message("m1"))

    await cancelled_before_its_answer(bus, bus.next_session(ROLLUP, 0))

    session = await bus.next_session(ROLLUP, 0)
    assert session is not None
    assert ids(await session.receive(10, 0)) == ["m1"]


async def test_closed_receiver_returns_its_messages_at_once_and_uncounted(bus: SqliteBus) -> None:
    await bus.publish(message("m1"))
    first = await bus.receiver(SIGNALS)
    await first.receive(10, 0)
    await first.close()

    (again,) = await (await bus.receiver(SIGNALS)).receive(10, 0)

    assert again.delivery_count == 1


async def test_receivers_of_the_same_process_are_woken_without_polling(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db", clock, poll_seconds=3600)
    receiving = asyncio.create_task((await bus.receiver(SIGNALS)).receive(10, 3600))
    owning = asyncio.create_task(bus.next_session(ROLLUP, 3600))
    await asyncio.sleep(0.01)

    await bus.publish(message("m1"))

    async with asyncio.timeout(PATIENCE):
        assert ids(await receiving) == ["m1"]
        assert await owning is not None
    await bus.close()


async def test_locks_last_as_long_as_the_bus_is_configured(tmp_path: Path) -> None:
    bus = SqliteBus(tmp_path / "bus.db", clock, lock_seconds=5.0)
    await bus.publish(message("m1"))
    receiver = await bus.receiver(SIGNALS)
    await receiver.receive(10, 0)

    await clock.advance(4.9)
    assert await receiver.receive(10, 0) == []
    await clock.advance(0.2)
    assert ids(await receiver.receive(10, 0)) == ["m1"]
    await bus.close()


async def test_message_is_stored_until_its_last_subscription_settled_it(bus: SqliteBus, tmp_path: Path) -> None:
    await bus.publish(message("m1"))
    receiver, session = await bus.receiver(SIGNALS), await bus.next_session(ROLLUP, 0)
    assert session is not None

    await receiver.complete(await receiver.receive(1, 0))
    assert (rows(tmp_path, "messages"), rows(tmp_path, "deliveries")) == (1, 1)
    await session.complete(await session.receive(1, 0))
    assert (rows(tmp_path, "messages"), rows(tmp_path, "deliveries")) == (0, 0)


async def test_ids_outside_the_duplicate_window_are_deleted_faster_than_added(bus: SqliteBus, tmp_path: Path) -> None:
    for n in range(10):
        await bus.publish(message(f"old {n}"))
    await clock.advance(DUPLICATE_WINDOW_SECONDS + 1)
    for n in range(10):
        await bus.publish(message(f"new {n}"))

    assert rows(tmp_path, "accepted") == 10


async def test_bus_that_cannot_be_opened_is_not_ready_and_reports_why(tmp_path: Path) -> None:
    (tmp_path / "bus.db").write_bytes(b"something else" * 100)
    bus = SqliteBus(tmp_path / "bus.db")

    with pytest.raises(BusUnavailable, match="no SQLite database"):
        await bus.ready()
    with pytest.raises(BusUnavailable, match="no SQLite database"):
        await bus.publish(message("m1"))
    await bus.close()


async def test_a_closed_bus_is_unavailable(bus: SqliteBus) -> None:
    await bus.close()

    with pytest.raises(BusUnavailable, match="closed"):
        await bus.publish(message("m1"))


@pytest.mark.parametrize(("id", "session"), [("", "s"), ("m" * 129, "s"), ("m", ""), ("m", "s" * 129)])
async def test_ids_that_service_bus_refuses_are_refused(bus: SqliteBus, id: str, session: str) -> None:
    with pytest.raises(ValueError, match="128"):
        await bus.publish(OutgoingMessage(id, session, b""))
