"""Prints Cosmos DB's charge for a feed and for a batch, by document sizes measured in this run.

`bytes` is the JSON that the app sends, without the properties that the service adds (about 200 bytes). `RU` is the
published charge for that size (`infra/capacity.py`), for the default indexing policy; `user-activity` indexes nothing,
so it is charged less. For rows with `replaced`, another published page counts twice as much (`infra/capacity.json`,
`replace_times`). `test server` is the charge of our test server, a fixed price per kB: it checks the counted
operations, not their cost.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from benchmarks.azure_adapters import ROOT, _azure
from benchmarks.measured import record
from benchmarks.results import STORED, keep_table
from benchmarks.users import BUSY, KINDS, NOW, TYPICAL, catalog, user
from events.video_facts import REMEMBER_SECONDS
from infra.capacity import MONTH_SECONDS, needs, read_units, write_units
from infra.figures import read as read_figures
from local.serving import local_settings
from shared.adapters.documents.cosmos import CosmosStore
from shared.adapters.documents.port import USER_ACTIVITY, Create, Replace
from shared.domain.signals_document import VERSIONS, to_document
from shared.domain.user_signals import MAX_DOCUMENT_BYTES, Signals
from shared.settings import Settings
from tests.stored_documents import one_of_everything, sizes, statistics_bytes

__all__ = ["read_units", "write_units"]

COMMAND = "python -m benchmarks request_units"
OLDEST, NEWEST = min(VERSIONS), max(VERSIONS)
USER_KEY, TENANT = "k" * 43, "tenant-0001"
WATCHED_VIDEOS = 2_000
IDLE_POLL_UNITS = 2.0
"""Charge of an empty pull of a change feed, per physical partition. Not documented; a maintainer wrote "about 2"
(github.com/MicrosoftDocs/azure-docs/issues/50040)."""
PULL_SECONDS = 4.5
"""`CONTENT_REFRESH_SECONDS` is 5 by default; a pull is 10 % earlier on average (`shared/adapters/refresh.py`)."""
FEEDS_OF_CONTENT = 3
"""Change feeds that an instance for feeds pulls; other instances pull only that of the tenants."""
INSTANCES = ((600, 3), (3_000, 13), (30_000, 125))
"""Feeds a second, and the number of instances for them."""


@dataclass(frozen=True)
class Operation:
    """One operation of a feed or a batch: how often it occurs per feed or batch, and the bytes it reads or writes."""

    name: str
    times: float
    size: int
    writes: bool = False

    @property
    def units(self) -> float:
        return self.times * (write_units if self.writes else read_units)(self.size)


def main() -> None:
    """Print the tables."""
    users = {name: user(*kind, catalog()) for name, kind in KINDS.items()}
    found = {(name, version): stored_bytes(each, version) for name, each in users.items() for version in VERSIONS}
    _print_sizes(found)
    with tempfile.TemporaryDirectory() as folder:
        everything = asyncio.run(one_of_everything(Path(folder)))
    kinds = {f"{container} · {kind}": size for container, kind, size in sizes(everything)}
    for version in VERSIONS:
        _print_operations(operations(found[TYPICAL, version], kinds), f"{TYPICAL}, version {version}")
    _print_visit(kinds)
    _print_change_feeds(kinds)
    _print_test_server(users[TYPICAL])
    versions = sorted(VERSIONS)
    keep_table(
        "signals by user",
        ("user", *(f"version {version}" for version in versions)),
        [(name, *(f"{found[name, version]:,}" for version in versions)) for name in users],
        topic=STORED,
        what="A signals document, bytes as JSON",
        command=COMMAND,
        against="generated users, folded by the app",
    )
    source = f"{COMMAND}, {BUSY}, version {NEWEST}; version {OLDEST} has {found[BUSY, OLDEST]:,}"
    record("signals_bytes", found[BUSY, NEWEST], "bytes", source)
    record("marker_bytes", kinds["user-activity · marker"], "bytes", COMMAND)


def stored_bytes(signals: Signals, version: int) -> int:
    """Return the bytes of the stored document, with its partition and tenant."""
    return len(orjson.dumps({**to_document(signals, version), "userKey": USER_KEY, "tenantId": TENANT}))


def operations(signals_bytes: int, kinds: Mapping[str, int]) -> Iterator[Operation]:
    """Yield the operations of a feed and its batch for one user, by the load model."""
    figures = read_figures().after
    yield Operation("feed: signals read", figures["signals_reads_per_feed"], signals_bytes)
    yield Operation("batch: signals read", figures["fold_reads"], signals_bytes)
    yield Operation("batch: marker created", 1, kinds["user-activity · marker"], writes=True)
    yield Operation("batch: signals replaced", 1, signals_bytes, writes=True)


def _print_sizes(found: Mapping[tuple[str, int], int]) -> None:
    print(f"\n{'signals of a user, bytes':36}" + "".join(f"{f'version {each}':>11}" for each in VERSIONS))
    for name in KINDS:
        print(f"{name:36}" + "".join(f"{found[name, version]:11,}" for version in VERSIONS))
    print(f"{'at every cap, at most':36}{MAX_DOCUMENT_BYTES:22,}")


def _print_operations(rows: Iterator[Operation], name: str) -> None:
    print(f"\n{name:44}{'times':>7}{'bytes':>8}{'RU':>8}")
    together = 0.0
    for row in rows:
        together += row.units
        print(f"{row.name:44}{row.times:7.2f}{row.size:8,}{row.units:8.2f}")
    print(f"{'a feed and its batch':59}{together:8.2f}")


def _print_visit(kinds: Mapping[str, int]) -> None:
    """Print operations that do not occur per batch: markers of users who opted out, facts, and the roll-up's writes."""
    print(f"\n{'besides':44}{'':7}{'bytes':>8}{'RU':>8}")
    receipt, video = kinds["user-activity · receipt-marker"], kinds["videos · video"]
    for name, size, units in (
        ("a receipt of one who opted out: read", receipt, read_units(receipt)),
        ("the same: written", receipt, write_units(receipt)),
        (f"facts of a video, every {REMEMBER_SECONDS / 3600:g} h an instance", video, read_units(video)),
        ("a user without signals: read", 0, read_units(0)),
        ("a visit of the roll-up: statistics read", *_read(statistics_bytes(WATCHED_VIDEOS))),
        ("the same: statistics replaced", *_written(statistics_bytes(WATCHED_VIDEOS))),
        ("the same: a day's videos replaced", *_written(kinds["video-stats · daily"])),
        ("the same: names of the batches created", *_written(kinds["video-stats · added"])),
    ):
        print(f"{name:44}{'':7}{size:8,}{units:8.2f}")


