"""Response models of the service's current state. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cms.views import one_of
from feed.responses import Mode, Reason
from shared.web.responses import Amount, Count, Time, View

INSTANCE, MACHINE = "instance", "machine"
APP_CONFIGURATION, FILE = "app_configuration", "file"

Milliseconds = Annotated[float | None, Field(description="Milliseconds; null: nothing was measured.")]


class Times(View):
    """Distribution of durations. Percentiles are interpolated within histogram buckets."""

    count: Count
    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds
    top: Annotated[
        float, Field(description="Upper limit of the histogram (ms). A percentile equal to it can be higher.")
    ]


class ReasonCount(View):
    """Number of feeds with one mode and reason."""

    mode: Mode
    reason: Reason
    count: Count


class FeedTraffic(View):
    """Feeds that were served."""

    count: Count
    per_second: Amount
    empty: Annotated[Count, Field(description="Feeds without any video.")]
    times: Times
    reasons: Annotated[list[ReasonCount], Field(description="The most frequent first.")]


class StageTimes(Times):
    """Durations of one stage of feeds of one mode. Every eighth feed is timed."""

    stage: str
    mode: Mode


class EventTraffic(View):
    """Events, and their processing delays."""

    accepted: Count
    rejected: Count
    folded: Count
    late: Annotated[Count, Field(description="Events folded more than 10 s after their acceptance.")]
    times: Annotated[Times, Field(description="Response times of `POST /v1/events/batch`.")]
    fold_lag: Annotated[Times, Field(description="From a batch's acceptance to its user's signals.")]
    statistics_lag: Annotated[Times, Field(description="From a batch's acceptance to video statistics.")]


class Answers(View):
    """Responses of all endpoints, by class of status."""

    status: Annotated[str, Field(json_schema_extra=one_of("2xx", "3xx", "4xx", "5xx", "other"))]
    count: Count


class Queue(View):
    """Length of one subscription's queue, a few seconds old."""

    subscription: str
    messages: Annotated[Count, Field(description="Waiting messages. One read counts only a limited number of them.")]
    oldest_seconds: Annotated[Amount | None, Field(description="Age of the oldest message; null: none waits.")]
    dead_letters: Count


class Held(View):
    """Age of the data cached from a source."""

    source: str
    seconds: Annotated[Amount | None, Field(description="null: the source was never read.")]


class Dependency(View):
    """Current state of a dependency."""

    name: str
    state: Annotated[str, Field(json_schema_extra=one_of("ready", "slow", "unavailable"))]


class Outage(View):
    """An outage: calls of one kind that fail now."""

    name: str
    reason: str
    seconds: Annotated[Amount, Field(description="Seconds since the first failure.")]
    failures: Count
    error_id: Annotated[str, Field(description="Error id, the same in responses and in the log.")]


class FlagState(View):
    """A flag's global switch. Targeting rules and tenants' overrides can restrict it further."""

    name: str
    help: str
    on: Annotated[bool | None, Field(description="null: the flags were never read.")]


class Operating(View):
    """Metrics of the last minutes and current state of one instance, or of the whole machine. Names no tenant."""

    as_of: Time
    scope: Annotated[
        str,
        Field(
            description="`instance`: the data of one of several instances; another can respond to the next call. "
            "`machine`: the data of the whole service.",
            json_schema_extra=one_of(INSTANCE, MACHINE),
        ),
    ]
    seconds: Annotated[
        Amount, Field(description="Length of the window. Shorter than requested after a start, longer after a pause.")
    ]
    feeds: FeedTraffic
    stages: list[StageTimes]
    events: EventTraffic
    answers: list[Answers]
    queues: Annotated[
        list[Queue] | None,
        Field(
            description="Queues of the whole service. null: the bus did not respond. A subscription that did not "
            "respond is left out."
        ),
    ]
    held: list[Held]
    dependencies: list[Dependency]
    outages: list[Outage]
    flags: list[FlagState]
    flags_in: Annotated[
        str, Field(description="Where flags are switched.", json_schema_extra=one_of(APP_CONFIGURATION, FILE))
    ]
