"""Error ids of answers: each leads to a line of the log, however many answers there are."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Hashable

WINDOW_SECONDS = 60.0
OWN_IDS = 20
"""So many answers of one kind in a minute have an id and a line of their own; further ones share the last."""
MAX_KINDS = 500


class ErrorIds:
    """Hands out error ids, so that a flood of refusals writes a bounded number of lines."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = float("-inf")
        self._given: dict[Hashable, tuple[str, int]] = {}

    def next(self, kind: Hashable, write: Callable[[str], None]) -> str:
        """The error id of an answer of this kind; `write` logs an id that is new.

        `kind` is made of names of our own, never of what a caller sent: there are few.
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
