"""The frame of a bus message of version 2: six bytes, followed by its batches in one of several encodings. Pure.

| byte | holds |
|---|---|
| 0 | `MARK`: no JSON begins with it |
| 1 | version |
| 2 | encoding: 0 plain JSON, 1 JSON in zlib, 2 columns; others are free |
| 3 | the dictionary of the encoding, 0 for none; others are free |
| 4, 5 | number of batches, little-endian |
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

MARK = 0xEB
VERSION = 2
_HEADER = struct.Struct("<BBBBH")
JSON, JSON_IN_ZLIB, COLUMNS = 0, 1, 2
NO_DICTIONARY, EXAMPLE = 0, 1
DICTIONARIES = {
    NO_DICTIONARY: b"",
    EXAMPLE: bytes.fromhex(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031"
        "32333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60616263"
        "0a1400010000000000e800000000000000140000000a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0300000000ff000000"
        "0000000000000000000000000301040001000301000104010000040304000100010102000102030405060708090a0b0c0d0e"
        "0f1011121301000001010101"
    ),
}
"""Compression dictionaries by number; the content of a number never changes. `EXAMPLE` is the columns of a batch
without names, made by `dictionary_content` in `benchmarks/messages.py`."""
_KNOWN = {JSON: (NO_DICTIONARY,), JSON_IN_ZLIB: (NO_DICTIONARY,), COLUMNS: tuple(DICTIONARIES)}
_LEVEL = 6
_WINDOW_BITS, _MEMORY_LEVEL = 13, 6
"""A window of 8 kB. Messages compress less than that, and zlib clears its tables for each message."""
MAX_CONTENT_BYTES = 16_000_000
"""Limit of decompressed content: 16 messages of the largest size."""


class UnreadableBatch(ValueError):
    """No version produces such a message body."""


class NewerMessage(Exception):
    """A message of a version, encoding or dictionary that only a later release knows. It must not be dead-lettered."""


class Frame(NamedTuple):
    """An opened message: encoding, dictionary, number of batches, and encoded content."""

    encoding: int
    dictionary: int
    batches: int
    content: bytes


def is_framed(body: bytes) -> bool:
    """Tell whether a body has the frame, of this version or a later one."""
    return body[:1] == bytes([MARK])


def wrap(frame: Frame) -> bytes:
    """Return the body of a message with this frame."""
    return _HEADER.pack(MARK, VERSION, frame.encoding, frame.dictionary, frame.batches) + frame.content


def unwrap(body: bytes) -> Frame:
    """Return the frame of a body: the inverse of `wrap`. Raises `UnreadableBatch` or `NewerMessage`."""
    if len(body) < _HEADER.size:
        raise UnreadableBatch("cut off")
    _, version, encoding, dictionary, batches = _HEADER.unpack_from(body)
    if version < VERSION:
        raise UnreadableBatch(f"version {version}")
    if version > VERSION or dictionary not in _KNOWN.get(encoding, ()):
        raise NewerMessage(f"version {version}, encoding {encoding}, dictionary {dictionary}")
    return Frame(encoding, dictionary, batches, body[_HEADER.size :])


def deflate(content: bytes, dictionary: bytes) -> bytes:
    """Compress without zlib's header and checksum: the frame names the encoding, and the bus delivers bodies intact."""
    compressor = zlib.compressobj(
        _LEVEL, zlib.DEFLATED, -_WINDOW_BITS, _MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, dictionary
    )
    return compressor.compress(content) + compressor.flush()


def inflate(content: bytes, dictionary: bytes) -> bytes:
    """Decompress: the inverse of `deflate`. Raises `UnreadableBatch`."""
    return _inflated(content, zlib.decompressobj(-zlib.MAX_WBITS, dictionary))


def deflate_zlib(content: bytes) -> bytes:
    """Compress with zlib's header and checksum."""
    return zlib.compress(content, _LEVEL)


def inflate_zlib(content: bytes) -> bytes:
    """Decompress: the inverse of `deflate_zlib`. Raises `UnreadableBatch`."""
    return _inflated(content, zlib.decompressobj())


def _inflated(content: bytes, decompressor: zlib._Decompress) -> bytes:
    try:
        found = decompressor.decompress(content, MAX_CONTENT_BYTES)
    except zlib.error:
        raise UnreadableBatch("damaged compression") from None
    if not decompressor.eof or decompressor.unused_data:
        raise UnreadableBatch("cut off, or too large")
    return found
