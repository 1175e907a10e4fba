"""Passes from the fold to the roll-up how much of a play earlier events already counted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from events.counting import Decision
from events.plays import Step
from events.schema import Event

Told = Mapping[str, Sequence[int | None]]
"""By the index of an event that counts, as text: the seconds of its play so far, and the seconds that counted before
(None: it is the play's view). Stored in the batch's marker, so that a message delivered again passes on the same."""


def told_of(steps: Sequence[Step | None], decision: Decision) -> Told:
    """Return the values to pass on for the events of these steps."""
    return {
        str(at): (step.after, step.before if decision.goes_on[at] else None)
        for at, (step, counts) in enumerate(zip(steps, decision.counted, strict=True))
        if step is not None and counts
    }


def handed_on(fresh: tuple[Event, ...], told: Told) -> tuple[Event, ...]:
    """Return the events; those of plays carry the time that counts."""
    if not told:
        return fresh
    events = list(fresh)
    for number, (after, before) in told.items():
        event = events[int(number)]
        play = None if event.play is None else replace(event.play, before=before)
        events[int(number)] = replace(event, watch_ms=1000.0 * (after or 0), play=play)
    return tuple(events)
