"""Endpoints of a user's lists, of what they follow, and of a series."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func
import orjson

from feed.api import HINT_PARAMETERS, INCLUDE, VIDEO_EXAMPLE
from feed.list_responses import PERSON, FollowedItem, Following, ListedVideos, Series
from feed.lists import ListsReader, after_place, page_of_videos, place_after
from feed.page import with_included
from feed.pipeline import Feed
from feed.query import FeedQuery, parse_query
from feed.series import in_order, place_of, was_seen
from shared.domain.follows import CREATOR, KINDS, Subject, followed
from shared.domain.formats import SERIES_ID, iso_time
from shared.domain.keys import KeyRing
from shared.domain.records import MAX_LIMIT
from shared.domain.user_lists import CONTINUE, FOLLOWING, LIKED, SAVED, Entry, UserList
from shared.observability.metrics import Telemetry
from shared.web import list_cursor
from shared.web.admission import Kind, Limits
from shared.web.declaration import Parameter, Response
from shared.web.endpoint import Call, Edge, Handler, endpoint, json_response
from shared.web.openapi import USERS_OWN_TOKEN, X_PERSONALIZATION, X_USER, X_USER_TOKEN
from shared.web.problem_codes import USER
from shared.web.problems import Problem, bad_request

CACHE_CONTROL = "private, no-store"
_LIMIT = Parameter(
    "limit",
    "query",
    "Number of entries. Default: the tenant's setting.",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    example=20,
)
_CONSENT = X_PERSONALIZATION.saying("`off`: the user opted out. Nothing about the user is read.")
_OF_USER = (X_USER, USERS_OWN_TOKEN, _CONSENT, _LIMIT, list_cursor.CURSOR)
_OF_VIDEOS = (*_OF_USER, INCLUDE, *HINT_PARAMETERS)
_PROBLEMS = (*USER, "invalid_limit", "invalid_cursor", "invalid_personalization")


def _videos_of(name: str, summary: str, description: str, **more: Any) -> Callable[[Handler], Handler]:
    """Declare the endpoint of one of the user's video lists. `more` is added to the item of its example."""
    example = {"items": [{**VIDEO_EXAMPLE, "listedAt": "2026-11-20T12:00:00Z", **more}], "nextCursor": None}
    return endpoint(
        "GET",
        f"v1/me/{name}",
        summary,
        tag="lists",
        description=description,
        responses={200: Response("A page.", ListedVideos, example)},
        scopes=("sdk", "cms", "ops"),
        user=True,
        user_token=True,
        cors=True,
        parameters=_OF_VIDEOS,
        problems=(*_PROBLEMS, "invalid_include"),
    )


