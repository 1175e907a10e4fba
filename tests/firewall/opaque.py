"""Opaque texts that clients send back, with random content: receipts, cursors, ids, batch keys."""

from __future__ import annotations

import base64
import random
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from feed import cursor
from shared.domain import feed_receipt
from shared.domain.feed_receipt import FeedReceipt
from tests.firewall.guarded import STRICT, Guarded, Tally
from tests.firewall.passing import many
from tests.firewall.server import is_refusal
from tests.served_app import Client, make_videos, new_user

VERSIONS = (1, 2)
PAGES = (20, 50)
ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


def receipt(app: Guarded, tenant_id: str, user: str, version: int, draw: random.Random) -> str:
    """The receipt of a page that was served to a user just now."""
    videos = None
    if version > 1:
        videos = np.array([draw.getrandbits(64) for _ in range(draw.choice(PAGES))], np.uint64)
    identity = app.services.identity
    served = FeedReceipt(int(app.clock.now()), True, True, model=draw.getrandbits(32), arm=draw.getrandbits(3))
    return feed_receipt.sign(
        served, app.services.keys.for_purpose("feed-request"), tenant_id, identity.user_key(tenant_id, user), videos
    )


def next_cursor(app: Guarded, tenant_id: str, user: str, version: int, draw: random.Random) -> str:
    """The cursor after 10 to 700 videos."""
    marks = np.array([draw.getrandbits(32) for _ in range(draw.randint(10, 700))], np.uint32)
    served = cursor.Served(int(app.clock.now()), draw.getrandbits(32), marks)
    user_key = app.services.identity.user_key(tenant_id, user)
    text = cursor.encode(served, app.services.keys.for_purpose("cursor"), tenant_id, user_key, version)
    assert text is not None
    return text


def batch(app: Guarded, client: Client, version: int, draw: random.Random, events: int) -> bytes:
    """A batch of events, each with a receipt and a video id as a tenant can choose it."""
    made = []
    for rank in range(events):
        id = draw.choice(ID_LETTERS[:62]) + "".join(draw.choice(ID_LETTERS) for _ in range(draw.randint(5, 40)))
        made.append(
            {
                "type": draw.choice(("impression", "video_view", "like", "skip")),
                "videoId": id,
                "timestamp": app.now_ms(draw.randint(1, 600)),
                "watchTimeMs": draw.randint(0, 60_000),
                "rankPosition": rank,
                "feedRequestId": receipt(app, client.tenant_id, client.user, version, draw),
            }
        )
    return orjson.dumps({"events": made})


async def linked_videos(app: Guarded, count: int, draw: random.Random) -> Tally:
    """`count` requests for a video, and as many for 50, by ids as tenants choose them: UUIDs and random ones.
    Several ids come as separate parameters."""
    tally = app.new_tally()
    client = await app.tenant(make_videos(6))

    def id() -> str:
        made = "".join(draw.choice(ID_LETTERS) for _ in range(draw.randint(5, 40)))
        return str(uuid.UUID(int=draw.getrandbits(128))) if draw.random() < 0.5 else draw.choice(ID_LETTERS[:62]) + made

    for _ in range(count):
        user = client.as_user(new_user())
        tally.expect(await user.get(f"/v1/videos/{id()}"), 404, of="a video")
        asked = "&".join(f"ids={id()}" for _ in range(50))
        tally.expect(await app.request("GET", f"/v1/videos?{asked}", user.headers), 200, of="50 videos")
    return tally


async def random_content(app: Guarded, count: int, draw: random.Random) -> Tally:
    """`count` batches of 1 to 10 events and as many pages by cursor, in both versions, each of its own user."""
    tally = app.new_tally()
    client = await app.tenant(make_videos(6))

    async def one(number: int) -> None:
        version, user = VERSIONS[number % 2], client.as_user(new_user())
        key = base64.urlsafe_b64encode(draw.randbytes(draw.randint(12, 60))).decode().rstrip("=")
        body = batch(app, user, version, draw, draw.randint(1, 10))
        tally.expect(await user.post_raw(body, {"Idempotency-Key": key}), 202, of="a batch")
        query = {"cursor": next_cursor(app, client.tenant_id, user.user, version, draw), "limit": "5"}
        etag = {"If-None-Match": f'W/"{key}"'}
        tally.expect(await user.get("/v1/feed", etag, **query), 200, of=f"a cursor of version {version}")

    await many((lambda n=n: one(n)) for n in range(count))  # type: ignore[misc]
    return tally


@dataclass
class Cost:
    """How many of one kind all rules would refuse without exclusions, and which rules match."""

    kind: str
    version: int
    sent: int = 0
    refused: int = 0
    rules: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        named = ", ".join(rule for rule, _ in self.rules.most_common(4)) or "none"
        return f"{self.kind} of version {self.version}: {self.refused} of {self.sent} refused (rules: {named})"


async def costs(app: Guarded, count: int, draw: random.Random, versions: Sequence[int] = VERSIONS) -> list[Cost]:
    """Return the cost of each version under every rule, bodies and cursors inspected."""
    client = await app.tenant(make_videos(6))
    found = []
    kinds: list[tuple[str, Callable[[Client, int], tuple[str, str, bytes | None]]]] = [
        ("one event with a receipt", lambda user, version: _post(_receipts(app, user, version, draw, 1))),
        ("ten events with receipts", lambda user, version: _post(_receipts(app, user, version, draw, 10))),
        ("a page by a cursor", lambda user, version: _page(next_cursor(app, user.tenant_id, user.user, version, draw))),
    ]
    for kind, made in kinds:
        for version in versions:
            cost = Cost(kind, version)
            app.wall.forget()
            for _ in range(count):
                user = client.as_user(new_user())
                method, path, body = made(user, version)
                headers = {**user.headers, "Content-Type": "application/json"} if body else user.headers
                answer = await app.ask(app.wall.urls[STRICT], method, path, headers, None, body)
                cost.sent += 1
                cost.refused += is_refusal(answer.status, answer.body)
            cost.rules = app.wall.rules(STRICT)
            found.append(cost)
    return found


def _receipts(app: Guarded, client: Client, version: int, draw: random.Random, events: int) -> bytes:
    """A batch in which only the receipts are random."""
    event = {"type": "like", "videoId": "vid_fitness_1", "timestamp": app.now_ms(60)}
    made = [
        {**event, "feedRequestId": receipt(app, client.tenant_id, client.user, version, draw)} for _ in range(events)
    ]
    return orjson.dumps({"events": made})


def _post(body: bytes) -> tuple[str, str, bytes | None]:
    return "POST", "/v1/events/batch", body


def _page(text: str) -> tuple[str, str, bytes | None]:
    return "GET", f"/v1/feed?limit=5&cursor={text}", None
