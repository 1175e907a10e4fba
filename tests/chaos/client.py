"""A client that resends a user's events until it gets a 202, as an SDK does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from tests.chaos.traffic import Sent, User

ANSWER_SECONDS = 4.0
FEED_SECONDS = 10.0
GIVE_UP_AFTER = 400
CUT_AFTER_SECONDS = 0.01
"""The data arrives before the connection closes; whether it was answered by then is unknown."""


@dataclass
class Batch:
    """A request body, and the idempotency key sent with it each time."""

    events: list[Sent]
    body: bytes
    idempotency_key: str | None


@dataclass
class Client:
    """Sends for users over `http` to any of `urls`. `tally` counts outcomes."""

    urls: list[str]
    http: aiohttp.ClientSession
    draw: random.Random
    think_seconds: float
    tally: Counter[str] = field(default_factory=Counter)

    async def send_all(self, user: User, draw: random.Random) -> None:
        """Send every event of a user until each was in a batch answered with 202; up to `think_seconds` pass between
        batches."""
        if user.asks_for_a_feed:
            await self._ask_for_a_feed(user)
        pending = list(user.events)
        draw.shuffle(pending)  # within and across batches, times are in any order
        accepted: list[Sent] = []
        while pending:
            await asyncio.sleep(draw.uniform(0.0, self.think_seconds))
            if not user.repacks and draw.random() < 0.3 and len(pending) > 30:
                # Concurrent batches arrive in any order.
                batches = [self._pack(user, pending[at : at + 10], draw) for at in (0, 10, 20)]
                pending = pending[30:]
                await asyncio.gather(*(self._until_accepted(user, batch, draw) for batch in batches))
                continue
            size = draw.choice((1, 5, 20, 20, 40, 100))
            again = []
            if user.repacks and accepted and draw.random() < 0.1:
                again = draw.sample(accepted, min(len(accepted), draw.randint(1, 100 - min(size, 99))))
                self.tally["events sent again in another batch"] += len(again)
            chosen = pending[:size] + again
            draw.shuffle(chosen)
            batch = self._pack(user, chosen, draw)
            if await self._post(user, batch, draw):
                accepted += pending[:size]
                pending = pending[size:]
                if draw.random() < 0.1:
                    self.tally["batches sent again"] += 1
                    await self._post(user, batch, draw)
            elif user.repacks and draw.random() < 0.5:
                self.tally["batches packed again after no answer"] += 1  # again with another size, from the same events
            else:
                self.tally["batches sent again"] += 1
                await self._until_accepted(user, batch, draw)
                accepted += pending[:size]
                pending = pending[size:]

    async def _until_accepted(self, user: User, batch: Batch, draw: random.Random) -> None:
        for _ in range(GIVE_UP_AFTER):
            if await self._post(user, batch, draw):
                return
        raise RuntimeError(f"no 202 after {GIVE_UP_AFTER} attempts")

    def _pack(self, user: User, events: list[Sent], draw: random.Random) -> Batch:
        rows = [event.wire(user.feed_request) for event in events]
        if draw.random() < 0.03 and len(rows) < 100:
            rows.insert(draw.randrange(len(rows) + 1), {"type": "bogus", "videoId": "vid_1", "timestamp": 0})
        key = f"{draw.getrandbits(64):x}" if draw.random() < 0.5 else None
        return Batch(events, json.dumps({"events": rows}).encode(), key)

    async def _ask_for_a_feed(self, user: User) -> None:
        for _ in range(GIVE_UP_AFTER):
            try:
                timeout = aiohttp.ClientTimeout(FEED_SECONDS)
                url = self.draw.choice(self.urls)
                async with self.http.get(f"{url}/v1/feed", headers=_headers(user), timeout=timeout) as answer:
                    if answer.status == 200:
                        user.feed_request = (await answer.json())["feedRequestId"]
                        return
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.1)
        raise RuntimeError("no feed was to be had")

    async def _post(self, user: User, batch: Batch, draw: random.Random) -> bool:
        """Make one attempt; return True for a 202."""
        self.tally["batches posted"] += 1
        url = self.draw.choice(self.urls)
        headers = _headers(user)
        if batch.idempotency_key:
            headers["Idempotency-Key"] = batch.idempotency_key
        chance = draw.random()
        if chance < 0.03:
            self.tally["connections cut"] += 1
            await _cut_off(url, headers, batch.body, whole=chance < 0.02)
            return False
        try:
            timeout = aiohttp.ClientTimeout(ANSWER_SECONDS)
            async with self.http.post(
                f"{url}/v1/events/batch", data=batch.body, headers=headers, timeout=timeout
            ) as answer:
                if answer.status == 202:
                    self.tally["batches answered 202"] += 1
                    accepted = (await answer.json())["accepted"]
                    if accepted != len(batch.events):
                        raise RuntimeError(f"{accepted} of {len(batch.events)} events were accepted")
                    return True
                if answer.status not in (429, 500, 502, 503, 504):
                    raise RuntimeError(f"{answer.status} {await answer.text()}")
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        self.tally["batches without a 202"] += 1
        await asyncio.sleep(draw.uniform(0.05, 0.3))
        return False


def _headers(user: User) -> dict[str, str]:
    headers = {
        "X-Tenant-Id": user.world.tenant.id,
        "X-Api-Key": user.world.key,
        "X-User": user.hash,
        "Content-Type": "application/json",
    }
    return headers if user.consents else {**headers, "X-Personalization": "off"}


async def _cut_off(url: str, headers: dict[str, str], body: bytes, *, whole: bool) -> None:
    """Disconnect in the middle of a request, or after it and before the response."""
    host, _, port = url.removeprefix("http://").partition(":")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(["POST /v1/events/batch HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *lines])
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(head.encode() + b"\r\n\r\n" + (body if whole else body[: len(body) // 2]))
            await writer.drain()
            await asyncio.sleep(CUT_AFTER_SECONDS)
        finally:
            writer.transport.abort()
