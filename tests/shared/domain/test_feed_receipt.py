from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranking.columns import key64
from shared.domain.feed_receipt import (
    MAX_CHARS,
    NO_POSITION,
    NOT_ON_PAGE,
    VALID_SECONDS,
    FeedReceipt,
    places,
    sign,
    verify,
)
from shared.domain.keys import KeyRing, SigningKeys

NOW = 1_700_000_000.0
TENANT, USER = "tenant_1", "user-key"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


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
def test_feed_request_id_decodes_to_what_was_signed(request: FeedReceipt) -> None:
    text = sign(request, KEYS, TENANT, USER)
    assert len(text) == 43 <= MAX_CHARS
    found = verify(text, KEYS, TENANT, USER, NOW)
    assert found is not None
    assert replace(found, propensity=0.0, key=0, tag=0) == replace(request, propensity=0.0)
    assert abs(found.propensity - request.propensity) < 1e-4


def page_of(count: int, first: int = 0) -> NDArray[np.uint64]:
    return np.array([key64(f"v{number}") for number in range(first, first + count)], np.uint64)


@settings(max_examples=100, deadline=None)
@given(requests, st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_an_id_with_its_page_knows_each_place(request: FeedReceipt, count: int, feed: int) -> None:
    text = sign(replace(request, feed=feed), KEYS, TENANT, USER, page_of(count))
    assert set(text) <= set(ALPHABET) - {"-"}
    found = verify(text, KEYS, TENANT, USER, NOW)
    assert found is not None
    assert (found.served_at, found.feed, found.arm, found.model) == (
        request.served_at,
        feed,
        request.arm,
        request.model,
    )
    assert places(found, KEYS, page_of(count).tolist()) == list(range(count))


def test_the_length_of_an_id_follows_from_its_page() -> None:
    lengths = [len(sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER, page_of(n))) for n in (0, 20, 50)]
    assert lengths == [48, 102, 182]


def test_video_missing_from_the_page_is_recognized() -> None:
    strangers = page_of(20_000, first=100).tolist()
    taken = []
    for _ in range(3):
        found = verify(
            sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER, page_of(20)), KEYS, TENANT, USER, NOW
        )
        assert found is not None
        asked = places(found, KEYS, strangers)
        assert asked is not None
        taken.append({video for video, place in zip(strangers, asked, strict=True) if place != NOT_ON_PAGE})
    assert all(len(each) < 40 for each in taken), "16 bits: 20 in 65,536 strangers pass"
    assert not taken[0] & taken[1] & taken[2], "who passes differs from page to page"


def test_version_1_id_does_not_know_its_page() -> None:
    found = verify(sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER), KEYS, TENANT, USER, NOW)
    assert found is not None
    assert places(found, KEYS, [1, 2]) is None


def test_two_pages_of_one_moment_have_different_ids() -> None:
    request = FeedReceipt(int(NOW), True, True)
    assert len({sign(request, KEYS, TENANT, USER) for _ in range(100)}) == 100


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_altered_id_is_invalid(data: st.DataObject) -> None:
    videos = data.draw(st.sampled_from([None, page_of(20)]))
    text = sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER, videos)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.one_of(st.sampled_from(ALPHABET), st.characters()))
    changed = data.draw(st.sampled_from([text[:at] + other + text[at + 1 :], text[:at] + other + text[at:], text[:at]]))
    if changed != text:
        assert verify(changed, KEYS, TENANT, USER, NOW) is None


def test_id_with_any_replaced_character_is_invalid() -> None:
    for videos in (None, page_of(3)):
        text = sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER, videos)
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


def test_id_is_invalid_for_another_tenant_or_user() -> None:
    text = sign(FeedReceipt(int(NOW), True, True), KEYS, TENANT, USER)
    assert verify(text, KEYS, "tenant_2", USER, NOW) is None
    assert verify(text, KEYS, TENANT, "another", NOW) is None
    moved = sign(FeedReceipt(int(NOW), True, True), KEYS, "tenant", "a")
    assert verify(moved, KEYS, "tenan", "ta", NOW) is None


def test_id_is_valid_for_a_day() -> None:
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
