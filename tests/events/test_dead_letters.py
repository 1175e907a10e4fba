"""Dead letters are listed, replayed to the subscription that failed, and swept by age and erasure."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace as changed
from pathlib import Path

import orjson
import pytest

from bootstrap import App
from commands.replay_dead_letters import replay
from events.batch import Batch, encode, encode_all
from events.dead_letters import KEEP_SECONDS, purge_dead_letters_of, readable
from events.erasures import note_erasure
from events.schema import Event
from events.signals_consumer import MAX_AGE_SECONDS
from shared.adapters.bus.port import DUPLICATE_WINDOW_SECONDS, ROLLUP, SIGNALS, DeadLetter, OutgoingMessage
from shared.adapters.bus.sqlite import SqliteBus
from shared.adapters.documents.port import USER_ACTIVITY
from shared.adapters.embedded_secrets import with_embedded_secrets
from shared.adapters.tenant_directory import save_tenant
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Tenant
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID
from shared.settings import Settings
from tests.events.topic import services_on
from tests.memory_documents import MemoryDocuments
from tests.parts import signals_consumer
from tests.served_app import ROOT

NOW = 1_700_000_000.0
TENANT = "tenant_1"


class World:
    """An embedded bus and an in-memory store with one clock."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.bus = SqliteBus(folder / "bus.db", lambda: self.now)
        self.services: App = services_on(MemoryDocuments(lambda: self.now), self.bus, lambda: self.now, folder)  # type: ignore[arg-type]
        self.said: list[str] = []

    async def bury(self, batch: Batch | bytes, subscription: str = SIGNALS, reason: str = "poison") -> None:
        """Put a batch, or invalid bytes, into the dead letters."""
        body, id = (batch, "odd") if isinstance(batch, bytes) else (encode(batch), batch.id)
        await self.bus.dead_letter(subscription, OutgoingMessage(id, TENANT, body), reason, "for the test")

    async def letters(self, subscription: str = SIGNALS) -> list[DeadLetter]:
        return await self.bus.peek_dead_letters(subscription, 100)

    async def replay(self, subscription: str = SIGNALS, *, dry_run: bool = False) -> int:
        letters = await self.letters(subscription)
        return await replay(self.services, subscription, letters, dry_run=dry_run, say=self.said.append)

    async def fold_all(self) -> list[str]:
        """Fold everything that waits in `signals`; return the outcomes."""
        receiver = await self.bus.receiver(SIGNALS)
        outcomes = []
        for message in await receiver.receive(100, 0):
            outcomes.append(await signals_consumer(self.services).handle(message.body))
            await receiver.complete([message])
        await receiver.close()
        return outcomes

    async def events(self, user: str) -> int:
        found = await self.services.documents.read(USER_ACTIVITY, user, SIGNALS_ID)
        signals = from_document(found.body) if found else None
        return signals.events if signals else 0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.bus.close()


def batch(number: int, user: str = "user", accepted_at: float = NOW) -> Batch:
    event = Event("like", f"v{number}", int(NOW * 1000), fingerprint(f"{user} {number}"))
    return Batch(f"{number:032x}", TENANT, user, accepted_at, (event,))


async def test_a_replayed_dead_letter_reaches_only_the_subscription_that_failed(
    world: World,
) -> None:
    await world.bury(batch(1))
    assert await world.replay() == 0
    assert await world.letters() == []
    assert await world.bus.depth(ROLLUP) == (0, 0)
    assert await world.fold_all() == ["folded"]
    assert await world.events("user") == 1


async def test_dry_run_lists_the_action_for_each_reason_and_does_nothing(world: World) -> None:
    await world.bury(batch(1), reason="MaxDeliveryCountExceeded")
    await world.bury(b"not a batch", reason="unreadable")
    assert await world.replay(dry_run=True) == 1
    assert len(await world.letters()) == 2
    assert await world.bus.depth(SIGNALS) == (0, 2)
    assert world.said[0].startswith("would replay:")
    assert "MaxDeliveryCountExceeded: for the test  (1 events of tenant tenant_1)" in world.said[0]
    assert world.said[1].startswith("stays, unreadable:")
    assert not [line for line in world.said if "user" in line.replace("tenant_1", "")], "no user is named"


