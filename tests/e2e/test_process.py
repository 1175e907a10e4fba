"""`python -m local` as a process: killed while it works, and started where it cannot run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from local.demo import OPS_KEY, SDK_KEY
from ranking.stats import StatsTable
from shared.adapters.documents.port import VIDEO_STATS
from tests.served_app import ROOT, eventually, new_user, served

START_SECONDS = 180.0
TENANT = {"X-Tenant-Id": "tenant_1"}


def environment(folder: Path) -> dict[str, str]:
    """Return the caller's environment without settings that would reach the process."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "SYSTEMROOT")}
    return {**kept, "DATA_FOLDER": str(folder), "SIGNALS_CACHE_SECONDS": "0"}


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run `python -m local` on a free port; yield it and its URL; kill it at the end."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "local",
        "serve",
        "--port",
        "0",
        cwd=ROOT,
        env=environment(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert started.stdout is not None
        line = await asyncio.wait_for(started.stdout.readline(), START_SECONDS)
        found = re.search(rb"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield started, found[0].decode()
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


def batch(number: int) -> dict[str, Any]:
    """Four views whose times encode the batch number, so equal numbers make equal bytes."""
    at = int(START * 1000) + number * 100
    return {
        "events": [
            {"type": "video_view", "videoId": f"vid_fitness_{n + 1}", "timestamp": at + n, "watchTimeMs": 1_000}
            for n in range(4)
        ]
    }


START = time.time() - 600


async def post(http: aiohttp.ClientSession, url: str, user: str, number: int) -> bool:
    """Return whether the batch was accepted; no answer counts as not accepted."""
    headers = {**TENANT, "X-Api-Key": SDK_KEY, "X-User": user}
    try:
        async with http.post(f"{url}/v1/events/batch", json=batch(number), headers=headers) as response:
            assert response.status == 202
            return True
    except (aiohttp.ClientError, ConnectionError):
        return False


async def views_of(http: aiohttp.ClientSession, url: str, user: str) -> int:
    headers = {**TENANT, "X-Api-Key": OPS_KEY, "X-User": user}
    async with http.get(f"{url}/v1/debug/user-signals", headers=headers) as response:
        return int((await response.json())["totalViewsLast7d"]) if response.status == 200 else 0


def change_bus(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "bus.db", timeout=120)) as file, file:
        file.execute(statement)


def let_locks_run_out(folder: Path) -> None:
    """Expire message locks, as a minute of waiting would: messages of the dead process are free again."""
    change_bus(folder, "UPDATE deliveries SET locked_until = 0")
    change_bus(folder, "UPDATE sessions SET locked_until = 0")


def let_the_bus_forget(folder: Path) -> None:
    """Clear the ids for duplicate detection, as an hour of waiting would."""
    change_bus(folder, "DELETE FROM accepted")


async def folded(folder: Path) -> None:
    """Wait until no message waits for its fold."""

    async def none_waits() -> bool:
        with contextlib.closing(sqlite3.connect(folder / "bus.db", timeout=120)) as file:
            return file.execute("SELECT count(*) FROM deliveries WHERE queue = 'signals'").fetchone() == (0,)

    await eventually(none_waits, 20)


async def test_accepted_batches_are_folded_exactly_once_after_kill_9(tmp_path: Path) -> None:
    users = [new_user() for _ in range(20)]
    accepted: set[tuple[str, int]] = set()
    sent: set[tuple[str, int]] = set()

    async def keep_posting(http: aiohttp.ClientSession, url: str, user: str) -> None:
        for number in range(10_000):
            sent.add((user, number))
            if not await post(http, url, user, number):
                return
            accepted.add((user, number))

    async with aiohttp.ClientSession() as http, process(tmp_path) as (running, url):
        posting = [asyncio.create_task(keep_posting(http, url, user)) for user in users]
        async with asyncio.timeout(START_SECONDS):
            while len(accepted) < 80:  # noqa: ASYNC110 - the answers come from another process
                await asyncio.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        await running.wait()
        await asyncio.gather(*posting)
    assert len(accepted) >= 80
    assert sent - accepted, "the kill came while batches were under way"

    let_locks_run_out(tmp_path)
    async with aiohttp.ClientSession() as http, process(tmp_path) as (_, url):
        await folded(tmp_path)
        for user in users:
            least = 4 * sum(one == user for one, _ in accepted)
            most = least + 4 * sum(one == user for one, _ in sent - accepted)
            assert least <= await views_of(http, url, user) <= most

        # A client without an answer resends the batch unchanged; this one also resends accepted ones.
        let_the_bus_forget(tmp_path)
        for user, number in sorted(sent):
            assert await post(http, url, user, number)
        await folded(tmp_path)
        for user in users:
            assert await views_of(http, url, user) == 4 * sum(one == user for one, _ in sent)

    let_locks_run_out(tmp_path)
    # The statistics also have each view once: a view of each of four videos in every batch.
    async with served(tmp_path) as app:
        await app.rolled_up()
        shard = await app.documents.read(VIDEO_STATS, "tenant_1", "stats:tenant_1")
        assert shard is not None
        table = StatsTable.unpack(shard.body["packed"])
        counted = [table.week(f"vid_fitness_{n + 1}", app.clock.now())["views"] for n in range(4)]
        assert counted == [len(sent)] * 4


async def test_demo_hints_show_personalization_to_a_new_developer(tmp_path: Path) -> None:
    async with process(tmp_path) as (running, url), aiohttp.ClientSession() as http:
        assert running.stdout is not None
        hints = (await asyncio.wait_for(running.stdout.readuntil(b"fitness first:"), START_SECONDS)).decode()
        assert hints.count("curl -s") >= 2
        assert f"{url}/v1/feed" in hints
        assert "local.story" in hints
        headers = {**TENANT, "X-Api-Key": SDK_KEY, "X-User": new_user()}

        async def feed() -> Any:
            async with http.get(f"{url}/v1/feed?limit=5", headers=headers) as response:
                return await response.json()

        assert (await feed())["reason"] == "cold_start"
        telling = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "local.story", cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        story, _ = await telling.communicate()
        posting = http.post(
            f"{url}/v1/events/batch", data=story, headers={**headers, "Content-Type": "application/json"}
        )
        async with posting as response:
            assert (response.status, (await response.json())["accepted"]) == (202, 10)

        async def is_personal() -> bool:
            page = await feed()
            return bool(page["mode"] == "personalized" and page["items"][0]["mainTag"] == "fitness")

        await eventually(is_personal)
        for key, tenant in (("secret-api-key-2", "tenant_2"), ("secret-api-key-3", "tenant_3")):
            others = {"X-Tenant-Id": tenant, "X-Api-Key": key, "X-User": headers["X-User"]}
            async with http.get(f"{url}/v1/feed", headers=others) as response:
                assert (await response.json())["reason"] == "cold_start"
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), START_SECONDS) == 0, "stopping on request is no failure"


