"""CMS endpoints of videos: list, create, read, change, take down, restore."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func

from cms.changes import etag_mismatch
from cms.documents import DocumentFlow, Kind, NamedDocuments, reason_of, with_etag
from cms.endpoint import (
    CURSOR,
    LIMIT,
    PAGE_PROBLEMS,
    acts,
    changes,
    cms_endpoint,
    creates,
    reads,
    replaces,
)
from cms.request import CmsRequest, bare, cursor_after, quoted
from cms.videos.earlier_takedowns import status_before_takedown
from cms.videos.list_query import PARAMETERS, PROBLEMS, ListQuery
from cms.videos.models import (
    ListedVideo,
    NewVideoForm,
    StoredVideo,
    VideoForm,
    VideoPage,
    editable_video,
    video_document,
    video_fields,
    with_time_to_live,
)
from cms.videos.takedowns import (
    TAKEN_DOWN,
    WHEN_RESTORED,
    after_restoring,
    after_sending,
    is_taken_down,
    status_when_restored,
    with_status,
)
from cms.videos.video_index import VideoIndexes
from cms.videos.video_search import Place, VideoFilter, search
from feed.catalog import Catalogs
from ranking.stats import StatsTable
from shared.adapters.documents.port import Document, Json, StoreUnavailable
from shared.adapters.retry import retry
from shared.domain.formats import VIDEO_ID
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem

READS_AT_ONCE = 16
"""Videos that a list call reads from the store concurrently."""
TAKEDOWN_ATTEMPTS = 5

VIDEO_EXAMPLE = {
    "title": "Core",
    "playbackUrl": "https://cdn.example/core.m3u8",
    "mainTag": "fitness",
    "durationSeconds": 41,
    "maturityRating": "PG",
}


VIDEO = Kind("video", VideoForm, NewVideoForm, video_document, editable_video, "", VIDEO_ID)


class VideosApi:
    """Lists, creates, changes, takes down and restores videos."""

    def __init__(self, edge: Edge, flow: DocumentFlow, catalogs: Catalogs, indexes: VideoIndexes) -> None:
        self.edge = edge
        self._flow = flow
        self._videos = NamedDocuments(flow, VIDEO)
        self._catalogs = catalogs
        self._indexes = indexes

    @cms_endpoint(
        "GET",
        "videos",
        "List videos",
        {200: VideoPage},
        tag="videos",
        parameters=(LIMIT, CURSOR, *PARAMETERS),
        problems=(*PAGE_PROBLEMS, *PROBLEMS),
    )
    async def list_videos(self, call: CmsRequest) -> func.HttpResponse:
        """Return a page of the videos that meet every criterion, sorted by `sort`, else by id."""
        limit, cursor = call.page()
        asked = ListQuery.of(call.request.params)
        after = asked.place(cursor)
        stats = await self._stats(call)
        documents, last, total = await self._find(call, asked, after, limit, stats)
        videos = [ListedVideo.unchecked(**_fields(call, each, stats), etag=quoted(each.etag)) for each in documents]
        return json_response(
            VideoPage.unchecked(videos=videos, total=total, nextCursor=cursor_after(asked.cursor(last)))
        )

    @creates("videos", "Create a video", StoredVideo, NewVideoForm, {"id": "vid_core", **VIDEO_EXAMPLE}, tag="videos")
    async def create_video(self, call: CmsRequest) -> func.HttpResponse:
        """Create a video. Feeds show it as soon as it is published."""
        return await self._answer(call, await self._videos.create(call), 201)

    @reads("videos/{id}", "Read a video", StoredVideo, tag="videos")
    async def get_video(self, call: CmsRequest) -> func.HttpResponse:
        """Return one video."""
        return await self._answer(call, await self._videos.get(call))

    @replaces("videos/{id}", "Replace a video", StoredVideo, VideoForm, VIDEO_EXAMPLE, tag="videos")
    async def replace_video(self, call: CmsRequest) -> func.HttpResponse:
        """Replace the whole video."""
        return await self._answer(call, await self._videos.replace(call))

    @changes("videos/{id}", "Change fields of a video", StoredVideo, {"title": "Core"}, tag="videos")
    async def change_video(self, call: CmsRequest) -> func.HttpResponse:
        """Change the fields in the body (RFC 7396)."""
        return await self._answer(call, await self._videos.change(call))

    @acts("videos/{id}/takedown", "Take a video out of every feed", StoredVideo, tag="videos")
    async def takedown_video(self, call: CmsRequest) -> func.HttpResponse:
        """Take a video out of every feed at once, even while somebody else is editing it.

        Only a restore brings it back.
        """
        return await self._act(call, "takedown", self._taken_down)

    @acts("videos/{id}/restore", "Undo a takedown", StoredVideo, tag="videos")
    async def restore_video(self, call: CmsRequest) -> func.HttpResponse:
        """Undo a takedown: the video gets its earlier status, or the one that was sent since.

        Does nothing to a video that is not taken down.
        """
        return await self._act(call, "restore", self._restored)

    async def _taken_down(self, stored: Document) -> Json:
        return with_status(stored.body, after_sending(TAKEN_DOWN, stored.body))

    async def _restored(self, stored: Document) -> Json:
        body = stored.body
        if is_taken_down(body) and status_when_restored(body) is None:
            known = await status_before_takedown(self._flow.store, self._flow.container, stored.partition, stored.id)
            body = {**body, WHEN_RESTORED: known}
        return with_status(body, after_restoring(body))

    async def _act(
        self, call: CmsRequest, action: str, act: Callable[[Document], Awaitable[Json]]
    ) -> func.HttpResponse:
        """Change only the status. Without `If-Match`, retry if somebody edits the video meanwhile."""
        payload = call.optional_body()
        wanted = call.optional_if_match()

        async def write() -> Document:
            stored = await self._videos.get(call)
            if wanted is not None and bare(stored.etag) != wanted:
                raise etag_mismatch()
            author = call.author(reason_of(payload))
            if action == "restore" and not is_taken_down(stored.body):
                return stored
            stamped = {**await act(stored), "updatedAt": call.now, "updatedBy": author.who}
            after = with_time_to_live(stamped, call.now)
            return await self._flow.write(call.tenant_id, "video", stored.id, action, stored, after, author)

        def edited(error: Exception) -> bool:
            return wanted is None and isinstance(error, Problem) and error.code == "stale_etag"

        return await self._answer(call, await retry(write, (Problem,), when=edited, attempts=TAKEDOWN_ATTEMPTS))

    async def _find(
        self, call: CmsRequest, asked: ListQuery, after: Place | None, limit: int, stats: StatsTable | None
    ) -> tuple[list[Document], Place | None, int]:
        """Read up to `limit` videos from the store; also return the place to continue after (None at the end) and the
        total number.

        Videos that are deleted, or no longer meet the filter, are replaced by the next ones.
        """
        found: list[Document] = []
        while True:
            rows = list(await self._indexes.get(call.tenant_id))
            wanted, order = asked.wanted, asked.order
            listed = await asyncio.to_thread(search, rows, wanted, order, after, limit - len(found), stats, call.now)
            found += await self._read(call, listed.places, wanted)
            after = listed.places[-1] if listed.places else after
            if len(found) == limit or not listed.more:
                return found, after if listed.more else None, listed.total

    async def _read(self, call: CmsRequest, places: list[Place], wanted: VideoFilter) -> list[Document]:
        """Read the videos at these places from the store, and update the index with them."""
        turns = asyncio.Semaphore(READS_AT_ONCE)

        async def read(id: str) -> Document | None:
            async with turns:
                seen = self._indexes.row(call.tenant_id, id)
                stored = await self._flow.stored(call.tenant_id, id)
            row = self._indexes.learn(call.tenant_id, seen, stored)
            return stored if row is not None and wanted.admitted([row], call.now) else None

        found = await asyncio.gather(*(read(id) for _, id in places))
        return [each for each in found if each is not None]

    async def _answer(self, call: CmsRequest, document: Document, status: int = 200) -> func.HttpResponse:
        fields = _fields(call, document, await self._stats(call))
        return with_etag(StoredVideo.unchecked(**fields), document, status)

    async def _stats(self, call: CmsRequest) -> StatsTable | None:
        """Return the statistics that the tenant's feed uses; None if they cannot be loaded in time."""
        try:
            catalog = await self._catalogs.get(call.tenant_id)
        except StoreUnavailable:
            return None
        return catalog.stats.table


def _fields(call: CmsRequest, document: Document, stats: StatsTable | None) -> dict[str, Any]:
    figures = None if stats is None else stats.week(document.id, call.now)
    return video_fields(document.body, call.now, figures)
