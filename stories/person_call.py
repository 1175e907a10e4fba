"""Parses requests to the people endpoints: the caller, the person in the path, `limit` and cursor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from shared.domain.keys import Identity, KeyRing, SigningKeys
from shared.domain.records import MAX_LIMIT
from shared.web import list_cursor
from shared.web.declaration import Parameter
from shared.web.endpoint import Call
from shared.web.problems import Problem, bad_request
from stories.identity import Person, is_public_id, person_of

LIMIT = Parameter(
    "limit",
    "query",
    "Largest number of entries; 20 when absent.",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    example=20,
)
PAGE = (LIMIT, list_cursor.CURSOR)
PAGE_PROBLEMS = ("invalid_limit", "invalid_cursor")
DEFAULT_LIMIT = 20


@dataclass(frozen=True, slots=True)
class PersonCalls:
    """Parses requests. Cursors are encrypted, and each is valid for one list of one person."""

    identity: Identity
    keys: KeyRing

    def me(self, call: Call) -> Person:
        return person_of(self.identity, call.tenant.id, call.user_key)

    def other(self, call: Call) -> Person:
        """Return the person in the path. Raises a 404 `Problem` if the path has no valid public id."""
        id = call.request.route_params.get("id", "")
        if not is_public_id(id):
            raise Problem(404, "not_found", "There is no such person.")
        return Person(call.tenant.id, id)

    def limit(self, call: Call) -> int:
        """Return the largest number of entries. Raises a 400 `Problem`."""
        text = call.request.params.get("limit")
        if not text:
            return DEFAULT_LIMIT
        if not re.fullmatch(r"[0-9]{1,2}", text) or not 1 <= int(text) <= MAX_LIMIT:
            raise bad_request("invalid_limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
        return int(text)

    def after(self, call: Call, *walk: str) -> str | None:
        """Read from the cursor where the last page ended. `walk` names the list. Raises a 400 `Problem`."""
        place = self.place(call, *walk)
        return None if place is None else str(place[0])

    def place(self, call: Call, *walk: str) -> list[Any] | None:
        """Do the same for a place of several values."""
        text = call.request.params.get("cursor")
        if not text:
            return None
        return list_cursor.decode(text, self._sealing, *walk, call.tenant.id, call.user_key)

    def cursor(self, call: Call, place: str | None, *walk: str) -> str | None:
        """Return the cursor that continues after a place; None at the end."""
        return None if place is None else self.sealed(call, [place], *walk)

    def sealed(self, call: Call, place: list[Any], *walk: str) -> str:
        """Do the same for a place of several values."""
        return list_cursor.encode(place, self._sealing, *walk, call.tenant.id, call.user_key)

    @property
    def _sealing(self) -> SigningKeys:
        return self.keys.for_purpose(list_cursor.PURPOSE)
