"""Issues error ids for responses. Each id leads to a log line; the number of lines stays bounded."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Hashable

WINDOW_SECONDS = 60.0
OWN_IDS = 20
"""Responses of one kind in a minute that get their own id and line; further ones share the last id."""
MAX_KINDS = 500


class ErrorIds:
    """Issues error ids. A flood of refusals writes a bounded number of lines."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = float("-inf")
        self._given: dict[Hashable, tuple[str, int]] = {}

    def next(self, kind: Hashable, write: Callable[[str], None]) -> str:
        """Return the error id for a response of this kind; `write` logs a new id.

        `kind` consists of our own names, never of a caller's values, so there are few kinds.
        """
        now = self._clock()
        if now >= self._until:
            self._given, self._until = {}, now + WINDOW_SECONDS
        if kind not in self._given and len(self._given) >= MAX_KINDS:
            kind = None
        last, number = self._given.get(kind, ("", 0))
        if number >= OWN_IDS:
            return last
        error_id = secrets.token_hex(8)
        self._given[kind] = (error_id, number + 1)
        write(error_id)
        return error_id
