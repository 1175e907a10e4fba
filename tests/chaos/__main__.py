"""`python -m tests.chaos [--small] [--seed N]`: the fault-injection run; a table at its end, exit 1 on any difference.

Clients send over real HTTP to two `python -m local` processes that share their state. Meanwhile processes are killed
and frozen, dependencies go down, connections and writes are cut. Every client resends until it gets a 202, so in the
end every event was accepted, some of them many times, and each must count exactly once.

Users with more than 100 events (the size of the ring of identities) resend batches but never repack them. So do users
without consent, who have no ring. That is the guarantee as documented.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import aiohttp

import bootstrap
from bootstrap import App
from cms.videos.daily_figures import read_days
from events.archive import from_lines
from local.demo import save_videos
from local.serving import first_flags
from ranking.stats import DAILY_DAYS, DAY_IMPRESSIONS, DAY_VIEWS, DAY_WATCH_MS, STATS_PREFIX, StatsTable, merged
from shared.adapters.backends import flags_file
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.bus.port import SUBSCRIPTIONS
from shared.adapters.bus.servicebus import PEEK_LIMIT
from shared.adapters.documents.port import USER_ACTIVITY, VIDEO_STATS, query_all
from shared.adapters.tenant_directory import PLATFORM, save_key, save_tenant
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID
from shared.settings import Settings
from tests.chaos.client import Client
from tests.chaos.plans import PLANS, Plan
from tests.chaos.recount import (
    Archived,
    CountedLine,
    expected_line,
    is_capped,
    line_key,
    rule_differences,
    signal_differences,
    stat_differences,
)
from tests.chaos.servers import (
    FAULTY_SERVERS,
    OPERATOR,
    Misfortune,
    Server,
    Wire,
    free_port,
    keep_rolling_up,
    until_none,
    write_faults,
)
from tests.chaos.traffic import Sent, User, World, users, worlds

SHOWN = 6
"""Differences of each kind that are printed."""
STUCK_SECONDS = 60.0
ROWS = (
    "users",
    "events sent",
    "events in signals",
    "users whose signals differ",
    "users above a cap, held to its bound",
    "events in video counters",
    "videos whose counters differ",
    "views in days",
    "events in the archive",
    "dead letters: signals",
    "dead letters: rollup",
)


def main() -> int:
    """0 when nothing differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a few seconds instead of a few minutes")
    parser.add_argument("--azure", action="store_true", help="through the Azure adapters, against the test servers")
    parser.add_argument("--events", type=int, help="at least so many (default 100,000; small 4,000)")
    parser.add_argument("--users", type=int, help="so many (default 2,000; small 120)")
    parser.add_argument("--seed", type=int, default=1, help="of traffic and misfortune (default 1)")
    parser.add_argument(
        "--faults", nargs="+", metavar="NAME", choices=[plan.name for plan in PLANS],
        help="with --azure: only these answers of services (default: all of them)",
    )  # fmt: skip
    parser.add_argument(
        "--calm", action="store_true", help="with --azure: answers of services alone, nothing is killed"
    )
    parser.add_argument("--keep", type=Path, help="folder for the state and the logs (default: a temporary one)")
    options = parser.parse_args()
    logging.getLogger("azure").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        return asyncio.run(run(options, options.keep or Path(scratch)))


