"""An erasure searches all dead letters, however short the pages are, and its receipt counts what it found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from events.batch import Batch, encode
from events.dead_letters import all_dead_letters, readable
from events.schema import Event
from shared.adapters.bus.port import ROLLUP, SIGNALS, SUBSCRIPTIONS, Bus, DeadLetter, OutgoingMessage
from shared.domain.fingerprint import fingerprint
from tests.served_app import Answer, App, Client, make_videos, served

LETTERS = 320
OF_THE_USER = (4, 301)
PAGE = 250
"""Service Bus returns at most this many messages per peek."""


@pytest_asyncio.fixture(loop_scope="function")
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with served(tmp_path) as app:
        yield app


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module."""


class ShortPages:
    """A bus whose peeks and receives return fewer messages than requested."""

    def __init__(self, inner: Bus) -> None:
        self._inner = inner

    async def peek_dead_letters(self, subscription: str, limit: int, after: int = 0) -> list[DeadLetter]:
        return await self._inner.peek_dead_letters(subscription, min(limit, 7), after)

    async def depth(self, subscription: str) -> tuple[int, int]:
        return tuple(min(PAGE, n) for n in await self._inner.depth(subscription))  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def _fill(client: Client, letters: dict[str, int]) -> None:
    for subscription, count in letters.items():
        for number in range(1, count + 1):
            user = client.user_key if number in OF_THE_USER else f"other-{number}"
            event = Event("like", "vid_fitness_1", client.app.now_ms(), fingerprint(str(number)))
            batch = Batch(f"{number:032x}", client.tenant_id, user, client.app.clock.now(), (event,))
            message = OutgoingMessage(batch.id, client.tenant_id, encode(batch))
            await client.app.services.bus.dead_letter(subscription, message, "why")


async def _erase(client: Client) -> Answer:
    return await client.app.request("POST", "/v1/privacy/erase", client.with_key(client.app.ops_key).headers)


async def _left_of(client: Client) -> int:
    found = 0
    for subscription in SUBSCRIPTIONS:
        async for letter in all_dead_letters(client.app.services.bus, subscription):
            found += any(batch.user_key == client.user_key for batch in readable(letter.message))
    return found


async def test_erasure_finds_dead_letters_on_every_page_of_both_subscriptions(app: App) -> None:
    client = await app.tenant(make_videos(3))
    await _fill(client, {SIGNALS: LETTERS, ROLLUP: 5})
    app.bus.inner = ShortPages(app.bus.inner)  # type: ignore[assignment]
    answer = await _erase(client)
    assert (answer.status, answer.json["deleted"]["deadLetters"]) == (200, 3)
    assert await _left_of(client) == 0
    again = await _erase(client)
    assert again.json["deleted"]["deadLetters"] == 0


async def test_erasure_is_not_confirmed_while_another_process_locks_a_dead_letter(app: App) -> None:
    client = await app.tenant(make_videos(3))
    await _fill(client, {SIGNALS: LETTERS})
    holder = await app.services.bus.receiver(SIGNALS, dead_letters=True)
    held = await holder.receive(10, 0.1)
    assert len(held) == 10
    answer = await _erase(client)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert await _left_of(client) == 1, "what nobody held is gone already"
    await holder.close()
    answer = await _erase(client)
    assert (answer.status, answer.json["deleted"]["deadLetters"]) == (200, 1)
    assert await _left_of(client) == 0


async def test_sweep_drops_old_dead_letters_on_every_page(app: App) -> None:
    client = await app.tenant(make_videos(3))
    await _fill(client, {ROLLUP: 30})
    app.bus.inner = ShortPages(app.bus.inner)  # type: ignore[assignment]
    app.clock.advance(90 * 86_400)
    assert await app.services.sweep_dead_letters() == 30
