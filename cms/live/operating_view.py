"""Builds the response of `GET /v1/cms/live`: traffic, latencies, queues, dependencies, outages and flags. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cms.live.models import (
    Answers,
    Dependency,
    EventTraffic,
    FeedTraffic,
    FlagState,
    Held,
    Operating,
    Outage,
    Queue,
    ReasonCount,
    StageTimes,
    Times,
)
from shared.adapters.bus.looking import Waiting
from shared.adapters.flags.evaluation import FLAGS
from shared.domain.formats import iso_time
from shared.observability.dependencies import Outage as KnownOutage
from shared.observability.recent import Spread, Window

EVENTS_ENDPOINT = "post_events"


def operating_view(
    window: Window,
    now: float,
    *,
    scope: str,
    flags_in: str,
    waiting: Sequence[Waiting] | None,
    ages: Mapping[str, float | None],
    states: Mapping[str, str],
    outages: Mapping[str, KnownOutage],
    outage_now: float,
    flags_on: Mapping[str, float],
) -> Operating:
    """Build the response.

    `outage_now`: current time on the clock of `outages`; `flags_on`: flag → 1 or 0.
    """
    return Operating(
        as_of=iso_time(now),
        scope=scope,
        seconds=round(window.seconds, 1),
        feeds=_feeds(window),
        stages=list(_stages(window)),
        events=_events(window),
        answers=[Answers(status=labels[0], count=n) for labels, n in sorted(window.counted("http_requests").items())],
        queues=None if waiting is None else [_queue(each, now) for each in waiting],
        held=[Held(source=name, seconds=None if age is None else round(age, 1)) for name, age in ages.items()],
        dependencies=[Dependency(name=name, state=state) for name, state in states.items()],
        outages=[_outage(name, each, outage_now) for name, each in sorted(outages.items())],
        flags=[_flag(name, flags_on.get(name)) for name in FLAGS],
        flags_in=flags_in,
    )


def _feeds(window: Window) -> FeedTraffic:
    reasons = sorted(window.counted("feed_requests").items(), key=lambda item: (-item[1], item[0]))
    count = sum(number for _, number in reasons)
    return FeedTraffic(
        count=count,
        per_second=round(count / window.seconds, 2) if window.seconds else 0.0,
        empty=window.total("feed_empty"),
        times=_times(window.spread("feed_duration_ms")),
        reasons=[ReasonCount(mode=mode, reason=reason or None, count=number) for (mode, reason), number in reasons],
    )


def _stages(window: Window) -> Iterator[StageTimes]:
    """Yield stages in the order in which they first ended, which is their order in a request."""
    for stage, mode in window.labels("feed_stage_ms"):
        times = _times(window.spread("feed_stage_ms", stage, mode))
        yield StageTimes(stage=stage, mode=mode, **times.model_dump())


def _events(window: Window) -> EventTraffic:
    return EventTraffic(
        accepted=window.total("events_accepted"),
        rejected=window.total("events_rejected"),
        folded=window.total("events_folded"),
        late=window.total("events_late"),
        times=_times(window.spread("http_duration_ms", EVENTS_ENDPOINT)),
        fold_lag=_times(window.spread("fold_lag_ms")),
        statistics_lag=_times(window.spread("rollup_lag_ms")),
    )


def _times(spread: Spread) -> Times:
    p50, p95, p99 = (None if ms is None else round(ms, 2) for ms in (spread.p50, spread.p95, spread.p99))
    return Times(count=spread.number, p50=p50, p95=p95, p99=p99, top=spread.top)


def _queue(seen: Waiting, now: float) -> Queue:
    return Queue(
        subscription=seen.subscription,
        messages=seen.messages,
        oldest_seconds=None if seen.oldest_at is None else round(max(0.0, now - seen.oldest_at), 1),
        dead_letters=seen.dead_letters,
    )


def _outage(name: str, outage: KnownOutage, now: float) -> Outage:
    return Outage(
        name=name,
        reason=outage.reason,
        seconds=round(max(0.0, now - outage.since), 1),
        failures=outage.failures,
        error_id=outage.error_id,
    )


def _flag(name: str, on: float | None) -> FlagState:
    return FlagState(name=name, help=FLAGS[name].help, on=None if on is None else on > 0)
