"""`/v1/cms/videos`: create, read, change, take down, restore, list."""

from __future__ import annotations

from typing import Any

import azure.functions as func

from bootstrap import Services
from cms.changes import Change, already_exists, apply_change, etag_mismatch, not_found, without_tombstone
from cms.forms import checked
from cms.request import CmsRequest, authenticate, bare, cursor_after, quoted
from cms.videos.models import ACTIVE, TAKEN_DOWN, NewVideoForm, VideoForm, editable, shown, state, to_document
from feed.pipeline import Feed
from ranking.stats import StatsTable
from shared.adapters.documents.port import VIDEOS, Document, StoreUnavailable
from shared.domain.records import AFTER_VIDEOS
from shared.web.endpoint import endpoint, json_response
from shared.web.problems import Problem, bad_request

LOOKED_AT = 2_000
"""Videos one list call looks through at the most; a filter that finds few of them continues with the cursor."""
TAKEDOWN_ATTEMPTS = 5


@endpoint("cms_videos")
async def videos(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` lists, `POST` creates."""
    call = authenticate(request, services)
    return await (_list(call) if request.method == "GET" else _create(call))


@endpoint("cms_video")
async def video(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """`GET` reads, `PUT` replaces the whole, `PATCH` changes the fields it names (RFC 7396)."""
    call = authenticate(request, services)
    stored = await _stored(call)
    if request.method == "GET":
        return await _answer(call, stored)
    if bare(stored.etag) != call.if_match():
        raise etag_mismatch()
    payload = call.body()
    why = payload.pop("reason", None)
    if request.method == "PATCH":
        payload = {**editable(stored.body), **payload}
    form = checked(VideoForm, payload)
    return await _save(call, stored, form, "update", why)


@endpoint("cms_takedown")
async def takedown(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Take a video out of every feed, now, whoever else is editing it."""
    return await _switch(request, services, TAKEN_DOWN, "takedown")


@endpoint("cms_restore")
async def restore(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Undo a takedown."""
    return await _switch(request, services, ACTIVE, "restore")


async def _create(call: CmsRequest) -> func.HttpResponse:
    payload = call.body()
    why = payload.pop("reason", None)
    form = checked(NewVideoForm, payload)
    before = await call.services.documents.read(VIDEOS, call.tenant_id, form.id, latest=True)
    if without_tombstone(before) is not None:
        raise already_exists("video")
    return await _save(call, before, form, "create", why, form.id, 201)


async def _switch(request: func.HttpRequest, services: Services, status: str, action: str) -> func.HttpResponse:
    call = authenticate(request, services)
    why = call.optional_body().get("reason")
    wanted = call.optional_if_match()
    for attempt in range(TAKEDOWN_ATTEMPTS):
        stored = await _stored(call)
        if wanted is not None and bare(stored.etag) != wanted:
            raise etag_mismatch()
        after = {**stored.body, "status": status, "updatedAt": call.now, "updatedBy": call.author().who}
        change = Change(VIDEOS, call.tenant_id, "video", stored.id, action, stored, after)
        try:
            etag = await apply_change(services, change, call.author(_reason(why)))
        except Problem as problem:
            if problem.code != "stale_etag" or wanted is not None or attempt == TAKEDOWN_ATTEMPTS - 1:
                raise
            continue
        await show_soon(services, call.tenant_id)
        return await _answer(call, Document(call.tenant_id, stored.id, after, etag or ""))
    raise etag_mismatch()


async def _save(
    call: CmsRequest,
    before: Document | None,
    form: VideoForm,
    action: str,
    why: object,
    id: str | None = None,
    status: int = 200,
) -> func.HttpResponse:
    author = call.author(_reason(why))
    known = without_tombstone(before)
    video_id = id or (known.id if known else "")
    document = to_document(video_id, form, call.now, author.who, known.body if known else None)
    change = Change(VIDEOS, call.tenant_id, "video", video_id, action, before, document)
    etag = await apply_change(call.services, change, author)
    await show_soon(call.services, call.tenant_id)
    return await _answer(call, Document(call.tenant_id, video_id, document, etag or ""), status)


async def show_soon(services: Services, tenant_id: str) -> None:
    """Let this instance see a change now; the others see it at their next pull."""
    await services.room(Feed).catalogs.refresh_if_loaded(tenant_id)


async def _list(call: CmsRequest) -> func.HttpResponse:
    """By id, a page at a time; `prefix`, `q` (in title or id), `category`, `tag` and `state` narrow it down."""
    limit, after = call.page()
    wanted = {name: call.request.params.get(name) for name in ("q", "category", "tag", "state")}
    prefix = call.request.params.get("prefix") or ""
    if prefix.startswith(AFTER_VIDEOS) or len(prefix) > 128:
        raise bad_request("invalid_prefix", "prefix must be the beginning of a video's id.")
    figures = await _figures(call)
    found: list[dict[str, Any]] = []
    looked_at, last, more = 0, after, True
    while more and len(found) < limit and looked_at < LOOKED_AT:
        page = await call.services.documents.query(VIDEOS, call.tenant_id, id_prefix=prefix, after=last, limit=200)
        more = page.next is not None
        for document in page.documents:
            if document.id.startswith(AFTER_VIDEOS) or len(found) == limit:
                more = len(found) == limit and not document.id.startswith(AFTER_VIDEOS)
                break
            looked_at, last = looked_at + 1, document.id
            if (
                document.body.get("kind") == "video"
                and without_tombstone(document)
                and _fits(document, wanted, call.now)
            ):
                found.append({**_shown(call, document, figures), "etag": quoted(document.etag)})
    return json_response({"videos": found, "nextCursor": cursor_after(last) if more else None})


def _fits(document: Document, wanted: dict[str, str | None], now: float) -> bool:
    body = document.body
    text = (wanted["q"] or "").casefold()
    return (
        (not text or text in str(body.get("title", "")).casefold() or text in document.id.casefold())
        and (not wanted["category"] or body.get("mainTag") == wanted["category"])
        and (not wanted["tag"] or wanted["tag"] in (body.get("tags") or ()))
        and (not wanted["state"] or state(body, now) == wanted["state"])
    )


async def _stored(call: CmsRequest) -> Document:
    id = call.path("id")
    stored = without_tombstone(await call.services.documents.read(VIDEOS, call.tenant_id, id, latest=True))
    if stored is None or stored.body.get("kind") != "video":
        raise not_found("video")
    return stored


async def _answer(call: CmsRequest, document: Document, status: int = 200) -> func.HttpResponse:
    return json_response(_shown(call, document, await _figures(call)), status, headers={"ETag": quoted(document.etag)})


def _shown(call: CmsRequest, document: Document, figures: StatsTable | None) -> dict[str, Any]:
    return shown(document.body, call.now, figures.week(document.id, call.now) if figures is not None else None)


async def _figures(call: CmsRequest) -> StatsTable | None:
    """The tenant's statistics as the feed has them; None when they cannot be had in time."""
    try:
        catalog = await call.services.room(Feed).catalogs.get(call.tenant_id, call.now)
    except StoreUnavailable:
        return None
    return catalog.stats.table


def _reason(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise bad_request("invalid_reason", "reason must be text.")