async def run(options: argparse.Namespace, folder: Path) -> int:
    """The whole story: set up, send under misfortune, drain, recount, report."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(options.seed)
    tenants = worlds(draw)
    began = time.time()
    count = options.users or (120 if options.small else 2_000)
    everybody = users(count, options.events or (4_000 if options.small else 100_000), tenants, began, draw)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, AsyncExitStack() as stack:
        stage = Stage(options.small, options.azure, folder, http)
        stage.calm = options.calm
        stage.plans = [plan for plan in PLANS if not options.faults or plan.name in options.faults]
        if options.azure:
            stage.wire = await Wire.start(http, stage.lock_seconds, folder / "test-servers.log")
            stack.push_async_callback(stage.wire.stop)
        services = bootstrap.build(Settings.from_environment(stage.settings))
        stack.push_async_callback(services.close)
        await _set_up(services, tenants)
        tally = await _traffic(stage, everybody, draw)
        drained = await _drain(stage, services, tally)
        differences = await _compare(services, everybody, tenants, tally)
    if not drained:
        differences.insert(0, "the queues did not run empty")
    _print_table(tally, time.time() - began)
    shown: Counter[str] = Counter()
    for text in differences:
        kind = text.split(" ")[0]
        shown[kind] += 1
        if shown[kind] <= SHOWN:
            print(f"DIFFERENCE  {text[:400]}")
    print(f"{len(differences)} differences" if differences else "No difference: every accepted event counts once.")
    return 1 if differences else 0


@dataclass
class Stage:
    """Where and how fast it all happens. `wire` are the test servers of the Azure adapters."""

    small: bool
    azure: bool
    folder: Path
    http: aiohttp.ClientSession
    wire: Wire | None = None
    plans: Sequence[Plan] = PLANS
    calm: bool = False

    @property
    def settings(self) -> dict[str, str]:
        """The environment of every process."""
        common = {"DATA_FOLDER": str(self.folder), "CONTENT_REFRESH_SECONDS": "0.5", "FOLD_PATIENCE_SECONDS": "120"}
        common["USER_REQUESTS_PER_SECOND"] = "1000000"  # few users send very many events
        common["USUAL_PEAK_FLOOR"] = "1000000000"  # all within a minute
        if self.wire is None:
            return common
        secret = base64.b64encode(b"of the fault-injection run alone").decode()
        return {**common, **self.wire.settings, "SIGNING_KEYS": f"run:{secret}", "IDENTITY_SECRET": secret}

    @property
    def faults(self) -> Path:
        return self.folder / "faults.json"

    @property
    def lock_seconds(self) -> float:
        """Return the message lock duration: short, so messages of a dead process are redelivered soon."""
        return (1.0 if self.small else 3.0) * (4.0 if self.azure else 1.0)

    def server(self, number: int) -> Server:
        return Server(free_port(), self.settings, self.faults, self.lock_seconds, self.folder / f"server-{number}.log")


async def _set_up(services: App, tenants: list[World]) -> None:
    if services.settings.flags == "file":
        first_flags(flags_file(services.settings))
    await services.documents.ready()
    await services.bus.ready()
    await services.blobs.ready()
    key = OPERATOR["X-Api-Key"]
    await save_key(services.documents, services.identity, PLATFORM, "operators", key, frozenset({"ops"}))
    for world in tenants:
        await save_videos(services, world.tenant.id, list(world.videos.values()))
        await save_key(services.documents, services.identity, world.tenant.id, "app", world.key, frozenset({"sdk"}))
        await save_tenant(services.documents, world.tenant)


async def _traffic(stage: Stage, everybody: list[User], draw: random.Random) -> Counter[str]:
    """Send everything until it is accepted, while faults are injected."""
    small, http = stage.small, stage.http
    servers = [stage.server(number) for number in (1, 2)]
    write_faults(stage.faults, {})
    await asyncio.gather(*(server.start() for server in servers))
    misfortune = Misfortune(
        servers,
        stage.faults,
        random.Random(draw.random()),
        pace_seconds=0.4 if small else 2.0,
        outage_seconds=1.0 if small else 8.0,
        wire=stage.wire,
        plans=stage.plans,
        calm=stage.calm,
    )
    urls = [server.url for server in servers]
    client = Client(urls, http, random.Random(draw.random()), think_seconds=0.15 if small else 0.8)
    at_once = asyncio.Semaphore(4 if small else 24)

    async def send(user: User, seed: float) -> None:
        async with at_once:
            await client.send_all(user, random.Random(seed))

    began = time.monotonic()
    trouble = asyncio.create_task(misfortune.befall())
    besides = [trouble, asyncio.create_task(keep_rolling_up(servers, http, 1.0 if small else 4.0))]
    sending = asyncio.gather(*(send(user, draw.random()) for user in everybody))
    try:
        await asyncio.wait({sending, trouble}, return_when=asyncio.FIRST_COMPLETED)
        if trouble.done():
            trouble.result()  # it ends only on failure
        await sending
    finally:
        for task in (sending, *besides):
            task.cancel()
        await asyncio.gather(sending, *besides, return_exceptions=True)
        await asyncio.gather(*(server.kill() for server in servers))
    seconds = time.monotonic() - began
    return client.tally + misfortune.tally + Counter({"seconds of sending": round(seconds)})


async def _drain(stage: Stage, services: App, tally: Counter[str]) -> bool:
    """Return whether the queues drain once faults have ended. Dead letters are counted."""
    write_faults(stage.faults, {})
    if stage.wire is not None:
        for name in () if stage.calm else FAULTY_SERVERS:  # in a quiet phase, pending faults are used up first
            await stage.wire.clear(name)
    server = stage.server(3)
    await server.start()

    async def left() -> float:
        depths = [(await services.bus.depth(subscription))[0] for subscription in SUBSCRIPTIONS]
        return inf if stage.azure and max(depths) >= PEEK_LIMIT else sum(depths)

    began = time.monotonic()
    besides = [asyncio.create_task(keep_rolling_up([server], stage.http, 1.0))]
    drained = await until_none(left, STUCK_SECONDS)
    for task in besides:
        task.cancel()
    await asyncio.gather(*besides, return_exceptions=True)
    await server.stop()
    if stage.wire is not None:
        tally.update({f"injected: {name}": times for name, times in (await stage.wire.used()).items()})
    tally["seconds of draining"] = round(time.monotonic() - began)
    for subscription in SUBSCRIPTIONS:
        tally[f"dead letters: {subscription}"] = (await services.bus.depth(subscription))[1]
    return drained


# ---- the recount


async def _compare(services: App, everybody: list[User], tenants: list[World], tally: Counter[str]) -> list[str]:
    differences = [f"{count} in {name}" for name, count in tally.items() if name.startswith("dead letters") and count]
    pseudonyms = {
        user.hash: services.identity.archive_pseudonym(_user_key(services, user)) for user in everybody if user.consents
    }
    archived = await _read_archive(services, tenants, tally)
    lines = {world.tenant.id: await _counted_lines(services, world) for world in tenants}
    told = _told(everybody, pseudonyms, archived)
    wanted = Archived(
        expected_line(user, pseudonyms.get(user.hash), event, at) for user, events in told for event, at in events
    )
    tally["events in the archive"] = archived.total()
    differences += [f"archived {archived[key]} times instead of {wanted[key]}: {key}"
                    for key in (archived - wanted) + (wanted - archived)]  # fmt: skip
    for user, events in told:
        document = await services.documents.read(USER_ACTIVITY, _user_key(services, user), SIGNALS_ID, latest=True)
        found = from_document(document.body) if document else None
        tally["events in signals"] += found.events if found else 0
        tally["users above a cap, held to its bound"] += is_capped(found)
        wrong = signal_differences(user, events, found)
        tally["users whose signals differ"] += bool(wrong)
        differences += [f"user {user.hash[:8]} of {user.world.tenant.id}: {text}" for text in wrong]
    for world in tenants:
        shards = await query_all(services.documents, VIDEO_STATS, world.tenant.id, STATS_PREFIX)
        table = merged(StatsTable.unpack(str(shard.body["packed"])) for shard in shards)
        counted = lines[world.tenant.id]
        wrong = stat_differences(table, counted, world.videos) + rule_differences(counted, world)
        tally["events in video counters"] += len(counted)
        tally["videos whose counters differ"] += len(wrong)
        differences += [f"{world.tenant.id}: {text}" for text in wrong]
        today = datetime.fromtimestamp(table.reference, UTC).date()  # the counters keep so many days
        days = await read_days(services.documents, world.tenant.id, today - timedelta(days=DAILY_DAYS - 1), today)
        for column, of_table in (("views", DAY_VIEWS), ("impressions", DAY_IMPRESSIONS), ("watchMs", DAY_WATCH_MS)):
            by_day = sum(day.total()[column] for day in days.values())
            tally["views in days"] += by_day if column == "views" else 0
            in_counters = float(table.daily[:, :, of_table].sum())
            if abs(by_day - in_counters) > (column == "watchMs") * 1_000:
                differences.append(f"{world.tenant.id}: {by_day} {column} by day, {in_counters:.0f} in the counters")
    tally["users"] = len(everybody)
    tally["events sent"] = sum(len(user.events) for user in everybody)
    return differences


def _user_key(services: App, user: User) -> str:
    return services.identity.user_key(user.world.tenant.id, user.hash)


async def _read_archive(services: App, tenants: list[World], tally: Counter[str]) -> Archived:
    archived: Archived = Archived()
    for world in tenants:
        async for blob in services.blobs.list(ARCHIVE, f"{world.tenant.id}/"):
            tally["archive blobs"] += 1
            content = await services.blobs.read(ARCHIVE, blob.name)
            assert content is not None
            archived.update(line_key(world.tenant.id, line["user"], line) for line in from_lines(content))
    return archived


async def _counted_lines(services: App, world: World) -> list[CountedLine]:
    """Return the archive lines that statistics count for a tenant. Their uniqueness is compared separately."""
    found = []
    async for blob in services.blobs.list(ARCHIVE, f"{world.tenant.id}/"):
        content = await services.blobs.read(ARCHIVE, blob.name)
        assert content is not None
        found += [CountedLine.of(line) for line in from_lines(content) if line["counted"]]
    return found


def _told(
    everybody: list[User], pseudonyms: dict[str, str], archived: Archived
) -> list[tuple[User, list[tuple[Sent, int]]]]:
    """Return each user's events with the time they count at: as sent, or for a clock far ahead as archived."""
    clamped = {(key[1], key[5]): key[4] for key in archived if key[5] is not None and key[5] % 1 == 0.5}
    return [
        (
            user,
            [
                (event, clamped.get((pseudonyms.get(user.hash), event.watch_ms), 0) if event.at_ms is None
                 else event.at_ms)
                for event in user.events
            ],
        )
        for user in everybody
    ]  # fmt: skip


def _print_table(tally: Counter[str], seconds: float) -> None:
    print("\nchaos")
    for name in ROWS:
        print(f"  {name:44}{tally.pop(name, 0):>10,}")
    for name, count in sorted(tally.items()):
        print(f"  {name:44}{count:>10,}")
    print(f"  {'seconds in all':44}{seconds:>10,.0f}")


if __name__ == "__main__":
    sys.exit(main())
