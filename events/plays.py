"""Tracks plays reported by heartbeats: what each event adds to the furthest known position of its play. Pure.

A play is one showing of one video, with an id made by the app. Its heartbeats (`progress`) and its final `video_view`
each report how long it has played so far. Only time beyond the furthest position counts. So in any order, and sent any
number of times, a play has one view and the time of its furthest event. The state is bounded: a user's signals keep the
`MAX_PROGRESS` plays that began last. `Progress.closed_until` is the start of the latest play that was dropped. A play
that is not stored and began no later adds nothing any more, so nothing counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from events.schema import Event
from events.video_facts import Facts
from ranking.watching import counted_watch_time
from shared.domain.event_types import VIDEO_VIEW
from shared.domain.user_signals import MAX_PLAY_SECONDS, MAX_PROGRESS, Progress

_MS_PER_MINUTE = 60_000


@dataclass(frozen=True, slots=True)
class Step:
    """Contribution of one event to its play: the whole seconds that count before it (None: none yet, so this is the
    view) and after it. `in_statistics`: whether statistics count the play since an earlier batch."""

    before: int | None
    after: int
    in_statistics: bool

    @property
    def adds(self) -> bool:
        """Whether the event adds something that did not count before."""
        return self.before is None or self.after > self.before


@dataclass(frozen=True, slots=True)
class Followed:
    """Each event's step, and the progress afterwards. A step is None if the event is of no play, or adds nothing to a
    play that is no longer stored."""

    steps: tuple[Step | None, ...]
    progress: Progress


@dataclass(slots=True)
class _Kept:
    """A play: the minute it began, its furthest position in seconds, and whether statistics count it."""

    began: int
    seconds: int
    in_statistics: bool


def follow(progress: Progress, events: Sequence[Event], facts: Mapping[str, Facts]) -> Followed:
    """Return the steps of `events`, in their order, and the new progress."""
    if not any(event.play for event in events):
        return Followed((None,) * len(events), progress)
    closed_until = progress.closed_until
    kept = {key: _Kept(began, seconds, known) for key, began, seconds, known in progress.plays()}
    steps = []
    for event in events:
        fact = facts.get(event.video_id)
        steps.append(_step(event, fact.duration_seconds if fact else 0.0, kept, closed_until))
    return Followed(tuple(steps), _progress(kept, closed_until))


def _step(event: Event, duration_seconds: float, kept: dict[int, _Kept], closed_until: int) -> Step | None:
    if event.play is None:
        return None
    began = event.counts_at_ms // _MS_PER_MINUTE
    seconds = play_seconds(event.watch_ms, duration_seconds)
    known = kept.get(event.play.key)
    if known is None:
        if began <= closed_until or (event.type != VIDEO_VIEW and not seconds):
            return None
        kept[event.play.key] = _Kept(began, seconds, False)
        return Step(None, seconds, False)
    before = known.seconds
    known.began, known.seconds = min(known.began, began), max(before, seconds)
    return Step(before, known.seconds, known.in_statistics)


def play_seconds(watch_ms: float | None, duration_seconds: float) -> int:
    """Return the time of a play that counts, in whole seconds: like that of a view, and at most `MAX_PLAY_SECONDS`."""
    return min(MAX_PLAY_SECONDS, int(counted_watch_time(watch_ms, duration_seconds) / 1000 + 0.5))


def _progress(kept: Mapping[int, _Kept], closed_until: int) -> Progress:
    """Return the plays that began last; of equal ones those with the lower key, so the order of arrival does not
    matter."""
    order = sorted(kept.items(), key=lambda entry: (-entry[1].began, entry[0]))
    room = MAX_PROGRESS - bool(closed_until)
    if len(order) > room:
        room = MAX_PROGRESS - 1
        closed_until = max(closed_until, order[room][1].began)
    plays = [(key, each.began, each.seconds, each.in_statistics) for key, each in order[:room]]
    return Progress.of(plays, closed_until)


def in_statistics(progress: Progress, keys: Iterable[int]) -> Progress:
    """Return the progress with some plays marked as counted by statistics."""
    marked = set(keys)
    if not marked:
        return progress
    plays = [(key, began, seconds, known or key in marked) for key, began, seconds, known in progress.plays()]
    return Progress.of(plays, progress.closed_until)
