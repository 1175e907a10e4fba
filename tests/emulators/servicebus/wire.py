"""AMQP messages as bytes: their sections, batches of them, and the parts a broker writes itself.

A message is a sequence of sections, each a described value. A broker replaces the header and the annotations and leaves
the rest, the bare message, unchanged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from proton import Message

HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES, DATA = range(0x70, 0x76)
_FIXED_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def sections(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (section code, the section's bytes) in order. Raises `ValueError` for bytes that are no message."""
    at = 0
    while at < len(raw):
        if raw[at] != 0 or at + 2 >= len(raw):
            raise ValueError("not a section")
        if raw[at + 1] == 0x53:  # a small number, the encoding that every peer uses
            code, value = raw[at + 2], at + 3
        elif raw[at + 1] == 0x80:
            code, value = int.from_bytes(raw[at + 2 : at + 10], "big"), at + 10
        else:
            raise ValueError("not a section")
        end = _end_of_value(raw, value)
        if not HEADER <= code <= 0x78 or end > len(raw):
            raise ValueError("not a section")
        yield code, raw[at:end]
        at = end


def _end_of_value(raw: bytes, at: int) -> int:
    family = raw[at] >> 4
    if family in _FIXED_WIDTHS:
        return at + 1 + _FIXED_WIDTHS[family]
    if family in (0xA, 0xC, 0xE):
        return at + 2 + raw[at + 1]
    if family in (0xB, 0xD, 0xF):
        return at + 5 + int.from_bytes(raw[at + 1 : at + 5], "big")
    raise ValueError("not a value")


def split_batch(raw: bytes) -> list[bytes]:
    """Return the messages of a transfer: one, or those in the data sections of a batch."""
    data = [section for code, section in sections(raw) if code == DATA]
    inner = [_data_content(section) for section in data]
    try:
        nested = [list(sections(content)) for content in inner]
    except (ValueError, IndexError):
        return [raw]
    return inner if nested and all(nested) else [raw]


def _data_content(section: bytes) -> bytes:
    return section[5:] if section[3] == 0xA0 else section[8:]


def decode(raw: bytes) -> Message:
    """The message as proton reads it; the body is copied out of the buffer that proton reuses."""
    message = Message()
    message.decode(raw)
    if isinstance(message.body, memoryview):
        message.body = bytes(message.body)
    return message


def bare(raw: bytes) -> bytes:
    """Return a message without header and annotations."""
    return b"".join(section for code, section in sections(raw) if code > ANNOTATIONS)


def with_properties(raw: bytes, added: dict[str, Any]) -> bytes:
    """Return the bare message with more application properties."""
    message = decode(raw)
    message.properties = {**(message.properties or {}), **added}
    return bare(message.encode())


def annotations(values: dict[Any, Any]) -> bytes:
    """The section of message annotations."""
    message = Message()
    message.annotations = values
    return next(section for code, section in sections(message.encode()) if code == ANNOTATIONS)


def header(delivery_count: int) -> bytes:
    """The header section. Proton leaves out a delivery count of zero, which the SDK then reads as None."""
    fields = b"\x40\x40\x40\x40" + b"\x70" + struct.pack(">I", delivery_count)
    return b"\x00\x53\x70\xc0" + bytes([len(fields) + 1, 5]) + fields
