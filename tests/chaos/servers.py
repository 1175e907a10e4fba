"""Runs the app as child processes on shared state, and kills, freezes or disconnects them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import aiohttp

from tests.chaos.plans import GARBAGE, PLANS, Plan

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180.0
"""A first start compiles the ranking's loops, which takes long on a busy machine."""
OPERATOR = {"X-Api-Key": "ops-key-of-the-fault-injection-run"}
FAULTY_SERVERS = ("cosmos", "servicebus", "blob")
BACKGROUND = {"cut_writes": 0.02, "cut_publishes": 0.02, "cut_blobs": 0.1}
"""Share of writes that are applied and then reported as failed, throughout the run."""


@dataclass
class Server:
    """One `python -m local`, restarted on the same port whenever it was killed."""

    port: int
    settings: Mapping[str, str]
    faults: Path
    lock_seconds: float
    log: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        command = ("-m", "local", "serve", "--no-demo", "--port", str(self.port))
        tuned = ("--faults", str(self.faults), "--lock-seconds", str(self.lock_seconds))
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                *tuned,
                cwd=ROOT,
                env={**kept, **self.settings},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), START_SECONDS)
        if not line.startswith(b"Serving"):
            raise RuntimeError(f"the app did not start: see {self.log}")

    async def kill(self) -> None:
        """Kill the process without notice, as a machine failure would."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def freeze(self, seconds: float) -> None:
        """Suspend the process for a while; it continues although its locks have expired."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)

    async def stop(self) -> int:
        """Stop it in order; return its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return await self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Wire:
    """The test servers behind the Azure adapters, as a separate program."""

    control: str
    settings: dict[str, str]
    http: aiohttp.ClientSession
    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, http: aiohttp.ClientSession, lock_seconds: float, log: Path) -> Wire:
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.emulators", "--json", "--gated", "--lock-seconds", str(lock_seconds),
                cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=file,
            )  # fmt: skip
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        if not line:
            raise RuntimeError(f"the test servers did not start: `make test` says what they need; see {log}")
        told = json.loads(line)
        return cls(told["control"], told["settings"], http, process)

    async def post(self, path: str, body: Mapping[str, object]) -> None:
        async with self.http.post(f"{self.control}/{path}", json=body) as answer:
            answer.raise_for_status()

    async def put(self, plan: Plan) -> None:
        """Inject a fault of a plan into its server."""
        if plan.fault:
            await self.post(f"faults/{plan.server}", plan.to_json())
        else:
            await self.post(f"garbage/{plan.server}", {})

    async def used(self) -> Counter[str]:
        """Return how many requests met each fault of a plan."""
        found: Counter[str] = Counter()
        for server in FAULTY_SERVERS:
            async with self.http.get(f"{self.control}/used/{server}") as answer:
                answer.raise_for_status()
                found.update(await answer.json())
        return found

    async def clear(self, server: str) -> None:
        """Clear the faults of that server."""
        async with self.http.delete(f"{self.control}/faults/{server}") as answer:
            answer.raise_for_status()

    async def stop(self) -> None:
        self.process.terminate()
        await self.process.wait()


@dataclass
class Misfortune:
    """Injects faults while the traffic runs, drawn from `draw`; `tally` counts them."""

    servers: list[Server]
    faults: Path
    draw: random.Random
    pace_seconds: float
    outage_seconds: float
    wire: Wire | None = None
    plans: Sequence[Plan] = PLANS
    calm: bool = False
    """Only faults of service responses: no process is killed or frozen, no dependency goes down."""
    tally: Counter[str] = field(default_factory=Counter)

    async def befall(self) -> None:
        """Kill or freeze a process every few seconds, and sometimes stop a dependency, until cancelled."""
        self.set_faults()
        outages = ("store_down", "blobs_down", "bus_down")
        turn, plans = 0, list[Plan]()
        if self.calm:  # each fault once, from the first request: repeated ones would keep a busy bus blocked
            for plan in self.plans:
                await self._inject(plan)
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(self.pace_seconds * self.draw.uniform(0.5, 1.5))
            turn += 1
            if self.wire is not None:
                if not plans:  # each once, in any order, before any repeats
                    plans = self.draw.sample(self.plans, len(self.plans))
                await self._inject(plans.pop())
            if turn % 6 == 3:
                await self._outage(outages[(turn // 6) % len(outages)])
                continue
            server = self.draw.choice(self.servers)
            chance = self.draw.random()
            if chance < 0.25:
                self.tally["freezes beyond the lock"] += 1
                await server.freeze(server.lock_seconds * self.draw.uniform(1.1, 1.6))
            elif chance < 0.4:
                self.tally["kill -9 of both at once"] += 1
                await asyncio.gather(*(each.kill() for each in self.servers))
                await asyncio.gather(*(each.start() for each in self.servers))
            else:
                self.tally["kill -9"] += 1
                await server.kill()
                await server.start()

    async def _inject(self, plan: Plan) -> None:
        if self.wire is not None:
            await self.wire.put(plan)
            self.tally[f"injected: {GARBAGE}"] += plan.name == GARBAGE

    async def _outage(self, what: str) -> None:
        """Stop a dependency for a while; one process dies meanwhile."""
        self.tally[f"outages: {what.removesuffix('_down')}"] += 1
        wire_name = {"store_down": "cosmos", "bus_down": "servicebus"}.get(what, "")
        if self.wire is not None and wire_name:
            await self.wire.post(f"down/{wire_name}", {})
        else:
            self.set_faults(**{what: True})
        await asyncio.sleep(self.outage_seconds / 2)
        self.tally["kill -9"] += 1
        server = self.draw.choice(self.servers)
        await server.kill()
        await asyncio.sleep(self.outage_seconds / 2)
        self.set_faults()
        if self.wire is not None and wire_name:
            await self.wire.clear(wire_name)
        await server.start()

    def set_faults(self, **more: bool) -> None:
        write_faults(self.faults, {**BACKGROUND, **more})


def write_faults(path: Path, faults: Mapping[str, object]) -> None:
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(faults))
    aside.replace(path)


async def keep_rolling_up(servers: list[Server], http: aiohttp.ClientSession, every: float) -> None:
    """Run the roll-up more often than scheduled, in several processes at once."""

    async def run(server: Server) -> None:
        timeout = aiohttp.ClientTimeout(60)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with http.post(f"{server.url}/admin/functions/roll_up", headers=OPERATOR, timeout=timeout):
                pass

    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            running |= {asyncio.create_task(run(server)) for server in servers}
            await asyncio.sleep(every)
            running = {task for task in running if not task.done()}
            while len(running) > len(servers):
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running = {task for task in running if not task.done()}
    finally:
        for task in running:
            task.cancel()


MOST_SECONDS = 1_800.0
"""For queues that are too long to be counted: whether they get shorter cannot be told."""


async def until_none(left: Callable[[], Awaitable[float]], seconds: float) -> bool:
    """Return whether the count reaches zero; False when it stopped falling for that many seconds. Infinity means more
    than can be counted, which is waited for up to `MOST_SECONDS`."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    least, since = await left(), began
    while least:
        await asyncio.sleep(0.2)
        now_left = await left()
        if now_left < least or (now_left == inf and loop.time() - began < MOST_SECONDS):
            least, since = now_left, loop.time()
        elif loop.time() - since > seconds:
            return False
    return True
