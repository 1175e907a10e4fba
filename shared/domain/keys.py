"""Keys: rotating ones for signatures and encryption, and one permanent secret for derived ids in storage."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.domain import alphabet
from shared.domain.base64url import to_text
from shared.domain.fingerprint import fingerprint
from shared.settings import BadSetting

KEY_BYTES = 32
_SHA_256_BLOCK = 64


def _derive(secret: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(secret)


def _resolved(setting: str, name: str) -> str:
    """Return the setting. Raises `BadSetting` for a Key Vault reference that the platform did not resolve."""
    if setting.startswith("@Microsoft.KeyVault("):
        raise BadSetting(
            f"{name} is a Key Vault reference that was not resolved. Let the app's identity read the secrets of the "
            "vault."
        )
    return setting


def _decode(text: str, name: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadSetting(f"{name} must be base64 text.") from None
    if len(secret) < KEY_BYTES:
        raise BadSetting(f"{name} must decode to at least {KEY_BYTES} bytes.")
    return secret


class Mac:
    """HMAC-SHA-256 (RFC 2104) with a key prepared once, which is most of the work for a short message."""

    def __init__(self, key: bytes) -> None:
        block = (sha256(key).digest() if len(key) > _SHA_256_BLOCK else key).ljust(_SHA_256_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def __call__(self, message: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class Scrambler:
    """AES on separate blocks of 16 bytes: a keyed function of many short inputs in one call, under a microsecond.

    ECB mode is safe here, as only fingerprints are taken from the result. It would not be for hiding a text.
    """

    def __init__(self, key: bytes) -> None:
        # The encryptor has no state between blocks, so one is enough.
        self._encryptor: CipherContext = Cipher(AES256(key), ECB()).encryptor()  # noqa: S305

    def __call__(self, blocks: bytes) -> bytes:
        return self._encryptor.update(blocks)


@dataclass(frozen=True)
class SigningKeys:
    """Keys for one purpose, by a one-byte tag derived from their id. The first given signs; all of them verify."""

    by_tag: dict[int, bytes]
    current_tag: int

    @property
    def current(self) -> bytes:
        return self.by_tag[self.current_tag]

    @cached_property
    def ciphers(self) -> dict[int, AESGCM]:
        """AES-GCM ciphers by tag. Cached, because making one costs as much as encrypting with it."""
        return {tag: AESGCM(key) for tag, key in self.by_tag.items()}

    @cached_property
    def macs(self) -> dict[int, Mac]:
        """Signers by tag."""
        return {tag: Mac(key) for tag, key in self.by_tag.items()}

    @cached_property
    def scramblers(self) -> dict[int, Scrambler]:
        """Makers of keyed fingerprints by tag."""
        return {tag: Scrambler(_derive(key, "scrambler")) for tag, key in self.by_tag.items()}


RING_SIZE = 3
"""Most keys of a ring: the one that signs, and earlier ones, whose cursors and receipts are still valid."""


def ring_with(setting: str, name: str, key: str) -> str:
    """Return `SIGNING_KEYS` with a new key in front, and only `RING_SIZE` keys.

    `name`: id of the key; a number is added if another key has the same tag. `key`: base64 of 32 bytes.
    """
    held = [part.strip() for part in setting.split(",") if part.strip()][: RING_SIZE - 1]
    taken = {_tag_of(part.partition(":")[0]) for part in held}
    free = next(each for each in (name, *(f"{name}-{n}" for n in range(1, 256))) if _tag_of(each) not in taken)
    return ",".join([f"{free}:{key}", *held])


def _tag_of(name: str) -> int:
    """Return the byte that names a key in everything it signs."""
    return fingerprint(name) & 0xFF


class KeyRing:
    """The rotating keys of `SIGNING_KEYS`, derived per purpose with HKDF: a cursor cannot be replayed as a receipt."""

    def __init__(self, setting: str) -> None:
        self._secrets: dict[int, bytes] = {}
        for part in _resolved(setting, "SIGNING_KEYS").split(","):
            name, separator, encoded = part.strip().partition(":")
            if not separator or not name:
                raise BadSetting("SIGNING_KEYS must look like `id:base64,id:base64`, the current key first.")
            tag = _tag_of(name)
            if tag in self._secrets:
                raise BadSetting("Two ids in SIGNING_KEYS have the same short hash. Rename one of them.")
            self._secrets[tag] = _decode(encoded, "SIGNING_KEYS")
        self._current_tag = next(iter(self._secrets))
        self._derived: dict[str, SigningKeys] = {}

    def for_purpose(self, purpose: str) -> SigningKeys:
        """Return the keys for one purpose; derived once."""
        found = self._derived.get(purpose)
        if found is None:
            derived = {tag: _derive(secret, purpose) for tag, secret in self._secrets.items()}
            found = self._derived[purpose] = SigningKeys(derived, self._current_tag)
        return found


class Identity:
    """Derives ids from the permanent secret: stored user keys, hashes of API keys, archive pseudonyms."""

    def __init__(self, setting: str) -> None:
        self._secret = _decode(_resolved(setting, "IDENTITY_SECRET"), "IDENTITY_SECRET")

    @cached_property
    def _user(self) -> Mac:
        return Mac(_derive(self._secret, "user-key"))

    @cached_property
    def _api_key(self) -> Mac:
        return Mac(_derive(self._secret, "api-key"))

    @cached_property
    def _archive(self) -> Mac:
        return Mac(_derive(self._secret, "archive-pseudonym"))

    @cached_property
    def _public_id(self) -> Mac:
        return Mac(_derive(self._secret, "public-id"))

    @cached_property
    def _receipt(self) -> Mac:
        return Mac(_derive(self._secret, "receipt-marker"))

    def receipt_marker(self, tenant_id: str, served_at: int, key: int) -> str:
        """Return the partition of a receipt's marker. It reveals neither the user nor the receipt."""
        return to_text(self._receipt(f"{tenant_id}\n{served_at}\n{key}".encode()))

    def user_key(self, tenant_id: str, user_hash: str) -> str:
        """Return a user's partition: 43 URL-safe characters. Only with the secret can it be matched to a user hash."""
        return to_text(self._user(f"{tenant_id}\n{user_hash}".encode()))

    def brand_key(self, tenant_id: str, name: str) -> str:
        """Return a brand's partition. It never equals that of a user, whatever the brand's name."""
        return to_text(self._user(f"{tenant_id}\nbrand\n{name}".encode()))

    def public_id(self, user_key: str) -> str:
        """Return the id that a tenant's other users see: 22 letters, digits, `.` or `_`.

        It gives no access. It never changes, so that an erasure finds everything stored under it.
        """
        return alphabet.to_text(self._public_id(user_key.encode())[:16])

    def people_partition(self, tenant_id: str, user_key: str) -> str:
        """Return the partition of a person's own documents, such as profile, follows and uploads."""
        return f"{tenant_id}/{self.public_id(user_key)}"

    def api_key_hash(self, key: str) -> str:
        """Return the keyed hash of an API key, 64 hex digits. Only the hash is stored."""
        return self._api_key(key.encode()).hex()

    @cached_property
    def live_key(self) -> bytes:
        """Key for hashes of listeners' names, so that a service outside the network does not learn them."""
        return _derive(self._secret, "live")

    def archive_pseudonym(self, user_key: str) -> str:
        """Return a user's pseudonym in archived lines: 32 hex digits."""
        return self._archive(user_key.encode()).hex()[:32]
