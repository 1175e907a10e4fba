"""A night that exceeds its time stops, and its thread ends."""

from __future__ import annotations

import asyncio
import threading

import pytest

from learning.next_watch_training import train_night
from learning.stopping import Stopped, check, in_thread
from tests.learning.test_next_watch_training import histories_of, long_views


async def test_work_stops_soon_after_its_caller_is_cancelled() -> None:
    ended: list[type[BaseException]] = []
    began, over = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        try:
            while True:
                check()
        except Stopped:
            ended.append(Stopped)
        finally:
            over.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await in_thread(work)
    assert began.is_set()
    assert await asyncio.to_thread(over.wait, 60)
    assert ended == [Stopped]
    check()  # no other thread is needed


async def test_cancelled_training_stops_and_leaves_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = histories_of(*long_views(400, 8))
    over = threading.Event()

    def train() -> None:
        try:
            while True:
                train_night(None, histories, 1)
        except Stopped:
            over.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await in_thread(train)
    assert await asyncio.to_thread(over.wait, 60)


async def test_result_or_error_of_the_work_is_passed_on() -> None:
    def fail() -> None:
        raise ValueError("odd")

    assert await in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ValueError, match="odd"):
        await in_thread(fail)
