"""Every metric there is, as one table: what it says, its kind and its labels. Dashboards and alerts are tested
against it, and it is the documentation's source (`python -m shared.observability.metric_table > docs/metrics.md`).

Labels come from small closed sets: never a key, a user, a hash or free text. Times are in milliseconds unless the
name says otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

BUCKETS_MS = (1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 50.0, 100.0, 150.0, 250.0, 600.0, 1_000.0, 2_500.0, 10_000.0)
"""Upper edges; the objectives of the feed (15, 50, 150, 250, 600) and of events (10 s) are among them."""
LAG_BUCKETS_MS = (50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0, 300_000.0, 3.6e6)
STAGE_BUCKETS_MS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 600.0)
SHARE_BUCKETS = tuple(round(step / 20, 2) for step in range(21))
CORRELATION_BUCKETS = tuple(round(step / 10, 1) for step in range(-10, 11))

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


class Metric(NamedTuple):
    """A metric: its meaning, labels in order, kind, and a histogram's upper bucket edges."""

    help: str
    labels: tuple[str, ...] = ()
    kind: str = COUNTER
    buckets: tuple[float, ...] = BUCKETS_MS


METRICS: dict[str, Metric] = {
    # Adoption and latency
    "feed_requests": Metric("Feeds served", ("tenant", "mode", "reason")),
    "feed_duration_ms": Metric("Time to serve a feed", ("mode",), HISTOGRAM),
    "feed_stage_ms": Metric(
        "Time of one stage of a feed; every eighth feed is timed", ("stage", "mode"), HISTOGRAM, STAGE_BUCKETS_MS
    ),
    "feed_empty": Metric("Feeds without a single video", ("tenant",)),
    "similar_requests": Metric("Lists of similar videos served", ("tenant", "mode", "reason")),
    "hints_unread": Metric("Hints of feed requests that could not be read", ("hint",)),
    "http_requests": Metric("Answers, by the class of their status", ("endpoint", "status")),
    "http_duration_ms": Metric("Time to answer", ("endpoint",), HISTOGRAM),
    "http_problems": Metric("Answers other than success", ("endpoint", "code")),
    # What people did with what they were served
    "feedback_events": Metric("Events about served videos", ("mode", "start", "type")),
    "feedback_watched_ms": Metric("Watch time of served videos", ("mode", "start")),
    "feedback_offered_ms": Metric("Length of the served videos whose watch time was reported", ("mode", "start")),
    "playback_events": Metric("Plays that began, stalled or failed, once a page and video", ("tenant", "type")),
    # Stories
    "stories_created": Metric("Stories posted", ("tenant", "visibility")),
    "stories_expired": Metric("Stories whose time came", ("tenant",)),
    "story_views": Metric("First views of stories", ("tenant",)),
    "story_reactions": Metric("Reactions to stories, by the place of the emoji among the six", ("tenant", "emoji")),
    "story_reports": Metric("First reports of stories by a person", ("tenant", "reason")),
    "stories_held": Metric("Stories that reports hold back, by the report that did it", ("tenant",)),
    "story_decisions": Metric("Decisions of editors on reported stories", ("tenant", "outcome")),
    "story_searches": Metric("Searches of stories answered", ("tenant",)),
    "story_rows": Metric("Rows of stories served", ("tenant", "mode", "reason")),
    "story_expiry_ms": Metric("Time of one look for stories that are over", (), HISTOGRAM),
    "story_expiry_lag_seconds": Metric("How long the latest was over before it was ended", (), GAUGE),
    "story_catalogs_evicted": Metric("Tenants whose stories one process let go of, to make room"),
    "uploads": Metric(
        "Uploads that were started, done, or refused for `size`, `type` or `late`", ("tenant", "outcome")
    ),
    "live_sends": Metric("Nudges to authors: sent, failed, dropped, no_address", ("outcome",)),
    # Events
    "events_accepted": Metric("Events accepted", ("tenant",)),
    "device_clocks": Metric("Batches whose `sentAt` corrected their times, or could not be read", ("outcome",)),
    "events_rejected": Metric("Events refused one by one", ("tenant", "code")),
    "events_folded": Metric("Events that were new when they were folded", ("tenant",)),
    "events_late": Metric("Events folded later than the objective of 10 s after their acceptance", ("tenant",)),
    "events_unknown_video": Metric("Events about a video the tenant does not have", ("tenant",)),
    "events_passed_over": Metric("Events of a type that only a later release knows", ("subscription",)),
    "events_not_counted": Metric("Events that statistics and co-watch do not count", ("reason",)),
    "events_over_peak": Metric("Events beyond four times a tenant's usual peak minute, not counted", ("tenant",)),
    "history_rows": Metric("Rows of tenants' past events that were imported", ("tenant", "outcome")),
    "batches_folded": Metric("Batches folded into signals", ("outcome",)),
    "fold_lag_ms": Metric("From a batch's acceptance to its fold", (), HISTOGRAM, LAG_BUCKETS_MS),
    "fold_conflicts": Metric("Folds repeated because another worker was first"),
    "fold_retries": Metric("Folds repeated because the store did not answer"),
    "batches_rolled_up": Metric("Batches added to video statistics", ("outcome",)),
    "batches_archived": Metric("Batches written to the archive", ("outcome",)),
    "events_sampled": Metric("Events written to the sample that ranking learns from"),
    "rollup_sessions_parked": Metric("Sessions of the roll-up that failed and are left alone for a while", (), GAUGE),
    "rollup_writes": Metric("Writes of video statistics"),
    "rollup_lag_ms": Metric("From a batch's acceptance to video statistics", (), HISTOGRAM, LAG_BUCKETS_MS),
    "messages_set_aside": Metric("Messages that cannot be understood, now dead letters", ("subscription", "reason")),
    "queue_messages": Metric(
        "Messages that wait, of one batch or several each, as far as one look shows", ("subscription",), GAUGE
    ),
    "queue_oldest_seconds": Metric("How long the oldest message waits that is not settled", ("subscription",), GAUGE),
    "dead_letters": Metric("Dead letters waiting for a decision", ("subscription",), GAUGE),
    "dead_letters_dropped": Metric("Dead letters dropped because of their age or an erasure", ("subscription",)),
    "erasures": Metric("Users erased", ("tenant",)),
    # What is held in memory
    "refresh_failures": Metric("A source of tenants, content, statistics or flags did not answer", ("source",)),
    "refresh_age_seconds": Metric("Age of what is held in memory", ("source",), GAUGE),
    "negative_ages": Metric("Ages below zero: a clock that must not go back did", ("source",)),
    "flags_on": Metric("1 while a flag's own switch is on, 0 while it is off", ("flag",), GAUGE),
    "flags_odd": Metric(
        "Records of flags that are passed over, or on for nobody, because they are odd", ("reason",), GAUGE
    ),
    "flag_failures": Metric("A flag could not be judged for a user, and was off", ("flag",)),
    "catalogs_evicted": Metric("Catalogs let go of to make room"),
    "cowatch_tables": Metric("Builds of co-watch tables", ("outcome",)),
    "learning_runs": Metric("Nights of a tenant's learning", ("outcome",)),
    "learning_ms": Metric(
        "Time of a tenant's nightly learning", (), HISTOGRAM, (1e3, 5e3, 15e3, 30e3, 60e3, 120e3, 240e3, 480e3)
    ),
    "learning_files": Metric("Files that the nightly learning could not read", ("kind",)),
    "unreadable_links": Metric(
        "Links of stored videos that no strict client could read, at each load or change", ("field",)
    ),
    "unreadable_documents": Metric("Stored documents of tenants that cannot be read and are passed over", ("kind",)),
    "changes_passed_over": Metric(
        "Items among changes that other programs wrote, without the key that ours have", ("container",)
    ),
    "invalid_weights": Metric("Stored weights that cannot be served", ("tenant",)),
    # Dependencies
    "store_calls": Metric("Document store calls", ("operation", "status")),
    "store_call_ms": Metric("Time of a document store call", ("operation",), HISTOGRAM),
    "store_request_units": Metric("Request units the document store charged", ("operation",)),
    "store_failures": Metric("Document store calls that failed", ("caller",)),
    "bus_failures": Metric("Bus calls that failed", ("caller",)),
    "dependency_failing": Metric("1 while calls of a dependency fail, 0 once they work again", ("dependency",), GAUGE),
    "loop_delay_ms": Metric("How late the event loop runs what is due while requests are served", (), GAUGE),
    "signals_late": Metric("Signals that did not come within their budget"),
    "breaker_changes": Metric("The breaker around a dependency changed its state", ("breaker", "state")),
    "breaker_open": Metric("1 while the breaker keeps requests away from a dependency", ("breaker",), GAUGE),
    "clock_ahead_seconds": Metric("How far the clock is ahead of a service's dates", ("service",), GAUGE),
    "clock_wrong": Metric("1 while two services agree that the clock is wrong: no events are accepted", (), GAUGE),
    "clock_disputed": Metric("1 while services disagree about the time", (), GAUGE),
    "clock_steps": Metric("The clock was set by more than 30 s while the process ran"),
    # Trials
    "dark_launch_compared": Metric("Feeds computed both ways, the baseline served", ("tenant", "outcome")),
    "dark_launch_overlap": Metric("Share of the first 20 both ways have in common", (), HISTOGRAM, SHARE_BUCKETS),
    "dark_launch_correlation": Metric("Rank correlation of the two ways", (), HISTOGRAM, CORRELATION_BUCKETS),
    "experiment_feeds": Metric("Personalized feeds served to an arm of an experiment", ("tenant", "arm")),
    "model_take_backs": Metric(
        "Learned models taken back because their users watched less than the holdout, or looks at it that failed",
        ("tenant", "outcome"),
    ),
    "experiment_reports": Metric("Reports of experiments worked out from the archive", ("outcome",)),
    # Telemetry itself
    "log_lines": Metric("Log records, written or left out by sampling", ("outcome",)),
    "telemetry_exports": Metric("Exports of metrics", ("exporter", "outcome")),
    "telemetry_series_dropped": Metric("Values of a new label combination beyond the limit of a metric", ("metric",)),
}


def as_markdown() -> str:
    """The table as documentation."""
    lines = [
        "# Metrics",
        "",
        "For operators: every metric, its labels and what it says. [telemetry.md](telemetry.md) says how metrics are",
        "counted, exported and used. Generated by `python -m shared.observability.metric_table > docs/metrics.md`.",
        "",
        "| metric | kind | labels | what it says |",
        "|---|---|---|---|",
    ]
    for name, metric in METRICS.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "—"
        lines.append(f"| `{name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
