"""Response models of the privacy endpoints: a user's signals, data export, and erasure receipt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.web.responses import Amount, Count, Time, View
from stories.responses import ExportedPerson


class CategoryFigures(View):
    """A user's counters of one category."""

    views: Amount
    watch_time_ms: Amount
    skips: Amount


class UserSignals(View):
    """Summary of a user's signals."""

    category_stats: dict[str, CategoryFigures]
    category_stats_lost: Amount
    half_life_days: Amount
    total_views_last7d: Annotated[Count, Field(alias="totalViewsLast7d")]
    total_watch_time_last7d_ms: Annotated[Count, Field(alias="totalWatchTimeLast7dMs")]
    skip_rate_last7d: Annotated[float, Field(alias="skipRateLast7d", ge=0, le=1)]
    events: Count
    seen_videos: Count
    not_interested_videos: Count
    last_active_at: Time
    updated_at: Time


class SubjectFigures(View):
    """A user's counters of one tag or creator."""

    views: Amount
    watched_share: Amount
    skips: Amount
    approvals: Amount
    interest: Annotated[float, Field(ge=0, description="Views weighted by the time watched: at most 1 each.")]


class SubjectFiguresWithTime(SubjectFigures):
    """A user's counters of one category, with watch time."""

    watch_time_ms: Amount


class RememberedVideo(View):
    """A video in one of the lists of a user's signals."""

    video_ids: list[str]
    at: Time


class PlayedVideo(RememberedVideo):
    """A play reported by heartbeats, as `#` and its fingerprint. `seconds`: counted so far; `at`: its start."""

    seconds: Count


class FollowedSubject(View):
    """A creator, category or series the user follows."""

    kind: Annotated[str | None, Field(description="null: the name is no longer known.")]
    id: str
    at: Time


class FinishedEpisode(View):
    """The furthest episode of a series that the user finished."""

    series: str
    season: Count | None
    episode: Count | None
    day: Annotated[str, Field(json_schema_extra={"format": "date"})]


class ListEntry(View):
    """An entry of one of the user's lists."""

    id: Annotated[str, Field(description="A video's id. In the list of follows: `kind:id`.")]
    added_at: Time | None
    removed_at: Annotated[
        Time | None, Field(description="When it was last removed. The entry is on the list if `addedAt` is later.")
    ]
    position_ms: Count


class DayFigures(View):
    """A user's counters of one day (UTC)."""

    day: Annotated[str, Field(json_schema_extra={"format": "date"})]
    views: Count
    watch_time_ms: Count
    skips: Count


_BY_NAME = "Decayed to now, by name; `#` and a fingerprint if the name is no longer known."
_VIDEOS = "Each video is stored as a fingerprint, which several ids can match; `#` and the fingerprint if none does."
Remembered = Annotated[list[RememberedVideo], Field(description=_VIDEOS)]


class ExportedSignals(View):
    """Everything in a user's signals."""

    events: Count
    last_active_at: Time
    updated_at: Time
    half_life_days: Amount
    categories: Annotated[dict[str, SubjectFiguresWithTime], Field(description=_BY_NAME)]
    tags: Annotated[dict[str, SubjectFigures], Field(description=_BY_NAME)]
    creators: Annotated[dict[str, SubjectFigures], Field(description=_BY_NAME)]
    seen: Remembered
    watched_long: Remembered
    skipped: Remembered
    not_interested: Remembered
    follows: Annotated[list[FollowedSubject], Field(description="`#` and a fingerprint if the name is unknown.")]
    finished_episodes: list[FinishedEpisode]
    play_progress: list[PlayedVideo]
    counted_receipts: Annotated[
        Count, Field(description="Served pages for which the service stores what statistics have counted.")
    ]
    recent_event_fingerprints: list[Annotated[str, Field(pattern="^[0-9a-f]{8}$")]]
    days: Annotated[list[DayFigures], Field(description="Plain counts, the newest day first.")]


class ImportedHistory(View):
    """Past events of the user that the tenant imported."""

    job: str
    rows: Annotated[Count, Field(description="Rows of this user that count.")]
    sent_at: Time


class UserExport(View):
    """Everything stored about a user."""

    tenant_id: str
    stored_as: str
    signals: Annotated[ExportedSignals | None, Field(description="null: erased, or no event was processed yet.")]
    lists: Annotated[dict[str, list[ListEntry]], Field(description="Saved, liked, continue and following.")]
    erased_at: Time | None
    folded_batches: list[str]
    imported_history: list[ImportedHistory]
    person: Annotated[ExportedPerson | None, Field(description="null: nothing is stored about people and stories.")]
    archive: str


class Remainder(View):
    """Data that an erasure leaves for a limited time."""

    what: str
    until: Time


class ErasureReceipt(View):
    """Receipt of an erasure: what was deleted, and what remains until when."""

    receipt_id: str
    erased_at: Time
    deleted: dict[str, Count]
    remaining: list[Remainder]
