"""The nightly file of a tenant: the co-watch table and, if one was trained, the next-watch table.

Older files have only a co-watch table and can still be read.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from ranking.cowatch import CoWatchTable
from ranking.next_watch import NextWatchTable
from ranking.unreadable_table import UnreadableTable

_MAGIC = b"RTF1"
_HEADER = struct.Struct("<4sIII")


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Tables that a night built for one tenant."""

    cowatch: CoWatchTable
    next_watch: NextWatchTable | None = None

    def to_bytes(self) -> bytes:
        """Serialize: a header with the length of each part and a CRC of both, then the parts."""
        parts = self.cowatch.to_bytes(), b"" if self.next_watch is None else self.next_watch.to_bytes()
        body = b"".join(parts)
        return _HEADER.pack(_MAGIC, len(parts[0]), len(parts[1]), zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, raw: bytes) -> Tables:
        """Parse the file, or one that is a co-watch table alone. Raises `UnreadableTable`, also for damaged bytes."""
        if raw[:4] != _MAGIC:
            return cls(CoWatchTable.from_bytes(raw))
        if len(raw) < _HEADER.size:
            raise UnreadableTable("The file is shorter than its header.")
        _, first, second, crc = _HEADER.unpack_from(raw)
        body = raw[_HEADER.size :]
        if len(body) != first + second or zlib.crc32(body) != crc:
            raise UnreadableTable("The file is damaged: its length or checksum does not match.")
        next_watch = NextWatchTable.from_bytes(body[first:]) if second else None
        return cls(CoWatchTable.from_bytes(body[:first]), next_watch)
