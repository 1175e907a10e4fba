"""Reads times in the forms of RFC 3339 and ISO 8601. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DAY_SECONDS = 86_400.0
_END_OF_DAY = re.compile(r"(?<=[T ])24(?=(?::?00){0,2}(?:[.,]0+)?(?:Z|[+-]|$))")
_LEAP_SECOND = re.compile(r"(?<=[T ])([0-9]{2}:?[0-9]{2}:?)60(?=[.,Z+-]|$)")


def time_in(text: str) -> float:
    """Return seconds since the epoch for a date, or a date with a time; UTC without a zone. Raises `ValueError`.

    Accepts letters in either case, `24:00` for the end of a day, and second 60 as the first of the next minute.
    """
    if not text.isascii():
        raise ValueError("not a time")
    text, end_of_day = _END_OF_DAY.subn("00", text.upper())
    text, leap_second = _LEAP_SECOND.subn(r"\g<1>59", text)
    at = datetime.fromisoformat(text)
    try:
        seconds = at.replace(tzinfo=at.tzinfo or UTC).timestamp()
    except OverflowError:
        raise ValueError("out of range") from None
    return seconds + end_of_day * _DAY_SECONDS + leap_second
