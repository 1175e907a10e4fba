"""Tickets for uploads, and what one user may have of them. Pure: no I/O, told the time.

Documents in the owner's own partition of `people`, so that an erasure finds them:

    upload:ID       one ticket: content type, bytes, when it was issued, its state
    upload-limits   what counts against the limits: tickets of the last hour, bytes by the hour, tickets that are open

    open ── complete ──┬─ done       the file was looked at and is media
                       └─ refused    it was not what the ticket says, and is deleted
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from media.media_types import SUFFIXES
from shared.adapters.documents.port import DAY_SECONDS, Json
from shared.domain.formats import is_number

PREFIX = "upload:"
LIMITS_ID = "upload-limits"
LINK_SECONDS = 900.0
"""How long a link stores a file."""
FINISH_SECONDS = 900.0
"""How long after that an upload can still be completed: one that began late ends later."""
HOUR_SECONDS = 3600.0
MOST_AN_HOUR = 30
MOST_OPEN = 10
MOST_BYTES_A_DAY = 1_000_000_000
MEDIA_DAYS = 14
"""Media that nothing deleted is deleted after that: no story lives as long."""
OPEN, DONE, REFUSED = "open", "done", "refused"
_ID_BYTES = 20
_ID_CHARS = 2 * _ID_BYTES


@dataclass(frozen=True, slots=True)
class Ticket:
    """One upload. `bytes`: at most so many while open, exactly so many once done."""

    id: str
    content_type: str
    bytes: int
    issued_at: float
    state: str = OPEN

    @property
    def media_key(self) -> str:
        """Names its media; the end says the type."""
        return self.id + SUFFIXES[self.content_type]

    @property
    def expires_at(self) -> float:
        """When its link stops to store, in seconds since the epoch."""
        return self.issued_at + LINK_SECONDS

    def document(self) -> Json:
        """As it is stored."""
        kept = 2 + (MEDIA_DAYS if self.state == DONE else 0)
        return {
            "id": PREFIX + self.id,
            "kind": "upload",
            "contentType": self.content_type,
            "bytes": self.bytes,
            "issuedAt": self.issued_at,
            "state": self.state,
            "ttl": kept * DAY_SECONDS,
        }

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Ticket:
        """A stored ticket."""
        id, content_type, state = str(body["id"]).removeprefix(PREFIX), str(body["contentType"]), str(body["state"])
        return cls(id, content_type, int(body["bytes"]), float(body["issuedAt"]), state)


def new_id() -> str:
    """A name for an upload that nobody can guess."""
    return secrets.token_hex(_ID_BYTES)


def is_id(text: str) -> bool:
    """Whether an upload could have this name."""
    return len(text) == _ID_CHARS and set(text) <= set("0123456789abcdef")


class TooMany(Exception):
    """A limit is reached. `retry_seconds`: when something is free again."""

    def __init__(self, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__("too many uploads")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a user has of the limits: times of tickets, bytes by hour since the epoch, open tickets with their end."""

    lately: tuple[float, ...] = ()
    hours: Mapping[int, int] = field(default_factory=dict)
    open: Mapping[str, float] = field(default_factory=dict)

    def with_ticket(self, ticket: Ticket) -> Spent:
        """With one more. Raises `TooMany`. A day is the hour under way and the 24 before it."""
        now = ticket.issued_at
        lately = tuple(at for at in self.lately if now - HOUR_SECONDS < at <= now)
        hour = int(now // HOUR_SECONDS)
        hours = {each: amount for each, amount in self.hours.items() if hour - 24 <= each <= hour}
        opened = {id: until for id, until in self.open.items() if until > now}
        if len(lately) >= MOST_AN_HOUR:
            raise TooMany(lately[0] + HOUR_SECONDS - now)
        if len(opened) >= MOST_OPEN:
            raise TooMany(min(opened.values()) - now)
        if sum(hours.values()) + ticket.bytes > MOST_BYTES_A_DAY:
            raise TooMany((min(hours, default=hour) + 25) * HOUR_SECONDS - now)
        hours[hour] = hours.get(hour, 0) + ticket.bytes
        return Spent((*lately, now), hours, {**opened, ticket.id: ticket.expires_at + FINISH_SECONDS})

    def without(self, id: str) -> Spent:
        """With this ticket no longer open. What it took of an hour and a day stays taken."""
        return replace(self, open={each: until for each, until in self.open.items() if each != id})

    def document(self) -> Json:
        """As it is stored."""
        hours = {str(hour): amount for hour, amount in self.hours.items()}
        limits = {"lately": list(self.lately), "hours": hours, "open": dict(self.open)}
        return {"id": LIMITS_ID, "kind": LIMITS_ID, **limits, "ttl": 2 * DAY_SECONDS}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Spent:
        """What is stored; what is damaged counts as nothing."""
        lately, hours, opened = (body.get(name) for name in ("lately", "hours", "open"))
        return cls(
            tuple(at for at in lately if is_number(at)) if isinstance(lately, list) else (),
            {int(hour): int(n) for hour, n in hours.items() if hour.isdecimal()} if isinstance(hours, dict) else {},
            {id: float(until) for id, until in opened.items() if is_number(until)} if isinstance(opened, dict) else {},
        )
