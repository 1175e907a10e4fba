"""The commands of `docs/azure.md` work as written: servers, flags, app, switch, faults."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from local.__main__ import DEMO_USER
from local.demo import SDK_KEY
from tests.docs.pages import pages
from tests.e2e.azure.servers import START_SECONDS, environment_of, needs_the_test_servers, running_app
from tests.served_app import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="function")

SECTION = "on-our-test-servers"
VIEWER = {"X-Tenant-Id": "tenant_1", "X-Api-Key": SDK_KEY, "X-User": DEMO_USER}


def commands() -> list[list[str]]:
    """Return the lines of each block, without comments."""
    blocks = [each.text for each in pages()["docs/azure.md"].blocks if each.place.section == SECTION]
    return [[re.sub(r"\s+#.*", "", line) for line in text.strip().splitlines()] for text in blocks]


@contextlib.asynccontextmanager
async def printed_by(command: str) -> AsyncIterator[dict[str, str]]:
    """Run the servers and yield the variables that their printed `export` lines set."""
    assert command.startswith(".venv/bin/python ")
    servers = await asyncio.create_subprocess_exec(
        sys.executable, *command.split()[1:], stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert servers.stdout is not None
        found: dict[str, str] = {}
        while "CONTROL" not in found:
            line = (await asyncio.wait_for(servers.stdout.readline(), START_SECONDS)).decode()
            assert line, "the servers ended"
            if exported := re.match(r"export (\w+)='([^']*)'", line):
                found[exported[1]] = exported[2]
        yield found
    finally:
        if servers.returncode is None:
            servers.terminate()
        await servers.wait()


async def shell(command: str, environment: dict[str, str]) -> None:
    python = str(Path(sys.executable).parent)
    environment = environment | {"PATH": f"{python}{os.pathsep}{environment['PATH']}"}
    command = command.replace(".venv/bin/python", "python").replace("curl -s ", "curl -sf ")
    ended = await asyncio.create_subprocess_exec(
        "bash", "-e", "-c", command, cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(ended.communicate(), START_SECONDS)
    assert ended.returncode == 0, f"{command}: {printed.decode()}"


async def becomes(url: str, mode: str, reason: str | None) -> None:
    """Wait for a feed of that mode and reason."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(60):
        while True:
            async with http.get(f"{url}/v1/feed", headers=VIEWER) as answer:
                page = await answer.json()
            if answer.status == 200 and (page["mode"], page["reason"]) == (mode, reason):
                return
            await asyncio.sleep(0.1)


async def test_commands_of_the_page_work_as_described() -> None:
    needs_the_test_servers()
    (_, start_servers), (seed, start_app, switch), faults = commands()
    async with printed_by(start_servers) as exported:
        environment = environment_of(exported | {"FLAGS_REFRESH_SECONDS": "0.2"})
        await shell(seed, environment)
        assert start_app == ".venv/bin/python -m local"
        settings = {name: value for name, value in environment.items() if name != "CONTROL"}
        async with running_app(settings) as app:
            await becomes(app.url, "fallback", "cold_start")
            await shell(switch, environment)
            await becomes(app.url, "fallback", "kill_switch")
            for line in faults:
                await shell(line, environment)
            assert app.alive
