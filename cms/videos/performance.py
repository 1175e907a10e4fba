"""CMS endpoint of performance: daily statistics of videos and categories, from the sums that the roll-up writes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import azure.functions as func
from pydantic import Field

from cms.documents import DocumentFlow
from cms.endpoint import LIMIT, cms_endpoint, query
from cms.request import CmsRequest
from cms.videos.daily_figures import read_days
from cms.videos.video_index import VideoIndexes
from cms.videos.video_search import IndexedVideo
from ranking.daily_table import COLUMNS, DayTable, key_of
from shared.domain.text import composed
from shared.web.declaration import Parameter
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem, bad_request
from shared.web.responses import Count, View

DAYS = (7, 28, 90)
BY_VIDEO, BY_CATEGORY = BY = ("video", "category")
SORTS = ("views", "impressions", "watchTimeMs", "completions", "likes", "playbackErrors")
_COLUMN = {name: "watchMs" if name == "watchTimeMs" else name for name in SORTS}
Sums = Mapping[str, int]

PARAMETERS = (
    Parameter("by", "query", "What each row stands for; `video` by default.", {"type": "string", "enum": [*BY]}),
    Parameter(
        "days", "query", "Number of days (UTC), including today; 7 by default.", {"type": "integer", "enum": [*DAYS]}
    ),
    Parameter(
        "sort", "query", "Sort key, the largest value first; `views` by default.", {"type": "string", "enum": [*SORTS]}
    ),
    query("video", "Only the video of this id."),
    query("category", "Only videos of this category."),
)


class PerformanceFigures(View):
    """Counts of viewers' actions. Each counts once for every page that offered the video."""

    impressions: Annotated[Count, Field(description="Number of times shown.")]
    views: Count
    watch_time_ms: Count
    completions: Annotated[Count, Field(description="Views to the end.")]
    likes: Annotated[Count, Field(description="Likes minus removed likes.")]
    playback_errors: Annotated[Count, Field(description="Plays that failed.")]


class PerformanceDay(PerformanceFigures):
    """One day (UTC)."""

    day: str


class PerformanceRow(PerformanceFigures):
    """A video or a category."""

    id: Annotated[str, Field(description="The video's id, or the category.")]
    title: Annotated[str, Field(description="The video's title, or the category.")]


class Performance(View):
    """Performance of videos: in total, by day, and by video or category."""

    days: Count
    by: str
    total: PerformanceFigures
    series: Annotated[list[PerformanceDay], Field(description="Every day, the oldest first.")]
    rows: Annotated[list[PerformanceRow], Field(description="Rows with any figures, sorted by `sort`.")]
    row_count: Annotated[Count, Field(description="Number of rows with figures, including those beyond `limit`.")]
    rest: Annotated[
        PerformanceFigures,
        Field(
            description="The part of the total that no row contains: of deleted videos, or of days with too many "
            "videos to count each."
        ),
    ]


class PerformanceApi:
    """Serves the performance of a tenant's videos over 7, 28 or 90 days."""

    def __init__(self, edge: Edge, flow: DocumentFlow, indexes: VideoIndexes) -> None:
        self.edge = edge
        self._documents = flow.store
        self._indexes = indexes

    @cms_endpoint(
        "GET",
        "performance",
        "Read the performance of videos and categories",
        {200: Performance},
        tag="videos",
        parameters=(*PARAMETERS, LIMIT),
        problems=("invalid_by", "invalid_days", "invalid_sort", "invalid_limit", "not_found"),
    )
    async def get_performance(self, call: CmsRequest) -> func.HttpResponse:
        """Return figures in total, by day, and by video or category. Events count within two minutes.

        There are no figures by rule or feed, because daily sums do not record why a video was on a page.
        """
        limit, _ = call.page()
        by, days, sort = _asked(call.request.params)
        wanted = await self._wanted(call)
        today = datetime.fromtimestamp(call.now, UTC).date()
        first = today - timedelta(days=days - 1)
        tables = await read_days(self._documents, call.tenant_id, first, today)
        return json_response(await asyncio.to_thread(_performance, tables, first, days, by, sort, wanted, limit))

    async def _wanted(self, call: CmsRequest) -> tuple[list[IndexedVideo], bool]:
        """Return the requested videos, and whether they are all videos."""
        rows: list[IndexedVideo] = list(await self._indexes.get(call.tenant_id))
        video, category = call.request.params.get("video"), call.request.params.get("category")
        if video:
            rows = [row for row in rows if row.id == video]
            if not rows:
                raise Problem(404, "not_found", "There is no video with this id.")
        if category:
            rows = [row for row in rows if row.category == composed(category)]
        return rows, not video and not category


def _asked(params: Mapping[str, str]) -> tuple[str, int, str]:
    by, days, sort = params.get("by") or BY_VIDEO, params.get("days") or "7", params.get("sort") or SORTS[0]
    if by not in BY:
        raise bad_request("invalid_by", "by must be video or category.")
    if days not in map(str, DAYS):
        raise bad_request("invalid_days", "days must be 7, 28 or 90.")
    if sort not in SORTS:
        raise bad_request("invalid_sort", f"sort must be one of {', '.join(SORTS)}.")
    return by, int(days), sort


def _performance(
    tables: Mapping[date, DayTable],
    first: date,
    days: int,
    by: str,
    sort: str,
    wanted: tuple[Collection[IndexedVideo], bool],
    limit: int,
) -> Performance:
    videos, are_all = wanted
    keys = {key_of(video.id) for video in videos}
    series, summed = [], DayTable()
    for day in (first + timedelta(days=at) for at in range(days)):
        table = tables.get(day, DayTable())
        summed.merge(table, bounded=False)
        series.append(
            PerformanceDay(day=day.isoformat(), **_fields(table.total() if are_all else table.total_of(keys)))
        )
    names: dict[str, str] = {}
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0))
    for video in videos:
        of_video = summed.of(video.id)
        if not any(of_video.values()):
            continue
        id = video.id if by == BY_VIDEO else video.category
        names[id] = video.title if by == BY_VIDEO else video.category
        for name, value in of_video.items():
            sums[id][name] += value
    total = summed.total() if are_all else summed.total_of(keys)
    rest = {name: max(0, value - sum(each[name] for each in sums.values())) for name, value in total.items()}
    order = sorted(sums, key=lambda id: (-sums[id][_COLUMN[sort]], -sums[id]["impressions"], id))
    return Performance(
        days=days,
        by=by,
        total=PerformanceFigures(**_fields(total)),
        series=series,
        rows=[PerformanceRow(id=id, title=names[id], **_fields(sums[id])) for id in order[:limit]],
        row_count=len(order),
        rest=PerformanceFigures(**_fields(rest)),
    )


def _fields(sums: Sums) -> dict[str, Any]:
    return {
        "impressions": sums["impressions"],
        "views": sums["views"],
        "watch_time_ms": sums["watchMs"],
        "completions": sums["completions"],
        "likes": sums["likes"],
        "playback_errors": sums["playbackErrors"],
    }
