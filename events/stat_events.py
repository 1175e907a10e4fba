"""What decided batches add to the statistics of videos, and to the metrics of what people did. Pure but for metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from events.batch import Batch
from events.schema import Event
from events.usual_peak import UsualPeak
from ranking.stats import StatEvent
from shared.domain.event_types import LIKE, UNLIKE
from shared.domain.feed_receipt import FeedReceipt
from shared.observability.metrics import Telemetry


def within_peak(
    batches: Sequence[Batch], durations: dict[str, float], peak: UsualPeak, now: float
) -> tuple[list[Batch], int]:
    """The batches with what counts for videos that exist, up to the tenant's peak; how many events are beyond it."""
    within, over = [], 0
    for batch in batches:
        counting = [
            at for at, counts in enumerate(batch.counted or ()) if counts and batch.events[at].video_id in durations
        ]
        admitted = peak.admit(min(batch.accepted_at, now), len(counting)) if counting else 0
        over += len(counting) - admitted
        chosen = set(counting[:admitted])
        within.append(replace(batch, counted=tuple(at in chosen for at in range(len(batch.events)))))
    return within, over


def stat_events(batches: Sequence[Batch], durations: dict[str, float], until: float) -> list[StatEvent]:
    """The events that count. None counts later than `until`, whatever the clock of the instance that accepted it."""
    return [
        (event.video_id, min(_at(batch, event), until), event.type, event.watch_ms or 0.0, durations[event.video_id])
        for batch in batches
        for event, counts in zip(batch.events, batch.counted or (), strict=True)
        if counts
    ]


def _at(batch: Batch, event: Event) -> float:
    """When an event counts, in seconds. A like counts after its page was served, and an `unlike` from then on: so it
    never weighs more than the like it takes back, however the two are dated."""
    if event.request is None or event.type not in (LIKE, UNLIKE):
        return event.at_ms / 1000
    served_at = batch.requests[event.request].served_at
    return float(served_at) if event.type == UNLIKE else max(event.at_ms / 1000, served_at)


def count_feedback(batches: Sequence[Batch], durations: dict[str, float], telemetry: Telemetry, now: float) -> None:
    """What people did with the videos they were served: click-through and watch share, new users against known ones.

    Of what counts, only events that quote a valid feed request say how their video came to be served.
    """
    events: defaultdict[tuple[str, ...], int] = defaultdict(int)
    watched: defaultdict[tuple[str, str], float] = defaultdict(float)
    offered: defaultdict[tuple[str, str], float] = defaultdict(float)
    for batch in batches:
        telemetry.observe("rollup_lag_ms", max(0.0, now - batch.accepted_at) * 1000)
        how_of = [_how(request) for request in batch.requests]
        for event, counts in zip(batch.events, batch.counted or (), strict=True):
            if event.request is None or not counts:
                continue
            served = how_of[event.request]
            events[*served, event.type] += 1
            offered_ms = durations.get(event.video_id, 0.0) * 1000
            if event.watch_ms is not None and offered_ms > 0:
                watched[served] += min(event.watch_ms, offered_ms)
                offered[served] += offered_ms
    for labels, number in events.items():
        telemetry.count("feedback_events", *labels, amount=number)
    for how in offered:
        telemetry.count("feedback_watched_ms", *how, amount=watched[how])
        telemetry.count("feedback_offered_ms", *how, amount=offered[how])


def _how(request: FeedReceipt) -> tuple[str, str]:
    """How a page came to be served."""
    return "personalized" if request.personalized else "fallback", "warm" if request.warm else "cold"
