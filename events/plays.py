"""Follows plays that are told by heartbeats: what each event adds to the furthest that is kept of its play. Pure.

A play is one showing of one video, by an id that the app makes up. Its heartbeats (`progress`) and its final
`video_view` each say how long it has played so far. Only what lies beyond the furthest so far counts, so in any order,
any number of times, a play has one view and the time of its furthest event. What is kept is bounded: the play progress
of a user's signals has the `MAX_PROGRESS` plays that began last. `Progress.closed_until` is the beginning of the latest
that was dropped: a play that began no later, and is not kept, adds nothing any more. So nothing counts twice.
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
    """Contribution of one event to its play: the whole seconds that count of it, before (None: nothing, so this is a
    view) and after. `in_statistics`: whether statistics count the play since an earlier batch."""

    before: int | None
    after: int
    in_statistics: bool

    @property
    def adds(self) -> bool:
        """Whether anything counts that did not before."""
        return self.before is None or self.after > self.before


@dataclass(frozen=True, slots=True)
class Followed:
    """Each event's step (None: it is of no play, or adds nothing to one that is no longer kept), and the progress
    afterwards."""

    steps: tuple[Step | None, ...]
    progress: Progress


@dataclass(slots=True)
class _Kept:
    """A play: the minute it began, the furthest so far in seconds, whether statistics count it."""

    began: int
    seconds: int
    in_statistics: bool


def follow(progress: Progress, events: Sequence[Event], facts: Mapping[str, Facts]) -> Followed:
    """The steps of `events`, in their order."""
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
    """The time of a play that counts, in whole seconds: as of any view, and at most `MAX_PLAY_SECONDS`."""
    return min(MAX_PLAY_SECONDS, int(counted_watch_time(watch_ms, duration_seconds) / 1000 + 0.5))


def _progress(kept: Mapping[int, _Kept], closed_until: int) -> Progress:
    """The plays that began last, of equal ones those with the lower key, so that no order of arrival matters."""
    order = sorted(kept.items(), key=lambda entry: (-entry[1].began, entry[0]))
    room = MAX_PROGRESS - bool(closed_until)
    if len(order) > room:
        room = MAX_PROGRESS - 1
        closed_until = max(closed_until, order[room][1].began)
    plays = [(key, each.began, each.seconds, each.in_statistics) for key, each in order[:room]]
    return Progress.of(plays, closed_until)


def in_statistics(progress: Progress, keys: Iterable[int]) -> Progress:
    """The progress with some plays marked as counted by statistics."""
    marked = set(keys)
    if not marked:
        return progress
    plays = [(key, began, seconds, known or key in marked) for key, began, seconds, known in progress.plays()]
    return Progress.of(plays, progress.closed_until)
