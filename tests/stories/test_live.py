"""Authors are notified: at once while connected, and in their inbox always."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from local.doors import Doors
from local.live_door import LiveDoor
from shared.adapters.live.port import NUDGE, Frame, LiveUnavailable
from shared.observability.metrics import Telemetry
from stories.identity import Person
from stories.inbox import REACTED, VIEWED
from stories.live_push import LivePush, frames
from tests.served_app import App, Client, eventually, personalized, served
from tests.user_tokens import save_public_key, signer

NOW = 1_790_000_000.0
ANN = Person("t1", "Zq3_vX.b81LkPw0aGt5YhA")
BOB = "Aq3_vX.b81LkPw0aGt5YhA"
SEEN = {"id": "a", "type": VIEWED, "storyId": "story-1", "personId": BOB, "at": NOW}
LIKED = {"id": "b", "type": REACTED, "storyId": "story-1", "personId": BOB, "at": NOW, "emoji": 5}


class Recorder:
    """A live backend that records frames; `down` fails, `inside` receives whole events."""

    def __init__(self, *, down: bool = False, inside: bool = True) -> None:
        self.down, self.inside = down, inside
        self.sent: list[list[Frame]] = []

    async def address(self, who: str, now: float) -> Any: ...

    async def send(self, who: str, frames: Sequence[Frame]) -> None:
        if self.down:
            raise LiveUnavailable("down")
        self.sent.append(list(frames))

    async def close(self) -> None: ...


class Pauses:
    """Pauses that end when the test says so."""

    def __init__(self) -> None:
        self._ends: asyncio.Queue[None] = asyncio.Queue()
        self.begun = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.begun.set()
        await self._ends.get()

    async def end(self) -> None:
        self.begun.clear()
        self._ends.put_nowait(None)


@asynccontextmanager
async def pushing(
    live: Recorder, on: bool = True, full: bool = False
) -> AsyncIterator[tuple[LivePush, Pauses, Telemetry]]:
    pauses, telemetry = Pauses(), Telemetry()
    push = LivePush(live, telemetry, lambda _: on, lambda _: full, pauses)
    yield push, pauses, telemetry
    await push.close()


async def test_first_event_is_pushed_at_once_and_others_of_that_second_together() -> None:
    live = Recorder()
    async with pushing(live) as (push, pauses, _):
        await push.nudge(ANN, [SEEN])
        await pauses.begun.wait()
        assert live.sent == [frames([SEEN])]
        for n in range(3):
            await push.nudge(ANN, [{**LIKED, "at": NOW + n}])
        assert len(live.sent) == 1
        await pauses.end()
        await pauses.begun.wait()
        assert live.sent[1:] == [frames([LIKED]) * 3]
        await pauses.end()
        await push.nudge(Person("t1", BOB), [SEEN])
        await pauses.begun.wait()
        assert len(live.sent) == 3
    assert frames([LIKED] * 130)[100:] == [{"type": "more", "count": 30}]


async def test_only_a_nudge_leaves_the_network_by_default() -> None:
    live = Recorder(inside=False)
    async with pushing(live) as (push, pauses, _):
        await push.nudge(ANN, [SEEN, LIKED])
        await pauses.begun.wait()
    assert live.sent == [[NUDGE]]


async def test_operators_can_let_whole_events_leave_the_network() -> None:
    live = Recorder(inside=False)
    async with pushing(live, full=True) as (push, pauses, _):
        await push.nudge(ANN, [SEEN, LIKED])
        await pauses.begun.wait()
    assert live.sent == [frames([SEEN, LIKED])]


async def test_failed_nudge_is_counted_and_dropped() -> None:
    async with pushing(Recorder(down=True)) as (push, pauses, telemetry):
        await push.nudge(ANN, [SEEN])
        await pauses.begun.wait()
        assert telemetry.counters["live_sends", ("failed",)] == 1


async def test_nothing_is_pushed_while_push_is_off() -> None:
    live = Recorder()
    async with pushing(live, on=False) as (push, _, _):
        await push.nudge(ANN, [SEEN])
        await push.nudge(ANN, [])
    assert live.sent == []


@pytest.fixture
async def live_app(tmp_path: Path) -> AsyncIterator[App]:
    doors = Doors(0)
    live = LiveDoor(b"k" * 32, doors.origin)
    async with served(tmp_path, live=live) as app:
        await doors.start(live.routes())
        app.write_flags(personalized(), {"id": "stories", "enabled": True}, {"id": "story-live", "enabled": True})

        async def is_on() -> bool:
            return app.services.flags.on("story-live", "t")

        await eventually(is_on)
        yield app
        await live.close()
        await doors.stop()


async def test_author_connects_by_an_address_that_requires_their_token(live_app: App) -> None:
    app = live_app
    client, now = await app.tenant(), app.clock.now()
    await save_public_key(app.documents, client.tenant_id, signer("EdDSA"))
    assert await app.services.tenants_refresher.refresh()

    async def get(path: str, who: Client, **query: str) -> Any:
        token = signer("EdDSA").token(client.tenant_id, who.user, now)
        return await who.get(path, {"X-User-Token": token}, **query)

    assert (await client.get("/v1/me/live")).code == "missing_user_token"
    me = Person(client.tenant_id, (await get("/v1/me", client)).json["id"])
    address = (await get("/v1/me/live", client)).json
    assert address["protocol"] == "websocket"
    async with app.http.ws_connect(address["url"]) as socket:
        await app.services.social.inbox.add(me, [{**SEEN, "at": now}, {**LIKED, "at": now}])
        seen = await socket.receive_json(timeout=60)
        liked = await socket.receive_json(timeout=60)
    assert (seen["type"], seen["viewerId"], seen["storyId"]) == (VIEWED, BOB, "story-1")
    assert (liked["type"], liked["userId"], liked["emoji"]) == (REACTED, BOB, "🔥")

    app.write_flags(personalized(), {"id": "stories", "enabled": True})

    async def is_off() -> bool:
        return (await get("/v1/me/live", client)).status == 404

    await eventually(is_off)
