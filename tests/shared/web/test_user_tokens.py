"""User tokens must prove signature, tenant, audience and times; every failure is tested."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.records import Tenant
from shared.web.authentication import Caller
from shared.web.problems import Problem
from shared.web.user_tokens import UserTokens
from tests.user_tokens import Signer, signer

NOW = 1_800_000_000.0
USER, OTHER = "5f" * 32, "6e" * 32
TENANT = "tenant_1"


@dataclass
class Directory:
    """The public keys of some tenants."""

    keys: dict[str, dict[str, str]] = field(default_factory=dict)

    def user_token_keys(self, tenant_id: str) -> dict[str, str]:
        return self.keys.get(tenant_id, {})


def tokens_with(*signers: Signer) -> UserTokens:
    return UserTokens(Directory({TENANT: {each.kid: each.pem for each in signers}}))  # type: ignore[arg-type]


def caller(*scopes: str, required: bool = False) -> Caller:
    return Caller(Tenant(TENANT, require_user_token=required), frozenset(scopes or ("sdk",)), "app")


def headers(token: str | None = None, user: str = USER) -> dict[str, str]:
    return {"x-user": user, **({} if token is None else {"x-user-token": token})}


def refusal(tokens: UserTokens, token: str | None, now: float = NOW, user: str = USER, **who: Any) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        tokens.user_of(caller(**who), headers(token, user), now)
    assert token is None or len(token) < 20 or token not in caught.value.detail
    assert user not in caught.value.detail
    return caught.value.status, caught.value.code


INVALID = (401, "invalid_user_token")


def forged(header: dict[str, Any], claims: dict[str, Any], sign: bytes | None = None) -> str:
    """Return a token built by hand; signed with HMAC-SHA-256 when `sign` is its secret."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    mac = hmac.digest(sign, signed.encode(), hashlib.sha256) if sign is not None else b""
    return f"{signed}.{part(mac)}"


GOOD = {"sub": USER, "aud": "video-feed", "tenant": TENANT, "iat": int(NOW), "exp": int(NOW) + 600}


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
def test_a_token_signed_with_the_tenants_key_proves_the_user(kind: str) -> None:
    tokens = tokens_with(signer(kind))
    token = signer(kind).token(TENANT, USER, NOW)
    for _ in range(2):  # the second one is cached
        user = tokens.user_of(caller(required=True), headers(token), NOW)
        assert (user.hash, user.verified) == (USER, True)


def test_user_without_a_token_is_unverified() -> None:
    user = tokens_with().user_of(caller(), headers(), NOW)
    assert (user.hash, user.verified) == (USER, False)


def test_tenant_can_require_a_token_from_apps() -> None:
    assert refusal(tokens_with(), None, required=True) == (401, "missing_user_token")


@pytest.mark.parametrize("scope", ["cms", "privacy", "ops"])
def test_calls_with_a_server_key_need_no_user_token(scope: str) -> None:
    required = Caller(Tenant(TENANT, require_user_token=True), frozenset({scope}), "server")
    assert not tokens_with().user_of(required, headers(), NOW).verified


def test_unsigned_token_is_refused() -> None:
    tokens = tokens_with(signer("RS256"))
    for algorithm in ("none", "None", "NONE", ""):
        assert refusal(tokens, forged({"alg": algorithm, "kid": "key-1"}, GOOD)) == INVALID


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
def test_an_hmac_with_the_public_key_as_its_secret_is_refused(kind: str) -> None:
    pem = signer(kind).pem
    for secret in (pem, pem.strip(), pem.replace("\n", "")):
        for algorithm in ("HS256", signer(kind).algorithm):
            token = forged({"alg": algorithm, "kid": "key-1"}, GOOD, secret.encode())
            assert refusal(tokens_with(signer(kind)), token) == INVALID


