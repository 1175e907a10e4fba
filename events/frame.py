"""The frame of a bus message of version 2: six bytes, then the batches as JSON, as they are or compressed. Pure.

| byte | holds |
|---|---|
| 0 | `MARK`: no JSON begins with it |
| 1 | version |
| 2 | encoding: 0 as it is, 1 zlib; others are free |
| 3 | the dictionary of the encoding, 0 for none; others are free |
| 4, 5 | how many batches, little-endian |
"""

from __future__ import annotations

import struct
import zlib

MARK = 0xEB
VERSION = 2
_HEADER = struct.Struct("<BBBBH")
_PLAIN, _ZLIB = 0, 1
_NO_DICTIONARY = 0
_LEVEL = 1
"""The fastest: a batch passes through here four times."""
COMPRESS_FROM_BYTES = 4_096
"""Below this the bus charges the same and compression costs more than the bytes are worth."""
MAX_CONTENT_BYTES = 16_000_000
"""What compressed content may grow to: 16 messages of the largest size."""


class UnreadableBatch(ValueError):
    """The body of a message is not what any version makes."""


class NewerMessage(Exception):
    """A message of a version, encoding or dictionary that only a later release knows. It is none to set aside."""


def is_framed(body: bytes) -> bool:
    """Whether a body has the frame, of this version or a later one."""
    return body[:1] == bytes([MARK])


def wrap(content: bytes, batches: int) -> bytes:
    """The body of a message."""
    encoding = _PLAIN
    if len(content) >= COMPRESS_FROM_BYTES:
        encoding, content = _ZLIB, zlib.compress(content, _LEVEL)
    return _HEADER.pack(MARK, VERSION, encoding, _NO_DICTIONARY, batches) + content


def unwrap(body: bytes) -> tuple[bytes, int]:
    """The inverse: the content, and how many batches it has. Raises `UnreadableBatch` or `NewerMessage`."""
    if len(body) < _HEADER.size:
        raise UnreadableBatch("cut off")
    _, version, encoding, dictionary, batches = _HEADER.unpack_from(body)
    if version < VERSION:
        raise UnreadableBatch(f"version {version}")
    if version > VERSION or encoding > _ZLIB or dictionary != _NO_DICTIONARY:
        raise NewerMessage(f"version {version}, encoding {encoding}, dictionary {dictionary}")
    content = body[_HEADER.size :]
    return (_inflated(content) if encoding == _ZLIB else content), batches


def _inflated(content: bytes) -> bytes:
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(content, MAX_CONTENT_BYTES)
    except zlib.error:
        raise UnreadableBatch("damaged compression") from None
    if not inflate.eof or inflate.unused_data:
        raise UnreadableBatch("cut off, or too large")
    return found
