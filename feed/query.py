"""Parses and checks the query of a feed request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.formats import AGE_BAND, COUNTRY, LANGUAGE, PLATFORM, Format
from shared.domain.records import MAX_LIMIT
from shared.web.authentication import consented
from shared.web.problems import bad_request

MAX_CURSOR_CHARS = 4_096

HINTS: dict[str, Format] = {"country": COUNTRY, "language": LANGUAGE, "ageBand": AGE_BAND, "platform": PLATFORM}
"""Query parameters that describe the viewer, with the format each must have."""

_LIMIT = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Hints:
    """What the app says about the viewer; each None when it says nothing. `country` is upper case, `language` lower."""

    country: str | None = None
    language: str | None = None
    age_band: str | None = None
    platform: str | None = None


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """A checked request: `limit` 1 to 50, the cursor as it came, the hints, and whether the user consented."""

    limit: int
    cursor: str | None
    hints: Hints
    consented: bool


def parse_query(params: Mapping[str, str], headers: Mapping[str, str], default_limit: int) -> FeedQuery:
    """Read the query string and the consent header. Raises a 400 `Problem` that names the parameter."""
    text = params.get("limit")
    limit = default_limit
    if text is not None:
        if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
            raise bad_request("invalid_limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
        limit = int(text)
    cursor = params.get("cursor") or None
    if cursor is not None and len(cursor) > MAX_CURSOR_CHARS:
        raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.")
    return FeedQuery(limit, cursor, _hints(params), consented(headers))


def _hints(params: Mapping[str, str]) -> Hints:
    values: dict[str, str] = {}
    for name, form in HINTS.items():
        text = params.get(name)
        if not text:
            continue
        if not form.matches(text):
            raise bad_request(
                f"invalid_{'age_band' if name == 'ageBand' else name}", f"{name} must be {form.description}."
            )
        values[name] = text
    if not values:
        return NO_HINTS
    country, language = values.get("country"), values.get("language")
    return Hints(
        country.upper() if country else None,
        language.lower() if language else None,
        values.get("ageBand"),
        values.get("platform"),
    )