async def test_unreadable_letters_stay_and_the_rest_is_replayed(world: World) -> None:
    await world.bury(b"{}")
    await world.bury(batch(1))
    await world.bury(b"\xff")
    assert await world.replay() == 1
    assert [readable(letter.message) for letter in await world.letters()] == [(), ()]
    assert await world.fold_all() == ["folded"]


async def test_dead_letter_too_old_for_the_duplicate_check_is_not_replayed(world: World) -> None:
    await world.bury(batch(1))
    world.now += MAX_AGE_SECONDS + 1
    assert await world.replay() == 1
    assert len(await world.letters()) == 1
    assert world.said[0].startswith("stays, too old:")


async def test_interrupted_replay_can_be_repeated_without_effect(world: World) -> None:
    """The process dies between publishing a letter and removing it from the dead letters."""
    await world.bury(batch(1))
    letters = await world.letters()
    publish = world.bus.publish

    async def publish_and_die(message: OutgoingMessage) -> None:
        await publish(message)
        raise KeyboardInterrupt

    world.services.bus = world.bus
    world.bus.publish = publish_and_die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await replay(world.services, SIGNALS, letters, say=world.said.append)
    world.bus.publish = publish  # type: ignore[method-assign]
    world.now += 61
    assert await world.replay() == 0
    assert await world.letters() == []
    assert await world.bus.depth(SIGNALS) == (1, 0), "the bus dropped the second one"
    assert await world.fold_all() == ["folded"]


async def test_letter_folded_meanwhile_counts_once_however_often_it_is_replayed(world: World) -> None:
    for _ in range(3):
        await world.bury(batch(1))
        await world.replay()
        world.now += DUPLICATE_WINDOW_SECONDS + 1
        await world.fold_all()
    assert await world.events("user") == 1


async def test_dead_letters_of_erased_users_are_deleted_and_later_ones_stay(world: World) -> None:
    await world.bury(batch(1, "ann"))
    await world.bury(batch(2, "ann", NOW + 10))
    await world.bury(batch(3, "bob"))
    await world.bury(b"odd")
    await world.bury(batch(4, "ann"), ROLLUP)
    assert await purge_dead_letters_of(world.bus, "ann", NOW + 5) == 2
    assert {letter.message.message_id[-1] for letter in await world.letters()} == {"2", "3", "d"}
    assert await world.letters(ROLLUP) == []


def several(*batches: Batch, odd: bool = False) -> bytes:
    """A message of several batches; `odd` puts an unreadable one between them."""
    first, *rest = batches
    return encode_all([first, *([changed(first, user_key="no/key")] if odd else []), *rest])


@pytest.mark.parametrize("odd", [False, True])
async def test_only_the_erased_users_batches_of_a_letter_are_deleted(world: World, odd: bool) -> None:
    await world.bury(several(batch(1, "ann"), batch(2, "bob"), batch(3, "ann", NOW + 10), odd=odd))
    await world.bury(several(batch(4, "ann"), batch(5, "eve")), ROLLUP)
    assert await purge_dead_letters_of(world.bus, "ann", NOW + 5) == 2
    left = [readable(letter.message) for letter in await world.letters()]
    assert [[each.user_key for each in batches] for batches in left] == [[]] * odd + [["bob"], ["ann"]]
    assert left[-1][0].accepted_at == NOW + 10
    assert [readable(letter.message)[0].user_key for letter in await world.letters(ROLLUP)] == ["eve"]


@pytest.mark.parametrize("odd", [False, True])
async def test_replay_of_a_letter_with_several_batches_includes_all_of_them(world: World, odd: bool) -> None:
    await world.bury(several(batch(1, "ann"), batch(2, "bob"), batch(3, "eve"), odd=odd))
    assert await world.replay() == 0
    assert await world.fold_all() == ["folded"]
    assert [await world.events(user) for user in ("ann", "bob", "eve")] == [1, 1, 1]
    assert len(await world.letters()) == int(odd), "what cannot be read is set aside again, alone"


