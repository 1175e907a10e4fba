"""Batches of several users share one message, from the request to signals and statistics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from events.batch import decode
from shared.adapters.bus.port import NO_SESSION, ROLLUP, SIGNALS, BusUnavailable, OutgoingMessage
from tests.served_app import App, Client, make_videos, served

USERS = 12


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module."""


class Watched:
    """Records what is published on a bus, and can lose confirmations."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.sent: list[OutgoingMessage] = []
        self.unconfirmed = False

    async def publish(self, message: OutgoingMessage) -> None:
        self.sent.append(message)
        await self.inner.publish(message)
        if self.unconfirmed and message.to == SIGNALS:
            raise BusUnavailable("not confirmed", 1.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def batches(self, to: str) -> list[list[str]]:
        """Return the batch ids of each message to a subscription."""
        return [[each.id for each in decode(message.body)] for message in self.sent if message.to == to]


@asynccontextmanager
async def packing_app(folder: Path, **settings: Any) -> AsyncIterator[tuple[App, Watched]]:
    chosen = {"write_message_version": "2", "pack_linger_ms": 100.0, **settings}
    async with served(folder, **chosen) as app:
        app.bus.inner = watched = Watched(app.bus.inner)  # type: ignore[assignment]
        yield app, watched


async def users_of(app: App, count: int = USERS) -> list[Client]:
    tenants = [await app.tenant(make_videos(3), count_anonymous_events=True) for _ in range(2)]
    return [tenants[n % 2].as_user() for n in range(count)]


def like(app: App) -> dict[str, Any]:
    return {"type": "like", "videoId": "v1", "timestamp": app.now_ms(1)}


async def events_of(client: Client) -> int:
    return int((await client.signals()).json.get("events", 0))


async def test_concurrent_batches_share_a_message_and_all_count(tmp_path: Path) -> None:
    async with packing_app(tmp_path) as (app, bus):
        clients = await users_of(app)
        answers = await asyncio.gather(*(client.post([like(app)]) for client in clients))
        assert {answer.status for answer in answers} == {202}
        packs = bus.batches(SIGNALS)
        assert sum(map(len, packs)) == USERS
        assert len(packs) <= 4
        assert {message.session_id for message in bus.sent if message.to == SIGNALS} == {NO_SESSION}
        await app.folded()
        assert [await events_of(client) for client in clients] == [1] * USERS
        assert app.counted("batches_folded", "folded") == USERS
        assert sum(map(len, bus.batches(ROLLUP))) == USERS


async def test_unconfirmed_message_resent_in_another_packing_counts_once(tmp_path: Path) -> None:
    async with packing_app(tmp_path, hand_on_linger_ms=50.0) as (app, bus):
        clients = await users_of(app)
        event = like(app)
        bus.unconfirmed = True
        answers = await asyncio.gather(*(client.post([event]) for client in clients))
        assert {answer.status for answer in answers} == {503}
        bus.unconfirmed = False
        app.clock.advance(1.0)
        again = await asyncio.gather(*(client.post([event]) for client in reversed(clients)))
        assert {answer.status for answer in again} == {202}
        ids = {message.message_id for message in bus.sent if message.to == SIGNALS}
        assert len(ids) == len([message for message in bus.sent if message.to == SIGNALS]), "other messages"
        await app.folded()
        await app.rolled_up()
        assert [await events_of(client) for client in clients] == [1] * USERS
        handed_on = [id for pack in bus.batches(ROLLUP) for id in pack]
        assert len(handed_on) == len(set(handed_on)) == USERS


async def test_publish_time_includes_the_wait_for_other_batches(tmp_path: Path) -> None:
    async with packing_app(tmp_path, pack_linger_ms=500.0, publish_budget_ms=100.0) as (app, bus):
        first, second = await users_of(app, 2)
        assert (await first.post([like(app)])).status == 202
        late = await second.post([like(app)])
        assert (late.status, late.json["code"]) == (503, "unavailable")
        await asyncio.sleep(0.6)
        assert len(bus.batches(SIGNALS)) == 1, "who gave up is not sent"


async def test_batches_without_consent_are_sent_alone_under_their_own_id(tmp_path: Path) -> None:
    """No marker would recognize them in another message."""
    async with packing_app(tmp_path) as (app, bus):
        clients = await users_of(app)
        event = like(app)
        for _ in range(2):
            answers = [client.post([event], {"X-Personalization": "off"}) for client in clients]
            assert {answer.status for answer in await asyncio.gather(*answers)} == {202}
        sent = [message for message in bus.sent if message.to == ROLLUP]
        assert len(sent) == 2 * USERS
        assert [message.message_id for message in sent] == [decode(message.body)[0].id for message in sent]
        assert (await app.services.bus.depth(ROLLUP))[0] == USERS, "the bus dropped the second ones"
