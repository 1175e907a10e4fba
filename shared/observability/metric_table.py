"""Lists every metric with its meaning, kind and labels. Tests hold dashboards and alerts to this table.

Labels come from small closed sets: never a key, a user, a hash or free text. Times are in milliseconds unless the
name says otherwise. `python -m shared.observability.metric_table` prints docs/metrics.md.
"""

from __future__ import annotations

from typing import NamedTuple

BUCKETS_MS = (1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 50.0, 100.0, 150.0, 250.0, 600.0, 1_000.0, 2_500.0, 10_000.0)
"""Upper edges. They include the objectives of the feed (15, 50, 150, 250, 600 ms) and of events (10 s)."""
LAG_BUCKETS_MS = (50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0, 300_000.0, 3.6e6)
STAGE_BUCKETS_MS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 600.0)
SHARE_BUCKETS = tuple(round(step / 20, 2) for step in range(21))
CORRELATION_BUCKETS = tuple(round(step / 10, 1) for step in range(-10, 11))

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


class Metric(NamedTuple):
    """Meaning of a metric, its labels in order, its kind, and the upper bucket edges of a histogram."""

    help: str
    labels: tuple[str, ...] = ()
    kind: str = COUNTER
    buckets: tuple[float, ...] = BUCKETS_MS


