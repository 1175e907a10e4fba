"""Starts two processes: the test servers and the app that uses them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

import bootstrap
from bootstrap import App
from shared.settings import Settings
from tests.emulators.azurite import needs_azurite
from tests.emulators.broker_here import broker_of_user_events
from tests.served_app import ROOT

START_SECONDS = 180.0
SEED = "commands.seed_flags"
QUICK = {
    "FLAGS_REFRESH_SECONDS": "0.2",
    "CONTENT_REFRESH_SECONDS": "0.2",
    "SIGNALS_CACHE_SECONDS": "0",
    "ROLLUP_SECONDS": "2",
    "USER_REQUESTS_PER_SECOND": "1000000",
}
"""Settings of an observed app: changes show at once, and every feed reads its signals."""
PATIENT = {"SIGNALS_BUDGET_MS": "250", "SHED_DELAY_MS": "60000", "REFUSE_DELAY_MS": "60000"}
"""Settings for a busy machine: nothing is late but what a test breaks."""


def needs_the_test_servers() -> None:
    """Skip the test where a requirement of the servers is missing."""
    broker_of_user_events()
    needs_azurite()


@dataclass
class Servers:
    """All four servers in a separate process. `settings` is the environment of an app that uses them.

    `services` is this process's own client of the same stores: what an operator, or another instance, would see.
    """

    settings: dict[str, str]
    services: App
    _control: aiohttp.ClientSession

    async def advance(self, seconds: float) -> None:
        """Let time pass on all of them."""
        await self._post("/clock", {"advance": seconds})

    async def break_(self, server: str, **fault: Any) -> None:
        """Inject a fault into `cosmos`, `servicebus` or `appconfig`; fields are those of `faults.Fault`."""
        await self._post(f"/faults/{server}", fault)

    async def mend(self, server: str) -> None:
        """Clear all faults."""
        async with self._control.delete(f"/faults/{server}") as answer:
            answer.raise_for_status()

    async def down(self, server: str, seconds: float) -> None:
        """Cut every connection and refuse new ones until that much time has passed on the servers' clock."""
        await self._post(f"/down/{server}", {"seconds": seconds})

    async def listen(self, server: str, accept: bool) -> None:
        """Refuse connections, or accept them again."""
        await self._post(f"/{'accept' if accept else 'refuse'}/{server}", {})

    async def queues(self) -> dict[str, int]:
        """Messages in each queue, subscription and dead-letter queue of the bus, by its lower-case path."""
        async with self._control.get("/queues") as answer:
            found: dict[str, int] = await answer.json()
        return found

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        async with self._control.post(path, json=body) as answer:
            assert answer.status == 200, await answer.text()


@dataclass
class RunningApp:
    """`python -m local` on the adapters of the settings. `output` is everything it has printed."""

    url: str
    process: asyncio.subprocess.Process
    environment: dict[str, str]
    _printed: Path
    secrets: set[str] = field(default_factory=set)
    """Every key and user hash sent to it: none may appear in its output."""

    @property
    def output(self) -> str:
        return self._printed.read_text()

    @property
    def alive(self) -> bool:
        return self.process.returncode is None


@contextlib.asynccontextmanager
async def running_servers() -> AsyncIterator[Servers]:
    """Start the servers, with flags seeded as a deployment seeds them. Skips the test where they cannot run."""
    needs_the_test_servers()
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.emulators", "--json", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert program.stdout is not None
        line = await asyncio.wait_for(program.stdout.readline(), START_SECONDS)
        assert line, "the test servers did not start"
        told = json.loads(line)
        services = bootstrap.build(Settings.from_environment(told["settings"]))
        async with aiohttp.ClientSession(told["control"]) as control:
            try:
                await services.documents.ready()
                await services.blobs.ready()
                await run("-m", SEED, "--on", environment=environment_of(told["settings"]))
                yield Servers(told["settings"], services, control)
            finally:
                await services.close()
    finally:
        if program.returncode is None:
            program.terminate()
        await asyncio.wait_for(program.wait(), START_SECONDS)


@contextlib.asynccontextmanager
async def running_app(settings: dict[str, str], *arguments: str) -> AsyncIterator[RunningApp]:
    """Run the app as a separate process on a free port; ask it to stop at the end."""
    with tempfile.TemporaryDirectory() as folder:
        environment = environment_of(settings) | {"DATA_FOLDER": str(Path(folder) / "data")}
        printed = Path(folder) / "output.txt"
        with printed.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "local", "serve", "--port", "0", *arguments),
                cwd=ROOT,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
            found = re.search(rb"http://127\.0\.0\.1:\d+", line)
            assert found, printed.read_text()
            yield RunningApp(found[0].decode(), process, environment, printed)
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), START_SECONDS)


def environment_of(settings: dict[str, str]) -> dict[str, str]:
    """Return the caller's environment without settings that would reach the app, plus the given ones."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "SYSTEMROOT")}
    return {**kept, **settings}


async def run(*arguments: str, environment: dict[str, str]) -> str:
    """Run a Python program to its end and return its output; a failure fails the test."""
    ended = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(ended.communicate(), START_SECONDS)
    assert ended.returncode == 0, printed.decode()
    return printed.decode()
