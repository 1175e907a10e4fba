"""A person's circle: follows and blocks, packed into one document, so a request needs one read. Pure.

A person is stored as 64 bits of their public id. `followed_back` holds the followed people who follow back.
`blocked_by` copies the blocks that others made, so a request finds them without further reads.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.records import MUTUALS

CIRCLE_ID = "following"
MAX_FOLLOWS, MAX_BLOCKS, MAX_BLOCKED_BY = 2_000, 2_000, 20_000
_VERSION = 1
Keys = NDArray[np.uint64]


def _nobody() -> Keys:
    return np.zeros(0, np.uint64)


class UnreadableCircle(ValueError):
    """The stored document is damaged or of a later version. Callers must show nothing then: blocks are unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Circle:
    """Sorted, distinct keys of people. `follows`: accepted; `requested`: waiting for the other person's consent."""

    follows: Keys = field(default_factory=_nobody)
    followed_back: Keys = field(default_factory=_nobody)
    requested: Keys = field(default_factory=_nobody)
    blocked: Keys = field(default_factory=_nobody)
    blocked_by: Keys = field(default_factory=_nobody)

    def friends(self, friends_mean: str) -> Keys:
        """Return the authors whose stories for friends this person sees. `friends_mean`: `followers` or `mutuals`."""
        return self.followed_back if friends_mean == MUTUALS else self.follows

    def hides(self, key: int) -> bool:
        """Return whether either of the two blocks the other."""
        return has(self.blocked, key) or has(self.blocked_by, key)

    @property
    def hidden(self) -> Keys:
        return np.concatenate((self.blocked, self.blocked_by))

    @property
    def asked(self) -> int:
        """Number of follows, accepted and requested."""
        return len(self.follows) + len(self.requested)

    def adding(self, key: int, *names: str) -> Circle:
        """Return a copy with a person added to the named sets."""
        return replace(self, **{name: _with(getattr(self, name), key) for name in names})

    def removing(self, key: int, *names: str) -> Circle:
        """Return a copy with a person removed from the named sets."""
        return replace(self, **{name: _without(getattr(self, name), key) for name in names})

    def to_document(self) -> dict[str, Any]:
        """Return the stored shape: set name → base64 of little-endian 64-bit words."""
        packed = {_alias(name): b64encode(getattr(self, name).astype("<u8").tobytes()).decode() for name in _NAMES}
        return {"id": CIRCLE_ID, "kind": "following", "v": _VERSION, **packed}

    @classmethod
    def from_document(cls, body: Mapping[str, Any] | None) -> Circle:
        """Parse a stored document; None gives an empty circle. Raises `UnreadableCircle`."""
        if body is None:
            return cls()
        if body.get("v") != _VERSION:
            raise UnreadableCircle("version")
        try:
            return cls(**{name: np.frombuffer(b64decode(body[_alias(name)], validate=True), "<u8") for name in _NAMES})
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableCircle("fields") from error


_NAMES = tuple(each.name for each in fields(Circle))


def _alias(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def has(keys: Keys, key: int) -> bool:
    """Return whether sorted keys contain `key` (binary search)."""
    at = int(np.searchsorted(keys, np.uint64(key)))
    return at < len(keys) and int(keys[at]) == key


def _with(keys: Keys, key: int) -> Keys:
    return np.union1d(keys, np.array([key], np.uint64))


def _without(keys: Keys, key: int) -> Keys:
    kept: Keys = keys[keys != np.uint64(key)]
    return kept
