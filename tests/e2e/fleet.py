"""Runs several processes of the app on one machine, with production's intervals and shared stores.

`python -m tests.e2e.fleet` starts one process; a file lists its faults (`local.faults`).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import logging
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from local.serving import ROOT, local_settings, running

PRODUCTION = {
    "FLAGS_REFRESH_SECONDS": "20",
    "CONTENT_REFRESH_SECONDS": "5",
    "SIGNALS_CACHE_SECONDS": "2",
    "SIGNALS_BUDGET_MS": "80",
    "LOG_FORMAT": "json",
}
"""Production's intervals, where those of the local host are shorter."""
FAULTS = "faults.json"
CLOCK = "clock.txt"
START_SECONDS = 180.0


def new_environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return settings for every process of a fleet whose stores are in `folder`."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    key, identity = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    return {
        **kept,
        **PRODUCTION,
        "DATA_FOLDER": str(folder),
        "SIGNING_KEYS": f"fleet:{key}",
        "IDENTITY_SECRET": identity,
        **settings,
    }


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def fleet(environment: Mapping[str, str], size: int, *, shared_port: bool) -> AsyncIterator[list[Member]]:
    """Run `size` processes, on one shared port or on one each; stop them at the end."""
    port = free_port() if shared_port else 0
    members: list[Member] = []
    try:
        for _ in range(size):  # one after another: the first writes the demo
            members.append(await Member.started(environment, port))
        yield members
    finally:
        for member in members:
            await member.stop()


class Member:
    """One process of a fleet. After `stop`, `served` is the number of feeds it served."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.served = 0

    @classmethod
    async def started(cls, environment: Mapping[str, str], port: int) -> Member:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.e2e.shifted_clock",
            str(Path(environment["DATA_FOLDER"]) / CLOCK),
            "tests.e2e.fleet",
            "--port",
            str(port),
            cwd=ROOT,
            env=dict(environment),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        found = re.search(rb"http://127\.0\.0\.1:\d+", line)
        if found is None:
            process.kill()
            raise RuntimeError("a process did not start; what it printed is above")
        return cls(process, found[0].decode())

    async def stop(self) -> None:
        """Stop the process and keep its report."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            said, _ = await asyncio.wait_for(self.process.communicate(), 20)
            self.served = int(json.loads(said or b'{"served": 0}')["served"])
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def break_store(folder: Path, down: bool) -> None:
    """Make every document store call of every process fail, or work again."""
    (folder / FAULTS).write_text(json.dumps({"store_down": down}))


def set_clock(folder: Path, off_seconds: float) -> None:
    """Shift every process's clock by so many seconds."""
    (folder / CLOCK).write_text(str(off_seconds))


async def _serve(port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = local_settings()
    faults = Path(settings.data_folder) / FAULTS
    async with running(settings, port=port, reuse_port=port > 0, faults=faults) as app:
        print(app.url, flush=True)
        await stop.wait()
        counters = app.app.telemetry.counters
        served = sum(value for (name, _), value in counters.items() if name == "feed_requests")
    print(json.dumps({"served": served}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.fleet", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
