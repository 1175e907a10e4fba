"""Time budgets: a call that takes too long becomes the dependency's own kind of failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


async def with_timeout(seconds: float, call: Awaitable[Result], failure: type[Exception]) -> Result:
    """Await `call` for at most `seconds`; raises `failure` when it takes longer, and cancels it."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        raise failure(f"no answer within {seconds:g} s") from error
