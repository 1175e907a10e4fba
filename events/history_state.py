"""Progress of a job over a tenant's history. Stored beside its file, before the progress that the CMS shows. Pure."""

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
    """`looked_into`: number of folders of earlier files that were searched completely. `last_file`: last file searched
    in the next folder. `found`: the matches in them; None once the rows are decided. `decided` has a byte for each row
    of the file. `folded` counts the folded parts of users, `written` the written parts of the sample."""

    decided: bytearray
    looked_into: int = 0
    last_file: str = ""
    found: Found | None = field(default_factory=Found)
    folded: int = 0
    written: int = 0

    @classmethod
    def of(cls, rows: int) -> HistoryState:
        """Return the state before any work."""
        return cls(bytearray([_UNDECIDED]) * rows)

    def decide(self, places: Sequence[int], statuses: Sequence[str | None]) -> None:
        """Record the outcome of rows, by their index in the file. None leaves a row unchanged."""
        for place, status in zip(places, statuses, strict=True):
            if status is not None:
                self.decided[place] = _CODES[status]

    def status(self, place: int) -> str | None:
        """Return the outcome of a row so far; None if it is open."""
        return _NAMES.get(self.decided[place])

    def counts(self) -> dict[str, int]:
        """Return the number of rows by final outcome."""
        found = Counter(self.decided)
        return {status: found[_CODES[status]] for status in STATUSES if found[_CODES[status]]}

    def to_bytes(self) -> bytes:
        """Return the stored form. The same state gives the same bytes."""
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
        """Read the stored form. A missing or damaged state, or one of another release, starts again, which counts
        nothing twice."""
        try:
            stored: Any = orjson.loads(gzip.decompress(content or b""))
            decided = bytearray.fromhex(stored["decided"])
            if stored["v"] != _VERSION or len(decided) != rows:
                return cls.of(rows)
            found = None if stored["found"] is None else Found.from_json(stored["found"])
            return cls(decided, stored["lookedInto"], stored["lastFile"], found, stored["folded"], stored["written"])
        except (ValueError, OSError, EOFError, KeyError, TypeError):
            return cls.of(rows)
