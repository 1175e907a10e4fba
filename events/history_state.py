"""How far a job over a tenant's history is: stored beside its file, written before the progress that is shown. Pure."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from events.history_admission import Found
from shared.domain.history import ADMITTED, CAPPED, STATUSES

_VERSION = 1
_UNDECIDED = 0xFF
_CODES = {status: code for code, status in enumerate(STATUSES)} | {ADMITTED: 0xFE, CAPPED: 0xFD}
_NAMES = {code: status for status, code in _CODES.items()}


@dataclass(slots=True)
class HistoryState:
    """`looked_into`: how many folders of earlier files were looked into as a whole, and `last_file` the last one of the
    folder after these; `found` what is in them, None when rows are decided. `decided` has a byte for each row of the
    file; `folded` is how many parts of users are folded, `written` how many parts of the sample are written."""

    decided: bytearray
    looked_into: int = 0
    last_file: str = ""
    found: Found | None = field(default_factory=Found)
    folded: int = 0
    written: int = 0

    @classmethod
    def of(cls, rows: int) -> HistoryState:
        """Before any work."""
        return cls(bytearray([_UNDECIDED]) * rows)

    def decide(self, places: Sequence[int], statuses: Sequence[str | None]) -> None:
        """Note what became of rows, by their places in the file; None leaves one as it is."""
        for place, status in zip(places, statuses, strict=True):
            if status is not None:
                self.decided[place] = _CODES[status]

    def status(self, place: int) -> str | None:
        """Outcome of a row so far; None while that is open."""
        return _NAMES.get(self.decided[place])

    def counts(self) -> dict[str, int]:
        """Rows by what became of them in the end."""
        found = Counter(self.decided)
        return {status: found[_CODES[status]] for status in STATUSES if found[_CODES[status]]}

    def to_bytes(self) -> bytes:
        """The stored shape; the same bytes for the same state."""
        stored = {
            "v": _VERSION,
            "decided": self.decided.hex(),
            "lookedInto": self.looked_into,
            "lastFile": self.last_file,
            "found": None if self.found is None else self.found.to_json(),
            "folded": self.folded,
            "written": self.written,
        }
        return gzip.compress(orjson.dumps(stored), 6, mtime=0)

    @classmethod
    def from_bytes(cls, content: bytes | None, rows: int) -> HistoryState:
        """The inverse. What is missing, damaged or of another release begins afresh, which counts nothing twice."""
        try:
            stored: Any = orjson.loads(gzip.decompress(content or b""))
            decided = bytearray.fromhex(stored["decided"])
            if stored["v"] != _VERSION or len(decided) != rows:
                return cls.of(rows)
            found = None if stored["found"] is None else Found.from_json(stored["found"])
            return cls(decided, stored["lookedInto"], stored["lastFile"], found, stored["folded"], stored["written"])
        except (ValueError, OSError, EOFError, KeyError, TypeError):
            return cls.of(rows)
