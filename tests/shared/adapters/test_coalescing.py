"""The writer that combines items of many callers into few batches."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.bus.coalescing import CoalescingWriter
from shared.adapters.bus.port import BusUnavailable


class Recorder:
    """A send that accepts a given part of each batch, and can be delayed."""

    def __init__(self, takes: int = 1_000) -> None:
        self.takes = takes
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def send(self, items: list[int]) -> int:
        await self.gate.wait()
        if self.error:
            raise self.error
        sent = items[: self.takes]
        self.batches.append(sent)
        return len(sent)

    @property
    def sent(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 7), st.integers(1, 9), st.integers(1, 120))
def test_everything_is_sent_once_in_order_within_batch_limits(sizes, takes, most, bytes_) -> None:
    async def run() -> Recorder:
        recorder = Recorder(takes)
        writer = CoalescingWriter(recorder.send, max_items=most, max_bytes=bytes_)
        await asyncio.gather(*(writer.submit(i, size, 30) for i, size in enumerate(sizes)))
        await writer.close()
        return recorder

    recorder = asyncio.run(run())
    assert recorder.sent == list(range(len(sizes)))
    for batch in recorder.batches:
        assert len(batch) <= most
        assert len(batch) == 1 or sum(sizes[i] for i in batch) <= bytes_


async def test_items_queued_during_a_send_are_sent_together() -> None:
    recorder = Recorder()
    writer = CoalescingWriter(recorder.send)
    recorder.gate.clear()
    first = asyncio.create_task(writer.submit(0, 1, 5))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(writer.submit(i, 1, 5)) for i in range(1, 20)]
    await asyncio.sleep(0.01)
    recorder.gate.set()
    await asyncio.gather(first, *rest)
    assert recorder.batches == [[0], list(range(1, 20))]


async def test_cancelled_caller_is_not_sent() -> None:
    recorder = Recorder()
    writer = CoalescingWriter(recorder.send)
    recorder.gate.clear()
    first = asyncio.create_task(writer.submit(0, 1, 5))
    await asyncio.sleep(0.01)
    with pytest.raises(BusUnavailable):
        await writer.submit(1, 1, 0.01)
    recorder.gate.set()
    await first
    await writer.submit(2, 1, 5)
    assert recorder.sent == [0, 2]


async def test_failed_batch_fails_its_callers_and_no_later_ones() -> None:
    recorder = Recorder()
    writer = CoalescingWriter(recorder.send)
    recorder.error = BusUnavailable("down")
    with pytest.raises(BusUnavailable, match="down"):
        await writer.submit(0, 1, 5)
    recorder.error = None
    await writer.submit(1, 1, 5)
    assert recorder.sent == [1]


async def test_full_queue_refuses_at_once() -> None:
    recorder = Recorder()
    writer = CoalescingWriter(recorder.send, max_pending_bytes=10)
    recorder.gate.clear()
    waiting = asyncio.create_task(writer.submit(0, 8, 5))
    await asyncio.sleep(0)
    with pytest.raises(BusUnavailable, match="too much"):
        await writer.submit(1, 8, 5)
    recorder.gate.set()
    await waiting
    await writer.submit(2, 8, 5)


async def test_closing_fails_the_waiting_callers() -> None:
    recorder = Recorder()
    writer = CoalescingWriter(recorder.send, max_items=1)
    recorder.gate.clear()
    waiting = [asyncio.create_task(writer.submit(i, 1, 5)) for i in range(3)]
    await asyncio.sleep(0.01)
    await writer.close()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, BusUnavailable)
