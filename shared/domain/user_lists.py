"""A user's lists: what they saved, liked, follow and can continue, each in a document of its own beside their signals.
Pure.

An entry keeps two times by its name: when it was last put on the list and when it was last taken off, as the events
say. Each only ever moves forward, so events may come in any order and any number of times: a list ends the same. At
most so many entries are kept, those touched last, and none longer than 90 days. What was taken off keeps its place
until then, or an event that comes late would bring it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.formats import is_number
from shared.domain.user_signals import KEEP_DAYS

SAVED, LIKED, CONTINUE, FOLLOWING = "saved", "liked", "continue", "following"
CAPS = {SAVED: 200, LIKED: 200, CONTINUE: 50, FOLLOWING: 100}
"""Lists, and how many entries each keeps, those taken off among them."""
LIST_PREFIX = "list:"
LIST_TTL_SECONDS = KEEP_DAYS * 86_400
AHEAD_SECONDS = 600.0
"""An event is at most five minutes ahead of its acceptance."""
_VERSION = 1
_KEEP_MS = KEEP_DAYS * 86_400_000
_FIELDS = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """When something was last put on a list and last taken off, in ms since the epoch, 0 for never. `position_ms`: how
    far it was watched when it was put on, for the list of what can be continued."""

    on_ms: int = 0
    off_ms: int = 0
    position_ms: int = 0

    @property
    def listed(self) -> bool:
        """Whether it is on the list. Of equal times the one of taking off holds."""
        return self.on_ms > self.off_ms

    @property
    def touched_ms(self) -> int:
        return max(self.on_ms, self.off_ms)

    def merged(self, other: Entry) -> Entry:
        """The entry of both: in any order, any number of times."""
        on_ms, position_ms = max((self.on_ms, self.position_ms), (other.on_ms, other.position_ms))
        return Entry(on_ms, max(self.off_ms, other.off_ms), position_ms)

    def until(self, latest_ms: int) -> Entry:
        """The entry with no time after one."""
        if self.touched_ms <= latest_ms:
            return self
        return Entry(min(self.on_ms, latest_ms), min(self.off_ms, latest_ms), self.position_ms)


Changes = Mapping[str, Entry]
"""What events say, by name: the id of a video, or kind and id of what is followed with `:` between."""


@dataclass(frozen=True, slots=True)
class UserList:
    """One list. `accepted_at`: when the newest batch in it was accepted, in seconds since the epoch."""

    name: str
    entries: Mapping[str, Entry] = field(default_factory=dict)
    accepted_at: float = 0.0

    def with_changes(self, changes: Changes, now: float, accepted_at: float) -> UserList:
        """The list after some events. `now` in seconds since the epoch drops what is older than 90 days."""
        latest_ms = int((now + AHEAD_SECONDS) * 1000)  # what is later was written by an instance with a wrong clock
        entries = {name: entry.until(latest_ms) for name, entry in self.entries.items()}
        for name, change in changes.items():
            entries[name] = entries.get(name, Entry()).merged(change)
        kept = _newest(entries.items(), CAPS[self.name], now)
        return UserList(self.name, dict(kept), max(self.accepted_at, accepted_at))

    def listed(self, now: float) -> list[tuple[str, Entry]]:
        """Entries on the list, newest first, equal times by name. Nothing that was put there over 90 days ago."""
        oldest = now * 1000 - _KEEP_MS
        found = [(name, entry) for name, entry in self.entries.items() if entry.listed and entry.on_ms >= oldest]
        return sorted(found, key=lambda each: (-each[1].on_ms, each[0]))

    def to_document(self, tenant_id: str) -> dict[str, Any]:
        """The stored shape. Lives 90 days after its last write."""
        rows = [[name, entry.on_ms, entry.off_ms, entry.position_ms] for name, entry in self.entries.items()]
        return {
            "id": document_id(self.name),
            "kind": "user-list",
            "tenantId": tenant_id,
            "v": _VERSION,
            "acceptedAt": self.accepted_at,
            "entries": rows,
            "ttl": LIST_TTL_SECONDS,
        }

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> UserList:
        """The inverse. Raises `UnreadableList` for one that is damaged or of a later version."""
        name = str(body.get("id", "")).removeprefix(LIST_PREFIX)
        version, accepted_at, rows = body.get("v"), body.get("acceptedAt"), body.get("entries")
        if isinstance(version, int) and version > _VERSION:
            raise NewerList(f"version {version}")
        if name not in CAPS or version != _VERSION or not is_number(accepted_at) or not isinstance(rows, list):
            raise UnreadableList("fields are missing")
        try:
            entries = {str(row[0]): Entry(*[int(number) for number in row[1:_FIELDS]]) for row in rows}
        except (TypeError, ValueError, LookupError) as error:
            raise UnreadableList("rows") from error
        return cls(name, entries, float(accepted_at))  # type: ignore[arg-type]


class UnreadableList(ValueError):
    """A stored list that is damaged."""


class NewerList(UnreadableList):
    """A stored list of a version that only a later release knows. It must not be overwritten."""


def document_id(name: str) -> str:
    """Where a list is, in its user's partition."""
    return f"{LIST_PREFIX}{name}"


def _newest(entries: Iterable[tuple[str, Entry]], cap: int, now: float) -> list[tuple[str, Entry]]:
    oldest = now * 1000 - _KEEP_MS
    kept = [each for each in entries if each[1].touched_ms >= oldest]
    return sorted(kept, key=lambda each: (-each[1].touched_ms, each[0]))[:cap]
