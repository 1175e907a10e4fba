"""Public ids of people: keyed hashes by which users of a tenant can refer to each other.

`X-User` must never be shown to others, because anybody who knows it can send requests for that user. The public id is a
keyed hash of the user's key and grants no access. Names and pictures stay with the tenant, whose backend gets the ids
of its users from `POST /v1/social/ids`.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain import alphabet
from shared.domain.formats import PUBLIC_ID
from shared.domain.keys import Identity

_KEY_BYTES = 8


@dataclass(frozen=True, slots=True)
class Person:
    """A person: a tenant's user, by public id."""

    tenant_id: str
    id: str

    @property
    def partition(self) -> str:
        """The partition of `people` that holds everything the person owns."""
        return f"{self.tenant_id}/{self.id}"

    @property
    def key(self) -> int:
        """The first 64 bits of the public id, for fast comparison of many people."""
        return key_of(self.id)


def person_of(identity: Identity, tenant_id: str, user_key: str) -> Person:
    """Return the person for a user key, which is itself a keyed hash of tenant and user."""
    return Person(tenant_id, identity.public_id(user_key))


def is_public_id(text: object) -> bool:
    """Return whether a text can be a public id. Each id has exactly one valid spelling."""
    if not isinstance(text, str) or not PUBLIC_ID.matches(text):
        return False
    try:
        alphabet.from_text(text)
    except ValueError:
        return False
    return True


def key_of(public_id: str) -> int:
    """Return 64 bits of a public id. They are evenly distributed, and nobody can choose their own."""
    return int.from_bytes(alphabet.from_text(public_id)[:_KEY_BYTES], "little")
