"""What a caller asks of the feed, parsed and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.adapters.tenant_directory import consented
from shared.domain.records import MAX_LIMIT
from shared.web.problems import bad_request

MAX_CURSOR_CHARS = 4_096

HINTS: dict[str, tuple[re.Pattern[str], str]] = {
    "country": (re.compile(r"[A-Za-z]{2}"), "two letters (ISO 3166-1)"),
    "language": (re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}"), "a language tag such as en or pt-BR"),
    "ageBand": (re.compile(r"[0-9]{1,3}(-[0-9]{1,3}|\+)"), "an age band such as 13-17 or 65+"),
    "platform": (re.compile(r"[a-z0-9_]{1,16}"), "a short name such as ios, android or web"),
}
"""Query parameters that describe the viewer, with the form each must have."""

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
        raise bad_request("invalid_cursor", "The cursor is not one of ours. Start again without it.")
    return FeedQuery(limit, cursor, _hints(params), consented(headers))


def _hints(params: Mapping[str, str]) -> Hints:
    values: dict[str, str] = {}
    for name, (pattern, form) in HINTS.items():
        text = params.get(name)
        if not text:
            continue
        if not pattern.fullmatch(text):
            raise bad_request(f"invalid_{'age_band' if name == 'ageBand' else name}", f"{name} must be {form}.")
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