def refused(folder: Path, *arguments: str, **settings: str) -> str:
    """Return the one sentence with which an impossible start ends."""
    ended = subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env={**environment(folder), **settings},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


def test_taken_port_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "taken" in (line := refused(tmp_path, "serve", "--port", port))
        assert port in line


def test_unwritable_folder_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    assert "not writable" in (line := refused(tmp_path / "a file" / "data", "serve", "--port", "0"))
    assert "DATA_FOLDER" in line


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"DOCUMENT_STORE": "oracle"}, "DOCUMENT_STORE"),
        ({"DOCUMENT_STORE": "cosmos"}, "COSMOS_ENDPOINT"),
        ({"SIGNALS_BUDGET_MS": "soon"}, "SIGNALS_BUDGET_MS"),
        ({"SIGNING_KEYS": "no colon"}, "SIGNING_KEYS"),
    ],
)
def test_invalid_setting_is_named_in_one_sentence(tmp_path: Path, settings: dict[str, str], named: str) -> None:
    line = refused(tmp_path, "serve", "--port", "0", **settings)
    assert named in line
    assert "no colon" not in line


def test_impossible_port_is_reported_in_one_sentence(tmp_path: Path) -> None:
    assert "65535" in refused(tmp_path, "serve", "--port", "99999")
