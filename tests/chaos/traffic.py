"""Generates the traffic of the fault-injection run: tenants, videos, users and events, equal for equal seeds."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.domain.records import Tenant, Video

MINUTE_MS, DAY_MS = 60_000, 86_400_000
REPACK_UP_TO = 100
"""Users with more events than the ring of identities holds resend batches unchanged and never repack."""
KINDS = ("impression", "video_view", "video_view", "video_view", "complete", "skip", "like", "share", "save")
FOLLOWS = ("follow", "unfollow")
"""Events without a video: the followed creator takes its place."""
RARE_KINDS = ("unlike", "unsave", "not_interested", *FOLLOWS)


@dataclass(frozen=True)
class World:
    """A tenant of the run. `counts_all`: whether events count for videos without a served feed."""

    tenant: Tenant
    videos: dict[str, Video]
    key: str

    @property
    def counts_all(self) -> bool:
        return self.tenant.count_anonymous_events


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as the client knows it. `at_ms` is None when the phone's clock is so wrong that the server uses its
    own time; such an event has a unique watch time."""

    kind: str
    video: str
    sent_ms: int
    at_ms: int | None
    watch_ms: float | None
    position: int | None
    event_id: str | None

    def wire(self, feed_request: str | None) -> dict[str, Any]:
        about = {"followKind": "creator", "followId": self.video} if self.kind in FOLLOWS else {"videoId": self.video}
        row: dict[str, Any] = {"type": self.kind, "timestamp": self.sent_ms, **about}
        for name, value in (
            ("watchTimeMs", self.watch_ms),
            ("rankPosition", self.position),
            ("eventId", self.event_id),
            ("feedRequestId", feed_request),
        ):
            if value is not None:
                row[name] = value
        return row


@dataclass
class User:
    """One user on one device. `ask_for_a_feed` fills in `feed_request`."""

    world: World
    hash: str
    consents: bool
    asks_for_a_feed: bool
    events: list[Sent] = field(default_factory=list)
    feed_request: str | None = None

    @property
    def repacks(self) -> bool:
        return self.consents and len(self.events) <= REPACK_UP_TO


def worlds(draw: random.Random) -> list[World]:
    """Three tenants: one below every cap, one above them and sharded, one that trusts no anonymous event."""
    few = _videos(120, categories=9, tags=7, creators=8, draw=draw)
    many = _videos(400, categories=32, tags=26, creators=20, draw=draw)
    return [
        World(Tenant("chaos-few", "PG13", count_anonymous_events=True), few, "key-of-chaos-few"),
        World(Tenant("chaos-many", "PG13", count_anonymous_events=True, rollup_shards=3), many, "key-of-chaos-many"),
        World(Tenant("chaos-strict", "PG13"), few, "key-of-chaos-strict"),
    ]


def _videos(count: int, categories: int, tags: int, creators: int, draw: random.Random) -> dict[str, Video]:
    videos = [
        Video(
            id=f"vid_{n}",
            title=f"Video {n}",
            playback_url=f"https://cdn.example/{n}.m3u8",
            category=f"category {n % categories}",
            tags=tuple(f"tag {tag}" for tag in draw.sample(range(tags), 2)),
            creator=f"creator {draw.randrange(creators)}",
            duration_seconds=float(draw.randint(8, 60)),
            maturity_rating="PG",
        )
        for n in range(count)
    ]
    return {video.id: video for video in videos}


def users(count: int, events: int, among: list[World], now: float, draw: random.Random) -> list[User]:
    """Generate so many users with at least so many events in total; one in a hundred has far more than the rest."""
    watch_times = _watch_times()
    made = []
    for number in range(count):
        world = draw.choices(among, (5, 4, 1))[0]
        made.append(
            User(
                world,
                hashlib.sha256(draw.randbytes(16)).hexdigest(),
                consents=draw.random() > 0.03,
                asks_for_a_feed=world is among[2] and draw.random() < 0.5,
            )
        )
        heavy = number % 100 == 0
        mean = max(2, events // count)
        size = draw.randint(8 * mean, 20 * mean) if heavy else draw.randint(1, 2 * mean - 1)
        made[-1].events = _events(min(size, REPACK_UP_TO) if not heavy else size, made[-1], now, watch_times, draw)
    while (short := events - sum(len(user.events) for user in made)) > 0:
        for user in draw.sample(made, min(count, max(1, short // 10))):
            if user.repacks and len(user.events) < REPACK_UP_TO - 10:
                user.events += _events(10, user, now, watch_times, draw)
    return made


def _events(count: int, user: User, now: float, watch_times: Iterator[float], draw: random.Random) -> list[Sent]:
    ids = list(user.world.videos)
    with_ids = draw.random() < 0.5
    taken = {event.sent_ms for event in user.events}
    made = []
    while len(made) < count:
        chance = draw.random()
        clamped = chance > 0.995
        if clamped:
            at = int(now * 1000) + DAY_MS + draw.randrange(DAY_MS)
        elif chance > 0.97:
            at = int(now * 1000) + draw.randrange(3 * MINUTE_MS)  # a slightly fast clock
        elif chance < 0.05:
            at = int(now * 1000) - draw.randrange(DAY_MS, int(6.8 * DAY_MS))  # late
        else:
            at = int(now * 1000) - draw.randrange(120 * MINUTE_MS)
        if at in taken:
            continue
        taken.add(at)
        kind = draw.choice(RARE_KINDS if draw.random() < 0.03 else KINDS)
        watch_ms: float | None = None
        if clamped:
            kind, watch_ms = "video_view", next(watch_times)
        elif kind == "video_view":
            watch_ms = float(draw.randrange(70_000))
        elif kind == "skip" and draw.random() < 0.3:
            watch_ms = float(draw.randrange(2_000))
        made.append(
            Sent(
                kind,
                draw.choice(ids),
                at,
                None if clamped else at,
                watch_ms,
                draw.randrange(20) if kind not in FOLLOWS and draw.random() < 0.7 else None,
                f"{user.hash[:12]}-{at}" if with_ids else None,
            )
        )
    return made


def _watch_times() -> Iterator[float]:
    """Yield watch times that no other event has: they have a fraction."""
    number = 0
    while True:
        number += 1
        yield number + 0.5
