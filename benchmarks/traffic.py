"""Simulates people who use an app: tenants by Zipf's law, sessions of a few pages, a batch of events after each page.

A session gets a page, watches most of it, reports it, and gets the next page. The soak test adds pauses as people make,
shortened so that minutes have many sessions. Arrivals do not depend on responses (an open loop): a slow service does
not get fewer visitors.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from benchmarks.served import World, tenant_id, user_hash
from benchmarks.wire import Connections, Reply, http
from local.demo import SDK_KEY

PAGES = (1, 2, 3, 4, 6)
REQUESTS_A_SESSION = 2 * sum(PAGES) / len(PAGES)
WATCHED = 0.7
ZIPF = 1.1


@dataclass
class Seen:
    """Responses by status and reason, latencies of feeds with the time of request, and unclean refusals."""

    statuses: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    feeds: list[tuple[float, float]] = field(default_factory=list)
    unclean: list[str] = field(default_factory=list)

    def take(self, reply: Reply, at: float, *, feed: bool) -> None:
        """Count one response. A refusal is clean when it is 429 or 503 with Retry-After."""
        self.statuses[reply.status] += 1
        if feed and reply.status == 200:
            self.feeds.append((at, reply.seconds))
            reason = reply.body[:90].partition(b'"reason":"')[2].partition(b'"')[0].decode()
            self.reasons[reason or "personalized"] += 1
        elif reply.status in (429, 503):
            if b"\r\nretry-after:" not in reply.head:
                self.unclean.append(f"{reply.status} without Retry-After")
        elif reply.status not in (200, 202, 304):
            self.unclean.append(f"{reply.status} {reply.body[:120]!r}")

    def percentile(self, share: float, since: float = 0.0, until: float = float("inf")) -> float:
        """Return a percentile of feeds requested in an interval, in milliseconds."""
        spans = sorted(seconds for at, seconds in self.feeds if since <= at < until)
        return spans[min(len(spans) - 1, int(len(spans) * share))] * 1e3 if spans else 0.0


class People:
    """Draws visitors: a tenant by Zipf's law, and one of its users, most of them with a history."""

    def __init__(self, world: World, seed: int = 0) -> None:
        self.draw = random.Random(seed)
        self._tenants = range(world.tenants)
        self._weights = [1 / (rank + 1) ** ZIPF for rank in self._tenants]
        self._users = world.users

    def one(self, tenant: int | None = None) -> dict[str, str]:
        """Return the headers of a random user."""
        chosen = self.draw.choices(self._tenants, self._weights)[0] if tenant is None else tenant
        user = self.draw.randrange(self._users) if self.draw.random() < 0.85 else self.draw.randrange(10**6, 10**7)
        return {"X-Tenant-Id": tenant_id(chosen), "X-Api-Key": SDK_KEY, "X-User": user_hash(chosen, user)}


async def session(
    people: People, connections: Connections, seen: Seen, pause_seconds: float, who: dict[str, str] | None = None
) -> None:
    """Simulate one visit. A refused one ends, as a person would leave: there is no storm of retries."""
    who = who or people.one()
    draw, cursor = people.draw, ""
    for _ in range(draw.choice(PAGES)):
        at = time.monotonic()
        reply = await connections.ask(http("GET", f"/v1/feed{cursor}", who))
        seen.take(reply, at, feed=True)
        if reply.status != 200:
            return
        page = orjson.loads(reply.body)
        if pause_seconds:
            await asyncio.sleep(draw.expovariate(1 / pause_seconds))
        if page["items"]:
            body = orjson.dumps({"events": _events(page, draw)})
            seen.take(await connections.ask(http("POST", "/v1/events/batch", who, body)), at, feed=False)
        if not page["nextCursor"]:
            return
        cursor = f"?cursor={page['nextCursor']}"


def _events(page: dict, draw: random.Random) -> list[dict[str, object]]:
    now, events = int(time.time() * 1000), []
    for item in page["items"]:
        watched = draw.random() < WATCHED
        events.append(
            {
                "type": "video_view" if watched else "skip",
                "videoId": item["videoId"],
                "timestamp": now,
                "watchTimeMs": draw.randint(500, 30_000) if watched else None,
                "feedRequestId": page["feedRequestId"],
                "rankPosition": item["rank"],
            }
        )
    return events


async def arrivals(
    rate: float, seconds: float, come: Callable[[], object], *, most_waiting: Callable[[], int], limit: int
) -> int:
    """Call `come` at random moments, `rate` times a second on average. Return the number of arrivals that were skipped
    because too many were waiting."""
    draw, left = random.Random(1), 0
    due = time.monotonic()
    until = due + seconds
    while due < until:
        due += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if most_waiting() > limit:
            left += 1
        else:
            come()
    return left
