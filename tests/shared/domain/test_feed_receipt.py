from __future__ import annotations

import base64
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.feed_receipt import MAX_CHARS, NO_POSITION, VALID_SECONDS, FeedReceipt, sign, verify
from shared.domain.keys import KeyRing, SigningKeys

NOW = 1_700_000_000.0
TENANT, USER = "tenant_1", "user-key"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def keys(*names: str) -> SigningKeys:
    ring = ",".join(f"{name}:{base64.b64encode(name.encode().ljust(32)).decode()}" for name in names)
    return KeyRing(ring).for_purpose("feed-request")


KEYS = keys("a")
requests = st.builds(
    FeedReceipt,
    served_at=st.just(int(NOW)),
    personalized=st.booleans(),
    warm=st.booleans(),
    model=st.integers(0, 2**32 - 1),
    arm=st.integers(0, 255),
    explored_rank=st.integers(0, NO_POSITION),
    propensity=st.floats(0, 1),
)


@settings(max_examples=100, deadline=None)
@given(requests)
def test_a_feed_request_id_says_what_was_put_into_it(request: FeedReceipt) -> None:
    text = sign(request, KEYS, TENANT, USER)
    assert len(text) == 43 <= MAX_CHARS
    found = verify(text, KEYS, TENANT, USER, NOW)
    assert found is not None
    assert replace(found, propensity=0.0) == replace(request, propensity=0.0)
    assert abs(found.propensity - request.propensity) < 1e-4


def test_two_pages_of_the_same_moment_have_different_ids() -> None:
    request = FeedReceipt(int(NOW), True, True)
    assert len({sign(request, KEYS, TENANT, USER) for _ in range(100)}) == 100


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_an_id_changed_anywhere_is_worth_nothing(data: st.DataObject) -> None:
    text = sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER)
    at = data.draw(st.integers(0, 42))
    other = data.draw(st.one_of(st.sampled_from(ALPHABET), st.characters()))
    changed = data.draw(st.sampled_from([text[:at] + other + text[at + 1 :], text[:at] + other + text[at:], text[:at]]))
    if changed != text:
        assert verify(changed, KEYS, TENANT, USER, NOW) is None


def test_an_id_changed_at_every_character_to_every_other_is_worth_nothing() -> None:
    text = sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER)
    for at in range(len(text)):
        for other in ALPHABET:
            if other != text[at]:
                assert verify(text[:at] + other + text[at + 1 :], KEYS, TENANT, USER, NOW) is None


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.text(max_size=80), st.binary(min_size=32, max_size=32).map(base64.urlsafe_b64encode).map(bytes.decode))
)
def test_random_text_is_not_a_valid_receipt(text: str) -> None:
    assert verify(text, KEYS, TENANT, USER, NOW) is None


def test_an_id_is_worth_nothing_to_another_tenant_or_user() -> None:
    text = sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER)
    assert verify(text, KEYS, "tenant_2", USER, NOW) is None
    assert verify(text, KEYS, TENANT, "another", NOW) is None
    moved = sign(FeedReceipt(int(NOW), True, True), KEYS, "tenant", "a")
    assert verify(moved, KEYS, "tenan", "ta", NOW) is None


def test_an_id_is_good_for_a_day() -> None:
    text = sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER)
    assert verify(text, KEYS, TENANT, USER, NOW + VALID_SECONDS)
    assert verify(text, KEYS, TENANT, USER, NOW + VALID_SECONDS + 1) is None
    assert verify(text, KEYS, TENANT, USER, NOW - 301) is None


def test_an_id_survives_the_rotation_of_its_key_and_not_its_removal() -> None:
    text = sign(FeedReceipt(int(NOW), True, True), keys("a"), TENANT, USER)
    assert verify(text, keys("b", "a"), TENANT, USER, NOW)
    assert verify(text, keys("b"), TENANT, USER, NOW) is None


def test_missing_receipt_is_rejected() -> None:
    assert verify(None, KEYS, TENANT, USER, NOW) is None
    assert verify("", KEYS, TENANT, USER, NOW) is None
    assert verify("req-1", KEYS, TENANT, USER, NOW) is None
