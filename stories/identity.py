"""Who somebody is here: a public id, by which the users of a tenant may know each other.

`X-User` must never be shown to others, for whoever knows it can name that user. The public id is a keyed hash of the
user's key and opens nothing; names and pictures stay with the tenant, whose backend learns the ids of its users by
`POST /v1/social/ids`.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain import alphabet
from shared.domain.formats import PUBLIC_ID
from shared.domain.keys import Identity

_KEY_BYTES = 8


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of a tenant."""

    tenant_id: str
    id: str

    @property
    def partition(self) -> str:
        """Where everything that the person owns is stored."""
        return f"{self.tenant_id}/{self.id}"

    @property
    def key(self) -> int:
        """64 bits that stand for the person where many are compared."""
        return key_of(self.id)


def person_of(identity: Identity, tenant_id: str, user_key: str) -> Person:
    """The person behind a user's key, which is a keyed hash of tenant and user already."""
    return Person(tenant_id, identity.public_id(user_key))


def is_public_id(text: object) -> bool:
    """Whether this can be somebody's id: only what the hash can give, so that each has one spelling."""
    if not isinstance(text, str) or not PUBLIC_ID.matches(text):
        return False
    try:
        alphabet.from_text(text)
    except ValueError:
        return False
    return True


def key_of(public_id: str) -> int:
    """64 bits of a public id, which is evenly spread already: no one can choose theirs."""
    return int.from_bytes(alphabet.from_text(public_id)[:_KEY_BYTES], "little")
