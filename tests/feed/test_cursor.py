from __future__ import annotations

import base64
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import function_app
from feed import cursor
from feed.cursor import MAX_CHARS, MAX_SERVED, VALID_SECONDS, Served
from shared.domain.keys import KeyRing, SigningKeys
from shared.web.problems import Problem

NOW = 1_700_000_000.0
TENANT, USER = "tenant_1", "user-key"


def keys(*names: str) -> SigningKeys:
    """Return keys by name; the same name is the same key."""
    ring = ",".join(f"{name}:{base64.b64encode(name.encode().ljust(32)).decode()}" for name in names or ("a",))
    return KeyRing(ring).for_purpose("cursor")


KEYS = keys()


def served(count: int, seed: int = 0) -> Served:
    draw = np.random.default_rng(seed)
    return Served(int(NOW), seed, draw.integers(0, 2**32, count, np.uint32))


def refusal(text: str, tenant: str = TENANT, user: str = USER, now: float = NOW, ring: SigningKeys = KEYS) -> str:
    """Return the code with which a cursor is refused."""
    with pytest.raises(Problem) as caught:
        cursor.decode(text, ring, tenant, user, now)
    assert caught.value.status == 400
    return caught.value.code


def encoded(count: int = 20, version: int = 1) -> str:
    text = cursor.encode(served(count), KEYS, TENANT, USER, version)
    assert text is not None
    return text


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, MAX_SERVED),
    st.integers(0, 2**32 - 1),
    st.integers(0, int(VALID_SECONDS)),
    st.text("abz_-19", max_size=30),
    st.sampled_from([1, 2]),
)
def test_cursor_decodes_to_what_was_encoded(count: int, seed: int, age: int, tenant: str, version: int) -> None:
    before = replace(served(count, seed), seed=seed)
    text = cursor.encode(before, KEYS, tenant, USER, version)
    assert text is not None
    assert len(text) <= MAX_CHARS
    assert version == 1 or re.fullmatch("[A-Za-z0-9._]+", text)
    after = cursor.decode(text, KEYS, tenant, USER, NOW + age)
    assert (after.started_at, after.seed) == (before.started_at, before.seed)
    assert after.fingerprints.tolist() == before.fingerprints.tolist()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_cursor_altered_in_any_way_is_refused(data: st.DataObject) -> None:
    text = encoded(data.draw(st.sampled_from([0, 1, 2, 3, 20])), data.draw(st.sampled_from([1, 2])))
    at = data.draw(st.integers(0, len(text) - 1))
    characters = st.one_of(
        st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."),
        st.characters(),
    )
    other = data.draw(characters)
    changed = data.draw(
        st.sampled_from([text[:at] + other + text[at + 1 :], text[:at] + other + text[at:], text[:at], text[at + 1 :]])
    )
    if changed != text:
        assert refusal(changed) == "invalid_cursor"


def test_cursor_with_any_flipped_bit_is_refused() -> None:
    raw = bytearray(base64.urlsafe_b64decode(encoded(3) + "=="))
    for bit in range(len(raw) * 8):
        raw[bit // 8] ^= 1 << bit % 8
        assert refusal(base64.urlsafe_b64encode(raw).rstrip(b"=").decode()) == "invalid_cursor"
        raw[bit // 8] ^= 1 << bit % 8


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_as_a_cursor(raw: bytes) -> None:
    assert refusal(base64.urlsafe_b64encode(raw).rstrip(b"=").decode()) == "invalid_cursor"


def test_cursor_in_the_alphabet_of_the_other_version_is_refused() -> None:
    for version, dash, other in ((1, "-", "."), (2, ".", "-")):
        text = next(text for text in iter(lambda: encoded(20, version), None) if dash in text)  # noqa: B023
        assert refusal(text.replace(dash, other)) == "invalid_cursor"


def test_a_cursor_of_another_feed_is_refused() -> None:
    text = cursor.encode(replace(served(5), feed=7), KEYS, TENANT, USER, 2)
    assert text is not None
    assert refusal(text) == "cursor_of_another_feed"


def test_cursor_is_valid_for_its_tenant_and_user_only() -> None:
    assert refusal(encoded(), tenant="tenant_2") == "invalid_cursor"
    assert refusal(encoded(), user="another") == "invalid_cursor"
    # No character can move from one name to the other.
    text = cursor.encode(served(1), KEYS, "tenant", "a")
    assert text is not None
    assert refusal(text, tenant="tenan", user="ta") == "invalid_cursor"


def test_cursor_expires_after_12_hours_to_the_second() -> None:
    text = encoded()
    cursor.decode(text, KEYS, TENANT, USER, NOW + VALID_SECONDS)
    assert refusal(text, now=NOW + VALID_SECONDS + 1) == "cursor_expired"
    assert refusal(text, now=NOW - 301) == "cursor_expired", "from a clock that is far ahead"


def test_a_cursor_survives_the_rotation_of_its_key_and_not_its_removal() -> None:
    old = cursor.encode(served(5), keys("a"), TENANT, USER)
    assert old is not None
    cursor.decode(old, keys("b", "a"), TENANT, USER, NOW)
    assert refusal(old, ring=keys("b")) == "invalid_cursor"


def test_key_for_another_purpose_decrypts_no_cursor() -> None:
    ring = KeyRing("a:" + base64.b64encode(os.urandom(32)).decode())
    text = cursor.encode(served(5), ring.for_purpose("cursor"), TENANT, USER)
    assert text is not None
    assert refusal(text, ring=ring.for_purpose("feed-request")) == "invalid_cursor"


def test_feed_ends_where_a_cursor_would_exceed_its_limit() -> None:
    longest = cursor.encode(served(MAX_SERVED), KEYS, TENANT, USER)
    assert longest is not None
    assert MAX_CHARS - 8 <= len(longest) <= MAX_CHARS
    of_version_2 = cursor.encode(served(MAX_SERVED), KEYS, TENANT, USER, 2)
    assert of_version_2 is not None
    assert len(of_version_2) <= MAX_CHARS
    assert cursor.encode(served(MAX_SERVED + 1), KEYS, TENANT, USER) is None
    assert MAX_SERVED >= 600, "30 pages of 20 always fit"


@pytest.mark.parametrize("version", [1, 2])
def test_cursor_matches_the_format_of_the_api_document(version: int) -> None:
    asked = function_app.api.document["paths"]["/v1/feed"]["get"]["parameters"]
    pattern = next(each for each in asked if each["name"] == "cursor")["schema"]["pattern"]
    for count in (0, 1, 20, 200, 500):
        for _ in range(20):  # each has its own number
            assert re.fullmatch(pattern, encoded(count, version))
