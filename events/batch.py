"""Encodes and decodes batches as bus messages. The body has every id, key and time that consumers need. Pure.

A message of version 1 is JSON and has one batch. A message of version 2 has a frame (`events/frame.py`) and several
batches. It is written in columns (`events/batch_columns.py`) and read in columns or rows (`events/batch_rows.py`).
docs/data-model.md lists the fields of all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from events import batch_columns, batch_rows
from events.batch_check import OddField
from events.batch_record import NOBODY, SHARD_MARK, Batch
from events.frame import COLUMNS, JSON, JSON_IN_ZLIB, Frame, NewerMessage, UnreadableBatch, is_framed, unwrap, wrap

__all__ = ["NOBODY", "SHARD_MARK", "Batch", "decode", "encode", "encode_all", "marked_again", "parts"]

T = TypeVar("T")

_VERSION = 1


class _Layout(NamedTuple):
    """Layout of a framed message's content. `split` gives the stored batches and `join` puts them together again.
    `read` decodes one; `marked_again` sets its flag `again`."""

    split: Callable[[Frame], Sequence[Any]]
    join: Callable[[Sequence[Any]], Frame]
    read: Callable[[Any], Batch]
    marked_again: Callable[[Any], Any]


_ROWS = _Layout(batch_rows.split, batch_rows.join, batch_rows.read, batch_rows.marked_again)
_COLUMNS = _Layout(batch_columns.split, batch_columns.join, batch_columns.from_parts, batch_columns.marked_again)
_LAYOUTS = {JSON: _ROWS, JSON_IN_ZLIB: _ROWS, COLUMNS: _COLUMNS}


def encode(batch: Batch, version: int = _VERSION) -> bytes:
    """Return the body of a message of version 1 or 2."""
    return batch_rows.to_json(batch) if version == _VERSION else encode_all([batch])


def encode_all(batches: Sequence[Batch]) -> bytes:
    """Return the body of a message of version 2 with several batches."""
    return wrap(batch_columns.join([batch_columns.to_parts(batch) for batch in batches]))


def decode(body: bytes) -> tuple[Batch, ...]:
    """Return the batches of a message of either version.

    Raises `UnreadableBatch`, or `NewerMessage` when only a later release can read it.
    """
    if not is_framed(body):
        return (_decoded(lambda: batch_rows.from_json(body)),)
    layout, raw = _opened(body)
    return _decoded(lambda: tuple([layout.read(each) for each in raw]))


def parts(body: bytes) -> Sequence[bytes]:
    """Split a message into messages of one batch each, so that an unreadable batch can be dead-lettered alone. Raises
    like `decode`."""
    if not is_framed(body) or _has_one(body):
        return (body,)
    layout, raw = _opened(body)
    return [wrap(layout.join([each])) for each in raw]


def marked_again(body: bytes) -> bytes:
    """Set the flag `again` of all batches of a message. All else stays as it is, also fields that only a later release
    knows. Raises `UnreadableBatch` or `NewerMessage`."""
    if not is_framed(body):
        return _decoded(lambda: batch_rows.json_marked_again(body))
    layout, raw = _opened(body)
    return wrap(_decoded(lambda: layout.join([layout.marked_again(each) for each in raw])))


def _has_one(body: bytes) -> bool:
    return body[4:6] == b"\1\0"


def _opened(body: bytes) -> tuple[_Layout, Sequence[Any]]:
    """Return the layout and the stored batches of a framed message."""
    frame = unwrap(body)
    layout = _LAYOUTS[frame.encoding]
    return layout, _decoded(lambda: layout.split(frame))


def _decoded(read: Callable[[], T]) -> T:
    """Call `read` and return its result. Raises `UnreadableBatch` for every error that invalid values cause."""
    try:
        return read()
    except (UnreadableBatch, NewerMessage):
        raise
    except OddField as error:
        raise UnreadableBatch(f"a field has an odd value: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error) as error:
        raise UnreadableBatch(type(error).__name__) from error
