"""Parses the query of the video list: filter, order, cursor. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from cms.endpoint import query
from cms.videos.models import STATES
from cms.videos.video_search import BY_ID, SORTS, Order, Place, VideoFilter
from shared.adapters.documents.port import DAY_SECONDS
from shared.domain.records import AFTER_VIDEOS, RATINGS
from shared.domain.search_text import searched_words
from shared.domain.text import composed
from shared.domain.times import time_in
from shared.web.declaration import Parameter, Schema
from shared.web.problems import Problem, bad_request

MAX_SEARCH = 200
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIRECTIONS = ("asc", "desc")


def _one_of(name: str, description: str, values: tuple[str, ...]) -> Parameter:
    schema: Schema = {"type": "string", "enum": list(values)}
    return Parameter(name, "query", description, schema)


PARAMETERS = (
    query("prefix", "The beginning of the id."),
    query(
        "q",
        "Words in any order. Each must be part of the title, id, tags, creator or category, ignoring case and accents.",
    ),
    query("category", "Only videos of this category."),
    query("tag", "Only videos with this tag."),
    query("creator", "Only videos of the creator with this id."),
    query("series", "Only videos of the series with this id."),
    _one_of("rating", "Only videos with this maturity rating.", tuple(RATINGS)),
    _one_of("state", "Only videos in this state now.", STATES),
    query("publishedFrom", "First date (UTC) or time of publication, included."),
    query("publishedTo", "Last date (UTC) or time of publication, included."),
    _one_of(
        "sort",
        "Sort key; `id` by default. `views`: views of the last seven days. `relevance`: the video whose id is `q` "
        "first, then videos with words that begin with those of `q`.",
        SORTS,
    ),
    _one_of("direction", "Sort direction; `asc` by default.", _DIRECTIONS),
)
PROBLEMS = (
    *("invalid_prefix", "invalid_search", "invalid_rating", "invalid_state", "invalid_time"),
    *("invalid_sort", "invalid_direction"),
)

_WRONG: dict[str, Callable[[str], Problem]] = {
    "rating": lambda says: bad_request("invalid_rating", says),
    "state": lambda says: bad_request("invalid_state", says),
    "sort": lambda says: bad_request("invalid_sort", says),
    "direction": lambda says: bad_request("invalid_direction", says),
}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filter and order of a list of videos."""

    wanted: VideoFilter
    order: Order

    @classmethod
    def of(cls, params: Mapping[str, str]) -> ListQuery:
        """Parse a query string. An empty value counts as absent. Raises a 400 `Problem`."""
        prefix, text = params.get("prefix") or "", params.get("q") or ""
        if prefix.startswith(AFTER_VIDEOS) or len(prefix) > 128:
            raise bad_request("invalid_prefix", "prefix must be the first characters of a video id.")
        if len(text) > MAX_SEARCH:
            raise bad_request("invalid_search", f"q can have at most {MAX_SEARCH} characters.")
        wanted = VideoFilter(
            prefix=prefix,
            words=tuple(searched_words(text)),
            category=composed(params.get("category") or ""),
            tag=composed(params.get("tag") or ""),
            creator=composed(params.get("creator") or ""),
            series=composed(params.get("series") or ""),
            rating=_chosen(params, "rating", tuple(RATINGS)),
            state=_chosen(params, "state", STATES),
            published_from=_time(params, "publishedFrom"),
            published_before=_end(params, "publishedTo"),
        )
        descending = _chosen(params, "direction", _DIRECTIONS) == "desc"
        return cls(wanted, Order(_chosen(params, "sort", SORTS) or BY_ID, descending))

    def cursor(self, place: Place | None) -> str | None:
        """Return the content of a cursor that continues after a place.

        In the order of ids it is only the id, as in earlier releases.
        """
        if place is None or self.order == Order():
            return None if place is None else place[1]
        return orjson.dumps([self.order.by, _DIRECTIONS[self.order.descending], *place]).decode()

    def place(self, cursor: str | None) -> Place | None:
        """Parse the content of a cursor. Raises a 400 `Problem` for a cursor of another order."""
        if cursor is None:
            return None
        if self.order == Order():
            if cursor.startswith("["):
                raise _another_order()
            return "", cursor
        try:
            by, direction, value, id = orjson.loads(cursor)
        except ValueError:
            raise _another_order() from None
        if (by, direction) != (self.order.by, _DIRECTIONS[self.order.descending]):
            raise _another_order()
        return value, id


def _another_order() -> Problem:
    return bad_request("invalid_cursor", "The cursor belongs to a list in another order. Start again without it.")


def _chosen(params: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    given = params.get(name) or ""
    if given and given not in values:
        raise _WRONG[name](f"{name} must be one of {', '.join(values)}.")
    return given


def _time(params: Mapping[str, str], name: str) -> float | None:
    given = params.get(name) or ""
    if not given:
        return None
    try:
        return time_in(given)
    except ValueError:
        says = f"{name} must be a date such as 2026-12-31, or a time such as 2026-12-31T18:00:00Z."
        raise bad_request("invalid_time", says) from None


def _end(params: Mapping[str, str], name: str) -> float | None:
    """Return the first moment after the given end: a date includes the whole day, a time the whole second."""
    at = _time(params, name)
    if at is None:
        return None
    return at + (DAY_SECONDS if _DATE.fullmatch(params[name]) else 1.0)
