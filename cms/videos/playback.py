"""CMS endpoints of playback quality: starts, stalls and errors of a video, and the videos that fail most."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import azure.functions as func
from pydantic import Field

from cms.documents import DocumentFlow, NamedDocuments
from cms.endpoint import LIMIT, cms_endpoint
from cms.request import CmsRequest
from cms.videos.api import VIDEO
from cms.videos.daily_figures import read_days
from feed.catalog import Catalogs
from ranking.daily_table import DayTable
from shared.web.declaration import Parameter
from shared.web.endpoint import Edge, json_response
from shared.web.problems import bad_request
from shared.web.responses import Count, View

WEEK, FOUR_WEEKS = 7, 28
DAYS = Parameter(
    "days", "query", "Number of days (UTC), including today; 7 by default.", {"type": "integer", "enum": [7, 28]}
)


class PlaybackFigures(View):
    """Counts of plays. Each counts once for every page that offered the video."""

    starts: Annotated[Count, Field(description="Plays that began.")]
    stalls: Annotated[Count, Field(description="Plays that stopped to wait for data.")]
    errors: Annotated[Count, Field(description="Plays that failed.")]
    views: Annotated[Count, Field(description="Views, including those of apps that send no `start`.")]


class VideoPlayback(View):
    """Playback quality of a video."""

    video_id: str
    last_7d: Annotated[PlaybackFigures, Field(alias="last7d")]
    last_28d: Annotated[PlaybackFigures, Field(alias="last28d")]


class FailingVideo(PlaybackFigures):
    """A video whose plays fail or stall."""

    video_id: str


class PlaybackPage(View):
    """Playback quality in total, and the videos that fail most."""

    days: Count
    total: PlaybackFigures
    videos: Annotated[
        list[FailingVideo], Field(description="Sorted by number of errors, then of stalls, the largest first.")
    ]


class PlaybackApi:
    """Serves playback quality of a tenant's videos, from the daily sums that the roll-up writes."""

    def __init__(self, edge: Edge, flow: DocumentFlow, catalogs: Catalogs) -> None:
        self.edge = edge
        self._videos = NamedDocuments(flow, VIDEO)
        self._documents = flow.store
        self._catalogs = catalogs

    @cms_endpoint("GET", "videos/{id}/playback", "Read a video's playback quality", {200: VideoPlayback}, tag="videos")
    async def get_playback(self, call: CmsRequest) -> func.HttpResponse:
        """Return the plays of one video over 7 and 28 days."""
        video = await self._videos.get(call)
        today, days = await self._days(call, FOUR_WEEKS)
        week = (table for day, table in days.items() if day > today - timedelta(days=WEEK))
        last_7d, last_28d = (
            _figures([table.of(video.id) for table in week]),
            _figures([table.of(video.id) for table in days.values()]),
        )
        return json_response(VideoPlayback(video_id=video.id, last_7d=last_7d, last_28d=last_28d))

    @cms_endpoint(
        "GET",
        "playback",
        "List the videos with most playback errors",
        {200: PlaybackPage},
        tag="videos",
        parameters=(DAYS, LIMIT),
        problems=("invalid_days", "invalid_limit"),
    )
    async def list_playback(self, call: CmsRequest) -> func.HttpResponse:
        """Return the tenant's sums, and the videos with the most errors and stalls."""
        limit, _ = call.page()
        wanted = call.request.params.get("days", str(WEEK))
        if wanted not in (str(WEEK), str(FOUR_WEEKS)):
            raise bad_request("invalid_days", "days must be 7 or 28.")
        _, days = await self._days(call, int(wanted))
        catalog = await self._catalogs.get(call.tenant_id)
        ids = [id for id in catalog.columns.ids if id]
        total, failing = await asyncio.to_thread(_failing, list(days.values()), ids, limit)
        return json_response(PlaybackPage(days=int(wanted), total=total, videos=failing))

    async def _days(self, call: CmsRequest, days: int) -> tuple[date, dict[date, DayTable]]:
        today = datetime.fromtimestamp(call.now, UTC).date()
        return today, await read_days(self._documents, call.tenant_id, today - timedelta(days=days - 1), today)


def _failing(tables: list[DayTable], ids: list[str], limit: int) -> tuple[PlaybackFigures, list[FailingVideo]]:
    """Return the sums of all videos, and the `limit` videos that fail or stall most."""
    summed = DayTable()
    for table in tables:
        summed.merge(table, bounded=False)
    found = [(id, summed.of(id)) for id in ids]
    found = [(id, sums) for id, sums in found if sums["playbackErrors"] or sums["stalls"]]
    found.sort(key=lambda each: (-each[1]["playbackErrors"], -each[1]["stalls"], each[0]))
    listed = [FailingVideo(video_id=id, **_figures([sums]).model_dump()) for id, sums in found[:limit]]
    return _figures([summed.total()]), listed


def _figures(sums: Iterable[dict[str, int]]) -> PlaybackFigures:
    rows = list(sums)

    def total(name: str) -> int:
        return sum(row[name] for row in rows)

    return PlaybackFigures(
        starts=total("starts"), stalls=total("stalls"), errors=total("playbackErrors"), views=total("views")
    )