def _read(size: int) -> tuple[int, float]:
    return size, read_units(size)


def _written(size: int) -> tuple[int, float]:
    return size, write_units(size)


def _print_change_feeds(kinds: Mapping[str, int]) -> None:
    """Print the charge of change feeds by number of instances: empty pulls, and pulls with documents."""
    figures = read_figures().after
    statistics = read_units(statistics_bytes(WATCHED_VIDEOS)) + read_units(1024 * figures["daily_kb"])
    statistics += read_units(kinds["video-stats · added"])
    visits = figures["tenants"] / figures["statistics_seconds"]
    print(f"\n{'change feeds, RU/s':24}{'idle':>8}{'statistics':>12}{'of all':>8}{'million RU a month':>20}")
    for rate, instances in INSTANCES:
        idle = instances * FEEDS_OF_CONTENT * IDLE_POLL_UNITS / PULL_SECONDS
        brought = instances * visits * statistics
        share = (idle + brought) / needs(rate, figures).ru
        month = (idle + brought) * MONTH_SECONDS / 1e6
        print(f"{f'{instances} instances, {rate:,}/s':24}{idle:8.1f}{brought:12.0f}{share:8.1%}{month:20,.0f}")


def _print_test_server(signals: Signals) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        if line := program.stdout.readline():
            settings = replace(local_settings({}), **_azure(json.loads(line)["settings"]))
            asyncio.run(_charged(settings, signals))
        else:
            print("left out: the test server (it did not start: `make test` says what it needs)")
    finally:
        program.terminate()
        program.wait(20)


async def _charged(settings: Settings, signals: Signals) -> None:
    """Print the test server's charge for a fold's read and write, through the SDK."""
    charges: list[tuple[str, float]] = []
    store = CosmosStore.from_settings(settings, on_call=lambda name, status, units, _: charges.append((name, units)))
    await store.ready()
    print(f"\n{'test server, through the SDK':44}{'bytes':>15}{'RU':>8}")
    for version in VERSIONS:
        partition, body = f"user-{version}", {**to_document(signals, version), "tenantId": TENANT}
        await store.write(USER_ACTIVITY, partition, [Create(body)])
        stored = await store.read(USER_ACTIVITY, partition, "signals", latest=True)
        assert stored is not None
        marker: dict[str, Any] = {"id": f"batch:{version:032x}", "acceptedAt": NOW, "counted": "fffff", "ttl": 60}
        await store.write(USER_ACTIVITY, partition, [Create(marker), Replace(body, stored.etag)])
        (_, read), (_, written) = charges[-2:]
        print(f"{f'version {version}: signals read':44}{stored_bytes(signals, version):15,}{read:8.2f}")
        print(f"{f'version {version}: marker and signals written':59}{written:8.2f}")
    await store.close()


if __name__ == "__main__":
    main()
