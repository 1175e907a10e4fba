"""Stories under load: `python -m benchmarks.story_load` posts, views, listens and recounts, on one served process.

- **Alone**: posts and views with 16 in flight, beside the no-op function of the same host: rate, p95 and CPU of each,
  and their ratios to the no-op. Ratios compare between machines, milliseconds do not.
- **Held**: one post to ten views at a fixed rate, independent of responses. Finds the highest share of the capacity at
  which every call succeeds and p95 stays under the feed's objective.
- **Told**: authors listen on sockets; time from a view's request to the frame. p95 must be at most two seconds.
- **Recounted**: a minute later, each story's `counts` and its author's `stats` must equal the successful views.

The exit code is 1 if any of the last three fails. The client needs its own core: run it with at least two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from benchmarks.results import FRESH, LOAD, RECORD, keep, keep_table
from benchmarks.served import Served, World, served, tenant_id, user_hash
from benchmarks.wire import Connections, Reply, http
from local.demo import SDK_KEY
from tests.user_tokens import signer

IN_FLIGHT = 16
VIEWS_A_POST = 10
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
P95_SECONDS, TOLD_SECONDS, COUNTED_SECONDS = 0.25, 2.0, 60.0
AUTHORS, VIEWERS = 3_000, 500
"""Enough people that none reaches a limit per minute."""
COMMAND = "python -m benchmarks.story_load"
ON = ("personalized-feed", "stories", "story-live")


@dataclass
class Figures:
    """Results of one kind of call."""

    seconds: list[float] = field(default_factory=list)
    bad: Counter[int] = field(default_factory=Counter)
    rate: float = 0.0
    cpu_ms: float = 0.0

    @property
    def p95(self) -> float:
        """Return the 95th percentile in seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else float("inf")


class Crowd:
    """People with tokens, their stories, and the viewers of each."""

    def __init__(self, server: Served) -> None:
        self.draw = random.Random(1)
        self.connections = Connections(server.url, 256)
        self.tenant, self._signer = tenant_id(0), signer("EdDSA")
        self._headers: dict[int, dict[str, str]] = {}
        self.posted: list[tuple[str, int]] = []
        """Posted stories with their authors."""
        self.views: Counter[str] = Counter()
        self._seen: set[tuple[str, int]] = set()
        self._next = 0

    def headers(self, person: int) -> dict[str, str]:
        if person not in self._headers:
            user = user_hash(0, person)
            token = self._signer.token(self.tenant, user, time.time())
            names = {"X-Tenant-Id": self.tenant, "X-Api-Key": SDK_KEY, "X-User": user, "X-User-Token": token}
            self._headers[person] = names
        return self._headers[person]

    async def ask(self, method: str, path: str, person: int, body: Any = None, more: Any = None) -> Reply:
        raw = b"" if body is None else orjson.dumps(body)
        return await self.connections.ask(http(method, path, {**self.headers(person), **(more or {})}, raw))

    async def noop(self) -> Reply:
        return await self.ask("GET", "/noop", 0)

    async def post(self) -> Reply:
        self._next += 1
        author = self._next % AUTHORS
        body = {"visibility": "public", "text": f"Off to lake {self._next}."}
        reply = await self.ask("POST", "/v1/stories", author, body, {"Idempotency-Key": f"k-{self._next}"})
        if reply.status == 201:
            self.posted.append((json.loads(reply.body)["id"], author))
        return reply

    async def view(self) -> Reply:
        while True:
            story, _ = self.posted[self.draw.randrange(max(0, len(self.posted) - 400), len(self.posted))]
            viewer = AUTHORS + self.draw.randrange(VIEWERS)
            if (story, viewer) not in self._seen:
                break
        self._seen.add((story, viewer))
        reply = await self.ask("PUT", f"/v1/stories/{story}/view", viewer)
        if reply.status == 204:
            self.views[story] += 1
        return reply

    async def mixed(self) -> Reply:
        return await (self.post() if self.draw.randrange(VIEWS_A_POST + 1) == 0 else self.view())


Call = Callable[[], Awaitable[Reply]]


def _note(figures: Figures, reply: Reply) -> None:
    figures.seconds.append(reply.seconds)
    if reply.status not in (200, 201, 204):
        figures.bad[reply.status] += 1


