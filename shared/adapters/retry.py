"""Time-outs, and retries with growing, jittered pauses. Every retry loop of the project uses `retry`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.domain.clocks import elapsed_seconds

Result = TypeVar("Result")


async def with_timeout(seconds: float, call: Awaitable[Result], failure: type[Exception]) -> Result:
    """Await `call` for up to `seconds`; then cancel it and raise `failure`."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        raise failure(f"no answer within {seconds:g} s") from error


def always(error: Exception) -> bool:
    """Accept every error for another attempt."""
    return True


async def retry(
    step: Callable[[], Awaitable[Result]],
    on: tuple[type[Exception], ...],
    *,
    when: Callable[[Exception], bool] = always,
    attempts: int | None = None,
    give_up_at: float | None = None,
    clock: Callable[[], float] = elapsed_seconds,
    first_pause: float = 0.0,
    longest_pause: float = 0.0,
    failed: Callable[[Exception], None] | None = None,
) -> Result:
    """Run `step` until it succeeds, and return its result.

    Tries again after an error of a type in `on` for which `when` is True. Raises the error after `attempts`, or when
    the next pause would end after `give_up_at` by the monotonic `clock`. Pauses double from `first_pause` to
    `longest_pause` seconds, shortened at random by up to half. `failed` is called with every such error.
    """
    pause, tried = first_pause, 0
    while True:
        try:
            return await step()
        except on as error:
            if not when(error):
                raise
            tried += 1
            if failed is not None:
                failed(error)
            if attempts is not None and tried >= attempts:
                raise
            if give_up_at is not None and clock() + pause > give_up_at:
                raise
        if pause > 0:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, not a secret)
            pause = min(longest_pause, pause * 2)
