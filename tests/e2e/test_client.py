"""The reference client of the documentation works against the served app and a scripted failing service."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.served_app import App, eventually, make_videos, new_user
from tests.user_tokens import save_public_key, signer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SOURCE = Path(__file__).resolve().parents[2] / "docs" / "client.py"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("reference_client", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference_client"] = module
    spec.loader.exec_module(module)
    return module


reference = _load()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(app: App) -> AsyncIterator[Any]:
    tenant = await app.tenant(make_videos(60))
    yield reference.Client(app.url, tenant.tenant_id, tenant.key, tenant.user)


async def test_pages_follow_each_other_without_repetition_until_the_feed_ends(app: App) -> None:
    tenant = await app.tenant(make_videos(25))
    client = reference.Client(app.url, tenant.tenant_id, tenant.key, tenant.user)
    pages = await asyncio.to_thread(lambda: list(client.walk(pages=10, limit=10)))
    ids = [item["videoId"] for page in pages for item in page["items"]]
    assert len(ids) == len(set(ids)) == 25
    assert pages[-1]["nextCursor"] is None


async def test_unchanged_page_is_not_sent_again(client: Any) -> None:
    first = await asyncio.to_thread(client.page, limit=5)
    again = await asyncio.to_thread(client.page, limit=5)
    assert again is first
    assert await asyncio.to_thread(client.page, limit=6) is not first


async def test_reported_events_change_the_feed_and_opting_out_reverts_it(app: App, client: Any) -> None:
    client.user = new_user()
    app.secrets.add(client.user)
    page = await asyncio.to_thread(client.page, limit=20)
    for item in page["items"]:
        if item["mainTag"] == "cooking":
            client.report("video_view", page, item, watchTimeMs=30_000)
    reported = len(client.waiting)
    assert reported >= 3
    assert await asyncio.to_thread(client.flush) == reported
    await app.folded()

    async def personal() -> bool:
        return bool((await asyncio.to_thread(client.page, limit=5))["mode"] == "personalized")

    await eventually(personal)
    client.opt_out()
    assert (await asyncio.to_thread(client.page, limit=5))["reason"] == "no_consent"


async def test_an_expired_token_is_renewed_once_and_the_call_repeated(app: App) -> None:
    tenant = await app.tenant(make_videos(5), require_user_token=True)
    await save_public_key(app.documents, tenant.tenant_id, signer("ES256"))
    assert await app.services.tenants_refresher.refresh()
    now = app.clock.now()
    old = signer("ES256").token(tenant.tenant_id, tenant.user, now - 7_200, exp=int(now) - 3_600)
    tokens = iter([old, signer("ES256").token(tenant.tenant_id, tenant.user, now)])
    client = reference.Client(app.url, tenant.tenant_id, tenant.key, tenant.user, token=lambda: next(tokens))
    assert (await asyncio.to_thread(client.page))["items"]


async def test_demo_runs_as_documented(tmp_path: Path) -> None:
    from local.serving import local_settings, running

    async with running(local_settings({"DATA_FOLDER": str(tmp_path)}), port=0) as served:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SOURCE), "--url", served.url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    story = printed.decode()
    assert "a new user: fallback (cold_start)" in story
    assert "after watching fitness: personalized" in story
    assert "opted out: fallback (no_consent)" in story


# ---- against a scripted failing service


@dataclass
class Script:
    """Answers requests as listed, in order, and records them."""

    answers: list[tuple[int, dict[str, str], bytes] | None]
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def next(self) -> tuple[int, dict[str, str], bytes] | None:
        return self.answers.pop(0) if self.answers else (200, {}, b"{}")


@contextmanager
def scripted(*answers: tuple[int, dict[str, str], bytes] | None) -> Iterator[tuple[str, Script]]:
    """A service with these answers; None cuts the connection."""
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = script.next()
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            status, headers, content = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", script
    finally:
        server.shutdown()
        server.server_close()


def _client(url: str, waits: list[float], draw: Callable[[], float] = lambda: 0.0) -> Any:
    return reference.Client(url, "t", "k" * 8, "5f" * 32, sleep=waits.append, draw=draw)


RECEIPT = (202, {}, json.dumps({"accepted": 1, "rejected": [], "batchId": "x"}).encode())
BUSY = (429, {"Retry-After": "7"}, b'{"code": "overloaded"}')
DOWN = (503, {}, b"")
VIDEO = {"videoId": "v", "rank": 0}
PAGE = {"feedRequestId": "r"}


async def test_client_waits_for_retry_after_and_otherwise_backs_off_doubling() -> None:
    waits: list[float] = []
    with scripted(BUSY, DOWN, DOWN, (200, {}, b'{"items": []}')) as (url, _):
        assert _client(url, waits).page() == {"items": []}
    assert waits == [7.0, 0.5, 1.0]


async def test_batch_is_resent_as_the_same_bytes_under_the_same_key() -> None:
    waits: list[float] = []
    with scripted(None, DOWN, RECEIPT) as (url, script):
        client = _client(url, waits)
        client.report("like", PAGE, VIDEO)
        assert client.flush() == 1
    assert len(script.asked) == 3
    assert len({body for _, _, body in script.asked}) == 1
    assert len({headers["idempotency-key"] for _, headers, _ in script.asked}) == 1


async def test_failed_run_loses_nothing_and_later_events_form_another_batch() -> None:
    waits: list[float] = []
    with scripted(*[DOWN] * 6, RECEIPT, RECEIPT) as (url, script):
        client = _client(url, waits)
        client.report("like", PAGE, VIDEO)
        with pytest.raises(reference.GaveUp):
            client.flush()
        client.report("share", PAGE, VIDEO)
        assert client.flush() == 2
    assert len({body for _, _, body in script.asked[:7]}) == 1
    assert b"share" in script.asked[7][2]
    assert b"like" not in script.asked[7][2]
    assert not client.waiting


async def test_refused_event_is_not_repeated_and_does_not_block_later_ones() -> None:
    waits: list[float] = []
    with scripted((400, {}, b'{"code": "invalid_batch"}'), RECEIPT) as (url, script):
        client = _client(url, waits)
        client.report("like", PAGE, VIDEO)
        with pytest.raises(reference.Refused, match="invalid_batch"):
            client.flush()
        client.report("share", PAGE, VIDEO)
        assert client.flush() == 1
    assert len(script.asked) == 2
    assert waits == []


async def test_more_than_100_events_are_sent_in_several_batches() -> None:
    with scripted(RECEIPT, RECEIPT, RECEIPT) as (url, script):
        client = _client(url, [])
        for _ in range(250):
            client.report("impression", PAGE, VIDEO)
        client.flush()
    assert [len(json.loads(body)["events"]) for _, _, body in script.asked] == [100, 100, 50]


async def test_expired_cursor_restarts_paging() -> None:
    first = (200, {}, b'{"items": [1], "nextCursor": "old"}')
    last = (200, {}, b'{"items": [2], "nextCursor": null}')
    with scripted(first, (400, {}, b'{"code": "cursor_expired"}'), last) as (url, script):
        pages = list(_client(url, []).walk(pages=5))
    assert [page["items"] for page in pages] == [[1], [2]]
    assert [("cursor=" in path) for path, _, _ in script.asked] == [False, True, False]


async def test_opt_out_is_sent_with_every_call() -> None:
    with scripted((200, {}, b"{}"), (200, {}, b"{}"), RECEIPT) as (url, script):
        client = _client(url, [])
        client.page()
        client.opt_out()
        client.page()
        client.report("like", PAGE, VIDEO)
        client.flush()
    assert [headers.get("x-personalization") for _, headers, _ in script.asked] == [None, "off", "off"]
