"""Pagination cursor of a list: the encrypted position at which the last page ended. Nothing is stored.

It is encrypted because it names a video of a user's list. It is bound to that user and list, so it is not valid for
others. Its text has only letters, digits, `.` and `_`, because firewalls count dashes.
"""

from __future__ import annotations

import os
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag

from shared.domain import alphabet
from shared.domain.keys import SigningKeys
from shared.web.declaration import Parameter
from shared.web.problems import bad_request

PURPOSE = "list-cursor"
MAX_CHARS = 1_024
_NONCE_BYTES = 12
CURSOR = Parameter(
    "cursor",
    "query",
    "`nextCursor` of the page before, for what it was made for only.",
    {"type": "string", "pattern": f"^[A-Za-z0-9._]{{0,{MAX_CHARS}}}$"},
)
"""Declaration of the cursor for endpoints of lists."""


def encode(place: list[Any], keys: SigningKeys, *walk: str) -> str:
    """Return the cursor for the page after `place`. `walk`: names of what is paged, such as user and list, without
    line breaks; the cursor is bound to them."""
    nonce, tag = os.urandom(_NONCE_BYTES), keys.current_tag
    sealed = keys.ciphers[tag].encrypt(nonce, orjson.dumps(place), _bound_to(walk))
    return alphabet.to_text(b"%c%b%b" % (tag, nonce, sealed))


def decode(text: str, keys: SigningKeys, *walk: str) -> list[Any]:
    """Return the place of a cursor. Raises a 400 `Problem` unless it was made for the same `walk`."""
    try:
        raw = alphabet.from_text(text)
        cipher = keys.ciphers[raw[0]]
        place = orjson.loads(cipher.decrypt(raw[1 : 1 + _NONCE_BYTES], raw[1 + _NONCE_BYTES :], _bound_to(walk)))
    except (ValueError, KeyError, IndexError, InvalidTag):
        raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.") from None
    assert isinstance(place, list)  # `encode` encrypts nothing else
    return place


def _bound_to(walk: tuple[str, ...]) -> bytes:
    return "\n".join((PURPOSE, *walk)).encode()
