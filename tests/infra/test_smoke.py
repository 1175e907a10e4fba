"""The smoke test fails when a deployment is broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from infra import smoke
from tests.served_app import served


class Deployment:
    def __init__(self) -> None:
        self.ready = 200
        self.debug = 403
        self.feed = 200
        self.signals: object = {"events": 1}
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
        if request.method == "POST":
            posted = {
                "/v1/cms/imports": (200, {"counts": {"created": 1, "failed": 0}}),
                "/v1/events/batch": (202, {"accepted": 1}),
                "/v1/privacy/export": (200, {"signals": made.signals}),
                "/v1/privacy/erase": (200, {}),
            }
            status, body = posted[request.path]
            return web.json_response(body, status=status)
        return web.Response(status=made.debug)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    yield made
    await runner.cleanup()


async def test_working_deployment_passes(deployment: Deployment):
    assert await deployment.check(SMOKE_TENANT="t", SMOKE_API_KEY="right") == 0


async def test_run_without_a_key_reports_that_no_feed_was_requested(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
):
    assert await deployment.check() == 0
    assert "left out: feed, import and events" in capfd.readouterr().out


async def test_an_open_debug_endpoint_fails(deployment: Deployment, capfd: pytest.CaptureFixture[str]):
    deployment.debug = 401
    assert await deployment.check() == 1
    assert "the firewall must answer 403" in capfd.readouterr().out


async def test_detection_only_firewall_is_not_expected_to_block(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
):
    deployment.debug = 401
    assert await deployment.check(SMOKE_FIREWALL="Detection") == 0
    assert "left out: what the firewall closes" in capfd.readouterr().out
    assert await deployment.check(SMOKE_FIREWALL="Prevention") == 1


async def test_unavailable_dependency_is_named(deployment: Deployment, capfd: pytest.CaptureFixture[str]):
    deployment.ready = 503
    assert await deployment.check() == 1
    assert "'bus': 'slow'" in capfd.readouterr().out


async def test_refused_feed_fails(deployment: Deployment):
    assert await deployment.check(SMOKE_TENANT="t", SMOKE_API_KEY="wrong") == 1
    deployment.feed = 500
    assert await deployment.check(SMOKE_TENANT="t", SMOKE_API_KEY="right") == 1


async def test_events_that_are_never_folded_fail(deployment: Deployment, capfd: pytest.CaptureFixture[str]):
    deployment.signals = None
    assert await deployment.check(SMOKE_TENANT="t", SMOKE_API_KEY="right") == 1
    assert "is fold_signals running?" in capfd.readouterr().out


async def test_full_check_of_a_video_and_its_events_passes_on_the_real_app(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    async with served(tmp_path) as app:
        client = await app.tenant([])
        await app.save_key(client.tenant_id, "for-the-smoke-test-of-this", "sdk", "cms", "privacy", name="smoke")
        found = {
            "SMOKE_TENANT": client.tenant_id,
            "SMOKE_API_KEY": "for-the-smoke-test-of-this",
            "SMOKE_FIREWALL": "Detection",
        }
        assert await asyncio.to_thread(smoke.main, [app.url], found, 30.0) == 0
        said = capfd.readouterr().out
        assert all(f"ok      {what}" in said for what in ("the user's signals show them", "the user is erased"))
        assert await asyncio.to_thread(smoke.main, [app.url], {**found, "SMOKE_API_KEY": client.key}, 0.0) == 1
        assert "/v1/cms/imports answers 403" in capfd.readouterr().out
