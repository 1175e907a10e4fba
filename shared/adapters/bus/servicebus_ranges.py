"""Which messages of a link are settled together: those whose delivery numbers follow each other. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

LONGEST = 200
"""Messages in a range at most: the SDK compares each answer with all that it still waits for."""
ONE_BY_ONE_SECONDS = 600.0


def in_ranges(messages: Iterable[T], number: Callable[[T], int | None], longest: int = LONGEST) -> list[list[T]]:
    """The messages in their order, cut wherever a delivery number does not follow the one before; one without a number
    is alone."""
    ranges: list[list[T]] = []
    following: int | None = None
    for each in messages:
        at = number(each)
        if at is not None and at == following and len(ranges[-1]) < longest:
            ranges[-1].append(each)
        else:
            ranges.append([each])
        following = None if at is None else at + 1
    return ranges


@dataclass(slots=True)
class Ranges:
    """Whether ranges may be used: not for a while after one was not confirmed, so that a service that does not know
    them costs no more than one redelivery."""

    allowed: bool = True
    clock: Callable[[], float] = time.monotonic
    _not_before: float = field(default=0.0)

    def may_be_used(self) -> bool:
        """Whether they may be used now."""
        return self.allowed and self.clock() >= self._not_before

    def was_not_confirmed(self) -> None:
        """The service did not confirm every message of a range."""
        self._not_before = self.clock() + ONE_BY_ONE_SECONDS