def test_the_algorithm_follows_from_the_key() -> None:
    import jwt

    rsa = signer("RS256")
    for algorithm in ("RS384", "RS512", "PS256"):
        token = jwt.encode(GOOD, rsa.private, algorithm, headers={"kid": rsa.kid})
        assert refusal(tokens_with(rsa), token) == INVALID


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long")  # the attack under test
@pytest.mark.parametrize("kind", ["RS256-1024", "ES384"])
def test_weak_stored_key_or_one_of_another_kind_verifies_nothing(kind: str) -> None:
    token = signer(kind).token(TENANT, USER, NOW)
    assert refusal(tokens_with(signer(kind)), token) == INVALID


def test_unknown_or_missing_key_id_is_refused() -> None:
    tokens = tokens_with(signer("ES256"))
    stranger = signer("ES256", "key-2")
    assert refusal(tokens, stranger.token(TENANT, USER, NOW)) == INVALID
    assert refusal(tokens, stranger.token(TENANT, USER, NOW, header={"kid": "key-1"})) == INVALID
    for kid in (None, 1, ["key-1"], {}):
        assert refusal(tokens, forged({"alg": "ES256", "kid": kid}, GOOD)) == INVALID
    for kid in ("", "../key-1", "key-1\n"):
        assert refusal(tokens, signer("ES256").token(TENANT, USER, NOW, header={"kid": kid})) == INVALID


@pytest.mark.parametrize(
    "header",
    [{"crit": ["x"], "x": 1}, {"jku": "https://evil.example/jwks"}, {"jwk": {"kty": "oct", "k": "AAAA"}}],
)
def test_key_in_the_token_header_is_ignored(header: dict[str, Any]) -> None:
    stranger = signer("ES256", "key-2")
    token = stranger.token(TENANT, USER, NOW, header={**header, "kid": "key-1"})
    assert refusal(tokens_with(signer("ES256")), token) == INVALID


def test_unknown_critical_extension_is_refused() -> None:
    token = signer("ES256").token(TENANT, USER, NOW, header={"crit": ["x"], "x": 1})
    assert refusal(tokens_with(signer("ES256")), token) == INVALID


def test_key_of_another_tenant_verifies_nothing() -> None:
    ours, theirs = signer("ES256"), signer("ES256", "their-key")
    both = UserTokens(
        Directory({TENANT: {ours.kid: ours.pem}, "tenant_2": {theirs.kid: theirs.pem}})  # type: ignore[arg-type]
    )
    assert refusal(both, theirs.token(TENANT, USER, NOW)) == INVALID
    assert refusal(both, theirs.token("tenant_2", USER, NOW)) == INVALID


def test_a_token_for_another_tenant_is_refused_even_when_both_share_a_key() -> None:
    shared = signer("ES256")
    both = UserTokens(Directory({id: {shared.kid: shared.pem} for id in (TENANT, "tenant_2")}))  # type: ignore[arg-type]
    token = shared.token("tenant_2", USER, NOW)
    neighbor = Caller(Tenant("tenant_2"), frozenset({"sdk"}), "app")
    assert both.user_of(neighbor, headers(token), NOW).verified
    assert refusal(both, token) == INVALID, "also after it was verified for the tenant it is for"


def test_token_of_another_user_is_distinguished_from_a_wrong_one() -> None:
    tokens = tokens_with(signer("ES256"))
    token = signer("ES256").token(TENANT, OTHER, NOW)
    for _ in range(2):
        assert refusal(tokens, token) == (403, "user_token_mismatch")


@pytest.mark.parametrize("claim", ["sub", "aud", "tenant", "iat", "exp"])
def test_every_claim_is_required(claim: str) -> None:
    assert refusal(tokens_with(signer("ES256")), signer("ES256").token(TENANT, USER, NOW, **{claim: None})) == INVALID


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-service"},
        {"aud": ["another-service"]},
        {"tenant": "tenant_2"},
        {"tenant": [TENANT]},
        {"exp": "tomorrow"},
        {"exp": True},
        {"iat": "today"},
        {"exp": 1e308},
        {"iat": int(NOW), "exp": int(NOW) - 5},
        {"iat": int(NOW), "exp": int(NOW) + 24 * 3600 + 1},
        {"iat": int(NOW) + 61, "exp": int(NOW) + 600},
        {"nbf": int(NOW) + 61},
        {"nbf": "later"},
        {"iat": int(NOW) - 365 * 86_400, "exp": int(NOW) + 60},
    ],
)
def test_unfitting_claim_makes_the_token_invalid(claims: dict[str, Any]) -> None:
    assert refusal(tokens_with(signer("ES256")), signer("ES256").token(TENANT, USER, NOW, **claims)) == INVALID


