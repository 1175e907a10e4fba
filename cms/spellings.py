"""Accepts other systems' spellings in what editors send: converts clear values, and refuses ambiguous ones.

A value that is stored already is never refused, so a response can be sent back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shared.domain.formats import iso_time
from shared.domain.links import InvalidLink, canonical_link, link_or_none
from shared.domain.numbers import number_in, whole_number
from shared.domain.records import RATINGS
from shared.domain.times import time_in

LAST_INSTANT = 4_102_444_800.0
"""2100-01-01. A later number is a mistake, such as milliseconds instead of seconds."""
UNCLEAR_INSTANTS = (1_900, 100_000_000)
"""Numbers in this range are not times of the 1970s but a year, a spreadsheet's day number, or 20261231."""
MAX_DURATION_SECONDS = 86_400
LONGEST_WITHOUT_UNIT = 21_600
"""Six hours. A larger number is usually in milliseconds, so it needs a unit."""

_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?")
_WITH_UNIT = re.compile(r"([0-9]+(?:[.,][0-9]+)?) ?(ms|s|sec|seconds|min|minutes|h|hours)")
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "seconds": 1.0, "min": 60.0, "minutes": 60.0, "h": 3600.0, "hours": 3600.0}
_YEAR_FIRST = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?!\d)")
_ANY_DATE = re.compile(r"\d{1,2}[-/. ]+(\d{1,2}|[A-Za-z]{3,9})[-/. ,]+\d{2,4}")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-5][0-9]):([0-5][0-9](?:[.,][0-9]+)?)")
_PLACEHOLDERS = frozenset(
    ("NULL", "null", "\\N", "NaN", "nan", "undefined", "#N/A", "#NAME?", "#REF!", "#VALUE!", "[object Object]")
)


def unclear(code: str, says: str) -> PydanticCustomError:
    """Build a fault. `says` is the rest of a sentence that begins with the field."""
    return PydanticCustomError(code, "{says}", {"says": says})  # type: ignore[arg-type]


def _stored(info: ValidationInfo) -> Any:
    """Return the field's stored value. The validation context is the stored document."""
    context = info.context
    return context.get(to_camel(info.field_name)) if isinstance(context, Mapping) and info.field_name else None


def is_stored(value: str, info: ValidationInfo) -> bool:
    """Return whether the stored field equals this text, or is a list that contains it."""
    stored = _stored(info)
    return value == stored or (isinstance(stored, list) and value in stored)


# ---- times


def _instant(value: object, info: ValidationInfo) -> object:
    stored = _stored(info)
    if isinstance(value, str):
        at = _time_of_text(value.strip())
        known = isinstance(stored, int | float) and iso_time(stored) == iso_time(at)
        return float(stored) if known else at  # responses omit fractions of a second
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("invalid_time", "time")
    return float(value) if value == stored else _time_of_number(float(value))


def _time_of_text(text: str) -> float:
    if _NUMBER.fullmatch(text) and not (text.isdigit() and len(text) == len("20261231")):
        return _time_of_number(float(text.replace(",", ".")))
    year_first = _YEAR_FIRST.match(text)
    if year_first:
        year, month, day = year_first.groups()
        text = f"{year}-{month:0>2}-{day:0>2}{text[year_first.end() :]}"
    try:
        seconds = time_in(text)
    except ValueError:
        if _ANY_DATE.match(text):
            says = "must be a date with the year first, such as 2026-12-31, or a time such as 2026-12-31T18:00:00Z."
            raise unclear("invalid_time", says) from None
        raise PydanticCustomError("invalid_time", "time") from None
    if not 0 <= seconds <= LAST_INSTANT:
        raise PydanticCustomError("invalid_time", "time")
    return seconds


def _time_of_number(seconds: float) -> float:
    if UNCLEAR_INSTANTS[0] <= seconds < UNCLEAR_INSTANTS[1]:
        says = (
            "is too small for seconds since 1970 (perhaps a spreadsheet's day number). Write a date such as 2026-12-31."
        )
        raise unclear("unclear_unit", says)
    if not 0 <= seconds <= LAST_INSTANT:
        raise PydanticCustomError("invalid_time", "time")
    return seconds


Instant = Annotated[float, BeforeValidator(_instant)]
"""Seconds since the epoch; also accepts ISO 8601 text, in UTC unless it has an offset."""


# ---- numbers, lengths

Number = Annotated[float, BeforeValidator(number_in)]
"""A number; also accepts digits in text."""
Whole = Annotated[int, BeforeValidator(whole_number)]
"""A whole number; also accepts one such as 3.0."""


def _duration(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        value = _duration_of_text(value.strip().lower())
        if isinstance(value, str):
            value = number_in(value)
        else:
            return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    looks_like_ms = is_number and LONGEST_WITHOUT_UNIT < value <= MAX_DURATION_SECONDS * 1000  # type: ignore[operator]
    if looks_like_ms and value != _stored(info):
        says = 'is in seconds. Milliseconds, and more than 6 hours, need a unit: "41000 ms" or "30000 s".'
        raise unclear("unclear_unit", says)
    return value


def _duration_of_text(text: str) -> object:
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, seconds = (float(part.replace(",", ".")) for part in clock.groups())
        return round(hours * 3600 + minutes * 60 + seconds, 3)
    with_unit = _WITH_UNIT.fullmatch(text)
    if with_unit:
        return round(float(with_unit[1].replace(",", ".")) * _UNITS[with_unit[2]], 3)
    if ":" in text:
        raise unclear("unclear_unit", "must be seconds, or hours, minutes and seconds such as 0:01:30.")
    return text


Duration = Annotated[float, BeforeValidator(_duration)]
"""Seconds; also accepts text with a unit (`41000 ms`, `12 h`) or `h:mm:ss`."""


# ---- links


def _link(value: str, info: ValidationInfo) -> str:
    stored = _stored(info)
    if stored is not None and value in (stored, link_or_none(stored)):
        return link_or_none(stored) or value
    try:
        return canonical_link(value)
    except InvalidLink as error:
        raise unclear("invalid_link", error.says) from None


LINK = AfterValidator(_link)
"""Converts an https link to its canonical form, and refuses other text."""


# ---- ratings, names


def _rating(value: object) -> object:
    """Convert the MPA's spelling (PG-13, NC-17) to the service's (PG13, NC17)."""
    if not isinstance(value, str):
        return value
    plain = re.sub(r"[\s_-]", "", value).upper()
    return plain if plain in RATINGS else value


RatingSpelling = BeforeValidator(_rating)


def _no_placeholder(value: str, info: ValidationInfo) -> str:
    known = is_stored(value, info)
    if value in _PLACEHOLDERS and not known:
        raise unclear("placeholder", "is a placeholder for no value. Send null, or an empty cell in a table.")
    if value[:1] in ("[", "{") and not known and _is_json(value):
        raise unclear("list_in_text", "holds a list or an object as text. Send it as a JSON list.")
    return value


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


RealName = AfterValidator(_no_placeholder)
"""Refuses placeholders of other programs (NULL, NaN, #N/A) and lists or objects written as text."""
