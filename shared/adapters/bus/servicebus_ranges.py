"""Groups messages of a link by consecutive delivery numbers, so that each group is settled by one frame. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

LONGEST = 200
"""Most messages in a range: the SDK compares each answer with all pending ones."""
ONE_BY_ONE_SECONDS = 600.0


def in_ranges(messages: Iterable[T], number: Callable[[T], int | None], longest: int = LONGEST) -> list[list[T]]:
    """Split messages into ranges of consecutive delivery numbers, in order. A message without a number is alone."""
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
    """Switches ranges off for a while after one was not confirmed. So a service without support for them costs only one
    redelivery."""

    allowed: bool = True
    clock: Callable[[], float] = time.monotonic
    _not_before: float = field(default=0.0)

    def may_be_used(self) -> bool:
        """Whether ranges can be used now."""
        return self.allowed and self.clock() >= self._not_before

    def was_not_confirmed(self) -> None:
        """Record that the service did not confirm every message of a range."""
        self._not_before = self.clock() + ONE_BY_ONE_SECONDS
