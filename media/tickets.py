"""Upload tickets and their limits per user. Pure: callers pass the time.

Documents in the owner's partition of `people`, so an erasure finds them:

    upload:ID       one ticket: content type, bytes, time of issue, state
    upload-limits   usage: tickets of the last hour, bytes by hour, open tickets

    open ── complete ──┬─ done       the file passed the checks and is media
                       └─ refused    the file does not match its ticket, or came too late, and is deleted
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
"""How long a link can store a file."""
FINISH_SECONDS = 900.0
"""How long after the link expires an upload can still be completed: a transfer that began late takes longer."""
HOUR_SECONDS = 3600.0
MOST_AN_HOUR = 30
MOST_OPEN = 10
MOST_BYTES_A_DAY = 1_000_000_000
MEDIA_DAYS = 14
"""Age at which media is deleted if nothing deleted it before. Every story has ended by then."""
OPEN, DONE, REFUSED = "open", "done", "refused"
_ID_BYTES = 20
_ID_CHARS = 2 * _ID_BYTES


@dataclass(frozen=True, slots=True)
class Ticket:
    """One upload. `bytes`: the largest length while open, the file's length once done."""

    id: str
    content_type: str
    bytes: int
    issued_at: float
    state: str = OPEN

    @property
    def media_key(self) -> str:
        """Key of its media: the id with the suffix of its type."""
        return self.id + SUFFIXES[self.content_type]

    @property
    def expires_at(self) -> float:
        """When its link expires, in seconds since the epoch."""
        return self.issued_at + LINK_SECONDS

    def document(self) -> Json:
        """Return the stored shape."""
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
        """Parse a stored ticket."""
        id, content_type, state = str(body["id"]).removeprefix(PREFIX), str(body["contentType"]), str(body["state"])
        return cls(id, content_type, int(body["bytes"]), float(body["issuedAt"]), state)


def new_id() -> str:
    """Return a random upload id that nobody can guess."""
    return secrets.token_hex(_ID_BYTES)


def is_id(text: str) -> bool:
    """Return whether a text has the form of an upload id."""
    return len(text) == _ID_CHARS and set(text) <= set("0123456789abcdef")


class TooMany(Exception):
    """A limit is reached. `retry_seconds`: how long until a ticket can be issued again."""

    def __init__(self, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__("too many uploads")


@dataclass(frozen=True, slots=True)
class Spent:
    """A user's usage of the limits.

    `lately`: times of tickets of the last hour; `hours`: bytes by hour since the epoch; `open`: open tickets → end.
    """

    lately: tuple[float, ...] = ()
    hours: Mapping[int, int] = field(default_factory=dict)
    open: Mapping[str, float] = field(default_factory=dict)

    def with_ticket(self, ticket: Ticket) -> Spent:
        """Return a copy with one more ticket. Raises `TooMany`. A day is the current hour and the 24 before it."""
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
        """Return a copy with this ticket closed. It still counts towards the limits of the hour and the day."""
        return replace(self, open={each: until for each, until in self.open.items() if each != id})

    def document(self) -> Json:
        """Return the stored shape."""
        hours = {str(hour): amount for hour, amount in self.hours.items()}
        limits = {"lately": list(self.lately), "hours": hours, "open": dict(self.open)}
        return {"id": LIMITS_ID, "kind": LIMITS_ID, **limits, "ttl": 2 * DAY_SECONDS}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Spent:
        """Parse the stored usage; damaged parts count as unused."""
        lately, hours, opened = (body.get(name) for name in ("lately", "hours", "open"))
        return cls(
            tuple(at for at in lately if is_number(at)) if isinstance(lately, list) else (),
            {int(hour): int(n) for hour, n in hours.items() if hour.isdecimal()} if isinstance(hours, dict) else {},
            {id: float(until) for id, until in opened.items() if is_number(until)} if isinstance(opened, dict) else {},
        )
