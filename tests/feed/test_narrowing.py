"""Parses `feed=` and `filter.*=` from the URL: each value once, normalized, with limits."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.narrowing import FILTERS, MAX_VALUE_CHARS, MAX_VALUES, number_of, read_feed_name, read_filters
from feed.subsets import KINDS
from shared.domain.feeds import Criteria, NamedFeed, criteria_of
from shared.domain.records import HOME
from shared.domain.text import clean
from shared.web.problems import Problem


def read(query: str) -> Criteria:
    """Return the filters of a request with this query string; the host has joined repeated values by a comma."""
    url = f"https://feed.example/v1/feed?{query}"
    joined = {name: ",".join(values) for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}
    return read_filters(url, joined)


def refusal(query: str) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        read(query)
    return caught.value.status, caught.value.code


def test_a_comma_in_a_value_is_part_of_it() -> None:
    assert read("filter.tag=a%2Cb&filter.tag=c,d&filter.tag=e") == (("tag", ("a,b", "c,d", "e")),)


def test_values_are_percent_decoded_and_normalized() -> None:
    assert read("filter.category=Caf%65%CC%81&filter.category=Caf%C3%A9+") == (("category", ("Caf\u00e9",)),)


def test_filter_names_ignore_case_and_an_empty_value_counts_as_not_sent() -> None:
    assert read("Filter.Tag=a&filter.creator=&limit=3") == (("tag", ("a",)),)


@pytest.mark.parametrize("query", ["filter.colour=red", "filter.=x", f"filter.tag={'x' * (MAX_VALUE_CHARS + 1)}"])
def test_unknown_filter_and_too_long_value_are_refused(query: str) -> None:
    assert refusal(query) == (400, "invalid_filter")


@pytest.mark.parametrize("more", [0, 1])
def test_a_request_has_at_most_20_values_of_all_filters_together(more: int) -> None:
    names = list(FILTERS)
    query = "&".join(f"{names[at % len(names)]}=v{at}" for at in range(MAX_VALUES + more))
    if more:
        assert refusal(query) == (400, "invalid_filter")
    else:
        assert sum(len(values) for _, values in read(query)) == MAX_VALUES


def test_repeated_value_counts_once() -> None:
    assert read("&".join(["filter.tag=same"] * 50)) == (("tag", ("same",)),)


def test_filters_are_read_when_the_host_omits_the_query_from_the_url() -> None:
    joined = {"filter.tag": "a,b", "limit": "5", "Filter.Creator": "anna"}
    assert read_filters("https://feed.example/v1/feed", joined) == (("creator", ("anna",)), ("tag", ("a", "b")))


def test_undecodable_bytes_are_a_value_no_video_has() -> None:
    ((kind, (value,)),) = read("filter.tag=%ff%fe")
    assert kind == "tag"
    assert "\ufffd" in value


asked = st.dictionaries(
    st.sampled_from(list(KINDS)), st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=4), max_size=4
)


@given(asked, st.randoms())
def test_filters_are_read_in_any_order(sent: dict[str, list[str]], draw: object) -> None:
    pairs = [(kind, value) for kind, values in sent.items() for value in values]
    draw.shuffle(pairs)  # type: ignore[attr-defined]
    query = "&".join(f"filter.{kind}={quote(value, safe='')}" for kind, value in pairs)
    wanted = {kind: [clean(value) for value in values if clean(value)] for kind, values in sent.items()}
    assert read(query) == criteria_of(wanted)


@pytest.mark.parametrize(
    ("params", "name"),
    [({}, HOME), ({"feed": ""}, HOME), ({"feed": "null"}, HOME), ({"Feed": "kids"}, "kids"), ({"feed": "a,b"}, "a,b")],
)
def test_default_feed_is_home(params: dict[str, str], name: str) -> None:
    assert read_feed_name(params) == name


def test_each_feed_and_filter_combination_has_its_own_number() -> None:
    kids, teens = NamedFeed("kids"), NamedFeed("teens")
    tagged: Criteria = (("tag", ("a",)),)
    in_category: Criteria = (("category", ("a",)),)
    numbers = [number_of(feed, filters) for feed in (None, kids, teens) for filters in ((), tagged, in_category)]
    assert numbers[0] == 0
    assert len(set(numbers)) == len(numbers)