async def closed(server: Served, call: Call, seconds: float) -> Figures:
    """Send calls, `IN_FLIGHT` at a time, as fast as they are answered."""
    figures, until = Figures(), time.monotonic() + seconds

    async def one_after_another() -> None:
        while time.monotonic() < until:
            _note(figures, await call())

    cpu, began = server.cpu_seconds(), time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))
    figures.rate = len(figures.seconds) / (time.monotonic() - began)
    figures.cpu_ms = (server.cpu_seconds() - cpu) * 1e3 / max(1, len(figures.seconds))
    return figures


async def at_rate(server: Served, call: Call, rate: float, seconds: float) -> Figures:
    """Start `rate` calls a second; each is timed from its scheduled start."""
    figures, tasks = Figures(), []
    cpu, began = server.cpu_seconds(), time.monotonic()

    async def one(due: float) -> None:
        reply = await call()
        _note(figures, reply._replace(seconds=time.monotonic() - due))

    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    figures.rate = len(tasks) / (time.monotonic() - began)
    figures.cpu_ms = (server.cpu_seconds() - cpu) * 1e3 / max(1, len(tasks))
    return figures


async def alone(server: Served, crowd: Crowd, seconds: float) -> Figures:
    """Print the table of single calls; return the no-op's figures."""
    rows: dict[str, Figures] = {}
    calls: dict[str, Call] = {"no-op function": crowd.noop, "post a story": crowd.post, "view a story": crowd.view}
    for name, call in calls.items():
        await closed(server, call, 0.5)  # to warm up
        rows[name] = await closed(server, call, seconds)
    base = rows["no-op function"]
    print(
        f"{IN_FLIGHT} in flight{'':18}{'a second':>9}{'p95 ms':>9}{'CPU ms':>9}{'p95 x no-op':>13}{'CPU x no-op':>13}"
    )
    for name, each in rows.items():
        ratios = f"{each.p95 / base.p95:13.1f}{each.cpu_ms / base.cpu_ms:13.1f}"
        print(f"  {name:26}{each.rate:9.0f}{each.p95 * 1e3:9.1f}{each.cpu_ms:9.2f}{ratios}", flush=True)
        assert not each.bad, each.bad
    keep_table(
        "story_load_alone",
        ("16 in flight", "a second", "p95, times the no-op's", "CPU, times the no-op's"),
        [
            (name, f"{each.rate:.0f}", f"{each.p95 / base.p95:.1f}", f"{each.cpu_ms / base.cpu_ms:.1f}")
            for name, each in rows.items()
        ],
        topic=LOAD,
        what="Posting and viewing stories",
        command=COMMAND,
    )
    return base


async def held(server: Served, crowd: Crowd, base: Figures, seconds: float) -> bool:
    """Print the highest sustained rate of posts and views together."""
    most = await closed(server, crowd.mixed, seconds)
    for share in SHARES:
        figures = await at_rate(server, crowd.mixed, share * most.rate, seconds)
        good = not figures.bad and figures.p95 <= P95_SECONDS
        ratios = f"p95 {figures.p95 / base.p95:.1f} and CPU {figures.cpu_ms / base.cpu_ms:.1f} times the no-op's"
        print(
            f"one post to {VIEWS_A_POST} views, {figures.rate:.0f} a second ({share:.0%} of what was possible): p95 "
            f"{figures.p95 * 1e3:.0f} ms, CPU {figures.cpu_ms:.2f} ms; {ratios}; answered badly: "
            f"{dict(figures.bad) or 0}: " + ("held" if good else "not held"),
            flush=True,
        )
        if good:
            value = f"{figures.rate:.0f} calls a second, p95 {figures.p95 * 1e3:.0f} ms; {ratios}"
            what = f"stories: one post to {VIEWS_A_POST} views, the highest rate held"
            keep("story_load_held", value, topic=LOAD, what=what, command=COMMAND)
            return True
    return False


