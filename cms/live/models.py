"""How the service does at the moment, as it is answered. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cms.views import one_of
from feed.responses import Mode, Reason
from shared.web.responses import Amount, Count, Time, View

INSTANCE, MACHINE = "instance", "machine"
APP_CONFIGURATION, FILE = "app_configuration", "file"

Milliseconds = Annotated[float | None, Field(description="Milliseconds; null: there was none.")]


class Times(View):
    """How long something took. Percentiles are estimated within the buckets they are counted in."""

    count: Count
    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds
    top: Annotated[float, Field(description="Milliseconds; a percentile equal to it is that or more.")]


class ReasonCount(View):
    """Feeds of one mode and reason."""

    mode: Mode
    reason: Reason
    count: Count


class FeedTraffic(View):
    """Feeds that were served."""

    count: Count
    per_second: Amount
    empty: Annotated[Count, Field(description="Without a single video.")]
    times: Times
    reasons: Annotated[list[ReasonCount], Field(description="The most frequent first.")]


class StageTimes(Times):
    """One stage of a feed of one mode; every eighth feed is timed."""

    stage: str
    mode: Mode


class EventTraffic(View):
    """Events, and how soon they counted."""

    accepted: Count
    rejected: Count
    folded: Count
    late: Annotated[Count, Field(description="Folded later than 10 s after their acceptance.")]
    times: Annotated[Times, Field(description="Of answers to `POST /v1/events/batch`.")]
    fold_lag: Annotated[Times, Field(description="From a batch's acceptance to its user's signals.")]
    statistics_lag: Annotated[Times, Field(description="From a batch's acceptance to video statistics.")]


class Answers(View):
    """Answers of every endpoint, by the class of their status."""

    status: Annotated[str, Field(json_schema_extra=one_of("2xx", "3xx", "4xx", "5xx", "other"))]
    count: Count


class Queue(View):
    """What waits in one subscription, as of a few seconds ago."""

    subscription: str
    messages: Annotated[Count, Field(description="As far as one look shows.")]
    oldest_seconds: Annotated[Amount | None, Field(description="null: nothing waits.")]
    dead_letters: Count


class Held(View):
    """How old what is held in memory of a source is."""

    source: str
    seconds: Annotated[Amount | None, Field(description="null: it was never read.")]


class Dependency(View):
    """What a dependency answers now."""

    name: str
    state: Annotated[str, Field(json_schema_extra=one_of("ready", "slow", "unavailable"))]


class Outage(View):
    """Calls of one kind that fail."""

    name: str
    reason: str
    seconds: Annotated[Amount, Field(description="Since the first of them.")]
    failures: Count
    error_id: Annotated[str, Field(description="Clients and the log have the same.")]


class FlagState(View):
    """A flag's own switch. Targeting and tenants can narrow it down."""

    name: str
    help: str
    on: Annotated[bool | None, Field(description="null: the flags were never read.")]


class Operating(View):
    """The last minutes and the present of one instance, or of the whole machine. It names no tenant."""

    as_of: Time
    scope: Annotated[
        str,
        Field(
            description="`instance`: this is one of several, and the next call may be answered by another.",
            json_schema_extra=one_of(INSTANCE, MACHINE),
        ),
    ]
    seconds: Annotated[Amount, Field(description="The window: less than asked for after a start, more after a pause.")]
    feeds: FeedTraffic
    stages: list[StageTimes]
    events: EventTraffic
    answers: list[Answers]
    queues: Annotated[
        list[Queue] | None,
        Field(description="Of the service as a whole. null: the bus did not answer. One that did not is left out."),
    ]
    held: list[Held]
    dependencies: list[Dependency]
    outages: list[Outage]
    flags: list[FlagState]
    flags_in: Annotated[
        str, Field(description="Where they are switched.", json_schema_extra=one_of(APP_CONFIGURATION, FILE))
    ]
