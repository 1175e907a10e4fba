"""Media hosts: valid declarations, their ticket, and the resulting Content-Security-Policy."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.keys import KeyRing, SigningKeys
from shared.domain.media_hosts import MAX_CHARS, MAX_HOSTS, is_media_host, read_media_host
from shared.domain.media_ticket import MAX_TICKET_CHARS, PURPOSE, TICKET_SECONDS, hosts_of_ticket, sign_ticket
from shared.web.static_files import SECURITY_HEADERS, policy_with

STRICT = SECURITY_HEADERS["Content-Security-Policy"]
NOW = 1_790_000_000.0
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
HOSTS = st.builds(lambda labels, top: ".".join([*labels, top]), st.lists(LABELS, min_size=1, max_size=3),
                  st.sampled_from(["org", "example", "co", "xn--p1ai"]))  # fmt: skip
EVIL = st.sampled_from(
    [
        *("*", "*.org", "a.org; script-src *", "a.org:8443", "http://a.org", "a.org/b", "a.org\r\nX: y", "127.0.0.1"),
        *("localhost", "'unsafe-inline'", "data:", "https:", "a.org,b.org", "-a.org", "münchen.de"),
    ]
)


@cache
def keys(purpose: str = PURPOSE, secret: str = "A") -> SigningKeys:
    return KeyRing(f"k1:{secret * 43}=").for_purpose(purpose)


def directives(policy: str) -> dict[str, list[str]]:
    return {name: rest.split() for name, _, rest in (part.strip().partition(" ") for part in policy.split(";"))}


@given(st.lists(HOSTS | EVIL | st.text(max_size=30), max_size=30))
def test_policy_has_exactly_the_declared_https_hosts(hosts: list[str]) -> None:
    wanted = [f"https://{host}" for host in hosts if is_media_host(host)]
    policy = directives(policy_with(hosts))
    strict = directives(STRICT)
    assert policy.pop("media-src", []) == wanted
    assert policy.pop("img-src") == [*strict.pop("img-src"), *wanted]
    assert policy == strict
    assert all(re.fullmatch(r"https://[a-z0-9.-]+\.[a-z0-9-]+", each) for each in wanted)


@given(st.lists(HOSTS, min_size=1, max_size=MAX_HOSTS), st.floats(0, TICKET_SECONDS - 1))
def test_ticket_returns_its_hosts_until_it_expires(hosts: list[str], age: float) -> None:
    ticket = sign_ticket(hosts, keys(), NOW)
    assert re.fullmatch("[A-Za-z0-9._]+", ticket)
    if len(ticket) <= MAX_TICKET_CHARS:
        assert hosts_of_ticket(ticket, keys(), NOW + age) == tuple(hosts)
    assert hosts_of_ticket(ticket, keys(), NOW + TICKET_SECONDS) == ()
    assert hosts_of_ticket(ticket, keys("cursor"), NOW) == ()
    assert hosts_of_ticket(ticket, keys(secret="B"), NOW) == ()


@given(st.lists(HOSTS, min_size=1, max_size=3), st.data())
def test_altered_ticket_returns_no_hosts(hosts: list[str], data: st.DataObject) -> None:
    ticket = sign_ticket(hosts, keys(), NOW)
    at = data.draw(st.integers(0, len(ticket) - 1))
    other = data.draw(st.sampled_from("Az09._ ")) if data.draw(st.booleans()) else ""
    changed = ticket[:at] + other + ticket[at + 1 :]
    if changed != ticket:
        assert hosts_of_ticket(changed, keys(), NOW) == ()


@given(st.text(max_size=2_000) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_random_text_is_not_a_valid_ticket(text: str) -> None:
    assert hosts_of_ticket(text, keys(), NOW) == ()


@given(st.lists(EVIL, min_size=1, max_size=3))
def test_hosts_of_a_valid_ticket_are_checked_again(evil: list[str]) -> None:
    found = hosts_of_ticket(
        sign_ticket(["good.org", *(each for each in evil if each.isascii())], keys(), NOW), keys(), NOW
    )
    assert all(is_media_host(host) for host in found)


def test_most_declarable_hosts_fit_into_a_ticket() -> None:
    hosts = [f"{'a' * 44}{n:02d}.xy" for n in range(MAX_HOSTS)]
    assert MAX_CHARS - 20 <= sum(map(len, hosts)) <= MAX_CHARS
    assert len(hosts_of_ticket(sign_ticket(hosts, keys(), NOW), keys(), NOW)) == MAX_HOSTS


@pytest.mark.parametrize("written", [" https://CDN.example.org/ ", "cdn.example.org:443", "cdn.example.org"])
def test_a_host_is_read_from_what_people_paste(written: str) -> None:
    assert read_media_host(written) == "cdn.example.org"