METRICS: dict[str, Metric] = {
    # Adoption and latency
    "feed_requests": Metric(
        "Feed pages served. `reason` says why a page is not personalized; empty when it is",
        ("tenant", "mode", "reason"),
    ),
    "feed_duration_ms": Metric(
        "Time to serve a feed page, in ms. Objective: p99 of 150 ms inside the app", ("mode",), HISTOGRAM
    ),
    "feed_stage_ms": Metric(
        "Time of one stage of a feed page, in ms. Measured for every eighth page and for sampled traces",
        ("stage", "mode"),
        HISTOGRAM,
        STAGE_BUCKETS_MS,
    ),
    "feed_empty": Metric("Feed pages without a video. Check the tenant's filters, schedule and catalog", ("tenant",)),
    "similar_requests": Metric(
        "Pages of similar videos served. `reason` says why a page is not personalized", ("tenant", "mode", "reason")
    ),
    "hints_unread": Metric(
        "Hints of requests (country, language and so on) that could not be read and were ignored", ("hint",)
    ),
    "http_requests": Metric("HTTP responses, by status class (`2xx`, `4xx`, `5xx`)", ("endpoint", "status")),
    "http_duration_ms": Metric("Time to answer an HTTP request, in ms", ("endpoint",), HISTOGRAM),
    "http_problems": Metric("HTTP responses other than success, by error code", ("endpoint", "code")),
    # Use of served videos
    "feedback_events": Metric(
        "Counted events that quote a valid feed request. `mode`: how the page was made; `start`: new (`cold`) or "
        "known (`warm`) user",
        ("mode", "start", "type"),
    ),
    "feedback_watched_ms": Metric(
        "Watch time of served videos, in ms. Divided by `feedback_offered_ms` it is the share watched",
        ("mode", "start"),
    ),
    "feedback_offered_ms": Metric(
        "Total length, in ms, of the served videos whose watch time was reported", ("mode", "start")
    ),
    "playback_events": Metric(
        "Plays that began, stalled or failed; each kind counts once a page and video. Worry when more than 5 % fail",
        ("tenant", "type"),
    ),
    # Stories
    "stories_created": Metric("Stories posted", ("tenant", "visibility")),
    "stories_expired": Metric("Stories ended because their time was over", ("tenant",)),
    "story_views": Metric("First views of a story by a viewer; the author's own are not counted", ("tenant",)),
    "story_reactions": Metric(
        "Reactions to stories. `emoji` is the index of the emoji among the six", ("tenant", "emoji")
    ),
    "story_reports": Metric("Reports of stories; a second one by the same person is not counted", ("tenant", "reason")),
    "stories_held": Metric("Stories hidden because enough people reported them", ("tenant",)),
    "story_decisions": Metric("Decisions of editors on reported stories", ("tenant", "outcome")),
    "story_searches": Metric("Searches of stories answered", ("tenant",)),
    "story_rows": Metric(
        "Pages of the stories row served. `reason` says why a page is not ranked or is empty",
        ("tenant", "mode", "reason"),
    ),
    "story_expiry_ms": Metric("Time of one run that ends expired stories, in ms", (), HISTOGRAM),
    "story_expiry_lag_seconds": Metric(
        "Longest time between a story's expiry and its end, in the last run, in seconds. Worry when it grows: media "
        "of ended stories is still stored",
        (),
        GAUGE,
    ),
    "story_catalogs_evicted": Metric("Tenants whose stories were evicted from one process's memory, idle ones first"),
    "uploads": Metric(
        "Uploads, by outcome: `started`, `done`, or refused for `size`, `type` or `late`", ("tenant", "outcome")
    ),
    "live_sends": Metric(
        "Live notifications of story authors, by outcome: `sent`, `failed`, `dropped` (too many authors wait), "
        "`no_address` (Web PubSub gave no address)",
        ("outcome",),
    ),
    # Events
    "events_accepted": Metric("Events accepted", ("tenant",)),
    "device_clocks": Metric(
        "Batches whose `sentAt` corrected the times of their events (`corrected`), or could not be read (`unreadable`)",
        ("outcome",),
    ),
    "events_rejected": Metric(
        "Events refused, by error code; the rest of their batch is accepted. Worry when it grows: an app sends "
        "invalid events",
        ("tenant", "code"),
    ),
    "events_folded": Metric("Events added to users' signals; duplicates are not counted", ("tenant",)),
    "events_late": Metric(
        "Events folded more than 10 s after they were accepted. Worry above 1 % of `events_folded`", ("tenant",)
    ),
    "events_unknown_video": Metric("Events about a video that the tenant does not have", ("tenant",)),
    "events_passed_over": Metric("Events skipped because only a later release knows their type", ("subscription",)),
    "events_not_counted": Metric(
        "Events that do not count in statistics and co-watch, by reason: no valid receipt, video not on that page, "
        "counted before, over the daily cap and the like",
        ("reason",),
    ),
    "events_over_peak": Metric(
        "Events above four times a tenant's usual peak minute: archived, not counted. A launch: raise "
        "`USUAL_PEAK_FLOOR`",
        ("tenant",),
    ),
    "history_rows": Metric("Rows of imported history, by outcome", ("tenant", "outcome")),
    "batches_folded": Metric(
        "Batches handled by the fold, by outcome. `failed`, `refused` and `unreadable` are now dead letters",
        ("outcome",),
    ),
    "fold_lag_ms": Metric(
        "Time from a batch's acceptance to its fold, in ms. Objective: 10 s", (), HISTOGRAM, LAG_BUCKETS_MS
    ),
    "fold_conflicts": Metric("Folds repeated because another worker wrote the user's signals first"),
    "fold_retries": Metric("Retries of a fold because the store or the bus did not answer"),
    "batches_rolled_up": Metric(
        "Batches handled by the roll-up, by outcome: `added`, `duplicate`, `again`, `removed_tenant`. Also failed "
        "sessions: `lock_lost`, `incomplete`, `refused`, `failed`",
        ("outcome",),
    ),
    "batches_archived": Metric(
        "Batches at the archive, by outcome: `written`, `switched_off` (flag `archive`), `too_late` (not written)",
        ("outcome",),
    ),
    "events_sampled": Metric("Events written to the sample that the nightly learning reads"),
    "rollup_sessions_parked": Metric(
        "Sessions of the roll-up (a tenant, or a shard of one) that failed and pause for up to ten minutes. Worry "
        "above 0: the log says why",
        (),
        GAUGE,
    ),
    "rollup_writes": Metric("Writes of video statistics, each of one shard"),
    "rollup_lag_ms": Metric(
        "Time from a batch's acceptance to video statistics, in ms. Worry above 5 minutes",
        (),
        HISTOGRAM,
        LAG_BUCKETS_MS,
    ),
    "messages_set_aside": Metric(
        "Messages that a consumer moved to the dead letters, by reason. Worry above 0: see *Replay dead letters* in "
        "operations.md",
        ("subscription", "reason"),
    ),
    "queue_messages": Metric(
        "Messages that wait in a subscription; one can hold several batches. On Service Bus the gauge shows at most "
        "1,000",
        ("subscription",),
        GAUGE,
    ),
    "queue_oldest_seconds": Metric(
        "Age of the oldest message that is not settled, in seconds. Worry above 300 for `rollup`",
        ("subscription",),
        GAUGE,
    ),
    "dead_letters": Metric(
        "Dead letters of a subscription. Worry above 0. On Service Bus the gauge shows at most 1,000",
        ("subscription",),
        GAUGE,
    ),
    "dead_letters_dropped": Metric(
        "Dead letters deleted because they were too old, or their user or tenant was erased", ("subscription",)
    ),
    "erasures": Metric("Requests to erase a user that succeeded", ("tenant",)),
    # Data in memory
    "refresh_failures": Metric(
        "Failed refreshes of data in memory, by source; also waits that ran out, and failed loads of co-watch "
        "tables (`cowatch`). The data held stays in force",
        ("source",),
    ),
    "refresh_age_seconds": Metric(
        "Age of data in memory, in seconds, by source. Worry above 60: takedowns and flags come late",
        ("source",),
        GAUGE,
    ),
    "negative_ages": Metric("Ages below zero: a clock that must not go back did", ("source",)),
    "flags_on": Metric(
        "1 while a flag's own switch is on, 0 while it is off; targeting is not considered", ("flag",), GAUGE
    ),
    "flags_odd": Metric(
        "Records of flags that cannot be read, by reason. Worry above 0: such a flag has its default, or is on for "
        "nobody",
        ("reason",),
        GAUGE,
    ),
    "flag_failures": Metric("Evaluations of a flag that failed; the flag was off for that user", ("flag",)),
    "catalogs_evicted": Metric(
        "Tenants whose catalog was evicted from one process's memory, idle ones first. If it grows, raise "
        "`VIDEOS_IN_MEMORY`",
    ),
    "cowatch_tables": Metric(
        "Co-watch tables: `built`, `empty` (nobody watched anything), or a file that cannot be read "
        "(`unreadable_blob`, `unreadable_training`)",
        ("outcome",),
    ),
    "learning_runs": Metric("Runs of a tenant's nightly learning, by outcome. `failed` is tried again", ("outcome",)),
    "learning_ms": Metric(
        "Time of a tenant's nightly learning, in ms", (), HISTOGRAM, (1e3, 5e3, 15e3, 30e3, 60e3, 120e3, 240e3, 480e3)
    ),
    "learning_files": Metric("Files that the nightly learning could not read and left out, by kind", ("kind",)),
    "unreadable_links": Metric(
        "Links of stored videos that are not valid URLs, counted at each load and change. `playback`: the video is "
        "not served; `thumbnail`: it is served without the link",
        ("field",),
    ),
    "unreadable_documents": Metric(
        "Stored documents found that cannot be read, by kind; each is left out and counted once", ("kind",)
    ),
    "changes_passed_over": Metric(
        "Items in a change feed that another program wrote, without our partition key; they are skipped. Delete them",
        ("container",),
    ),
    "invalid_weights": Metric(
        "Stored models or weights that cannot be served; the global model is used instead; an experiment's arm is "
        "left out",
        ("tenant",),
    ),
    # Dependencies
    "store_calls": Metric(
        "Document store calls, by outcome. Worry when `throttled` or `unavailable` grow", ("operation", "status")
    ),
    "store_call_ms": Metric("Time of a document store call, in ms", ("operation",), HISTOGRAM),
    "store_request_units": Metric("Request units that Cosmos DB charged", ("operation",)),
    "store_failures": Metric(
        "Failures of the document store or the blobs, and stored documents that cannot be read. `caller`: the "
        "endpoint, job or document concerned",
        ("caller",),
    ),
    "bus_failures": Metric(
        "Failures of the bus, and messages of a later release (`newer_message`). `caller`: the endpoint or job "
        "concerned",
        ("caller",),
    ),
    "dependency_failing": Metric(
        "1 while calls of a dependency fail, 0 once they succeed again", ("dependency",), GAUGE
    ),
    "loop_delay_ms": Metric(
        "Delay of the event loop while requests are served, in ms. From `SHED_DELAY_MS` feeds get the ready page, "
        "from `REFUSE_DELAY_MS` requests get 429",
        (),
        GAUGE,
    ),
    "signals_late": Metric(
        "Reads of a user's signals that failed or took longer than `SIGNALS_BUDGET_MS`; the feed was not personalized"
    ),
    "breaker_changes": Metric("State changes of a circuit breaker", ("breaker", "state")),
    "breaker_open": Metric(
        "1 while a circuit breaker is open or tries again, 0 while it is closed", ("breaker",), GAUGE
    ),
    "clock_ahead_seconds": Metric(
        "Seconds by which this instance's clock is ahead of a service's dates. Worry beyond 30", ("service",), GAUGE
    ),
    "clock_wrong": Metric(
        "1 while two services agree that the clock is wrong: no events are accepted or folded", (), GAUGE
    ),
    "clock_disputed": Metric("1 while services disagree about the time", (), GAUGE),
    "clock_steps": Metric("Times that the clock was set by more than 30 s while the process ran"),
    # Trials
    "dark_launch_compared": Metric(
        "Feeds of a dark launch, by outcome: `compared`, `cold_start` (no signals), `skipped` (too many at once), "
        "`failed`. The popular feed was served",
        ("tenant", "outcome"),
    ),
    "dark_launch_overlap": Metric(
        "Share of the first 20 videos that both feeds of a dark launch have in common, 0 to 1",
        (),
        HISTOGRAM,
        SHARE_BUCKETS,
    ),
    "dark_launch_correlation": Metric(
        "Spearman's rank correlation of the two feeds of a dark launch, -1 to 1", (), HISTOGRAM, CORRELATION_BUCKETS
    ),
    "experiment_feeds": Metric("Personalized feed pages served to an arm of an experiment", ("tenant", "arm")),
    "model_take_backs": Metric(
        "Learned models withdrawn because their users watched less than the holdout (`taken_back`), or checks of it "
        "that failed (`failed`)",
        ("tenant", "outcome"),
    ),
    "experiment_reports": Metric(
        "Experiment reports computed from the archive: `stored`, or `failed` for a whole tenant", ("outcome",)
    ),
    # Telemetry itself
    "log_lines": Metric("Log records: `written`, or `left_out` by sampling", ("outcome",)),
    "telemetry_exports": Metric("Exports of metrics, by exporter and outcome", ("exporter", "outcome")),
    "telemetry_series_dropped": Metric(
        "Values dropped because their metric has 3,000 label combinations already", ("metric",)
    ),
}


def as_markdown() -> str:
    """Return the text of `docs/metrics.md`."""
    lines = [
        "# Metrics",
        "",
        "For operators: every metric, its labels and what it counts or measures. [telemetry.md](telemetry.md) says how",
        "metrics are counted, exported and used.",
        "Generated by `python -m shared.observability.metric_table > docs/metrics.md`.",
        "",
        "| metric | kind | labels | what it counts or measures |",
        "|---|---|---|---|",
    ]
    for name, metric in METRICS.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "—"
        lines.append(f"| `{name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
