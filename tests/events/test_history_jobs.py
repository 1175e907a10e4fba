"""A job that imports past events counts each row once, wherever its worker dies.

Another worker continues it, and batches in between, in any order, lead to the same signals.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cms.changes import Author
from cms.history.history_importer import HistoryImporter
from cms.imports.job_queue import LEASE_SECONDS, JobParts
from events.archive import from_lines
from events.batch import Batch, decode, encode
from events.history_admission import Found, HistoryRow, Wanted, admit
from events.history_folds import HistoryFolds, HistoryPart
from events.history_rows import read_event
from events.history_state import HistoryState
from events.history_taker import HistoryTaker
from events.schema import Event, parse_event
from events.signals_writer import Owner, SignalsWriter
from shared.adapters.blobs.port import SAMPLES, UPLOADS, BlobInfo
from shared.adapters.documents.port import USER_ACTIVITY, query_all
from shared.domain.history import ADMITTED, CAPPED, DAY_FULL, KNOWN
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID, Signals
from tests.events.histories import everything, rows_of
from tests.events.test_stats_consumer import NOW, TENANT, World
from tests.events.test_stats_consumer_crashes import AFTER, BEFORE, Died, SteppedDocuments, Steps
from tests.parts import signals_consumer

DAY = 86_400
USERS = [f"{n:064x}" for n in range(3)]
ROWS_OF_USER = 4


class SteppedBlobs:
    """Counts writes and deletes as steps."""

    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner, self._steps = inner, steps

    async def write(self, *arguments: Any) -> None:
        await self._steps.call(lambda: self._inner.write(*arguments))

    async def delete(self, *arguments: Any) -> bool:
        return bool(await self._steps.call(lambda: self._inner.delete(*arguments)))

    async def read(self, *arguments: Any) -> bytes | None:
        found: bytes | None = await self._inner.read(*arguments)
        return found

    async def list(self, *arguments: Any) -> AsyncIterator[BlobInfo]:
        async for blob in self._inner.list(*arguments):
            yield blob


class WritesInSteps(SteppedDocuments):
    """Counts only writes as steps: a crash at a read equals one after the write before it."""

    async def read(self, *arguments: Any, **named: Any) -> Any:
        return await self._inner.read(*arguments, **named)

    async def query(self, *arguments: Any, **named: Any) -> Any:
        return await self._inner.query(*arguments, **named)

    async def changes(self, *arguments: Any, **named: Any) -> Any:
        return await self._inner.changes(*arguments, **named)


def importer(world: World, documents: Any, blobs: Any, now: list[float]) -> HistoryImporter:
    """A worker as in another process."""
    services, clock = world.services, lambda: now[0]
    parts = JobParts(documents, blobs, services.tenants, services.tenants_refresher, services.telemetry, clock)
    taker = HistoryTaker(
        documents=documents,
        blobs=blobs,
        writer=SignalsWriter(documents, services.telemetry, clock),
        video_facts=services.video_facts,
        tenants=services.tenants,
        identity=services.identity,
        telemetry=services.telemetry,
        clock=clock,
        usual_peak_floor=1_500.0,
    )
    return HistoryImporter(parts, taker)


def lines() -> bytes:
    """Two days of three users; the last row appears twice."""
    rows = [
        {
            "user": user,
            "type": "video_view",
            "videoId": f"v{n}",
            "timestamp": int((NOW - DAY * (1 + n % 2) - 60 * n) * 1000),
            "watchTimeMs": 20_000,
        }
        for user, n in itertools.product(USERS, range(ROWS_OF_USER))
    ]
    return b"\n".join(map(orjson.dumps, [*rows, rows[-1]]))


async def queued(world: World, now: list[float]) -> str:
    whole = importer(world, world.documents, world.services.blobs, now)
    return await whole.queue(TENANT, whole.read(TENANT, lines(), "application/x-ndjson"), Author("Anna", NOW))


async def run_and_die(world: World, now: list[float], at: int, when: str) -> int:
    """Run once and die at step `at`; return the number of steps."""

    async def happen() -> None:
        raise Died

    steps = Steps(at, when, happen)
    worker = importer(world, WritesInSteps(world.documents, steps), SteppedBlobs(world.services.blobs, steps), now)
    running = asyncio.create_task(worker.run())
    await asyncio.wait([running])
    if not running.cancelled():
        assert isinstance(running.exception(), Died | type(None))
    return steps.count


async def signals_of(world: World, user: str) -> Signals:
    key = world.services.identity.user_key(TENANT, user)
    found = await world.documents.inner.read(USER_ACTIVITY, key, SIGNALS_ID)
    assert found is not None
    signals = from_document(found.body)
    assert signals is not None
    return signals


async def written(world: World) -> dict[str, bytes | None]:
    blobs = world.services.blobs
    return {blob.name: await blobs.read(SAMPLES, blob.name) async for blob in blobs.list(SAMPLES)}


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_each_row_counts_once_wherever_a_job_dies(tmp_path: Path, when: str) -> None:
    at = 0
    whole: dict[str, bytes | None] | None = None
    while True:
        world, now = World(tmp_path / str(at)), [NOW]
        await world.prepare()
        id = await queued(world, now)
        steps = await run_and_die(world, now, at, when)
        now[0] += LEASE_SECONDS + 1
        await world.services.tenants.refresh()
        other = importer(world, world.documents, world.services.blobs, now)
        await other.run()
        job = await other.job(TENANT, id)
        assert job.progress["counts"] == {"counted": len(USERS) * ROWS_OF_USER, "known": 1}
        assert job.progress["finishedAt"] is not None
        for user in USERS:
            signals = await signals_of(world, user)
            assert (signals.events, len(signals.watched.keys)) == (ROWS_OF_USER, ROWS_OF_USER)
        parts = await written(world)
        assert whole is None or parts == whole, "the same names and bytes, whatever happened"
        whole = parts
        told = Counter(line["batch"] for content in parts.values() for line in from_lines(content or b""))
        assert told == {f"{id}:{number}": 1 for number in range(1, len(USERS) * ROWS_OF_USER + 1)}
        assert [blob.name async for blob in world.services.blobs.list(UPLOADS)] == []
        at += 1
        if at > steps:
            break
    assert at > 12, "a job has writes to die at"


async def test_job_with_a_lost_state_continues_by_its_markers(tmp_path: Path) -> None:
    world, now = World(tmp_path), [NOW]
    await world.prepare()
    id = await queued(world, now)
    assert await run_and_die(world, now, 8, AFTER) == 9, "some users are folded, and not the whole job"
    await world.services.blobs.delete(UPLOADS, f"{TENANT}/{id}.state")
    now[0] += LEASE_SECONDS + 1
    await world.services.tenants.refresh()
    other = importer(world, world.documents, world.services.blobs, now)
    await other.run()
    assert (await other.job(TENANT, id)).progress["counts"] == {"counted": 12, "known": 1}
    assert [(await signals_of(world, user)).events for user in USERS] == [ROWS_OF_USER] * len(USERS)


async def test_history_fold_succeeds_after_a_concurrent_live_batch(tmp_path: Path) -> None:
    """The signals changed during the fold of past events: it reads them again, and both count."""
    world = World(tmp_path)
    await world.prepare()
    key = world.services.identity.user_key(TENANT, USERS[0])
    part = part_of(key, 1, past(range(20)))
    batch = live_batch(key, 1, range(5))
    folds = folds_of(world)
    outcomes = await asyncio.gather(
        *(folds.fold(part) for _ in range(4)), *(signals_consumer(world.services).handle(batch) for _ in range(4))
    )
    assert Counter(map(str, outcomes)) == {str(["counted"] * 20): 4, "folded": 1, "duplicate": 3}
    assert (await signals_of(world, USERS[0])).events == 15 + 5, "five of the rows are impressions"
    markers = {each.id for each in await query_all(world.documents.inner, USER_ACTIVITY, key)} - {SIGNALS_ID}
    assert markers == {"history:job:1", f"batch:{1:032x}"}


# ---- any order


def folds_of(world: World) -> HistoryFolds:
    services = world.services
    writer = SignalsWriter(world.documents, services.telemetry, services.clock)
    return HistoryFolds(writer, services.video_facts, services.tenants, services.clock)


def past(numbers: Sequence[int]) -> list[Event]:
    """Likes and views of the last 80 days, one for each number."""
    kinds = ("video_view", "like", "skip", "impression")
    return [
        read_event(
            {
                "type": kinds[n % len(kinds)],
                "videoId": f"v{n % 5}",
                "timestamp": int((NOW - DAY * (1 + n % 80) - 7 * n) * 1000),
                "watchTimeMs": 1_000 * (n % 30),
            },
            NOW,
        )
        for n in numbers
    ]


def part_of(key: str, number: int, events: Sequence[Event]) -> HistoryPart:
    return HistoryPart(f"history:job:{number}", Owner(TENANT, key), NOW, events)


def live_batch(key: str, number: int, events: Sequence[int], accepted_at: float = NOW) -> bytes:
    sent = [
        parse_event(
            {
                "type": "video_view",
                "videoId": f"v{n % 5}",
                "timestamp": int((NOW - 60 * n) * 1000),
                "watchTimeMs": 1_000 * (n % 30),
            },
            NOW,
        )[0]
        for n in events
    ]
    return encode(Batch(f"{number:032x}", TENANT, key, accepted_at, tuple(sent), trusted=True))


@st.composite
def told(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]], list[tuple[str, int]]]:
    """Parts of past events, live batches, and an order of both with repeats; batches are also repacked from halves
    of two."""
    parts = [list(range(40 * n, 40 * n + draw(st.integers(1, 40)))) for n in range(draw(st.integers(1, 5)))]
    batches = [list(range(20 * n, 20 * n + draw(st.integers(1, 20)))) for n in range(draw(st.integers(1, 4)))]
    each = [("part", n) for n in range(len(parts))] + [("batch", n) for n in range(len(batches))]
    again = draw(st.lists(st.sampled_from([*each, *(("packed again", n) for n in range(len(batches)))]), max_size=8))
    order = draw(st.permutations([*each, *again]))
    return parts, batches, order


async def folded(
    world: World, parts: list[list[int]], batches: list[list[int]], order: list[tuple[str, int]]
) -> Signals:
    key = world.services.identity.user_key(TENANT, USERS[0])
    folds, consumer = folds_of(world), signals_consumer(world.services)
    for what, number in order:
        if what == "part":
            await folds.fold(part_of(key, number, past(parts[number])))
        elif what == "batch":
            await consumer.handle(live_batch(key, number, batches[number]))
        else:
            packed = [*batches[number][::2], *batches[(number + 1) % len(batches)][1::2]]
            await consumer.handle(live_batch(key, 100 + number, packed))
    return await signals_of(world, USERS[0])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told())
async def test_signals_are_equal_for_any_order_of_batches_and_past_events(
    tmp_path: Path, told: tuple[list[list[int]], list[list[int]], list[tuple[str, int]]]
) -> None:
    parts, batches, order = told
    plain = [("part", n) for n in range(len(parts))] + [("batch", n) for n in range(len(batches))]
    found = []
    for number, each in enumerate((plain, order)):
        world = World(tmp_path / str(number))
        await world.prepare()
        found.append(await folded(world, parts, batches, each))
    first, second = found
    assert everything(first) == everything(second)
    assert set(first.identities.keys.tolist()) == {
        event.identity for n in range(len(batches)) for event in _events_of(live_batch("k", n, batches[n]))
    }, "history never enters the ring"
    for name in ("categories", "tags", "creators"):
        one, other = rows_of(getattr(first, name)), rows_of(getattr(second, name))
        assert one.keys() == other.keys()
        for key, row in one.items():
            assert row == pytest.approx(other[key], rel=1e-4, abs=1e-4)


def _events_of(body: bytes) -> Sequence[Event]:
    return decode(body)[0].events


# ---- counting rules


def history_rows(events: Sequence[Event], user: str = "u") -> list[HistoryRow]:
    return [HistoryRow(place, place + 1, user, event) for place, event in enumerate(events)]


def test_rows_are_identified_to_the_second_and_capped_by_user_video_and_day(monkeypatch: pytest.MonkeyPatch) -> None:
    event = replace(past([4])[0], at_ms=int(NOW // 60 * 60_000) + 500)
    same_second = replace(event, at_ms=event.at_ms - 500)
    rows = history_rows([event, same_second, *(replace(event, at_ms=event.at_ms + 1000 * n) for n in range(1, 15))])
    wanted = Wanted.of(rows, str)
    assert Counter(admit(rows, wanted, Found(), 1_000)) == {ADMITTED: 12, KNOWN: 1, CAPPED: 3}
    assert admit(rows[:1], Wanted.of(rows[:1], str), Found(rows={wanted.rows[0]}), 1_000) == [KNOWN]
    used = Found(days=Counter({wanted.days[0]: 11}))
    assert Counter(admit(rows, wanted, used, 1_000)) == {ADMITTED: 1, KNOWN: 1, CAPPED: 14}
    assert Counter(admit(rows, wanted, Found(), 3))[ADMITTED] == 3, "and by the tenant's minute"
    monkeypatch.setattr("events.history_admission.MAX_ROWS_OF_DAY", 5)
    assert Counter(admit(rows, wanted, Found(), 1_000)) == {ADMITTED: 5, KNOWN: 1, DAY_FULL: 10}


@given(st.binary(max_size=40), st.integers(0, 50))
def test_damaged_job_state_starts_anew(content: bytes, rows: int) -> None:
    assert HistoryState.from_bytes(content, rows) == HistoryState.of(rows)
    state = HistoryState.of(rows)
    state.decide(range(rows), [ADMITTED] * rows)
    state.folded = 3
    assert HistoryState.from_bytes(state.to_bytes(), rows) == state
    assert HistoryState.from_bytes(state.to_bytes(), rows + 1) == HistoryState.of(rows + 1)
