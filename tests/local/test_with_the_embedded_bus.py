"""The host on the embedded bus delivers published messages across failures and a restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import azure.functions as func

from local.host import LocalHost
from shared.adapters.bus.port import ROLLUP, SIGNALS, OutgoingMessage
from shared.adapters.bus.sqlite import SqliteBus

HOST_JSON = {"extensions": {"serviceBus": {"maxConcurrentCalls": 8}}}


class Seen:
    """Fails on the first delivery of every third message; holds all of them while `held`."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.started = asyncio.Semaphore(0)
        self.open = asyncio.Event()
        self.open.set()

    def app(self) -> func.FunctionApp:
        app = func.FunctionApp()

        @app.service_bus_topic_trigger(
            arg_name="message",
            topic_name="user-events",
            subscription_name=SIGNALS,
            connection="Bus",
            data_type="binary",
        )
        async def fold(message: func.ServiceBusMessage) -> None:
            self.started.release()
            await self.open.wait()
            number = int(message.get_body())
            if number % 3 == 0 and message.delivery_count == 1:
                raise RuntimeError("the first delivery")
            self.done[message.message_id] += 1

        return app


async def publish(bus: SqliteBus, count: int) -> set[str]:
    messages = [OutgoingMessage(f"batch-{number}", "tenant_1", b"%d" % number) for number in range(count)]
    await asyncio.gather(*(bus.publish(message) for message in messages))
    return {message.message_id for message in messages}


async def test_every_message_is_completed_once_although_some_calls_fail(tmp_path: Path) -> None:
    bus, seen = SqliteBus(tmp_path / "bus.db"), Seen()
    host = LocalHost(seen.app(), bus, HOST_JSON)
    await host.start(port=0)
    published = await publish(bus, 60)
    await host.idle()
    await host.stop()
    assert seen.done == Counter(published)
    assert await bus.depth(SIGNALS) == (0, 0)
    assert (await bus.depth(ROLLUP))[0] == 60
    await bus.close()


async def test_next_host_gets_messages_a_stopped_host_did_not_complete(tmp_path: Path) -> None:
    bus, seen = SqliteBus(tmp_path / "bus.db"), Seen()
    published = await publish(bus, 40)
    seen.open.clear()
    first = LocalHost(seen.app(), bus, HOST_JSON)
    await first.start(port=0)
    for _ in range(8):
        await seen.started.acquire()
    await first.stop(grace_seconds=0)
    await bus.close()
    assert not seen.done

    seen.open.set()
    bus = SqliteBus(tmp_path / "bus.db")
    second = LocalHost(seen.app(), bus, HOST_JSON)
    await second.start(port=0)
    await second.idle()
    await second.stop()
    assert seen.done == Counter(published)
    await bus.close()
