"""Verifies user tokens (`X-User-Token`): short-lived JWTs in which a tenant's backend states who the user is.

An app's key ships inside the app, so it proves only the tenant. A token proves the user:

    header   {"alg": "RS256" | "ES256" | "EdDSA", "kid": <id of one of the tenant's public keys>}
    claims   {"sub": <the hash sent in X-User>, "aud": "video-feed", "tenant": <the tenant's id>,
              "iat": <seconds>, "exp": <seconds, at most 24 h after iat>}

The key decides the algorithm, never the token. So neither `none` nor an HMAC with the public key as its secret can
pass. Clocks can differ by a minute.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.formats import MIN_RSA_BITS, is_number
from shared.domain.tenant_cache import TenantCache
from shared.web.authentication import Caller, user_hash
from shared.web.problems import Problem

AUDIENCE = "video-feed"
SKEW_SECONDS = 60.0
MAX_LIFETIME_SECONDS = 24 * 3600.0
MAX_CHARS = 4_096
KEPT_BYTES = 8_000_000
"""Memory for verified tokens of all tenants, about 400 bytes each."""
TOKEN_BYTES = 200
SERVER_SCOPES = frozenset({"cms", "privacy", "ops"})
"""Scopes of keys that are on servers, not in apps. Such a key can name a user without a token."""

_OPTIONS: Any = {
    "require": ["sub", "aud", "tenant", "iat", "exp"],
    "verify_aud": True,
    "verify_exp": False,  # against `now`, below
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(slots=True)  # not frozen, which is four times as slow to make
class User:
    """User of a request. `verified`: the tenant's backend has confirmed it; else only the app states it."""

    hash: str
    verified: bool


@dataclass(frozen=True, slots=True)
class _Verified:
    subject: str
    pem: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Key:
    algorithm: str
    key: Any


class UserTokens:
    """Reads the user of a request. A token is verified once, then remembered by its hash until it expires."""

    def __init__(self, tenants: TenantDirectory, *, budget_bytes: int = KEPT_BYTES) -> None:
        self._tenants = tenants
        self.verified = TenantCache[bytes, _Verified](budget_bytes, share=0.5)
        self._keys: OrderedDict[str, _Key | None] = OrderedDict()

    def user_of(self, caller: Caller, headers: Mapping[str, str], now: float) -> User:
        """Resolve the user named by `X-User`, and check the token that proves it.

        Raises a `Problem`: 400 for a malformed `X-User`; 401 `missing_user_token` where the tenant requires a token,
        `invalid_user_token` or `user_token_expired`; 403 `user_token_mismatch` for the token of another user. A token
        is checked whether or not it is required: a wrong one is never ignored.
        """
        named = user_hash(headers)
        token = headers.get("x-user-token")
        if not token:
            if caller.tenant.require_user_token and not caller.scopes & SERVER_SCOPES:
                raise Problem(401, "missing_user_token", "This tenant requires X-User-Token, signed by its backend.")
            return User(named, verified=False)
        verified = self._verify(caller.tenant.id, token, now)
        if verified.subject != named:
            raise Problem(
                403,
                "user_token_mismatch",
                "The user token belongs to another user than X-User. Send the token of this user.",
            )
        return User(named, verified=True)

    def _verify(self, tenant_id: str, token: str, now: float) -> _Verified:
        if len(token) > MAX_CHARS or not token.isascii():
            raise _invalid()
        keys = self._tenants.user_token_keys(tenant_id)
        name = hashlib.sha256(f"{tenant_id}\n{token}".encode()).digest()
        known = self.verified.get(tenant_id, name)
        if known is not None and known.pem in keys.values():  # tokens of a removed key are not valid
            if now > known.expires_at + SKEW_SECONDS:
                raise _expired()
            return known
        verified = self._decoded(tenant_id, token, keys, now)
        self.verified.put(tenant_id, name, verified, TOKEN_BYTES)
        return verified

    def _decoded(self, tenant_id: str, token: str, keys: Mapping[str, str], now: float) -> _Verified:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            pem = keys.get(key_id) if isinstance(key_id, str) else None
            key = self._key(pem) if pem else None
            if pem is None or key is None:
                raise _invalid()
            claims = jwt.decode(token, key.key, [key.algorithm], _OPTIONS, audience=AUDIENCE)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _invalid() from None
        subject, issued_at, expires_at = claims["sub"], claims["iat"], claims["exp"]
        not_before = claims.get("nbf", issued_at)
        if not (
            isinstance(subject, str)
            and claims["tenant"] == tenant_id
            and all(is_number(each) for each in (issued_at, expires_at, not_before))
            and max(issued_at, not_before) <= now + SKEW_SECONDS
            and issued_at < expires_at <= issued_at + MAX_LIFETIME_SECONDS
        ):
            raise _invalid()
        if now > expires_at + SKEW_SECONDS:
            raise _expired()
        return _Verified(subject, pem, float(expires_at))

    def _key(self, pem: str) -> _Key | None:
        """Return a public key and its only algorithm; None for a weak key or one of another kind."""
        if pem not in self._keys:
            self._keys[pem] = _read_key(pem)
            if len(self._keys) > 1_000:
                self._keys.popitem(last=False)
        return self._keys[pem]


def _read_key(pem: str) -> _Key | None:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, RSAPublicKey):
        return _Key("RS256", key) if key.key_size >= MIN_RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey):
        return _Key("ES256", key) if isinstance(key.curve, SECP256R1) else None
    return _Key("EdDSA", key) if isinstance(key, Ed25519PublicKey) else None


def missing_user_token() -> Problem:
    """Return the 401 of a call without the token it requires."""
    return Problem(401, "missing_user_token", "This call requires X-User-Token, signed by the tenant's backend.")


def _invalid() -> Problem:
    """One error for every cause, so that the response is no oracle."""
    return Problem(
        401,
        "invalid_user_token",
        "The user token is not valid. Check its signature, key id, audience, tenant and times.",
    )


def _expired() -> Problem:
    return Problem(401, "user_token_expired", "The user token has expired. Get a new one from your backend.")
