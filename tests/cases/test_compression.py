"""Compressed responses over real sockets have the same content and ETag, and name `Vary` for caches."""

from __future__ import annotations

import asyncio
import gzip
import shutil
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
import pytest

from local.story import story_events
from shared.web.compression import LEAST_BYTES
from tests.e2e.conftest import _no_secret_is_ever_logged, app
from tests.served_app import App, Client, make_videos

__all__ = ["_no_secret_is_ever_logged", "app"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
GZIP = {"Accept-Encoding": "gzip"}


async def raw(client: Client, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
    """Return the response bytes as sent."""
    sent = {**client.headers, **headers}
    skip = {"Accept-Encoding"} - sent.keys()
    async with (
        aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=skip) as http,
        http.get(client.app.url + path, headers=sent) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


def without_own(body: bytes) -> Any:
    """Return a page without the parts that are new in every response."""
    page = orjson.loads(body)
    return {**page, "nextCursor": None, "feedRequestId": None, "freshness": None}


@pytest.mark.parametrize("kind", ["personal", "newcomer", "opted out"])
@pytest.mark.parametrize("limit", [1, 20, 50])
async def test_compressed_page_has_the_same_content_and_etag(app: App, kind: str, limit: int) -> None:
    client = await app.tenant(make_videos(60))
    if kind == "personal":
        await client.post(story_events(app.clock.now()))
        await app.folded()
    more = {"X-Personalization": "off"} if kind == "opted out" else {}
    path = f"/v1/feed?limit={limit}"
    _, plain_headers, plain = await raw(client, path, more)
    status, headers, packed = await raw(client, path, {**GZIP, **more})
    assert status == 200
    assert "Content-Encoding" not in plain_headers
    if len(plain) < LEAST_BYTES:
        assert "Content-Encoding" not in headers
        return
    assert headers["Content-Encoding"] == "gzip"
    assert without_own(gzip.decompress(packed)) == without_own(plain)
    assert len(packed) < len(plain) * (0.3 if limit >= 20 and kind == "personal" else 0.6)
    assert headers["ETag"] == plain_headers["ETag"]
    assert headers["ETag"].startswith("W/")
    for accepted in ({}, GZIP):
        for given in (headers, plain_headers):
            assert given["Vary"].split(", ")[-1] == "Accept-Encoding"
            unchanged = await raw(client, path, {**accepted, **more, "If-None-Match": given["ETag"]})
            assert (unchanged[0], unchanged[2]) == (304, b"")
            assert unchanged[1]["Vary"] == headers["Vary"]
            assert "Content-Encoding" not in unchanged[1]


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/openapi.json?for=sdk", "/docs/swagger-ui.css", "/studio/studio.css"]
)
async def test_documents_and_files_are_compressed_with_a_vary_header(app: App, path: str) -> None:
    client = await app.tenant()
    _, plain_headers, plain = await raw(client, path, {})
    _, headers, packed = await raw(client, path, GZIP)
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 2
    assert headers["Vary"] == plain_headers["Vary"]
    assert headers["Vary"].startswith("Accept-Encoding")
    assert headers["Content-Type"] == plain_headers["Content-Type"]
    if "ETag" in headers:
        unchanged = await raw(client, path, {**GZIP, "If-None-Match": headers["ETag"]})
        assert (unchanged[0], unchanged[2]) == (304, b"")
        assert headers["ETag"] == plain_headers["ETag"]


async def test_page_echoes_no_request_input(app: App) -> None:
    """Otherwise the compressed length would reveal a token beside input of an attacker (BREACH)."""
    client = await app.tenant(make_videos(60))
    said = "guess7"
    hints = f"country={said}&language={said}&ageBand={said}&platform={said}&x={said}&limit=20"
    headers = {"traceparent": f"00-{'5e' * 16}-{'5e' * 8}-01", "User-Agent": said, "X-Request-Id": said}
    _, _, packed = await raw(client, f"/v1/feed?{hints}", {**GZIP, **headers})
    page = gzip.decompress(packed)
    assert said.encode() not in page
    assert client.user.encode() not in page
    assert b"5e" * 8 not in page


async def test_image_is_not_compressed(app: App) -> None:
    client = await app.tenant()
    status, headers, _ = await raw(client, "/docs/favicon-32x32.png", GZIP)
    assert status == 200
    assert "Content-Encoding" not in headers


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_decodes_a_page_assembled_from_compressed_parts(app: App) -> None:
    client = await app.tenant(make_videos(60))
    headers = [part for name, value in client.headers.items() for part in ("-H", f"{name}: {value}")]
    command = ("curl", "-sS", "--fail", "--compressed", *headers, f"{app.url}/v1/feed?limit=50")
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await program.communicate()
    assert program.returncode == 0
    assert len(orjson.loads(out)["items"]) == 50
