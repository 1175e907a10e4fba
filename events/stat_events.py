"""Turns batches into events for video statistics, and counts feedback metrics. No other I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from events.batch import Batch
from events.schema import Event
from events.usual_peak import UsualPeak
from ranking.stats import UNVIEW, StatEvent
from shared.domain.event_types import OF_PLAYING, PROGRESS, TAKES_BACK, VIDEO_VIEW
from shared.domain.feed_receipt import FeedReceipt
from shared.observability.metrics import Telemetry

_WITH_A_PAIR = frozenset((*TAKES_BACK, *TAKES_BACK.values()))


def within_peak(
    batches: Sequence[Batch], durations: dict[str, float], peak: UsualPeak, now: float
) -> tuple[list[Batch], int]:
    """Return the batches with the events that count: of existing videos, up to the tenant's peak. Also return how many
    events are beyond it."""
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
    """Return the events that count. No event counts later than `until`, whatever clock its instance had.

    An event of a play becomes a view of the whole time played so far, and an `UNVIEW` of what counted before.
    """
    found: list[StatEvent] = []
    for batch in batches:
        for event, counts in zip(batch.events, batch.counted or (), strict=True):
            if not counts:
                continue
            video_id, at, duration = event.video_id, min(_at(batch, event), until), durations[event.video_id]
            kind = VIDEO_VIEW if event.play is not None else event.type
            found.append((video_id, at, kind, event.watch_ms or 0.0, duration))
            if event.play is not None and event.play.before is not None:
                found.append((video_id, at, UNVIEW, event.play.before * 1000.0, duration))
    return found


def _at(batch: Batch, event: Event) -> float:
    """Return when an event counts, in seconds since the epoch. A like or save counts after its page was served; the
    event that takes it back counts from then on. So the latter never outweighs the former, whatever their times."""
    if event.request is None or event.type not in _WITH_A_PAIR:
        return event.counts_at_ms / 1000
    served_at = batch.requests[event.request].served_at
    return float(served_at) if event.type in TAKES_BACK else max(event.at_ms / 1000, served_at)


def count_feedback(batches: Sequence[Batch], durations: dict[str, float], telemetry: Telemetry, now: float) -> None:
    """Count what users did with served videos: click-through and watch share, of new and known users.

    Of the events that count, only those that quote a valid feed request tell how their video was served. Plays that
    started, stalled or failed are also counted per tenant.
    """
    events: defaultdict[tuple[str, ...], int] = defaultdict(int)
    playing: defaultdict[tuple[str, str], int] = defaultdict(int)
    watched: defaultdict[tuple[str, str], float] = defaultdict(float)
    offered: defaultdict[tuple[str, str], float] = defaultdict(float)
    for batch in batches:
        telemetry.observe("rollup_lag_ms", max(0.0, now - batch.accepted_at) * 1000)
        how_of = [_how(request) for request in batch.requests]
        for event, counts in zip(batch.events, batch.counted or (), strict=True):
            if counts and event.type in OF_PLAYING and event.type != PROGRESS:
                playing[batch.tenant_id, event.type] += 1
            if event.request is None or not counts:
                continue
            served = how_of[event.request]
            before = None if event.play is None else event.play.before
            kind = event.type if event.play is None else PROGRESS if before is not None else VIDEO_VIEW
            events[*served, kind] += 1
            offered_ms = durations.get(event.video_id, 0.0) * 1000
            if event.watch_ms is not None and offered_ms > 0:
                watched[served] += min(event.watch_ms, offered_ms) - min((before or 0) * 1000, offered_ms)
                offered[served] += offered_ms if before is None else 0.0
    for of_tenant, number in playing.items():
        telemetry.count("playback_events", *of_tenant, amount=number)
    for labels, number in events.items():
        telemetry.count("feedback_events", *labels, amount=number)
    for how in offered:
        telemetry.count("feedback_watched_ms", *how, amount=watched[how])
        telemetry.count("feedback_offered_ms", *how, amount=offered[how])


def _how(request: FeedReceipt) -> tuple[str, str]:
    """Return how a page was served."""
    return "personalized" if request.personalized else "fallback", "warm" if request.warm else "cold"
