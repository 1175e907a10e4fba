"""The ports under test in the matrix."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tests.emulators.hurried_loop import HurriedLoop
from tests.matrix import blobs, bus, documents, flags

TryOut = Callable[[str, str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class MatrixPort:
    """A port's operations and responses by name, the permitted outcomes of each pair, and a function that tries one.

    `telling` are answers worth trying with every operation.
    """

    operations: Iterable[str]
    answers: Iterable[str]
    expected: Callable[[str, str], set[str]]
    trials: Callable[[], AbstractAsyncContextManager[TryOut]]
    telling: Iterable[str]
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


OVER_HTTP = ("200 empty", "400", "403", "404 with a page", "409", "a cut before")
PORTS = {
    "documents": MatrixPort(documents.OPERATIONS, documents.ANSWERS, documents.expected, documents.trials, OVER_HTTP),
    "blobs": MatrixPort(blobs.OPERATIONS, blobs.ANSWERS, blobs.expected, blobs.trials, OVER_HTTP),
    "flags": MatrixPort(flags.OPERATIONS, flags.ANSWERS, flags.expected, flags.trials, OVER_HTTP),
    "bus": MatrixPort(bus.OPERATIONS, bus.ANSWERS, bus.expected, bus.trials, (), HurriedLoop),
}
