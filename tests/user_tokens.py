"""Key pairs of a tenant's backend, and the tokens they sign."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.adapters.documents.port import TENANTS, DocumentStore, Upsert


@dataclass(frozen=True)
class Signer:
    """A private key, its id and its algorithm."""

    kid: str
    algorithm: str
    private: Any

    @property
    def pem(self) -> str:
        public = self.private.public_key()
        return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())

    def token(
        self, tenant_id: str, user: str, now: float, *, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """Return a valid token, changed by `header` and `claims`; a claim of None is left out."""
        good = {"sub": user, "aud": "video-feed", "tenant": tenant_id, "iat": int(now), "exp": int(now) + 3600}
        payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(payload, self.private, self.algorithm, headers={"kid": self.kid, **(header or {})})


@cache
def signer(kind: str, kid: str = "key-1") -> Signer:
    """Return a signer of one kind: RS256, ES256 or EdDSA; or an unacceptable key: RS256-1024, ES384."""
    made: dict[str, Any] = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "RS256-1024": lambda: rsa.generate_private_key(65537, 1024),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }
    return Signer(kid, kind.removesuffix("-1024"), made[kind]())


async def save_public_key(documents: DocumentStore, tenant_id: str, signer: Signer) -> None:
    """Store a public key as the operators' API does."""
    body = {
        "id": f"user-token-key:{signer.kid}",
        "kind": "user-token-key",
        "keyId": signer.kid,
        "publicKey": signer.pem,
    }
    await documents.write(TENANTS, tenant_id, [Upsert(body)])


async def delete_public_key(documents: DocumentStore, tenant_id: str, kid: str) -> None:
    """Delete a public key by a tombstone, as the change feed needs it."""
    body = {"id": f"user-token-key:{kid}", "kind": "user-token-key", "keyId": kid, "deleted": True, "ttl": 60}
    await documents.write(TENANTS, tenant_id, [Upsert(body)])
