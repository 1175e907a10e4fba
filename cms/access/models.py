"""Tenants, their keys, and the public keys of their user tokens, as operators write them. Pure."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import AfterValidator, Field

from cms.forms import Distinct, Form, Instant, fault, text_like
from cms.videos.models import Rating
from shared.adapters.documents.port import Json
from shared.adapters.tenant_directory import ApiKey
from shared.domain.formats import iso_time_or_none

KEY_MARK = "vf_"
MIN_RSA_BITS = 2048
MAX_OVERLAP_HOURS = 168
DEFAULT_OVERLAP_HOURS = 24

TenantId = Annotated[str, text_like(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "1 to 64 letters, digits, - or _")]
KeyName = Annotated[
    str, Field(min_length=1, max_length=64), text_like(r"[^\x00-\x1f\x7f]+", "a name such as Anna (newsroom)")
]


class NewTenantForm(Form):
    """A tenant begins strict: the mildest policy, unless told otherwise."""

    tenant_id: TenantId
    maturity_policy: Rating = "G"
    key_name: KeyName = "content team"


class NewKeyForm(Form):
    """A key for somebody: the name is what the audit will show."""

    name: KeyName
    scopes: Annotated[list[Literal["sdk", "cms", "privacy", "ops"]], Field(min_length=1), Distinct]
    expires_at: Instant | None = None


class KeyNameForm(Form):
    """Another name for a key."""

    name: KeyName


class RotationForm(Form):
    """How long the old key goes on beside the new one."""

    overlap_hours: Annotated[float, Field(ge=0, le=MAX_OVERLAP_HOURS)] = DEFAULT_OVERLAP_HOURS


def _public_key(text: str) -> str:
    if "PRIVATE" in text:
        raise fault("publicKey", "private_key", "publicKey holds a private key. Send the public one, and replace both.")
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise fault("publicKey", "invalid_public_key", "publicKey must be a public key in PEM.") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise fault("publicKey", "weak_key", f"An RSA key needs {MIN_RSA_BITS} bits or more.")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name != "secp256r1":
            raise fault("publicKey", "invalid_public_key", "An elliptic-curve key must be on P-256.")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise fault("publicKey", "invalid_public_key", "publicKey must be RSA, P-256 or Ed25519.")
    return text


class UserTokenKeyForm(Form):
    """A public key with which the tenant's backend signs user tokens, known by the token's `kid`."""

    key_id: Annotated[str, text_like(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "1 to 64 letters, digits or . _ -")]
    public_key: Annotated[str, Field(max_length=4_000), AfterValidator(_public_key)]


def new_key() -> str:
    """256 random bits, recognizable to people and to scanners for leaked secrets."""
    return KEY_MARK + secrets.token_urlsafe(32)


def new_key_id() -> str:
    """The id of a key's document; says nothing about the key."""
    return f"key:{secrets.token_hex(8)}"


def shown_key(key: ApiKey, now: float) -> dict[str, Any]:
    """A key as the API answers it: never the key, never its hash."""
    active = key.expires_at is None or now < key.expires_at
    return {
        "id": key.id.removeprefix("key:"),
        "name": key.name,
        "scopes": sorted(key.scopes),
        "state": "active" if active else "expired",
        "createdAt": iso_time_or_none(key.created_at) if key.created_at else None,
        "createdBy": key.created_by or None,
        "expiresAt": iso_time_or_none(key.expires_at),
    }


def user_token_key_document(form: UserTokenKeyForm, now: float, who: str) -> Json:
    """A public key as it is stored."""
    return {
        "id": f"user-token-key:{form.key_id}",
        "kind": "user-token-key",
        "keyId": form.key_id,
        "publicKey": form.public_key,
        "updatedAt": now,
        "updatedBy": who,
    }
