"""Temporary refusals lose nothing: consumers retry with growing pauses, and permanent failures block nobody else.

The consumers run on an in-memory store, topic and clock. Pauses are recorded, not slept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from events import parked_sessions
from events.batch import encode
from events.parked_sessions import ParkedSessions
from events.signals_consumer import LONGEST_PAUSE_SECONDS, first_pause
from events.stats_consumer import RENEW_SECONDS
from shared.adapters.blobs.port import ARCHIVE, BlobRefused, BlobsUnavailable
from shared.adapters.bus.port import MAX_DELIVERIES, MESSAGE_TTL_SECONDS
from shared.adapters.documents.port import (
    USER_ACTIVITY,
    Container,
    Create,
    Failure,
    Operation,
    StoreUnavailable,
    WriteRejected,
)
from shared.settings import Settings
from tests.events.test_stats_consumer import NOW, TENANT, World, batch
from tests.parts import signals_consumer, stats_consumer

PATIENCE = Settings().fold_patience_seconds


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module."""


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    await world.prepare()
    return world


class Pauses(list[float]):
    """Records pauses instead of sleeping, and advances the clock by them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._sleep: Callable[..., Awaitable[None]] = asyncio.sleep
        self.now = NOW
        monkeypatch.setattr("shared.adapters.retry.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float, *_: Any) -> None:
        if seconds == RENEW_SECONDS:  # the lock renewal, which waits beside the work
            await self._sleep(seconds)
        if seconds > 0:
            self.append(seconds)
            self.now += seconds
        await self._sleep(0)

    def elapsed(self) -> float:
        return self.now


async def test_expired_item_not_yet_purged_returns_the_message_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A create answers 409 and a read finds nothing: the fold pauses longer and longer, gives up, and succeeds
    later."""
    pauses = Pauses(monkeypatch)
    write, refused = world.documents.inner.write, True

    async def unpurged(container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        if refused and container is USER_ACTIVITY and isinstance(operations[0], Create):
            raise WriteRejected({0: Failure.ALREADY_EXISTS})
        return await write(container, partition, operations)

    world.documents.inner.write = unpurged  # type: ignore[method-assign]
    consumer = signals_consumer(world.services)
    consumer._elapsed = pauses.elapsed
    with pytest.raises(StoreUnavailable):
        await consumer.handle(encode(batch(1)))
    assert PATIENCE - 2 * LONGEST_PAUSE_SECONDS < pauses.now - NOW <= PATIENCE
    assert len(pauses) < 100
    assert max(pauses[-3:]) > LONGEST_PAUSE_SECONDS / 2 > pauses[0]
    refused = False
    assert await consumer.handle(encode(batch(1))) == "folded"


def test_first_pause_grows_with_the_age_of_the_batch() -> None:
    pauses = [first_pause(age) for age in (0, 10, 100, 1_000, 86_400)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.1
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_three_days_of_outage_use_up_no_message() -> None:
    """Because a fold waits within one delivery, and a session of the roll-up is left alone."""
    assert MESSAGE_TTL_SECONDS / PATIENCE < MAX_DELIVERIES
    assert MESSAGE_TTL_SECONDS / (parked_sessions.LONGEST_PAUSE_SECONDS / 2) < MAX_DELIVERIES


def test_session_that_keeps_failing_pauses_longer_each_time() -> None:
    now = 0.0
    parked = ParkedSessions(lambda: now)
    waits = []
    for _ in range(12):
        began = now
        parked.park(TENANT)
        while parked.holds(TENANT):
            now += 1.0
        waits.append(now - began)
    assert waits[0] == 0.0, "what fails once is tried again by the next run"
    assert waits[1] < waits[-1] <= parked_sessions.LONGEST_PAUSE_SECONDS + 1
    parked.release(TENANT)
    assert not len(parked)


class OneBadBlob:
    """Makes blobs of one tenant's archive fail as long as `error` is set."""

    def __init__(self, inner: Any, error: Exception) -> None:
        self._inner = inner
        self.error: Exception | None = error

    async def write(self, container: str, name: str, data: bytes) -> None:
        if self.error is not None and container == ARCHIVE and name.startswith(f"{TENANT}/"):
            raise self.error
        await self._inner.write(container, name, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("error", [BlobRefused("a policy holds the blob"), BlobsUnavailable("somebody holds a lease")])
async def test_refused_blob_parks_its_session_and_no_other_tenants(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    pauses = Pauses(monkeypatch)
    others = [f"other_{n}" for n in range(6)]
    await world.prepare(*others)
    world.send(batch(1))
    for number, tenant in enumerate(others):
        world.send(batch(10 + number, tenant=tenant))
    blobs = OneBadBlob(world.services.blobs, error)
    rollup = stats_consumer(world.services, blobs=blobs, elapsed=pauses.elapsed, run_seconds=20.0)
    await rollup.run()
    assert pauses.now - NOW < 60, "a run ends in time"
    assert [(await world.views(tenant))[0] for tenant in others] == [1] * 6
    assert len(world.topic.waiting[TENANT]) == 1, "what is not archived is not settled"
    assert world.services.telemetry.gauges["rollup_sessions_parked", ()] == 1
    blobs.error = None
    pauses.now += parked_sessions.LONGEST_PAUSE_SECONDS
    await rollup.run()
    assert not world.topic.waiting[TENANT]
    assert await world.views() == [1, 0, 0, 0, 0]
    assert len([line for line in await world.archived() if line["tenant"] == TENANT]) == 1
    assert world.services.telemetry.gauges["rollup_sessions_parked", ()] == 0


async def test_existing_immutable_blob_counts_as_archived(world: World) -> None:
    """The response to its write was lost, and a policy forbids writing it again."""
    world.send(batch(1))
    inner = world.services.blobs

    class Immutable(OneBadBlob):
        async def write(self, container: str, name: str, data: bytes) -> None:
            await inner.write(container, name, data)
            raise BlobRefused("a policy holds the blob")

    await stats_consumer(world.services, blobs=Immutable(inner, BlobRefused("")), run_seconds=1.0).run()
    assert not world.topic.waiting[TENANT]
    assert len(await world.archived()) == 1
