"""Parses the times that devices send, and corrects them by the device's clock if the batch reports it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.domain.numbers import number_in
from shared.domain.times import time_in

TOLERANCE_MS = 60_000
"""A smaller difference is not corrected: the clock can be off a little, or the batch was under way for that long."""
MOST_OFF_MS = 100 * 365 * 86_400_000
"""A larger difference is not believed: the value is no time."""
_TEN_YEARS_SECONDS = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """A device's clock. `sent_ms`: its time when the batch was sent; None if the batch does not report it. `behind_ms`:
    correction to add to the device's times. `unreadable`: the batch reports something that is no time."""

    sent_ms: int | None = None
    behind_ms: int = 0
    unreadable: bool = False

    @classmethod
    def of(cls, sent_at: Any, now: float) -> DeviceClock:
        """Compare a batch's `sentAt` with `now`, the time of receipt in seconds since the epoch. Never raises: an
        unreadable value costs no event."""
        if sent_at is None:
            return cls()
        try:
            sent_ms = milliseconds(sent_at)
        except (ValueError, TypeError):
            return cls(unreadable=True)
        behind_ms = int(now * 1000) - sent_ms
        if looks_like_seconds(sent_at, now) or abs(behind_ms) > MOST_OFF_MS:
            return cls(unreadable=True)
        return cls(sent_ms, behind_ms if abs(behind_ms) > TOLERANCE_MS else 0)


def milliseconds(timestamp: Any) -> int:
    """Return milliseconds since the epoch from ISO 8601 (UTC if it has no zone) or from a number of them, also as text.
    Raises `ValueError` or `TypeError`."""
    timestamp = _number_or_text(timestamp)
    if isinstance(timestamp, str):
        return int(time_in(timestamp) * 1000)
    if isinstance(timestamp, bool) or not 0 <= timestamp < 1e15:
        raise ValueError("out of range")
    return int(timestamp)


def looks_like_seconds(timestamp: Any, now: float) -> bool:
    """Tell whether a number is near `now` if it is read as seconds. As milliseconds it would be in January 1970."""
    timestamp = _number_or_text(timestamp)
    return not isinstance(timestamp, str) and abs(timestamp - now) < _TEN_YEARS_SECONDS


def _number_or_text(timestamp: Any) -> Any:
    """Return a number for text of more than eight digits. Shorter text is a date such as 20261128, or no time, such as
    2026."""
    return timestamp if isinstance(timestamp, str) and len(timestamp) <= len("20261128") else number_in(timestamp)
