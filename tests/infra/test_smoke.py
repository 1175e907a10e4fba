"""The smoke test must fail when the deployment is not right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from infra import smoke


class Deployment:
    def __init__(self) -> None:
        self.ready = 200
        self.debug = 403
        self.feed = 200
        self.url = ""

    async def check(self, **environment: str) -> int:
        return await asyncio.to_thread(smoke.main, [self.url], environment, 0.0)


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    made = Deployment()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.json_response({"status": "alive"})
        if request.path == "/ready":
            return web.json_response({"dependencies": {"bus": "slow"}}, status=made.ready)
        if request.path == "/v1/feed":
            right = request.headers["X-Api-Key"] == "right" and len(request.headers["X-User"]) == 64
            return web.json_response({"mode": "fallback", "items": []}, status=made.feed if right else 401)
        return web.Response(status=made.debug)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    yield made
    await runner.cleanup()


async def test_a_good_deployment_passes(deployment: Deployment):
    assert await deployment.check(SMOKE_TENANT="t", SMOKE_API_KEY="right") == 0


async def test_without_a_key_it_says_that_no_feed_was_asked_for(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
):
    assert await deployment.check() == 0
    assert "left out: the feed" in capfd.readouterr().out


async def test_an_open_debug_endpoint_fails(deployment: Deployment, capfd: pytest.CaptureFixture[str]):
    deployment.debug = 401
    assert await deployment.check() == 1
    assert "the firewall must answer 403" in capfd.readouterr().out


async def test_a_firewall_that_only_logs_is_not_asked_to_close_anything(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
):
    deployment.debug = 401
    assert await deployment.check(SMOKE_FIREWALL="Detection") == 0
    assert "left out: what the firewall closes" in capfd.readouterr().out
    assert await deployment.check(SMOKE_FIREWALL="Prevention") == 1


async def test_a_dependency_that_is_down_is_named(deployment: Deployment, capfd: pytest.CaptureFixture[str]):
    deployment.ready = 503
    assert await deployment.check() == 1
    assert "'bus': 'slow'" in capfd.readouterr().out


async def test_a_feed_that_is_refused_fails(deployment: Deployment):
    assert await deployment.check(SMOKE_TENANT="t", SMOKE_API_KEY="wrong") == 1
    deployment.feed = 500
    assert await deployment.check(SMOKE_TENANT="t", SMOKE_API_KEY="right") == 1
