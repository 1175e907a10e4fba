"""Times in text, as RFC 3339 and ISO 8601 allow them to be written. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DAY_SECONDS = 86_400.0
_END_OF_DAY = re.compile(r"(?<=[T ])24(?=(?::?00){0,2}(?:[.,]0+)?(?:Z|[+-]|$))")
_LEAP_SECOND = re.compile(r"(?<=[T ])([0-9]{2}:?[0-9]{2}:?)60(?=[.,Z+-]|$)")


def time_in(text: str) -> float:
    """Seconds since the epoch of a date or a time with a date; without a zone it is UTC. Raises `ValueError`.

    Letters in either case, `24:00` for the end of a day, and second 60, which is the first of the next minute.
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
