"""Contract of every live backend: frames reach their listener and nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from local.doors import Doors
from local.live_door import LiveDoor
from shared.adapters.backends import live_from
from shared.adapters.live.port import NUDGE, Live, LiveUnavailable
from shared.settings import Settings
from tests.emulators.faults import BEFORE, Fault
from tests.emulators.webpubsub import WebPubSubServer
from tests.skip_reasons import leave_out

KEY = b"k" * 32


@dataclass
class Rig:
    port: Live
    server: WebPubSubServer | None = None


@asynccontextmanager
async def door() -> AsyncIterator[Rig]:
    doors = Doors(0)
    live = LiveDoor(KEY, doors.origin)
    await doors.start(live.routes())
    yield Rig(live)
    await live.close()
    await doors.stop()


def needs_sdk() -> None:
    if find_spec("azure.messaging") is None:
        leave_out("Web PubSub needs its SDK: install requirements.txt again")


@asynccontextmanager
async def web_pubsub() -> AsyncIterator[Rig]:
    needs_sdk()
    async with WebPubSubServer() as server:
        live = live_from(Settings(web_pubsub_connection_string=server.connection_string), KEY)
        assert live is not None
        yield Rig(live, server)
        await live.close()


BACKENDS: dict[str, Any] = {"door": door, "web pubsub": web_pubsub}


@pytest.fixture(params=BACKENDS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with BACKENDS[request.param]() as rig:
        yield rig


@asynccontextmanager
async def listening(rig: Rig, who: str) -> AsyncIterator[Any]:
    address = await rig.port.address(who, time.time())
    assert 0 < address.expires_at - time.time() <= 3_600
    async with ClientSession() as web, web.ws_connect(address.url) as socket:
        yield socket


async def test_every_connection_of_a_listener_gets_each_frame_and_nobody_elses(rig: Rig) -> None:
    frame = {"type": "story.reacted", "emoji": "👍"}
    async with listening(rig, "t1/ann") as ann, listening(rig, "t1/ann") as again, listening(rig, "t2/ann") as other:
        await rig.port.send("t1/ann", [NUDGE, frame])
        await rig.port.send("t2/ann", [NUDGE])
        for socket in (ann, again):
            assert [await socket.receive_json(timeout=60), await socket.receive_json(timeout=60)] == [NUDGE, frame]
        assert await other.receive_json(timeout=60) == NUDGE


async def test_sending_to_nobody_is_no_error(rig: Rig) -> None:
    await rig.port.send("t1/nobody", [NUDGE])


async def test_altered_address_is_refused(rig: Rig) -> None:
    address = await rig.port.address("t1/ann", time.time())
    for url in (address.url.replace("ann", "bob") if rig.port.inside else address.url[:-4], address.url.split("?")[0]):
        async with ClientSession() as web:
            with pytest.raises(WSServerHandshakeError):
                await web.ws_connect(url)


async def test_expired_address_is_refused() -> None:
    async with door() as rig, ClientSession() as web:
        late = await rig.port.address("t1/ann", time.time() - 3_700)
        with pytest.raises(WSServerHandshakeError):
            await web.ws_connect(late.url)


async def test_web_pubsub_learns_neither_tenant_nor_person() -> None:
    async with web_pubsub() as rig:
        assert rig.server is not None
        async with listening(rig, "t1/ann"):
            await rig.port.send("t1/ann", [NUDGE])
        assert [body for _, body in rig.server.sent] == ['{"type": "new"}']
        told = repr(rig.server.sent) + (await rig.port.address("t1/ann", time.time())).url
        assert "ann" not in told
        assert "t1" not in rig.server.sent[0][0]


@pytest.mark.parametrize("fault", [Fault(status=503, times=None), Fault(cut=BEFORE, times=None)])
async def test_a_service_that_is_down_is_unavailable_at_once(fault: Fault) -> None:
    async with web_pubsub() as rig:
        assert rig.server is not None
        rig.server.faults.add(fault)
        with pytest.raises(LiveUnavailable):
            await rig.port.send("t1/ann", [NUDGE])
        assert len(rig.server.faults.requests) == 1


async def test_a_managed_identity_asks_the_service_for_tokens() -> None:
    needs_sdk()

    class Token:
        token, expires_on = "entra", int(time.time()) + 3_600

    class Credential:
        async def get_token(self, *scopes: str, **named: Any) -> Token:
            return Token()

        async def close(self) -> None: ...

    from shared.adapters.live.web_pubsub import WebPubSub

    async with WebPubSubServer() as server:
        plain = {"enforce_https": False}
        live = WebPubSub(KEY, endpoint=server.url, credential=Credential, options=plain)
        rig = Rig(live, server)
        async with listening(rig, "t1/ann") as ann:
            await live.send("t1/ann", [NUDGE])
            assert await ann.receive_json(timeout=60) == NUDGE
        assert server.tokens[0]["role"] == []
        await asyncio.gather(live.close(), live.close())
