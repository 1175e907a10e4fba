"""How long the reader caches a user's signals, or their absence."""

from __future__ import annotations

from feed.signals_reader import SignalsReader
from shared.adapters.documents.port import USER_ACTIVITY, Upsert
from shared.domain.signals_document import to_document
from shared.domain.user_signals import Signals
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from tests.memory_documents import MemoryDocuments

USER = "user-key"


class Counted(MemoryDocuments):
    """Counts the reads."""

    reads = 0

    async def read(self, *args: object, **named: object):  # type: ignore[no-untyped-def,override]
        self.reads += 1
        return await super().read(*args, **named)  # type: ignore[arg-type]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def reader(keep_seconds: float) -> tuple[SignalsReader, Counted, Clock]:
    documents, clock = Counted(), Clock()
    settings = Settings(signals_cache_seconds=keep_seconds)
    return SignalsReader(documents, settings, Telemetry(), clock), documents, clock


async def test_new_user_is_read_once_and_found_after_the_same_seconds() -> None:
    signals, documents, clock = reader(2.0)
    assert await signals.get("t", USER) is None
    assert await signals.get("t", USER) is None
    assert documents.reads == 1
    await documents.write(USER_ACTIVITY, USER, [Upsert(to_document(Signals(14.0, events=3)))])
    clock.now += 1.9
    assert await signals.get("t", USER) is None
    clock.now += 0.1
    found = await signals.get("t", USER)
    assert found is not None
    assert found.events == 3


async def test_every_request_reads_when_nothing_may_be_cached() -> None:
    signals, documents, _ = reader(0.0)
    for _ in range(3):
        assert await signals.get("t", USER) is None
    assert documents.reads == 3
    assert len(signals.kept) == 0


async def test_cache_of_new_users_stays_within_the_budget() -> None:
    signals, _, clock = reader(2.0)
    for number in range(3_000):
        clock.now += 0.01
        await signals.get("t", f"user-{number}")
    assert len(signals.kept) <= 201
