"""The local host checks host names and operator keys, and closes connections that stay idle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from local.demo import CMS_KEY, OPS_KEY, SDK_KEY
from local.http_server import PATIENCE, Patience
from local.serving import Running, local_settings, running

KEYS = ("", SDK_KEY, CMS_KEY, "no-key-at-all-of-anybody")
OPERATORS_PATHS = (("GET", "/metrics"), ("POST", "/admin/functions/roll_up"))
QUICK = Patience(header_seconds=0.3, body_seconds=0.3)


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs the served app of the tests: here `python -m local` is tested."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    settings = local_settings({"DATA_FOLDER": str(tmp_path_factory.mktemp("data"))})
    async with running(settings, port=0, host_names=["feed.test"], patience=QUICK, grace_seconds=0.1) as app:
        yield app


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def status(app: Running, method: str, path: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as http, http.request(method, app.url + path, headers=headers) as answer:
        if answer.status == 421:
            assert (await answer.json())["code"] == "wrong_host"
        assert "Access-Control-Allow-Origin" not in answer.headers
        return answer.status


@pytest.mark.parametrize("path", ["/health", "/v1/feed", "/studio", "/metrics", "/ready", "/nothing"])
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7071", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "[::2]",
     "localhost@evil.example", "127.0.0.1:7071:7071", "localhost.", "0.0.0.0", ""],
)  # fmt: skip
async def test_dns_rebinding_request_reads_nothing(app: Running, host: str, path: str) -> None:
    assert await status(app, "GET", path, {"Host": host, "X-Api-Key": OPS_KEY}) == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7071", "127.0.0.1", "127.0.0.1:1", "[::1]:7071", "feed.test"])
async def test_local_and_configured_host_names_are_served(app: Running, host: str) -> None:
    assert await status(app, "GET", "/health", {"Host": host}) == 200
    assert await status(app, "GET", "/metrics", {"Host": host, "X-Api-Key": OPS_KEY}) == 200


@pytest.mark.parametrize(("method", "path"), OPERATORS_PATHS)
@pytest.mark.parametrize("key", KEYS)
async def test_metrics_and_timers_require_the_operators_key(app: Running, method: str, path: str, key: str) -> None:
    headers = {"X-Tenant-Id": "tenant_1", **({"X-Api-Key": key} if key else {})}
    assert await status(app, method, path, headers) == (401 if key else 400)


@pytest.mark.parametrize(("method", "path"), OPERATORS_PATHS)
@pytest.mark.parametrize(
    "sent",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"}, {"Origin": "file://"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)  # fmt: skip
async def test_cross_origin_pages_reach_no_metrics_and_no_timers(
    app: Running, method: str, path: str, sent: dict[str, str]
) -> None:
    assert await status(app, method, path, {"X-Api-Key": OPS_KEY, **sent}) == 403
    assert await status(app, "OPTIONS", path, sent) == 405
    own = {"X-Api-Key": OPS_KEY, "Origin": app.url, "Sec-Fetch-Site": "same-origin"}
    assert await status(app, method, path, own) == (200 if method == "GET" else 202)


HALF_OPEN = [
    b"",
    b"GET /health HTTP/1.1\r\nHost: local",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-One: 1\r\n",
    b"POST /v1/events/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly this",
    b"POST /v1/events/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nonly",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",  # and half of the next request, see below
]


@pytest.mark.parametrize("sent", HALF_OPEN, ids=range(len(HALF_OPEN)))
async def test_unfinished_requests_are_closed(app: Running, sent: bytes) -> None:
    """Dozens at once. The test's time-out is generous: the promise is that each of them ends."""

    async def half_open() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.host.port)
        writer.write(sent)
        if sent == HALF_OPEN[-1]:
            await reader.readuntil(b"alive")
            writer.write(b"GET /hea")
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(1000):
                pass
        writer.close()

    async with asyncio.timeout(60):
        await asyncio.gather(*(half_open() for _ in range(40)))
    assert await status(app, "GET", "/health", {}) == 200


async def test_slowly_sent_headers_are_closed(app: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", app.host.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")

    async def drip() -> None:
        while True:
            writer.write(b"X-More: 1\r\n")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionResetError):  # closed while data was in flight
            assert await reader.read() == b""
    dripping.cancel()
    writer.close()


async def test_active_client_is_never_cut_off_between_requests(app: Running) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
        for _ in range(3):
            async with http.get(f"{app.url}/health") as answer:
                assert answer.status == 200
            await asyncio.sleep(1.5 * QUICK.header_seconds)


async def test_request_timeouts_are_shorter_than_twenty_seconds() -> None:
    assert max(PATIENCE.header_seconds, PATIENCE.body_seconds) < 20