async def test_the_sweep_drops_old_dead_letters_and_those_of_erased_users(world: World) -> None:
    await save_tenant(world.services.documents, Tenant(TENANT))
    assert await world.services.tenants_refresher.refresh()
    await world.bury(batch(1, "old"))
    await world.bury(b"old and odd")
    world.now += KEEP_SECONDS + 1
    await world.bury(batch(2, "ann", world.now))
    await world.bury(batch(3, "bob", world.now))
    await world.bury(b"odd")
    await world.bury(batch(4, "ann", world.now), ROLLUP)
    await note_erasure(world.services.documents, TENANT, "ann", world.now)
    assert await world.services.sweep_dead_letters() == 4
    left = await world.letters()
    assert [not readable(letter.message) for letter in left] == [False, True]
    assert world.services.telemetry.gauges["dead_letters", (SIGNALS,)] == 2
    assert world.services.telemetry.counters["dead_letters_dropped", (SIGNALS,)] == 3
    assert world.services.telemetry.counters["dead_letters_dropped", (ROLLUP,)] == 1


async def test_letter_is_swept_by_the_age_of_its_events(world: World) -> None:
    await world.bury(batch(1, accepted_at=NOW - 10 * 86_400))
    world.now += KEEP_SECONDS - 5 * 86_400
    assert await world.services.sweep_dead_letters() == 1


def test_command_lists_shows_and_replays_dead_letters(tmp_path: Path) -> None:
    async def prepare() -> None:
        with_embedded_secrets(Settings(data_folder=str(tmp_path)))
        bus = SqliteBus(tmp_path / "bus.db")
        await bus.dead_letter(SIGNALS, OutgoingMessage("m", TENANT, encode(batch(1, "someone"))), "poison", "why")
        await bus.dead_letter(SIGNALS, OutgoingMessage("n", TENANT, b"odd"), "unreadable", "KeyError")
        await bus.close()

    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "commands.replay_dead_letters", *arguments]
        environment = {**os.environ, "DATA_FOLDER": str(tmp_path)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + (done.stderr if done.returncode != 2 else "")

    asyncio.run(prepare())
    code, listed = run("list", SIGNALS)
    assert code == 0
    assert "poison: why  (1 events of tenant tenant_1)" in listed
    assert "unreadable: KeyError  (3 unreadable bytes)" in listed
    for letters in (["--reason", "poison"], ["--reason", "unreadable"]):
        code, shown = run("show", SIGNALS, *letters)
        assert (code, "1 dead letters" in shown) == (0, True)
        assert not any(word in shown for word in ("someone", "v1", "odd", "warning"))
    code, shown = run("show", SIGNALS, "--reason", "poison")
    outline = orjson.loads(shown[shown.index("{") : shown.rindex("}") + 1])
    assert outline["types"] == {"like": 1}
    assert outline["reason"] == "poison"
    assert outline["user"] == "someon"
    code, shown = run("show", SIGNALS, "--content")
    assert (code, "v1" in shown, "odd" in shown, "someone" in shown) == (0, True, True, False)
    assert "out of every log" in shown
    code, said = run("replay", SIGNALS, "--reason", "unreadable")
    assert (code, "stays, unreadable" in said) == (1, True)
    code, said = run("list", "nowhere")
    assert (code, said) == (2, "")


class Job:
    """Stands for a nightly job; records when it ran."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hours: list[int] = []

    async def done(self) -> None:
        self.hours.append(int(self.world.now // 3_600 % 24))

    send_all = store_all = done


async def test_nightly_jobs_have_their_hours_and_a_late_call_catches_up(world: World) -> None:
    learning, reports = Job(world), Job(world)
    services = changed(world.services, learning_queue=learning, experiment_reports=reports)  # type: ignore[arg-type]
    midnight = NOW - NOW % 86_400
    swept = world.services.telemetry.gauges
    for hour in (2, 4, 3, 9):
        world.now = midnight + hour * 3_600 + 17 * 60
        swept.pop(("dead_letters", (SIGNALS,)), None)
        await services.nightly()
        assert (("dead_letters", (SIGNALS,)) in swept) is (hour in (3, 9))
    assert (learning.hours, reports.hours) == ([2, 9], [4, 9])
