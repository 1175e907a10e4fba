"""`make prove-switch` measures how long the kill switch takes to reach clients.

Several processes serve on one port under load, with production's intervals. Clients keep pages as long as `Cache-
Control` allows. The operators' own command flips the switch off and on: while the document store works, while it is
down, and after every process's clock was set back by an hour and forward by a day. Everything runs on a flags file, and
on App Configuration (the real SDK against the test server).

Measures the time from before the command begins to the last page shown by any client that the switch forbids.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.results import FRESH, RECORD, keep
from commands.seed_flags import first_flags
from commands.switch_flag import switch
from shared.adapters.flags.evaluation import PERSONALIZED_FEED
from shared.settings import Settings
from tests.e2e.fleet import break_store, fleet, new_environment, set_clock
from tests.e2e.sdk_client import SdkClient
from tests.emulators.appconfig import AppConfigurationServer

OBJECTIVE_SECONDS = 30.0
QUIET_SECONDS = 6.0
"""The switch is complete after so many seconds without a forbidden page."""
LONGEST_SECONDS = 60.0


@dataclass
class Load:
    """Clients that request all the time, half of them the first page, half the next one, and what they were shown.

    `last[mark]` is when a page with that reason, or mode, was last shown.
    """

    clients: list[SdkClient]
    pause_seconds: float
    shown: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)
    errors: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        asks = [client.next_page if place % 2 else client.feed for place, client in enumerate(self.clients)]
        tasks = [asyncio.create_task(self._ask(ask)) for ask in asks]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, ask: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        while True:
            await asyncio.sleep(self.pause_seconds * random.uniform(0.5, 1.5))
            try:
                page = await ask()
            except Exception as error:
                self.errors += 1
                print(f"    error: {type(error).__name__}: {error}")
                continue
            mark = page["reason"] or "personalized"
            self.shown[mark] += 1
            self.last[mark] = time.monotonic()


@dataclass(frozen=True)
class Flip:
    """One flip and its result: `seconds` to the last page that the switch forbids (off: a personalized one; on: one
    whose reason is the switch), `settled` to the last page of the former state."""

    name: str
    seconds: float
    settled: float
    pages: int
    errors: int

    @property
    def kept(self) -> bool:
        return self.seconds <= OBJECTIVE_SECONDS and self.errors == 0

    def __str__(self) -> str:
        verdict = "kept" if self.kept else "BROKEN"
        return f"  {self.name:34}{self.seconds:9.1f} s{self.settled:11.1f} s{self.pages:9}{self.errors:9}   {verdict}"


async def flip(load: Load, settings: Settings, on: bool, name: str) -> Flip:
    """Flip the switch, and wait until no client shows a page that it forbids."""

    forbidden = "kill_switch" if on else "personalized"

    def last(wanted: Callable[[str], bool]) -> float:
        return max((at for mark, at in load.last.items() if wanted(mark)), default=0.0)

    errors, pages = load.errors, sum(load.shown.values())
    began = time.monotonic()
    await asyncio.to_thread(switch, settings, PERSONALIZED_FEED, on)
    while True:
        await asyncio.sleep(0.2)
        now, contrary = time.monotonic(), last(_contrary(on))
        right = last(_contrary(not on))
        if right > max(contrary, began) and now - max(contrary, began) > QUIET_SECONDS:
            break
        if now - began > LONGEST_SECONDS:
            break
    seconds, settled = (max(0.0, last(each) - began) for each in (lambda mark: mark == forbidden, _contrary(on)))
    result = Flip(name, seconds, settled, sum(load.shown.values()) - pages, load.errors - errors)
    print(result, flush=True)
    return result


def _contrary(on: bool) -> Callable[[str], bool]:
    return lambda mark: (mark == "kill_switch") == on


async def prove(source: str, environment: Mapping[str, str], arguments: argparse.Namespace) -> list[Flip]:
    """Every flip on one flag source."""
    settings = Settings.from_environment(environment)
    folder = Path(settings.data_folder)
    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    async with (
        fleet(environment, arguments.processes, shared_port=True) as members,
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as http,
    ):
        clients = [SdkClient(http, members[0].url) for _ in range(arguments.clients)]
        for client in clients:
            await client.become_known()
        load = Load(clients, arguments.clients / arguments.rate)
        async with load.running():
            while load.shown["personalized"] < arguments.clients:  # noqa: ASYNC110 (the pages are what is waited for)
                await asyncio.sleep(0.2)
            print(f"\n{source}: {arguments.processes} processes, {arguments.clients} clients")
            print(f"  {'flip':34}{'last forbidden':>11}{'settled':>13}{'pages':>9}{'errors':>9}", flush=True)
            results = [
                await flip(load, settings, False, "off"),
                await flip(load, settings, True, "back on"),
            ]
            for off_seconds, how in ((-3_600.0, "an hour back"), (86_400.0, "a day forward")):
                set_clock(folder, off_seconds)
                results += [
                    await flip(load, settings, False, f"off, the clock set {how}"),
                    await flip(load, settings, True, f"back on, the clock set {how}"),
                ]
            set_clock(folder, 0.0)
            break_store(folder, True)
            await asyncio.sleep(3)
            results += [
                await flip(load, settings, False, "off, the document store down"),
                await flip(load, settings, True, "back on, the document store down"),
            ]
            break_store(folder, False)
            before = load.shown["personalized"]
            began = time.monotonic()
            while load.shown["personalized"] == before and time.monotonic() - began < LONGEST_SECONDS:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            print(f"  personalized again {time.monotonic() - began:.1f} s after the document store came back")
    kept = sum(client.from_cache for client in clients)
    print(f"  pages by what they said: {dict(load.shown)}, {kept} of them from clients' own caches")
    print(f"  feeds served by process: {[member.served for member in members]}, errors in all: {load.errors}")
    return results


async def run(arguments: argparse.Namespace) -> bool:
    results: list[Flip] = []
    if "file" in arguments.on:
        with tempfile.TemporaryDirectory() as folder:
            results += await prove("flags file", new_environment(Path(folder)), arguments)
    if "appconfig" in arguments.on:
        with tempfile.TemporaryDirectory() as folder:
            async with AppConfigurationServer() as server:
                for flag in first_flags(personalized=True):
                    server.put_flag(flag)
                given: dict[str, Any] = {
                    "FLAGS": "appconfig",
                    "APP_CONFIGURATION_CONNECTION_STRING": server.connection_string,
                }
                results += await prove("App Configuration", new_environment(Path(folder), **given), arguments)
    slowest = max(result.seconds for result in results)
    kept = all(result.kept for result in results)
    keep(
        "kill switch",
        f"{slowest:.1f} s at the slowest",
        topic=FRESH,
        what="the last page after the switch that it forbids, as clients see it",
        command="python -m tests.e2e.prove_switch",
        against="several processes under load; a flags file, and a test server of App Configuration",
    )
    print(f"\nslowest flip {slowest:.1f} s, objective {OBJECTIVE_SECONDS:g} s: {'kept' if kept else 'BROKEN'}")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.prove_switch", description=__doc__)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--rate", type=float, default=150.0, help="pages a second in all")
    parser.add_argument("--on", nargs="+", choices=("file", "appconfig"), default=("file", "appconfig"))
    parser.add_argument(RECORD, action="store_true", help="keep the result for docs/results.md")
    return 0 if asyncio.run(run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
