"""Parses the query of a feed request: `limit` and `cursor` strictly, hints about the viewer leniently.

An unreadable hint never fails a request. Readable hints are normalized; unreadable ones are ignored and counted. An
unreadable age band instead counts as every age, so that the strictest of the tenant's policies applies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from shared.domain.age_bands import EVERY_AGE, AgeBand, read_age_band
from shared.domain.countries import canonical_country
from shared.domain.feeds import Criteria
from shared.domain.formats import canonical_platform
from shared.domain.languages import language_key
from shared.domain.player_media import INCLUDES
from shared.domain.records import MAX_LIMIT
from shared.web.authentication import consented
from shared.web.problems import bad_request

MAX_CURSOR_CHARS = 4_096

HINTS: dict[str, str] = {
    "country": "The viewer's country (ISO 3166-1), such as DE. Ignored if invalid.",
    "language": "The viewer's language, as a tag such as pt-BR. Ignored if invalid.",
    "ageBand": "The viewer's age band, such as 13-17 or 65+. An invalid one counts as every age.",
    "platform": "The viewer's platform, such as ios, android or web. Ignored if invalid.",
}
"""Query parameters that describe the viewer, each with its meaning."""
NOTHING = frozenset(("", "null", "(null)", "<null>", "nil", "none", "undefined", "nan"))
"""What programs write for a missing value. Such a parameter counts as not sent."""

_LIMIT = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Hints:
    """The app's hints about the viewer; each is None if it is missing or unreadable.

    `country` and `platform` are in canonical form, `language` is a key (`shared/domain/languages.py`).
    """

    country: str | None = None
    language: str | None = None
    age_band: AgeBand | None = None
    platform: str | None = None


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """A validated request: `limit` from 1 to 50, the undecoded cursor, the hints, and whether the user consented.

    `unread` names the hints that were sent but could not be read. `include` lists additional members of items.
    `filters` select the requested videos.
    """

    limit: int
    cursor: str | None
    hints: Hints
    consented: bool
    unread: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    filters: Criteria = ()


def parse_query(
    params: Mapping[str, str], headers: Mapping[str, str], default_limit: int, filters: Criteria = ()
) -> FeedQuery:
    """Parse the query string and the consent header. Raises a 400 `Problem` for `limit`, `cursor` and `include`.

    Names are case-insensitive. If a hint is sent twice, the first value counts; of age bands all count. A limit or
    cursor can be sent once. An empty value, or a word in `NOTHING`, counts as not sent.
    """
    if not params:
        return _without_hints(default_limit, consented(headers))
    given = _given(params)
    text = sent(given.get("limit"))
    limit = default_limit
    if text is not None:
        if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
            raise bad_request("invalid_limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
        limit = int(text)
    cursor = sent(given.get("cursor"))
    if cursor is not None and len(cursor) > MAX_CURSOR_CHARS:
        raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.")
    hints, unread = _hints(given)
    return FeedQuery(limit, cursor, hints, consented(headers), unread, read_include(given.get("include")), filters)


def parse_lookup(params: Mapping[str, str]) -> FeedQuery:
    """Parse the query string of a request for videos by id: hints and `include`. Raises a 400 `Problem` for
    `include`."""
    given = _given(params)
    hints, unread = _hints(given)
    return FeedQuery(MAX_LIMIT, None, hints, False, unread, read_include(given.get("include")))


def _given(params: Mapping[str, str]) -> dict[str, str]:
    return {name.lower().replace("_", "").replace("-", ""): value for name, value in params.items() if value}


def read_include(value: str | None) -> tuple[str, ...]:
    """Parse `include`, names separated by commas, and return them in the order of `INCLUDES`. Raises a 400 `Problem`
    for unknown names."""
    text = sent(value)
    if text is None:
        return ()
    names = {name.strip() for name in text.split(",")} - {""}
    if not names <= set(INCLUDES):
        raise bad_request("invalid_include", f"include can list {', '.join(INCLUDES)}, separated by commas.")
    return tuple(name for name in INCLUDES if name in names)


@lru_cache(4 * MAX_LIMIT)
def _without_hints(limit: int, consented: bool) -> FeedQuery:
    return FeedQuery(limit, None, NO_HINTS, consented)


def read_hints(country: str | None, language: str | None, age_band: str | None, platform: str | None) -> Hints:
    """Return the hints of a described viewer, parsed the same way."""
    return Hints(
        canonical_country(country) if country else None,
        language_key(language),
        (read_age_band(age_band) or EVERY_AGE) if age_band else None,
        canonical_platform(platform) if platform else None,
    )


def _first(given: Mapping[str, str], name: str) -> str | None:
    """Return the first value of a hint, since the host joins repeated ones with commas; None if it is missing."""
    value = given.get(name)
    return None if value is None else sent(value.partition(",")[0].strip())


def sent(value: str | None) -> str | None:
    """Return the value of a parameter; None for a word in `NOTHING`."""
    return None if value is None or value.lower() in NOTHING else value


def _hints(given: Mapping[str, str]) -> tuple[Hints, tuple[str, ...]]:
    country, language, platform = _first(given, "country"), _first(given, "language"), _first(given, "platform")
    age = given.get("ageband")
    if not (country or language or platform or age):
        return NO_HINTS, ()
    hints = Hints(
        canonical_country(country) if country else None,
        language_key(language),
        None if age is None else _age_band(age),
        canonical_platform(platform) if platform else None,
    )
    unread = tuple(
        name
        for name, sent, read in (
            ("country", country, hints.country),
            ("language", language, hints.language),
            ("ageBand", hints.age_band is EVERY_AGE, None),
            ("platform", platform, hints.platform),
        )
        if sent and read is None
    )
    return hints, unread


def _age_band(text: str) -> AgeBand | None:
    """Return the ages that a value names. An unreadable value, also a word in `NOTHING`, means every age."""
    bands = [read_age_band(part) for part in text.split(",") if part]
    low = min((band.low for band in bands if band), default=0)
    high = max((band.high for band in bands if band), default=0)
    return EVERY_AGE if None in bands else AgeBand(low, high) if bands else None
