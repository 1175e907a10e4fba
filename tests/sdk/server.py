"""Serves the app for tests of an SDK in another language: `python -m tests.sdk.server`.

Prints one line of JSON, `{"url": …, "control": …}`, and ends when its standard input closes, so it never outlives its
parent process. `control` takes POST requests with JSON and does what Python tests do directly: see `CONTROLS`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from events.archive import from_lines
from shared.adapters.blobs.port import ARCHIVE
from tests.served_app import App, Client, make_videos, new_user, served
from tests.stories.social import Someone, stories_on
from tests.user_tokens import save_public_key, signer

Control = Callable[[App, dict[str, Any]], Awaitable[Any]]


async def tenant(app: App, told: dict[str, Any]) -> dict[str, str]:
    """Create a tenant with so many `videos`, an app key and a user; `configuration` holds fields of `Tenant`."""
    client = await app.tenant(make_videos(told.get("videos", 40)), **told.get("configuration", {}))
    await save_public_key(app.documents, client.tenant_id, signer("ES256"))
    assert await app.services.tenants_refresher.refresh()
    return {"tenantId": client.tenant_id, "apiKey": client.key, "user": client.user}


async def user(app: App, told: dict[str, Any]) -> str:
    """Return a unique user hash."""
    return new_user()


async def token(app: App, told: dict[str, Any]) -> str:
    """Return a token for the `user` of `tenantId`, made so many seconds `ago`; each lives for an hour."""
    return signer("ES256").token(told["tenantId"], told["user"], app.clock.now() - told.get("ago", 0))


async def advance(app: App, told: dict[str, Any]) -> float:
    """Let so many `seconds` pass at the service; return its time in milliseconds."""
    app.clock.advance(told["seconds"])
    return app.now_ms()


async def story(app: App, told: dict[str, Any]) -> str:
    """Switch stories on and post one as a user of `tenantId`; return its id."""
    await stories_on(app)
    author = Someone(Client(app, told["tenantId"], told["apiKey"], new_user()))
    posted = await author.call("POST", "stories", {"visibility": "public", "text": "Off to the lake."})
    return str(posted.json["id"])


async def key(app: App, told: dict[str, Any]) -> str:
    """Issue another app key of `tenantId`, as an operator does."""
    made = secrets.token_urlsafe(24)
    await app.save_key(told["tenantId"], made, "sdk", name=f"app {made[:6]}")
    return made


async def signals(app: App, told: dict[str, Any]) -> dict[str, Any] | None:
    """Return the debug signals of the `user` of `tenantId` after folding; null where nothing is stored."""
    await app.folded()
    answer = await Client(app, told["tenantId"], app.ops_key, told["user"]).get("/v1/debug/user-signals")
    found: dict[str, Any] | None = answer.json if answer.status == 200 else None
    return found


async def archive(app: App, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the archived events of `tenantId` by time, after folding and the roll-up."""
    await app.folded()
    await _rolled_up(app)
    lines: list[dict[str, Any]] = []
    async for blob in app.services.blobs.list(ARCHIVE, f"{told['tenantId']}/"):
        lines += from_lines(await app.services.blobs.read(ARCHIVE, blob.name) or b"")
    return sorted(lines, key=lambda line: line["timestamp"])


_next_run: list[asyncio.Task[None]] = []


async def _rolled_up(app: App) -> None:
    """Run the roll-up once for all callers that wait before it begins: a run takes its time whatever it finds."""

    async def run() -> None:
        await asyncio.sleep(0.1)
        async with _one_run:
            _next_run.clear()
            await app.rolled_up()

    if not _next_run:
        _next_run.append(asyncio.create_task(run()))
    await _next_run[0]


_one_run = asyncio.Lock()

CONTROLS: dict[str, Control] = {
    control.__name__: control for control in (tenant, user, token, advance, story, key, signals, archive)
}


@asynccontextmanager
async def controlled(app: App) -> AsyncIterator[str]:
    """Run a server for the controls; return its address."""

    async def take(request: web.Request) -> web.Response:
        return web.json_response(await CONTROLS[request.match_info["name"]](app, await request.json()))

    routes = web.Application()
    routes.router.add_post("/{name}", take)
    runner = web.AppRunner(routes)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def main() -> None:
    """Serve until standard input ends."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder)) as app, controlled(app) as control:
            print(json.dumps({"url": app.url, "control": control}), flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
