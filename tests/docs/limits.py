"""Figures in the documentation that are limits, objectives or facts, each with the place it comes from.

A figure that is neither here nor beside the command that prints it fails `test_figures.py`; a limit that is changed in
the code fails every page that still has the old one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from cms.changes import AUDIT_TTL_SECONDS, MAX_KEPT_BYTES
from cms.history.models import KEEP_SECONDS as KEEP_HISTORY_SECONDS
from cms.imports.files import MAX_FILE_BYTES
from cms.imports.models import KEEP_SECONDS as KEEP_IMPORTS_SECONDS
from cms.videos.models import KEEP_EXPIRED_SECONDS
from cms.videos.playback import FOUR_WEEKS
from events.archive import KEEP_DAYS as KEEP_ARCHIVE_DAYS
from events.archived_pages import MAX_BYTES, MAX_SECONDS
from events.batch_rows import COMPRESS_FROM_BYTES
from events.dead_letters import KEEP_SECONDS as KEEP_LETTERS_SECONDS
from events.erasures import KEEP_SECONDS as KEEP_ERASURES_SECONDS
from events.experiment_statistics import CONFIDENCE
from events.fold_markers import MARKER_TTL_SECONDS
from events.frame import MAX_CONTENT_BYTES
from events.list_changes import FINISHED_FOR_MS, FINISHED_SHARE, STARTED_MS
from events.schema import CLAMP_AHEAD_SECONDS, MAX_AGE_SECONDS
from events.signals_consumer import LATE_SECONDS
from events.signals_consumer import MAX_AGE_SECONDS as MAX_MESSAGE_AGE_SECONDS
from events.video_facts import FACTS_BYTES, MAX_REMEMBERED, REMEMBER_ABSENT_SECONDS, REMEMBER_SECONDS
from feed.api import CONFIG_MAX_AGE_SECONDS
from feed.breaker import Objective
from feed.catalog import STALE_SECONDS
from feed.cursor import MAX_CHARS
from feed.cursor import VALID_SECONDS as CURSOR_SECONDS
from feed.editorial import MATCHING_BYTES, MOMENT_SECONDS, STEERING_BYTES
from feed.fallback import ORDERS_BYTES
from feed.pipeline import FLAGS_STALE_SECONDS
from feed.ready_pages import READY_BYTES
from feed.signals_reader import KEPT_BYTES as SIGNALS_KEPT_BYTES
from infra.capacity import RATES, write_units
from privacy.api import BACKUP_DAYS
from ranking.catalog_stats import KEEP_SECONDS as KEEP_STATIC_SECONDS
from ranking.features import FRESH_HOURS
from ranking.watching import LONG_VIEW_SECONDS
from shared.adapters.bus.port import LOCK_SECONDS, MAX_MESSAGE_BYTES, MESSAGE_TTL_SECONDS
from shared.domain.counted_receipts import SPAN_SECONDS
from shared.domain.event_types import MAX_BODY_BYTES
from shared.domain.feed_receipt import VALID_SECONDS as FEED_REQUEST_SECONDS
from shared.domain.finished_episodes import ROW_BYTES
from shared.domain.holdout_users import HOLDOUT_SHARE
from shared.domain.player_media import MAX_METADATA_BYTES
from shared.domain.tenant_cache import ENTRY_BYTES
from shared.domain.user_signals import IDENTITY_DAYS, MAX_DOCUMENT_BYTES, SIGNALS_TTL_SECONDS
from shared.observability.telemetry_export import TRACES_PER_SECOND
from shared.settings import Settings
from shared.web.bodies import ALWAYS_BYTES
from shared.web.compression import LEAST_BYTES
from shared.web.endpoint import MAX_HEADER_CHARS
from shared.web.user_tokens import KEPT_BYTES as TOKENS_KEPT_BYTES
from shared.web.user_tokens import MAX_LIFETIME_SECONDS, SKEW_SECONDS
from stories.activity import KEEP_SECONDS as KEEP_STORY_ACTIVITY_SECONDS
from stories.activity_api import REACTIONS_A_MINUTE
from stories.posting import POSTS_A_MINUTE
from tests.docs.pages import ROOT

MINUTE, DAY = 60.0, 86_400.0
HOST = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
SAMPLING = HOST["logging"]["applicationInsights"]["samplingSettings"]
BREAKER = Objective()


@dataclass(frozen=True, slots=True)
class Limit:
    """`value` in seconds, bytes, percent, request units, dollars or per second, by `kind`.

    `pages` begin the names of those pages that may say it.
    """

    what: str
    kind: str
    value: float
    pages: tuple[str, ...]


def _of(kind: str, pages: str, **values: float) -> list[Limit]:
    names = tuple(f"docs/{page}" if page.islower() else page for page in pages.split())
    return [Limit(what.replace("_", " "), kind, float(value), names) for what, value in values.items()]


def _minutes(timespan: str) -> float:
    hours, minutes, seconds = timespan.split(":")
    return 3_600.0 * int(hours) + 60.0 * int(minutes) + int(seconds)


_EVERYWHERE = "api events lists retention security telemetry operations cms decisions design"

LIMITS: list[Limit] = [
    # from the code
    *_of(
        "time",
        _EVERYWHERE,
        cursor=CURSOR_SECONDS,
        feed_request_id=FEED_REQUEST_SECONDS,
        user_token_at_most=MAX_LIFETIME_SECONDS,
        skew_of_user_tokens=SKEW_SECONDS,
        age_of_an_event=MAX_AGE_SECONDS,
        ahead_of_now=CLAMP_AHEAD_SECONDS,
        age_of_a_message=MAX_MESSAGE_AGE_SECONDS,
        marker=MARKER_TTL_SECONDS,
        message=MESSAGE_TTL_SECONDS,
        lock=LOCK_SECONDS,
        signals=SIGNALS_TTL_SECONDS,
        identities=IDENTITY_DAYS * DAY,
        tombstone=KEEP_ERASURES_SECONDS,
        dead_letters=KEEP_LETTERS_SECONDS,
        archive=KEEP_ARCHIVE_DAYS * DAY,
        archive_on_one_machine=(KEEP_ARCHIVE_DAYS - 1) * DAY,
        backups=BACKUP_DAYS * DAY,
        counts_late=LATE_SECONDS,
    ),
    *_of("time", "api", configuration=CONFIG_MAX_AGE_SECONDS, fallback_page=10),
    *_of("time", "api", patience_of_the_client=10),
    *_of("bytes", "api events security", batch=MAX_BODY_BYTES, headers=MAX_HEADER_CHARS),
    *_of("bytes", "api", answers_are_compressed_from=LEAST_BYTES),
    *_of("bytes", "events", unpacked_whatever_the_ratio=ALWAYS_BYTES),
    *_of(
        "time",
        "cms",
        expired_video=KEEP_EXPIRED_SECONDS,
        import_job=KEEP_IMPORTS_SECONDS,
        history_job=KEEP_HISTORY_SECONDS,
        history=AUDIT_TTL_SECONDS,
        rules_look_at_the_time=MOMENT_SECONDS,
    ),
    *_of("time", "cms", playback=FOUR_WEEKS * DAY),
    *_of("percent", "cms", plays_that_fail=5),  # alerts.json
    *_of("percent", "cms ranking decisions design operations api", held_out_users=100 * HOLDOUT_SHARE),
    *_of("bytes", "cms decisions/0052", archive_read_for_a_served_page=MAX_BYTES),
    *_of("time", "cms decisions/0052", search_for_a_served_page=MAX_SECONDS),
    *_of("bytes", "cms", import_file=MAX_FILE_BYTES, metadata_of_a_video=MAX_METADATA_BYTES),
    *_of("time", "lists", started=STARTED_MS / 1000, finished=FINISHED_FOR_MS / 1000),
    *_of("percent", "lists", finished_share=100 * FINISHED_SHARE),
    *_of("bytes", "design data-model decisions", finished_episode=ROW_BYTES),
    *_of("time", "events", long_view=LONG_VIEW_SECONDS, receipts_are_remembered=SPAN_SECONDS),
    *_of(
        "bytes",
        "security",
        what_rules_mean=STEERING_BYTES,
        what_rules_match=MATCHING_BYTES,
        popular_orders=ORDERS_BYTES,
        ready_pages=READY_BYTES,
        signals_in_memory=SIGNALS_KEPT_BYTES,
        facts_in_memory=MAX_REMEMBERED * (FACTS_BYTES + ENTRY_BYTES),
        user_tokens_in_memory=TOKENS_KEPT_BYTES,
    ),
    *_of("time", "telemetry operations flags", flags_are_read=Settings().flags_refresh_seconds),
    *_of("time", "operations", a_fold_waits=Settings().fold_patience_seconds),
    *_of("time", "operations", budget_of_signals=Settings().signals_budget_ms / 1000),
    *_of("percent", "telemetry", confidence=100 * CONFIDENCE),
    *_of("time", "retention", story_activity=KEEP_STORY_ACTIVITY_SECONDS),
    *_of("rate", "stories", posts=POSTS_A_MINUTE / MINUTE, reactions=REACTIONS_A_MINUTE / MINUTE),
    *_of("rate", "api", requests_of_a_user=Settings().user_requests_per_second),
    *_of("rate", "telemetry", traces=TRACES_PER_SECOND),
    *_of(
        "time",
        "telemetry",
        breaker_looks_back=Objective().window_seconds,
        breaker_pauses=Objective().longest_pause_seconds,
    ),
    *_of("time", "operations", a_function_may_run=_minutes(HOST["functionTimeout"])),
    *_of(
        "rate",
        "operations",
        sampled=HOST["logging"]["applicationInsights"]["samplingSettings"]["maxTelemetryItemsPerSecond"],
    ),
    *_of("percent", "operations", the_whole_quota=100),
    *_of("rate", "operations design", peak=RATES[1]),
    *_of(
        "time",
        "design cms",
        content_is_pulled=Settings().content_refresh_seconds,
        a_request_waits_for_content=STALE_SECONDS,
    ),
    *_of(
        "time",
        "design",
        flags_are_read_in_the_design=Settings().flags_refresh_seconds,
        a_request_waits_for_flags=FLAGS_STALE_SECONDS,
        signals_are_kept=Settings().signals_cache_seconds,
        publishing=Settings().publish_budget_ms / 1000,
        folding_waits=Settings().fold_patience_seconds,
        waiting_for_flags=0.05,  # feed/pipeline.py
        facts_of_videos=REMEMBER_SECONDS,
        facts_of_unknown_videos=REMEMBER_ABSENT_SECONDS,
        features_are_computed=KEEP_STATIC_SECONDS,
        statistics_in_all=2 * MINUTE,  # a drain, a pull, features
    ),
    *_of("time", "design decisions", batches_gather=Settings().pack_linger_ms / 1000),
    *_of("time", "decisions", folded_batches_gather=Settings().hand_on_linger_ms / 1000),
    *_of("time", "design decisions", a_drain=30),  # the schedule of `roll_up` in function_app.py
    *_of("bytes", "design decisions", signals_document=MAX_DOCUMENT_BYTES, cursor=MAX_CHARS, a_batch=MAX_BODY_BYTES),
    *_of("bytes", "design", import_file_of_the_design=MAX_FILE_BYTES),
    *_of("bytes", "decisions", identity_of_an_event=8, served_video_in_a_cursor=4, audited_document=MAX_KEPT_BYTES),
    *_of("bytes", "design", logical_partition_of_cosmos=20e9),  # a limit of the platform
    *_of("time", "data-model operations", signals_live=SIGNALS_TTL_SECONDS, receipts=FEED_REQUEST_SECONDS),
    *_of("time", "data-model operations", cursors=CURSOR_SECONDS),
    *_of("bytes", "data-model", message=MAX_MESSAGE_BYTES, compressed_from=COMPRESS_FROM_BYTES),
    *_of("bytes", "data-model", compressed_content=MAX_CONTENT_BYTES, nonce=12, tag=16),
    *_of("request units", "design", write=round(write_units(0), 1)),
    *_of("percent", "decisions", cpu_of_telemetry=5, everybody=100),
    *_of("rate", "decisions", recency_of_the_first_design=0.1 / 3_600),
    *_of("time", "ranking", newness_halves=FRESH_HOURS * 3_600, long_view_in_ranking=LONG_VIEW_SECONDS),
    *_of("time", "ranking", usual_duration=30, recent_tastes=12 * 3_600, recent_creators=48 * 3_600),  # formulas
    # objectives: what is promised, and what watches over it
    *_of("time", "operations azure design", feed_p95=0.25, feed_p99=0.6),  # alerts.json
    *_of("time", "operations telemetry cms", content=60, switch=30),  # make prove-switch, -freshness
    *_of("time", "operations telemetry cms design", seen_everywhere=15),  # make prove-freshness
    *_of("time", "operations design", events_count=5 * MINUTE),  # alerts.json
]

OWED: set[tuple[str, str]] = set()
"""Page and figure: what was measured once and names no command yet. An entry goes with its figure; none comes."""
