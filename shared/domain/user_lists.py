"""A user's lists (saved, liked, following, continue watching), each a document beside their signals. Pure.

An entry has two times from events: when it was last added to the list and when it was last removed. Each only moves
forward, so events can come in any order and repeatedly with the same result. A list keeps its most recently changed
entries, up to its cap, for up to 90 days. A removed entry keeps its place until then; otherwise a late event would add
it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.formats import is_number
from shared.domain.user_signals import KEEP_DAYS

SAVED, LIKED, CONTINUE, FOLLOWING = "saved", "liked", "continue", "following"
CAPS = {SAVED: 200, LIKED: 200, CONTINUE: 50, FOLLOWING: 100}
"""Most entries by list, removed ones included."""
LIST_PREFIX = "list:"
LIST_TTL_SECONDS = KEEP_DAYS * 86_400
AHEAD_SECONDS = 600.0
"""An event's time is at most five minutes after its acceptance; the rest tolerates clocks."""
_VERSION = 1
_KEEP_MS = KEEP_DAYS * 86_400_000
_FIELDS = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """Times of the last addition and the last removal, in ms since the epoch, 0 for never. `position_ms`: position in
    the video at the addition, for the list *continue*."""

    on_ms: int = 0
    off_ms: int = 0
    position_ms: int = 0

    @property
    def listed(self) -> bool:
        """Whether the entry is on the list. At equal times, the removal wins."""
        return self.on_ms > self.off_ms

    @property
    def touched_ms(self) -> int:
        return max(self.on_ms, self.off_ms)

    def merged(self, other: Entry) -> Entry:
        """Merge two entries. The order and repeats make no difference."""
        on_ms, position_ms = max((self.on_ms, self.position_ms), (other.on_ms, other.position_ms))
        return Entry(on_ms, max(self.off_ms, other.off_ms), position_ms)

    def until(self, latest_ms: int) -> Entry:
        """Return the entry without times after `latest_ms`."""
        if self.touched_ms <= latest_ms:
            return self
        return Entry(min(self.on_ms, latest_ms), min(self.off_ms, latest_ms), self.position_ms)


Changes = Mapping[str, Entry]
"""Changes by name: the id of a video, or `kind:id` of a followed subject."""


@dataclass(frozen=True, slots=True)
class UserList:
    """One list. `accepted_at`: acceptance of the newest batch in it, in seconds since the epoch."""

    name: str
    entries: Mapping[str, Entry] = field(default_factory=dict)
    accepted_at: float = 0.0

    def with_changes(self, changes: Changes, now: float, accepted_at: float) -> UserList:
        """Return the list with changes applied, without entries of more than 90 days before `now` (epoch seconds)."""
        latest_ms = int((now + AHEAD_SECONDS) * 1000)  # a later time was written by an instance with a wrong clock
        entries = {name: entry.until(latest_ms) for name, entry in self.entries.items()}
        for name, change in changes.items():
            entries[name] = entries.get(name, Entry()).merged(change)
        kept = _newest(entries.items(), CAPS[self.name], now)
        return UserList(self.name, dict(kept), max(self.accepted_at, accepted_at))

    def listed(self, now: float) -> list[tuple[str, Entry]]:
        """Return the entries on the list, newest first, equal times by name. None added more than 90 days ago."""
        oldest = now * 1000 - _KEEP_MS
        found = [(name, entry) for name, entry in self.entries.items() if entry.listed and entry.on_ms >= oldest]
        return sorted(found, key=lambda each: (-each[1].on_ms, each[0]))

    def to_document(self, tenant_id: str) -> dict[str, Any]:
        """Return the stored document, which expires 90 days after its last write."""
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
        """Read a stored document. Raises `UnreadableList` for a damaged one or one of a later version."""
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
    """A stored list of a later release's version. It must not be overwritten."""


def document_id(name: str) -> str:
    """Return the id of a list's document in its user's partition."""
    return f"{LIST_PREFIX}{name}"


def _newest(entries: Iterable[tuple[str, Entry]], cap: int, now: float) -> list[tuple[str, Entry]]:
    oldest = now * 1000 - _KEEP_MS
    kept = [each for each in entries if each[1].touched_ms >= oldest]
    return sorted(kept, key=lambda each: (-each[1].touched_ms, each[0]))[:cap]
