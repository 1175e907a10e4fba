"""CMS endpoints of videos: list, create, read, change, take down, restore."""

from __future__ import annotations

from typing import Any

import azure.functions as func

from cms.changes import already_exists, etag_mismatch, not_found, without_tombstone
from cms.documents import DocumentFlow, reason_of, require_match, with_etag
from cms.endpoint import (
    CURSOR,
    IF_MATCH,
    IF_MATCH_PROBLEMS,
    LIMIT,
    OPTIONAL_IF_MATCH,
    OPTIONAL_IF_MATCH_PROBLEMS,
    PAGE_PROBLEMS,
    REASON,
    cms_endpoint,
    query,
)
from cms.forms import checked
from cms.request import CmsRequest, bare, cursor_after, quoted
from cms.videos.models import (
    ACTIVE,
    TAKEN_DOWN,
    ListedVideo,
    NewVideoForm,
    StoredVideo,
    VideoFilter,
    VideoForm,
    VideoPage,
    editable_video,
    video_document,
    video_fields,
)
from feed.catalog import Catalogs
from ranking.stats import StatsTable
from shared.adapters.documents.port import Document, StoreUnavailable
from shared.adapters.retry import retry
from shared.domain.records import AFTER_VIDEOS
from shared.web.declaration import ANY_OBJECT
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


class VideosApi:
    """Videos of a tenant's catalog."""

    def __init__(self, edge: Edge, flow: DocumentFlow, catalogs: Catalogs) -> None:
        self.edge = edge
        self._flow = flow
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

    @cms_endpoint(
        "POST",
        "videos",
        "Create a video",
        {201: StoredVideo},
        tag="videos",
        body=NewVideoForm,
        example={"id": "vid_core", **VIDEO_EXAMPLE},
        parameters=(REASON,),
        problems=("invalid_document", "already_exists"),
        etag=True,
    )
    async def create_video(self, call: CmsRequest) -> func.HttpResponse:
        """Create a video, which feeds show as soon as it is published."""
        payload = call.body()
        form = checked(NewVideoForm, _without_reason(payload))
        before = await self._flow.stored(call.tenant_id, form.id)
        if without_tombstone(before) is not None:
            raise already_exists("video")
        return await self._save(call, form.id, before, form, "create", payload, 201)

    @cms_endpoint("GET", "videos/{id}", "Read a video", {200: StoredVideo}, tag="videos", etag=True)
    async def get_video(self, call: CmsRequest) -> func.HttpResponse:
        """One video."""
        return await self._answer(call, await self._require(call))

    @cms_endpoint(
        "PUT",
        "videos/{id}",
        "Replace a video",
        {200: StoredVideo},
        tag="videos",
        body=VideoForm,
        example=VIDEO_EXAMPLE,
        parameters=(IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, "invalid_document"),
        etag=True,
    )
    async def replace_video(self, call: CmsRequest) -> func.HttpResponse:
        """Replace the whole video."""
        stored = await self._require(call)
        require_match(call, stored)
        payload = call.body()
        form = checked(VideoForm, _without_reason(payload))
        return await self._save(call, stored.id, stored, form, "update", payload)

    @cms_endpoint(
        "PATCH",
        "videos/{id}",
        "Change fields of a video",
        {200: StoredVideo},
        tag="videos",
        body=ANY_OBJECT,
        example={"title": "Core"},
        parameters=(IF_MATCH, REASON),
        problems=(*IF_MATCH_PROBLEMS, "invalid_document"),
        etag=True,
    )
    async def change_video(self, call: CmsRequest) -> func.HttpResponse:
        """Change the fields that the body names (RFC 7396)."""
        stored = await self._require(call)
        require_match(call, stored)
        payload = call.body()
        form = checked(VideoForm, {**editable_video(stored.body), **_without_reason(payload)})
        return await self._save(call, stored.id, stored, form, "update", payload)

    @cms_endpoint(
        "POST",
        "videos/{id}/takedown",
        "Take a video out of every feed",
        {200: StoredVideo},
        tag="videos",
        body=ANY_OBJECT,
        body_required=False,
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=OPTIONAL_IF_MATCH_PROBLEMS,
        etag=True,
    )
    async def takedown_video(self, call: CmsRequest) -> func.HttpResponse:
        """Take a video out of every feed at once, even while somebody else is editing it."""
        return await self._set_status(call, TAKEN_DOWN, "takedown")

    @cms_endpoint(
        "POST",
        "videos/{id}/restore",
        "Undo a takedown",
        {200: StoredVideo},
        tag="videos",
        body=ANY_OBJECT,
        body_required=False,
        parameters=(OPTIONAL_IF_MATCH, REASON),
        problems=OPTIONAL_IF_MATCH_PROBLEMS,
        etag=True,
    )
    async def restore_video(self, call: CmsRequest) -> func.HttpResponse:
        """Undo a takedown."""
        return await self._set_status(call, ACTIVE, "restore")

    async def _set_status(self, call: CmsRequest, status: str, action: str) -> func.HttpResponse:
        """Change the status alone. Without `If-Match`, repeats when somebody edited the video in between."""
        payload = call.optional_body()
        wanted = call.optional_if_match()

        async def write() -> Document:
            stored = await self._require(call)
            if wanted is not None and bare(stored.etag) != wanted:
                raise etag_mismatch()
            author = call.author(reason_of(payload))
            after = {**stored.body, "status": status, "updatedAt": call.now, "updatedBy": author.who}
            return await self._flow.write(call.tenant_id, "video", stored.id, action, stored, after, author)

        def edited(error: Exception) -> bool:
            return wanted is None and isinstance(error, Problem) and error.code == "stale_etag"

        return await self._answer(call, await retry(write, (Problem,), when=edited, attempts=TAKEDOWN_ATTEMPTS))

    async def _save(
        self,
        call: CmsRequest,
        id: str,
        before: Document | None,
        form: VideoForm,
        action: str,
        payload: dict[str, Any],
        status: int = 200,
    ) -> func.HttpResponse:
        author = call.author(reason_of(payload))
        known = without_tombstone(before)
        body = video_document(id, form, call.now, author.who, known.body if known else None)
        document = await self._flow.write(call.tenant_id, "video", id, action, before, body, author)
        return await self._answer(call, document, status)

    async def _require(self, call: CmsRequest) -> Document:
        """The video that the path names. Raises a 404 `Problem`."""
        stored = await self._flow.require(call.tenant_id, call.path("id"), "video")
        if stored.body.get("kind") != "video":
            raise not_found("video")
        return stored

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
            catalog = await self._catalogs.get(call.tenant_id, call.now)
        except StoreUnavailable:
            return None
        return catalog.stats.table


def _fields(call: CmsRequest, document: Document, stats: StatsTable | None) -> dict[str, Any]:
    figures = None if stats is None else stats.week(document.id, call.now)
    return video_fields(document.body, call.now, figures)


def _without_reason(payload: dict[str, Any]) -> dict[str, Any]:
    """The document of a body; its `reason` is for the history."""
    return {name: value for name, value in payload.items() if name != "reason"}
