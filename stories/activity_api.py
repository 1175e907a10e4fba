"""Endpoints of story activity: record views and reactions; list viewers, statistics and events for authors."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict, deque

import azure.functions as func

from shared.adapters.documents.port import StoreUnavailable
from shared.domain.formats import iso_time
from shared.observability.logs import log_event
from shared.web.admission import Kind
from shared.web.authentication import consented
from shared.web.bodies import read_object
from shared.web.declaration import Body, Parameter, Response
from shared.web.endpoint import BASE_HEADERS, Call, Edge, json_response
from shared.web.http_response import HttpResponse
from shared.web.openapi import X_PERSONALIZATION
from shared.web.problems import Problem, bad_request
from shared.web.social_endpoint import MAX_BODY_BYTES, PRIVATE, social_endpoint
from stories.activity import REACTION, VIEW, Activity
from stories.counts import totals
from stories.identity import Person
from stories.inbox import VIEWED, Inbox, event_of
from stories.people_api import EXAMPLE_ID
from stories.person_call import PAGE, PAGE_PROBLEMS
from stories.requests import ReactionToStory
from stories.responses import (
    DayOfStories,
    ReactionState,
    StoryEvent,
    StoryEvents,
    StoryStats,
    StoryViewerItem,
    StoryViewersPage,
)
from stories.story import Story
from stories.story_access import Looking
from stories.story_forms import EMOJI, read_emoji
from stories.story_parts import StoryParts
from stories.story_stats import StoryStatistics
from stories.story_views import by_emoji

log = logging.getLogger("feed.stories")

REACTIONS_A_MINUTE, MINUTE_SECONDS = 60, 60.0
MAX_PEOPLE = 20_000
_DONE = {204: Response("Done. Repeating the call has no further effect.")}
_REACTED = {200: Response("The reaction that counts now.", ReactionState, {"emoji": "🔥"})}
_BODY = Body(ReactionToStory, {"emoji": "🔥"})
_REACTION_PROBLEMS = ("invalid_json", "invalid_body", "invalid_emoji", "story_not_found", "invalid_personalization")
_CONSENT = X_PERSONALIZATION.saying("`off`: this call does not change how the caller's own row is ranked.")
_AFTER = Parameter(
    "after",
    "query",
    "`next` of the last response. When absent, all stored events are returned.",
    {"type": "string", "maxLength": 20},
)


class MinuteRate:
    """Rate limit per person over a sliding minute, in this process. Knows the last `most_people` people."""

    def __init__(self, most: int, most_people: int = MAX_PEOPLE) -> None:
        self._most = most
        self._most_people = most_people
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, name: str, now: float) -> None:
        """Count one more at `now`, in seconds. Raises a 429 `Problem` above the limit."""
        times = self._times.setdefault(name, deque())
        self._times.move_to_end(name)
        while times and not now - MINUTE_SECONDS < times[0] <= now:
            times.popleft()
        if len(times) >= self._most:
            raise Problem(
                429,
                "rate_limited",
                f"At most {self._most} such calls a minute. Wait the seconds in Retry-After.",
                times[0] + MINUTE_SECONDS - now,
            )
        times.append(now)
        if len(self._times) > self._most_people:
            self._times.popitem(last=False)


class ActivityApi:
    """Records views and reactions, and serves authors the activity of their stories."""

    def __init__(self, parts: StoryParts, looking: Looking, activity: Activity, inbox: Inbox) -> None:
        self.edge: Edge = parts.edge
        self._limits = parts.limits
        self._telemetry = parts.telemetry
        self._looking = looking
        self._calls = looking.calls
        self._activity = activity
        self._inbox = inbox
        self._statistics = StoryStatistics(parts.documents)
        self._reactions = MinuteRate(REACTIONS_A_MINUTE)

    @social_endpoint(
        "PUT",
        "v1/stories/{id}/view",
        "Record a view of a story",
        tag="stories",
        parameters=(_CONSENT,),
        description="Counts once for each viewer. An author's own views are not counted.",
        responses=_DONE,
        problems=("story_not_found", "invalid_personalization"),
    )
    async def put_story_view(self, call: Call) -> func.HttpResponse:
        """Record a view."""
        personal = consented(call.headers)
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            story, viewer = await self._looking.story(call)
            if story.author_id != viewer.id:
                me = self._calls.me(call)
                if await self._activity.view(me, story, call.now, personal=personal):
                    self._telemetry.count("story_views", call.tenant.id)
                    log_event(log, logging.INFO, "story_viewed", tenant=call.tenant.id)
                    await self._add_event(call, story, VIEW + me.id, {"viewedAt": call.now})
        return _done()

    @social_endpoint(
        "POST",
        "v1/stories/{id}/view",
        "Record a view of a story, as PUT does",
        tag="stories",
        parameters=(_CONSENT,),
        responses=_DONE,
        problems=("story_not_found", "invalid_personalization"),
    )
    async def post_story_view(self, call: Call) -> func.HttpResponse:
        """Do the same for clients that cannot send PUT."""
        return await self.put_story_view(call)

    @social_endpoint(
        "PUT",
        "v1/stories/{id}/reaction",
        "React to a story",
        tag="stories",
        parameters=(_CONSENT,),
        description="One of six emoji. A person has one reaction per story; another replaces it. At most 60 a minute.",
        body=_BODY,
        responses=_REACTED,
        problems=_REACTION_PROBLEMS,
    )
    async def put_story_reaction(self, call: Call) -> func.HttpResponse:
        """Replace the caller's reaction."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            emoji = read_emoji(read_object(call.request, MAX_BODY_BYTES))
            await self._react(call, emoji)
        return json_response(ReactionState(emoji=EMOJI[emoji]), cache=PRIVATE)

    @social_endpoint(
        "POST",
        "v1/stories/{id}/reactions",
        "React to a story, as PUT does",
        tag="stories",
        parameters=(_CONSENT,),
        body=_BODY,
        responses=_REACTED,
        problems=_REACTION_PROBLEMS,
    )
    async def post_story_reaction(self, call: Call) -> func.HttpResponse:
        """Do the same for clients that cannot send PUT."""
        return await self.put_story_reaction(call)

    @social_endpoint(
        "DELETE",
        "v1/stories/{id}/reaction",
        "Remove a reaction",
        tag="stories",
        parameters=(_CONSENT,),
        responses=_DONE,
        problems=("story_not_found", "invalid_personalization"),
    )
    async def delete_story_reaction(self, call: Call) -> func.HttpResponse:
        """Remove the caller's reaction."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            await self._react(call, None)
        return _done()

    async def _react(self, call: Call, emoji: int | None) -> None:
        personal = consented(call.headers)
        self._reactions.take(call.user_key, call.now)
        story, viewer = await self._looking.story(call)
        if story.author_id == viewer.id:
            return
        me = self._calls.me(call)
        if await self._activity.react(me, story, emoji, call.now, personal=personal) and emoji is not None:
            self._telemetry.count("story_reactions", call.tenant.id, str(emoji))
            log_event(log, logging.INFO, "reaction_added", tenant=call.tenant.id)
            await self._add_event(call, story, REACTION + me.id, {"createdAt": call.now, "emoji": emoji})

    async def _add_event(self, call: Call, story: Story, fact_id: str, body: dict[str, object]) -> None:
        """Add an event to the author's inbox at once. If that fails, the counter adds it within half a minute."""
        event = event_of(story.id, fact_id, body)
        try:
            await self._inbox.add(Person(call.tenant.id, story.author_id), [event] if event else [])
        except StoreUnavailable:
            self._telemetry.count("store_failures", "inbox")

    @social_endpoint(
        "GET",
        "v1/stories/{id}/viewers",
        "List viewers of the caller's own story",
        tag="stories",
        parameters=PAGE,
        responses={
            200: Response(
                "A page.",
                StoryViewersPage,
                {
                    "items": [{"viewerId": EXAMPLE_ID, "viewedAt": "2026-11-20T12:00:00Z", "emoji": "🔥"}],
                    "nextCursor": None,
                },
            )
        },
        problems=("story_not_found", *PAGE_PROBLEMS),
    )
    async def get_story_viewers(self, call: Call) -> func.HttpResponse:
        """Return a page of viewers. Only the author can read it."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            story = await self._looking.own_story(call)
            after, limit = self._calls.after(call, "viewers", story.id), self._calls.limit(call)
            viewers, place = await self._activity.viewers(call.tenant.id, story.id, after, limit)
        items = [
            StoryViewerItem(
                viewer_id=each.id,
                viewed_at=iso_time(each.at),
                emoji=None if each.emoji is None else EMOJI[each.emoji],
            )
            for each in viewers
        ]
        cursor = self._calls.cursor(call, place, "viewers", story.id)
        return json_response(StoryViewersPage(items=items, next_cursor=cursor), cache=PRIVATE)

    @social_endpoint(
        "GET",
        "v1/me/stats",
        "Read statistics of the caller's stories",
        tag="stories",
        brand=True,
        description="Of the last seven days, by UTC date. Views and reactions are counted about every 30 seconds.",
        responses={
            200: Response(
                "The last seven days.",
                StoryStats,
                {
                    "posted": 1,
                    "views": 2,
                    "uniqueViewers": 2,
                    "approximate": False,
                    "reactions": {**dict.fromkeys(EMOJI, 0), "🔥": 1},
                    "days": [{"date": "2026-11-20", "posted": 1, "views": 2, "reactions": 1}],
                    "asOf": "2026-11-20T12:00:00Z",
                },
            )
        },
    )
    async def get_story_stats(self, call: Call) -> func.HttpResponse:
        """Return views, reactions and posts of the last seven days."""
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            stats = await self._statistics.of_author(self._calls.me(call), call.now)
        views, *reactions = totals(stats.days)
        days = [
            DayOfStories(date=day, posted=stats.posted[day], views=row[0], reactions=sum(row[1:]))
            for day, row in stats.days.items()
        ]
        return json_response(
            StoryStats(
                posted=sum(stats.posted.values()),
                views=views,
                unique_viewers=stats.viewers.count(),
                approximate=stats.viewers.approximate or stats.cut,
                reactions=by_emoji(reactions),
                days=days,
                as_of=iso_time(call.now),
            ),
            cache=PRIVATE,
        )

    @social_endpoint(
        "GET",
        "v1/me/events",
        "List events of the caller's stories",
        tag="stories",
        description="`story.viewed` and `story.reacted`: at most the newest 100 events of the last 24 hours.",
        parameters=(_AFTER,),
        responses={
            200: Response(
                "Events in the order in which they were added.",
                StoryEvents,
                {
                    "events": [
                        {
                            "id": "Nw3_vX.b81LkPw0aGt5YhA",
                            "type": VIEWED,
                            "storyId": "01KB8ZKQ3V5WJ4Y8N2T6R1C9XD-2",
                            "viewerId": EXAMPLE_ID,
                            "viewedAt": "2026-11-20T12:00:00Z",
                            "at": "2026-11-20T12:00:00Z",
                        }
                    ],
                    "next": "1",
                    "missed": False,
                },
            )
        },
        problems=("invalid_after",),
    )
    async def get_story_events(self, call: Call) -> func.HttpResponse:
        """Return the events in the caller's inbox that follow `after`."""
        text = call.request.params.get("after") or "0"
        if not re.fullmatch(r"[0-9]{1,15}", text):
            raise bad_request("invalid_after", "after must be the value of next from an earlier response.")
        with self._limits.admit(Kind.SOCIAL, call.tenant, call.user_key):
            told = await self._inbox.after(self._calls.me(call), int(text))
        events = [
            StoryEvent(
                id=each["id"],
                type=each["type"],
                story_id=each["storyId"],
                at=iso_time(each["at"]),
                **(
                    {"viewer_id": each["personId"], "viewed_at": iso_time(each["at"])}
                    if each["type"] == VIEWED
                    else {"user_id": each["personId"], "emoji": EMOJI[each["emoji"]]}
                ),
            )
            for each in told.events
        ]
        return json_response(StoryEvents(events=events, next=str(told.next), missed=told.missed), cache=PRIVATE)


def _done() -> func.HttpResponse:
    return HttpResponse(status_code=204, headers={**BASE_HEADERS, "Cache-Control": PRIVATE})
