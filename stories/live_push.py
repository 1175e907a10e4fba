"""Pushes new inbox events to authors who are connected by WebSocket.

    Inbox.add ── nudge(author, events) ── one send at once, then at most one a second ── live port

A failed push is counted and not repeated, because the inbox still holds its events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from shared.adapters.documents.port import Json
from shared.adapters.live.port import NUDGE, Frame, Live, LiveUnavailable
from shared.domain.formats import iso_time
from shared.observability.metrics import Telemetry
from stories.identity import Person
from stories.inbox import MAX_EVENTS, VIEWED
from stories.story_forms import EMOJI

PAUSE_SECONDS = 1.0
"""Shortest time between two sends to one author."""
MOST_AUTHORS = 10_000
"""Authors with a push in progress in one process. Above that, pushes are dropped; the events stay in the inbox."""


class LivePush:
    """Sends pushes through the live port. `live` is None where no live service is configured.

    `on(tenant_id)`: whether live events are on for a tenant; `full(tenant_id)`: whether operators allow its whole
    events to leave the network.
    """

    def __init__(
        self,
        live: Live | None,
        telemetry: Telemetry,
        on: Callable[[str], bool],
        full: Callable[[str], bool] = lambda tenant_id: False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._live, self._telemetry, self._on, self._full, self._sleep = live, telemetry, on, full, sleep
        self._waiting: dict[str, list[Json]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def nudge(self, author: Person, events: Sequence[Json]) -> None:
        """Queue a push of events that are in the inbox. Returns before it is sent, and never raises."""
        if not events or self._live is None or not self._on(author.tenant_id):
            return
        waiting = self._waiting.get(author.partition)
        if waiting is not None:
            waiting += events
        elif len(self._waiting) >= MOST_AUTHORS:
            self._telemetry.count("live_sends", "dropped")
        else:
            self._waiting[author.partition] = list(events)
            task = asyncio.create_task(self._tell(self._live, author), name="live-push")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel all pushes."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, live: Live, author: Person) -> None:
        who = author.partition
        try:
            while events := self._waiting[who]:
                self._waiting[who] = []
                try:
                    whole = live.inside or self._full(author.tenant_id)
                    await live.send(who, frames(events) if whole else [NUDGE])
                    self._telemetry.count("live_sends", "sent")
                except LiveUnavailable:
                    self._telemetry.count("live_sends", "failed")
                await self._sleep(PAUSE_SECONDS)
        finally:
            self._waiting.pop(who, None)


def frames(events: Sequence[Json]) -> list[Frame]:
    """Build one frame per event, for at most `MAX_EVENTS`; a last frame counts the others."""
    told: list[Frame] = [_frame(each) for each in events[:MAX_EVENTS]]
    if len(events) > MAX_EVENTS:
        told.append({"type": "more", "count": len(events) - MAX_EVENTS})
    return told


def _frame(event: Json) -> Frame:
    if event["type"] == VIEWED:
        at = iso_time(event["at"])
        return {"type": VIEWED, "storyId": event["storyId"], "viewerId": event["personId"], "viewedAt": at}
    emoji = EMOJI[event["emoji"]]
    return {"type": event["type"], "storyId": event["storyId"], "userId": event["personId"], "emoji": emoji}
