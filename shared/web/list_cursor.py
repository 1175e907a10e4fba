"""Cursor of a list: where its last page ended, sealed. Nothing is stored.

Sealed, because it names a video of a user's list, and bound to what it walks: another user's, or another list's, is not
valid. Its text has letters, digits, `.` and `_` alone, as firewalls count dashes.
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
"""How endpoints of lists declare it."""


def encode(place: list[Any], keys: SigningKeys, *walk: str) -> str:
    """The cursor for the page after `place` in what `walk` names: texts without line breaks."""
    nonce, tag = os.urandom(_NONCE_BYTES), keys.current_tag
    sealed = keys.ciphers[tag].encrypt(nonce, orjson.dumps(place), _bound_to(walk))
    return alphabet.to_text(b"%c%b%b" % (tag, nonce, sealed))


def decode(text: str, keys: SigningKeys, *walk: str) -> list[Any]:
    """The inverse. Raises a 400 `Problem`."""
    try:
        raw = alphabet.from_text(text)
        cipher = keys.ciphers[raw[0]]
        place = orjson.loads(cipher.decrypt(raw[1 : 1 + _NONCE_BYTES], raw[1 + _NONCE_BYTES :], _bound_to(walk)))
    except (ValueError, KeyError, IndexError, InvalidTag):
        raise bad_request("invalid_cursor", "The cursor is not valid. Start again without it.") from None
    assert isinstance(place, list)  # what was sealed here
    return place


def _bound_to(walk: tuple[str, ...]) -> bytes:
    return "\n".join((PURPOSE, *walk)).encode()