def test_token_lives_at_most_24_hours_and_can_name_other_audiences_too() -> None:
    token = signer("ES256").token(TENANT, USER, NOW, exp=int(NOW) + 24 * 3600, aud=["video-feed", "other"])
    assert tokens_with(signer("ES256")).user_of(caller(), headers(token), NOW).verified


def test_clock_difference_of_a_minute_is_accepted() -> None:
    tokens = tokens_with(signer("ES256"))
    ahead = signer("ES256").token(TENANT, USER, NOW + 59)
    assert tokens.user_of(caller(), headers(ahead), NOW).verified
    short = signer("ES256").token(TENANT, USER, NOW, exp=int(NOW) + 10)
    assert tokens.user_of(caller(), headers(short), NOW + 69).verified


@pytest.mark.parametrize("seen_before", [True, False])
def test_expired_token_is_reported_whether_cached_or_not(seen_before: bool) -> None:
    tokens = tokens_with(signer("ES256"))
    token = signer("ES256").token(TENANT, USER, NOW, exp=int(NOW) + 10)
    if seen_before:
        assert tokens.user_of(caller(), headers(token), NOW).verified
    assert refusal(tokens, token, NOW + 71) == (401, "user_token_expired")


def test_rotated_keys_are_both_valid_and_a_removed_key_invalidates_its_tokens() -> None:
    old, new = signer("RS256", "old"), signer("EdDSA", "new")
    directory = Directory({TENANT: {old.kid: old.pem, new.kid: new.pem}})
    tokens = UserTokens(directory)  # type: ignore[arg-type]
    by_old, by_new = old.token(TENANT, USER, NOW), new.token(TENANT, USER, NOW)
    assert tokens.user_of(caller(), headers(by_old), NOW).verified
    assert tokens.user_of(caller(), headers(by_new), NOW).verified
    del directory.keys[TENANT][old.kid]
    assert refusal(tokens, by_old) == INVALID
    assert tokens.user_of(caller(), headers(by_new), NOW).verified


def test_token_cache_is_bounded() -> None:
    key = signer("EdDSA")
    tokens = UserTokens(Directory({TENANT: {key.kid: key.pem}}), budget_bytes=2_400)  # type: ignore[arg-type]
    for number in range(10):
        token = signer("EdDSA").token(TENANT, f"{number:064x}", NOW)
        assert tokens.user_of(caller(), headers(token, f"{number:064x}"), NOW).verified
    assert len(tokens.verified) == 3


@given(st.text(max_size=300))
def test_random_text_is_not_a_valid_token(text: str) -> None:
    if text:
        assert refusal(tokens_with(signer("ES256")), text) == INVALID


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "b64", "crit"]), st.none() | st.text() | st.integers()))
def test_no_token_header_breaks_the_verification(header: dict[str, Any]) -> None:
    assert refusal(tokens_with(signer("ES256")), forged({"kid": "key-1", **header}, GOOD, b"secret")) == INVALID


@given(st.integers(0, 10_000), st.integers(1, 63))
def test_altered_token_is_refused(at: int, by: int) -> None:
    token = _GOOD_TOKEN
    at %= len(token) - 1  # the last character of a segment has unused bits
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if token[at] != "." and token[at + 1] != ".":
        changed = token[:at] + alphabet[(alphabet.index(token[at]) + by) % 64] + token[at + 1 :]
        assert refusal(tokens_with(signer("ES256")), changed) == INVALID


_GOOD_TOKEN = signer("ES256").token(TENANT, USER, NOW)


def test_token_of_more_than_4_kb_is_refused_unread() -> None:
    token = signer("ES256").token(TENANT, USER, NOW, note="x" * 4_096)
    assert refusal(tokens_with(signer("ES256")), token) == INVALID
