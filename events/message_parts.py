"""Splits a message into its batches, so that one that cannot be read or processed is handled alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from events.batch import Batch, decode, parts
from events.frame import UnreadableBatch


@dataclass(frozen=True, slots=True)
class Part:
    """One batch of a message. `batch` is None, with an `error`, if it cannot be read. `body` makes a message of this
    batch alone."""

    batch: Batch | None
    body: Callable[[], bytes]
    error: str = ""


def parts_of(body: bytes) -> list[Part]:
    """Return the batches of a message. Raises `UnreadableBatch` if none of it can be read, or `NewerMessage`."""
    try:
        batches = decode(body)
    except UnreadableBatch:
        bodies = parts(body)
        if len(bodies) == 1:
            raise
        return [_alone(each) for each in bodies]
    if len(batches) == 1:
        return [Part(batches[0], lambda: body)]
    return [Part(batch, partial(_part, body, at)) for at, batch in enumerate(batches)]


def _part(body: bytes, at: int) -> bytes:
    return parts(body)[at]


def _alone(body: bytes) -> Part:
    try:
        return Part(decode(body)[0], lambda: body)
    except UnreadableBatch as error:
        return Part(None, lambda: body, str(error))
