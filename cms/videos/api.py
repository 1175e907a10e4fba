"""CMS endpoints of videos: list, create, read, change, take down, restore."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func

from cms.changes import etag_mismatch, without_tombstone
from cms.documents import DocumentFlow, Kind, NamedDocuments, reason_of, with_etag
from cms.endpoint import (
    CURSOR,
    LIMIT,
    PAGE_PROBLEMS,
    acts,
    changes,
    cms_endpoint,
    creates,
    query,
    reads,
    replaces,
)
from cms.request import CmsRequest, bare, cursor_after, quoted
from cms.videos.earlier_takedowns import status_before_takedown
from cms.videos.models import (
    ListedVideo,
    NewVideoForm,
    StoredVideo,
    VideoFilter,
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
from feed.catalog import Catalogs
from ranking.stats import StatsTable
from shared.adapters.documents.port import Document, Json, StoreUnavailable
from shared.adapters.retry import retry
from shared.domain.formats import VIDEO_ID
from shared.domain.records import AFTER_VIDEOS
from shared.web.endpoint import Edge, json_response
from shared.web.problems import Problem, bad_request

MAX_SCANNED = 2_000
"""Videos that one list call reads at most; with a filter that admits few of them, the cursor continues."""
SCANNED_AT_A_TIME = 200
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
    """Videos of a tenant's catalog."""

    def __init__(self, edge: Edge, flow: DocumentFlow, catalogs: Catalogs) -> None:
        self.edge = edge
        self._flow = flow
        self._videos = NamedDocuments(flow, VIDEO)
        self._catalogs = catalogs

    @cms_endpoint(
        "GET",
        "videos",
        "List videos",
        {200: VideoPage},
        tag="videos",
        parameters=(
            LIMIT,
            CURSOR,
            query("prefix", "The beginning of the id."),
            query("q", "In title or id."),
            query("category", "The category."),
            query("tag", "A tag."),
            query("state", "The state."),
        ),
        problems=(*PAGE_PROBLEMS, "invalid_prefix"),
    )
    async def list_videos(self, call: CmsRequest) -> func.HttpResponse:
        """A page of videos by id; `prefix`, `q`, `category`, `tag` and `state` narrow it down."""
        limit, after = call.page()
        params = call.request.params
        wanted = VideoFilter(params.get("q"), params.get("category"), params.get("tag"), params.get("state"))
        prefix = params.get("prefix") or ""
        if prefix.startswith(AFTER_VIDEOS) or len(prefix) > 128:
            raise bad_request("invalid_prefix", "prefix must be the beginning of a video's id.")
        stats = await self._stats(call)
        found, last = await self._find(call, prefix, wanted, limit, after)
        videos = [
            ListedVideo.unchecked(**_fields(call, document, stats), etag=quoted(document.etag)) for document in found
        ]
        return json_response(VideoPage.unchecked(videos=videos, nextCursor=cursor_after(last)))

    @creates("videos", "Create a video", StoredVideo, NewVideoForm, {"id": "vid_core", **VIDEO_EXAMPLE}, tag="videos")
    async def create_video(self, call: CmsRequest) -> func.HttpResponse:
        """Create a video, which feeds show as soon as it is published."""
        return await self._answer(call, await self._videos.create(call), 201)

    @reads("videos/{id}", "Read a video", StoredVideo, tag="videos")
    async def get_video(self, call: CmsRequest) -> func.HttpResponse:
        """One video."""
        return await self._answer(call, await self._videos.get(call))

    @replaces("videos/{id}", "Replace a video", StoredVideo, VideoForm, VIDEO_EXAMPLE, tag="videos")
    async def replace_video(self, call: CmsRequest) -> func.HttpResponse:
        """Replace the whole video."""
        return await self._answer(call, await self._videos.replace(call))

    @changes("videos/{id}", "Change fields of a video", StoredVideo, {"title": "Core"}, tag="videos")
    async def change_video(self, call: CmsRequest) -> func.HttpResponse:
        """Change the fields that the body names (RFC 7396)."""
        return await self._answer(call, await self._videos.change(call))

    @acts("videos/{id}/takedown", "Take a video out of every feed", StoredVideo, tag="videos")
    async def takedown_video(self, call: CmsRequest) -> func.HttpResponse:
        """Take a video out of every feed at once, even while somebody else is editing it.

        Nothing but a restore brings it back.
        """
        return await self._act(call, "takedown", self._taken_down)

    @acts("videos/{id}/restore", "Undo a takedown", StoredVideo, tag="videos")
    async def restore_video(self, call: CmsRequest) -> func.HttpResponse:
        """Undo a takedown: the video gets its status from before, or the one that was sent since.

        A video that is not taken down stays as it is.
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
        """Change the status alone. Without `If-Match`, repeats when somebody edited the video in between."""
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
        self, call: CmsRequest, prefix: str, wanted: VideoFilter, limit: int, after: str | None
    ) -> tuple[list[Document], str | None]:
        """Up to `limit` videos that the filter admits, and the id to continue after, None at the end."""
        store, container = self._flow.store, self._flow.container
        found: list[Document] = []
        scanned, last, more = 0, after, True
        while more and len(found) < limit and scanned < MAX_SCANNED:
            page = await store.query(container, call.tenant_id, id_prefix=prefix, after=last, limit=SCANNED_AT_A_TIME)
            more = page.next is not None
            for document in page.documents:
                if document.id.startswith(AFTER_VIDEOS):
                    return found, None
                if len(found) == limit:
                    return found, last
                scanned, last = scanned + 1, document.id
                is_video = document.body.get("kind") == "video" and without_tombstone(document) is not None
                if is_video and wanted.admits(document.body, call.now):
                    found.append(document)
        return found, last if more else None

    async def _answer(self, call: CmsRequest, document: Document, status: int = 200) -> func.HttpResponse:
        fields = _fields(call, document, await self._stats(call))
        return with_etag(StoredVideo.unchecked(**fields), document, status)

    async def _stats(self, call: CmsRequest) -> StatsTable | None:
        """The tenant's statistics as the feed has them; None when they cannot be loaded in time."""
        try:
            catalog = await self._catalogs.get(call.tenant_id)
        except StoreUnavailable:
            return None
        return catalog.stats.table


def _fields(call: CmsRequest, document: Document, stats: StatsTable | None) -> dict[str, Any]:
    figures = None if stats is None else stats.week(document.id, call.now)
    return video_fields(document.body, call.now, figures)