async def told(crowd: Crowd, rounds: int) -> bool:
    """Print the time until listening authors are notified of a view."""
    authors = list(crowd.posted[-rounds:])
    taken: list[float] = []
    async with aiohttp.ClientSession() as session:

        async def one(story: str, author: int) -> None:
            address = json.loads((await crowd.ask("GET", "/v1/me/live", author)).body)["url"]
            async with session.ws_connect(address) as socket:
                viewer = AUTHORS + VIEWERS + author
                began = time.monotonic()
                reply = await crowd.ask("PUT", f"/v1/stories/{story}/view", viewer)
                assert reply.status == 204, reply
                crowd.views[story] += 1
                async with asyncio.timeout(30):
                    while viewed(await socket.receive_json()) != story:
                        pass  # the frame of an earlier view
                taken.append(time.monotonic() - began)

        for begin in range(0, len(authors), 20):
            await asyncio.gather(*(one(*each) for each in authors[begin : begin + 20]))
    p95 = sorted(taken)[int(0.95 * (len(taken) - 1))]
    good = p95 <= TOLD_SECONDS
    value = f"p95 {p95 * 1e3:.0f} ms of {len(taken)}"
    keep("story_load_told", value, topic=FRESH, what="an author on a socket is told of a view", command=COMMAND)
    print(
        f"authors told of a view, {len(taken)} of them, 20 at a time: p95 {p95 * 1e3:.0f} ms, slowest "
        f"{max(taken) * 1e3:.0f} ms, objective {TOLD_SECONDS:g} s: " + ("kept" if good else "BROKEN"),
        flush=True,
    )
    return good


def viewed(frame: Any) -> str | None:
    """Return the story of a frame about a view."""
    return frame["storyId"] if frame.get("type") == "story.viewed" else None


async def recounted(crowd: Crowd, sample: int) -> bool:
    """Print whether counts and stats equal the successful views, at most a minute after the last one."""
    stories = crowd.draw.sample(crowd.posted, min(sample, len(crowd.posted)))
    by_author: Counter[int] = Counter()
    for story, author in crowd.posted:
        by_author[author] += crowd.views[story]
    until = time.monotonic() + COUNTED_SECONDS
    wrong: list[str] = []
    while True:
        wrong = []
        for story, author in stories:
            counts = json.loads((await crowd.ask("GET", f"/v1/stories/{story}", author)).body)["counts"]["views"]
            stats = json.loads((await crowd.ask("GET", "/v1/me/stats", author)).body)["views"]
            if (counts, stats) != (crowd.views[story], by_author[author]):
                wrong.append(f"{counts} of {crowd.views[story]} and {stats} of {by_author[author]}")
        if not wrong or time.monotonic() > until:
            break
        await asyncio.sleep(2.0)
    print(
        f"{crowd.views.total():,} views of {len(crowd.posted):,} stories; counts and stats of {len(stories)} stories "
        "agree with a recount: " + ("yes" if not wrong else f"NO: {wrong[:3]}"),
        flush=True,
    )
    return not wrong


async def run(server: Served, seconds: float, rounds: int) -> bool:
    crowd = Crowd(server)
    for _ in range(100):
        first = await crowd.post()  # waits until the flags are read
        if first.status == 201:
            break
        await asyncio.sleep(0.2)
    else:
        sys.exit(f"no story can be posted: {first.status} {first.body.decode()}")
    base = await alone(server, crowd, seconds)
    good = await held(server, crowd, base, seconds)
    good &= await told(crowd, rounds)
    good &= await recounted(crowd, 40)
    crowd.connections.close()
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.story_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each measurement (default 10)")
    parser.add_argument("--listeners", type=int, default=200, help="authors who are told (default 200)")
    parser.add_argument(RECORD, action="store_true", help="keep the figures for docs/results.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = Path(folder) / "flags.json"
        known = [{"id": name, "enabled": True} for name in ON]
        flags.write_text(json.dumps({"feature_management": {"feature_flags": known}}))
        unbound = {"SHED_DELAY_MS": "60000", "REFUSE_DELAY_MS": "60000", "MAX_IN_FLIGHT": "10000"}
        world = World(videos=20, users=0, token_key=signer("EdDSA").pem)
        with served(world, {"FLAGS_FILE": str(flags), **unbound}) as server:
            good = asyncio.run(run(server, arguments.seconds, arguments.listeners))
    print("all of it held" if good else "FAILED: see above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
