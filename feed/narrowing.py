"""Parses which feed a request asks for, and its filters: `feed=` and `filter.*=` of the query string.

Filters are parsed from the URL, because the host joins repeated parameters with commas and a value can contain a comma.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote_plus

from feed.query import sent
from feed.subsets import KINDS
from shared.domain.feeds import Criteria, NamedFeed, criteria_of
from shared.domain.fingerprint import fingerprint
from shared.domain.records import HOME
from shared.domain.text import clean
from shared.web.problems import bad_request

PREFIX = "filter."
FILTERS = {f"{PREFIX}{kind}": says for kind, (says, _) in KINDS.items()}
"""Query parameters that narrow a feed, each with the videos it keeps."""
MAX_VALUES = 20
"""Limit for all filters of a request together."""
MAX_VALUE_CHARS = 128


def read_feed_name(params: Mapping[str, str]) -> str:
    """Return the requested feed; `HOME` if none is named."""
    for name, value in params.items():
        if name.lower() == "feed":
            return sent(value.strip()) or HOME
    return HOME


def read_filters(url: str, params: Mapping[str, str]) -> Criteria:
    """Return the filters of a request, percent-decoded, each value once. Raises a 400 `Problem`: `invalid_filter`.

    `params` are the parameters as the host parsed them. If none of them is a filter, the URL is not parsed. If the URL
    has no query string, the values in `params` are split at commas, so that no filter is lost.
    """
    if not any(name[:7].lower() == PREFIX for name in params):
        return ()
    query = url.partition("?")[2].partition("#")[0]
    found: dict[str, set[str]] = {}
    for name, value in _pairs(query) if query else _joined(params):
        name = name.lower()
        if not name.startswith(PREFIX):
            continue
        if name not in FILTERS:
            raise bad_request("invalid_filter", f"There is no such filter. Use one of {', '.join(FILTERS)}.")
        text = clean(value)
        if len(text) > MAX_VALUE_CHARS:
            raise bad_request(
                "invalid_filter", f"A filter value can have at most {MAX_VALUE_CHARS} characters. Shorten it."
            )
        if text:
            found.setdefault(name[len(PREFIX) :], set()).add(text)
    if sum(map(len, found.values())) > MAX_VALUES:
        raise bad_request(
            "invalid_filter", f"A request can have at most {MAX_VALUES} filter values in all. Send fewer."
        )
    return criteria_of(found)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        yield _decoded(name), _decoded(value)


def _joined(params: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, joined in params.items() for value in joined.split(","))


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def number_of(named: NamedFeed | None, filters: Criteria) -> int:
    """Return 32 bits that identify a feed and its filters in cursors and receipts; 0 for `HOME` without filters."""
    if named is None and not filters:
        return 0
    texts = [HOME if named is None else named.id, *(text for kind, values in filters for text in (kind, "", *values))]
    return fingerprint("\n".join(texts)) or 1
