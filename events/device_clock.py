"""Reads the times that devices send, and corrects the clock of a device that says what time it has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.domain.numbers import number_in
from shared.domain.times import time_in

TOLERANCE_MS = 60_000
"""A clock that is off by no more than this, or a batch that was under way for so long, is left as it is."""
MOST_OFF_MS = 100 * 365 * 86_400_000
"""No clock is believed to be off by more: such a time is no time."""
_TEN_YEARS_SECONDS = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """A device's clock. `sent_ms`: what it showed when the batch was sent, None when the batch does not say.
    `behind_ms`: what to add to its times. `unreadable`: the batch says something that is no time.
    """

    sent_ms: int | None = None
    behind_ms: int = 0
    unreadable: bool = False

    @classmethod
    def of(cls, sent_at: Any, now: float) -> DeviceClock:
        """From a batch's `sentAt`, received at `now` (seconds since the epoch). Never raises: a hint that cannot be
        read costs no event."""
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
    """Milliseconds since the epoch from ISO 8601 (without a zone: UTC) or a number of them, also in text. Raises
    `ValueError`, `TypeError`."""
    timestamp = _number_or_text(timestamp)
    if isinstance(timestamp, str):
        return int(time_in(timestamp) * 1000)
    if isinstance(timestamp, bool) or not 0 <= timestamp < 1e15:
        raise ValueError("out of range")
    return int(timestamp)


def looks_like_seconds(timestamp: Any, now: float) -> bool:
    """Whether a number is near `now` when it is read as seconds; as milliseconds it is in January 1970."""
    timestamp = _number_or_text(timestamp)
    return not isinstance(timestamp, str) and abs(timestamp - now) < _TEN_YEARS_SECONDS


def _number_or_text(timestamp: Any) -> Any:
    """Up to eight digits in text are a date such as 20261128, or no time, such as 2026; more digits are the number."""
    return timestamp if isinstance(timestamp, str) and len(timestamp) <= len("20261128") else number_in(timestamp)