class ListsApi:
    """Serves lists. A user's lists are only for that user: `/v1/me` requires their token."""

    def __init__(
        self,
        edge: Edge,
        feed: Feed,
        lists: ListsReader,
        limits: Limits,
        keys: KeyRing,
        telemetry: Telemetry,
        followed_people: Callable[[Call], Awaitable[func.HttpResponse]],
    ) -> None:
        self.edge = edge
        self._feed = feed
        self._lists = lists
        self._limits = limits
        self._keys = keys.for_purpose(list_cursor.PURPOSE)
        self._telemetry = telemetry
        self._followed_people = followed_people

    @_videos_of(
        "saved",
        "The videos that the user saved",
        "Newest first. Videos that the viewer cannot see under the rules of the feed are left out.",
    )
    async def get_saved(self, call: Call) -> func.HttpResponse:
        """Return a page of the videos that the user saved and did not unsave."""
        return await self._videos(call, SAVED)

    @_videos_of("liked", "The videos that the user likes", "Like `/v1/me/saved`.")
    async def get_liked(self, call: Call) -> func.HttpResponse:
        """Return a page of the videos that the user liked and did not unlike."""
        return await self._videos(call, LIKED)

    @_videos_of(
        "continue",
        "The videos that the user can continue",
        "Videos that were started and not finished, with the position; the last watched comes first. Only videos of "
        "five minutes or more, and episodes of a series, of which a minute or a fifth was watched. Otherwise "
        "like `/v1/me/saved`.",
        positionMs=61_000,
    )
    async def get_continue(self, call: Call) -> func.HttpResponse:
        """Return a page of the videos that the user started and did not finish."""
        return await self._videos(call, CONTINUE)

    @endpoint(
        "GET",
        "v1/me/following",
        "The creators, categories, series and people that the user follows",
        tag="lists",
        description="Creators, categories and series, newest first. People are returned only with `kind=person`, if "
        "the tenant has stories, ordered by id.",
        responses={
            200: Response(
                "A page.",
                Following,
                {
                    "items": [{"kind": CREATOR, "id": "anna", "followedAt": "2026-11-20T12:00:00Z"}],
                    "nextCursor": None,
                },
            )
        },
        scopes=("sdk", "cms", "ops"),
        user=True,
        user_token=True,
        cors=True,
        parameters=(
            *_OF_USER,
            Parameter(
                "kind",
                "query",
                f"Only this kind: {', '.join(KINDS)}, {PERSON}. Default: every kind except people.",
                {"type": "string", "enum": [*KINDS, PERSON]},
                example="creator",
            ),
        ),
        problems=(*_PROBLEMS, "invalid_kind"),
    )
    async def get_following(self, call: Call) -> func.HttpResponse:
        """Return a page of what the user follows."""
        query = self._query(call)
        kind = call.request.params.get("kind") or ""
        if kind == PERSON:
            with self._limits.admit(Kind.FEED, call.tenant, call.user_key):
                return await self._followed_people(call)
        if kind and kind not in KINDS:
            raise bad_request("invalid_kind", f"kind must be one of {', '.join(KINDS)}.")
        walk = (FOLLOWING, kind, call.tenant.id, call.user_key)
        after = None if query.cursor is None else list_cursor.decode(query.cursor, self._keys, *walk)
        with self._limits.admit(Kind.FEED, call.tenant, call.user_key):
            stored = await self._stored(call, query, FOLLOWING)
        every = [(each.name, Entry(on_ms)) for each, on_ms in followed(stored, call.now) if kind in ("", each.kind)]
        listed = after_place(every, after)
        items = [
            FollowedItem.unchecked(kind=each.kind, id=each.id, followed_at=iso_time(entry.on_ms / 1000))
            for each, entry in ((Subject.named(name), entry) for name, entry in listed[: query.limit])
        ]
        place = place_after(listed, query.limit)
        cursor = None if place is None else list_cursor.encode(place, self._keys, *walk)
        return json_response(Following.unchecked(items=items, next_cursor=cursor), cache=CACHE_CONTROL)

    @endpoint(
        "GET",
        "v1/series/{id}",
        "The videos of a series, in order",
        tag="lists",
        description="Ordered by season, episode and id. The rules of the feed apply, except that seen videos are "
        "returned too. 404 for a series that does not exist, and for one of which this viewer can see nothing.",
        responses={
            200: Response(
                "A page.",
                Series,
                {
                    "seriesId": "garden",
                    "items": [{**VIDEO_EXAMPLE, "seriesId": "garden", "season": 1, "episode": 1, "seen": True}],
                    "nextCursor": None,
                },
            )
        },
        scopes=("sdk", "cms", "ops"),
        user=True,
        cors=True,
        parameters=(X_USER, X_USER_TOKEN, _CONSENT, _LIMIT, list_cursor.CURSOR, INCLUDE, *HINT_PARAMETERS),
        problems=(*_PROBLEMS, "series_not_found", "invalid_include"),
    )
    async def get_series(self, call: Call) -> func.HttpResponse:
        """Return a page of a series. Raises a 404 `Problem`."""
        series_id, query, tenant = call.request.route_params.get("id", ""), self._query(call), call.tenant
        if not SERIES_ID.matches(series_id):
            raise _no_series()
        walk = ("series", series_id, tenant.id, call.user_key)
        after = None if query.cursor is None else list_cursor.decode(query.cursor, self._keys, *walk)
        with self._limits.admit(Kind.FEED, tenant, call.user_key):
            signals = await self._feed.signals_if_allowed(query, tenant, call.user_key)
            catalog, viewer = await self._feed.viewer_of(query, tenant, call.user_key, call.now)
        columns = catalog.columns
        every = in_order(columns, viewer, series_id)
        if not every:
            raise _no_series()
        rows = [row for row in every if after is None or place_of(columns, row) > tuple(after)]
        shown = rows[: query.limit]
        seen = [None] * len(shown) if signals is None else was_seen(columns, signals, shown)
        items = with_included(catalog, shown, query.include)
        found = [b'%b,"seen":%b}' % (items[row], orjson.dumps(was)) for row, was in zip(shown, seen, strict=True)]
        place = None if len(rows) <= query.limit else list(place_of(columns, shown[-1]))
        cursor = None if place is None else list_cursor.encode(place, self._keys, *walk)
        return _page(found, cursor, b'"seriesId":%b,' % orjson.dumps(series_id))

    async def _videos(self, call: Call, name: str) -> func.HttpResponse:
        query = self._query(call)
        walk = (name, call.tenant.id, call.user_key)
        after = None if query.cursor is None else list_cursor.decode(query.cursor, self._keys, *walk)
        with self._limits.admit(Kind.FEED, call.tenant, call.user_key):
            stored = await self._stored(call, query, name)
            catalog, viewer = await self._feed.viewer_of(query, call.tenant, call.user_key, call.now)
        page = page_of_videos(stored, catalog, viewer, query, after)
        return _page(page.items, None if page.next is None else list_cursor.encode(page.next, self._keys, *walk))

    async def _stored(self, call: Call, query: FeedQuery, name: str) -> UserList:
        """Return the list; empty if the user opted out."""
        return await self._lists.read(call.user_key, name) if query.consented else UserList(name)

    def _query(self, call: Call) -> FeedQuery:
        query = parse_query(call.request.params, call.headers, call.tenant.default_limit)
        for name in query.unread:
            self._telemetry.count("hints_unread", name)
        return query


def _page(items: list[bytes], cursor: str | None, more: bytes = b"") -> func.HttpResponse:
    body = b'{%b"items":[%b],"nextCursor":%b}' % (more, b",".join(items), orjson.dumps(cursor))
    return json_response(body, cache=CACHE_CONTROL)


def _no_series() -> Problem:
    """Return the same error for a series that does not exist and for one of which the viewer can see nothing."""
    return Problem(404, "series_not_found", "The series does not exist, or this viewer can see none of its videos.")
