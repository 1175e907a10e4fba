"""Runs long work in a thread that stops soon after it is cancelled. A thread cannot be cancelled, so its loops
check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from threading import Event
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_asked: ContextVar[Event | None] = ContextVar("stop_asked", default=None)


class Stopped(Exception):
    """No caller waits for the work any more."""


async def in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Run `work` in a thread and return its result. When this is cancelled, the work stops at its next `check`."""
    asked = Event()
    token = _asked.set(asked)
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except asyncio.CancelledError:
        asked.set()
        raise
    finally:
        _asked.reset(token)


def check() -> None:
    """Raise `Stopped` if no caller waits any more. Does nothing outside of `in_thread`."""
    asked = _asked.get()
    if asked is not None and asked.is_set():
        raise Stopped
