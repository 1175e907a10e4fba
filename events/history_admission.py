"""Decides which rows of a tenant's imported history count. Pure: no I/O, no clock.

A row is known if the archive, an earlier file, or an earlier row of this one has the same user, video, type and second.
The other rows have the same caps as the app's events: per user, video and day, and per minute of the tenant. As there,
a row beyond a cap counts only in the user's own signals. In addition, a day takes a limited number of history rows,
because the nightly learning reads all of it.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from events.archive import SCHEMA_VERSION, counts
from events.counting import MAX_A_DAY
from events.schema import Event
from shared.domain.event_types import TAKES_BACK
from shared.domain.history import ADMITTED, CAPPED, DAY_FULL, KNOWN

MAX_ROWS_OF_DAY = 500_000
"""Limit of history rows per tenant and day (UTC), in all files together."""
_MS_PER_SECOND, _MS_PER_MINUTE, _MS_PER_DAY = 1_000, 60_000, 86_400_000
_USER = re.compile(rb'"user":"([0-9a-f]{32})"')


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A row that can count. `number`: the row's number that its author knows. `place`: its index in the file, from
    0."""

    place: int
    number: int
    user_key: str
    event: Event


@dataclass(frozen=True, slots=True)
class Wanted:
    """Keys to search for in earlier files: a key for each row, a key for each row's user, video and day, and the users'
    pseudonyms."""

    rows: Sequence[int]
    days: Sequence[int]
    users: frozenset[bytes]

    @classmethod
    def of(cls, rows: Sequence[HistoryRow], pseudonym: Callable[[str], str]) -> Wanted:
        """Return the keys for the rows of a file."""
        names = {user_key: pseudonym(user_key) for user_key in {row.user_key for row in rows}}
        of_row = [_row_key(names[row.user_key], row.event.video_id, row.event.type, row.event.at_ms) for row in rows]
        of_day = [_day_key(names[row.user_key], row.event.video_id, row.event.at_ms) for row in rows]
        return cls(of_row, of_day, frozenset(name.encode() for name in names.values()))


@dataclass(slots=True)
class Found:
    """Matches in earlier files: the known rows, and the number of events per user, video and day. For earlier history
    also the rows that count per minute and all rows per day, both since the epoch."""

    rows: set[int] = field(default_factory=set)
    days: Counter[int] = field(default_factory=Counter)
    in_minute: Counter[int] = field(default_factory=Counter)
    in_day: Counter[int] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        counters = {"days": self.days, "inMinute": self.in_minute, "inDay": self.in_day}
        return {"rows": sorted(self.rows), **{name: sorted(of.items()) for name, of in counters.items()}}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Found:
        """Read the stored form: the inverse of `to_json`."""
        counters = [Counter(dict(stored[name])) for name in ("days", "inMinute", "inDay")]
        return cls(set(stored["rows"]), *counters)


def look_into(content: bytes, wanted: Wanted, found: Found, *, history: bool) -> None:
    """Add the matches of one archive file or, with `history`, of a file of an earlier job. Raises `ValueError`,
    `OSError`, `EOFError` or `KeyError` for an unreadable file."""
    rows, days = frozenset(wanted.rows), frozenset(wanted.days)
    for line in _lines(content, None if history else wanted.users):
        at_ms, user, video_id = line["timestamp"], line["user"] or "", line["videoId"]
        found.rows.update(rows & {_row_key(user, video_id, line["type"], at_ms)})
        if history:
            found.in_minute[at_ms // _MS_PER_MINUTE] += counts(line)
            found.in_day[at_ms // _MS_PER_DAY] += 1
        if counts(line) and (day := _day_key(user, video_id, at_ms)) in days:
            found.days[day] += 1


def _lines(content: bytes, users: frozenset[bytes] | None) -> Iterator[dict[str, Any]]:
    """Yield the lines of some users; of all users if None. Most lines are of other users and are skipped without
    parsing."""
    for text in gzip.decompress(content).splitlines():
        if users is not None:
            named = _USER.search(text)
            if named is None or named[1] not in users:
                continue
        line = orjson.loads(text)
        if line.get("v") != SCHEMA_VERSION:
            raise ValueError("a line of another version")
        yield line


def admit(rows: Sequence[HistoryRow], wanted: Wanted, found: Found, most_in_minute: int) -> list[str]:
    """Return the outcome of each row, in their order: `ADMITTED`, `CAPPED`, `KNOWN` or `DAY_FULL`."""
    known, of_day = set(found.rows), Counter(found.days)
    in_minute, in_day = Counter(found.in_minute), Counter(found.in_day)
    decided = []
    for row, key, day in zip(rows, wanted.rows, wanted.days, strict=True):
        minute, whole_day = row.event.at_ms // _MS_PER_MINUTE, row.event.at_ms // _MS_PER_DAY
        if key in known:
            decided.append(KNOWN)
            continue
        if in_day[whole_day] >= MAX_ROWS_OF_DAY:
            decided.append(DAY_FULL)
            continue
        known.add(key)
        in_day[whole_day] += 1
        takes_room = row.event.type not in TAKES_BACK
        if in_minute[minute] >= most_in_minute or (takes_room and of_day[day] >= MAX_A_DAY):
            decided.append(CAPPED)
            continue
        of_day[day] += takes_room
        in_minute[minute] += 1
        decided.append(ADMITTED)
    return decided


def _row_key(user: str, video_id: str, kind: str, at_ms: int) -> int:
    return _key(f"{user}\n{video_id}\n{kind}\n{at_ms // _MS_PER_SECOND}")


def _day_key(user: str, video_id: str, at_ms: int) -> int:
    return _key(f"{user}\n{video_id}\n{at_ms // _MS_PER_DAY}")


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
