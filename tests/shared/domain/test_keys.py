from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.domain.base64url import from_text, to_text
from shared.domain.keys import Identity, KeyRing, Mac
from shared.settings import BadSetting

SECRET = base64.b64encode(b"s" * 32).decode()
IDENTITY = Identity(SECRET)
tenants = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
users = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(tenants, users, tenants, users)
def test_no_two_tenants_or_users_share_a_user_key(t1: str, u1: str, t2: str, u2: str) -> None:
    assume((t1, u1) != (t2, u2))
    assert IDENTITY.user_key(t1, u1) != IDENTITY.user_key(t2, u2)


@settings(max_examples=50, deadline=None)
@given(tenants, users)
def test_user_key_is_stable_fits_a_partition_and_reveals_nothing_of_its_user(tenant: str, user: str) -> None:
    key = IDENTITY.user_key(tenant, user)
    assert key == Identity(SECRET).user_key(tenant, user)
    assert len(key) == 43
    assert not set(key) & set("/\\?#")
    assert user[:16] not in key
    assert key != Identity(base64.b64encode(b"t" * 32).decode()).user_key(tenant, user)


@given(st.binary(min_size=32, max_size=64), st.lists(st.binary(max_size=200), max_size=3))
def test_a_prepared_key_signs_every_message_as_hmac_sha_256_does(key: bytes, messages: list[bytes]) -> None:
    mac = Mac(key)
    assert [mac(message) for message in messages] == [hmac.digest(key, message, "sha256") for message in messages]


@settings(max_examples=50, deadline=None)
@given(users)
def test_value_derived_for_one_purpose_is_useless_for_another(text: str) -> None:
    derived = {IDENTITY.user_key(text, text), IDENTITY.api_key_hash(text), IDENTITY.archive_pseudonym(text)}
    assert len(derived) == 3
    assert text not in derived


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "a",
        "a:",
        ":" + SECRET,
        "a:not base64!",
        "a:" + base64.b64encode(b"short").decode(),
        f"a:{SECRET},a:{SECRET}",
    ],
)
def test_invalid_signing_keys_stop_the_start_and_are_not_quoted(setting: str) -> None:
    with pytest.raises(BadSetting) as caught:
        KeyRing(setting)
    assert "SIGNING_KEYS" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_each_purpose_has_its_own_keys() -> None:
    ring = KeyRing(f"a:{SECRET}")
    assert ring.for_purpose("cursor").current != ring.for_purpose("feed-request").current
    assert ring.for_purpose("cursor") is ring.for_purpose("cursor")


def test_the_first_key_signs() -> None:
    other = base64.b64encode(b"o" * 32).decode()
    assert KeyRing(f"a:{SECRET},b:{other}").for_purpose("x").current == KeyRing(f"a:{SECRET}").for_purpose("x").current


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_bytes_round_trip_through_text(raw: bytes) -> None:
    assert from_text(to_text(raw)) == raw


@settings(max_examples=200, deadline=None)
@given(st.text("AQgw_-=!é ", max_size=9))
def test_each_decodable_text_is_the_only_one_of_its_bytes(text: str) -> None:
    try:
        raw = from_text(text)
    except ValueError:
        return
    assert to_text(raw) == text
