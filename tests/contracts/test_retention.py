"""Retention of user data on every document store, tested by a clock that tests move."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap import App
from events.batch import Batch, encode
from events.erasures import erasures
from events.schema import Event
from events.signals_consumer import MAX_AGE_SECONDS
from privacy.erase import erase
from shared.adapters.bus.port import MESSAGE_TTL_SECONDS
from shared.adapters.documents.port import CONTAINERS, USER_ACTIVITY, DocumentStore, query_all
from shared.domain.fingerprint import fingerprint
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID, Signals
from tests.contracts.backends import Rig
from tests.events.topic import services_on
from tests.parts import signals_consumer
from tests.privacy.test_erasure import Topic

DAY = 86_400.0
TENANT, USER = "tenant_1", "user-key"


class World:
    """The consumer on one store, whose clock is the service's clock."""

    def __init__(self, rig: Rig[DocumentStore], folder: Path) -> None:
        self.rig = rig
        self.services: App = services_on(rig.port, Topic(), rig.now, folder)
        self._number = 0

    async def send(self, kind: str = "like", video: str = "v1") -> str:
        """Accept and fold an event with the current time; return the id of its batch."""
        self._number += 1
        now = self.rig.now()
        event = Event(kind, video, int(now * 1000), fingerprint(f"{self._number}"))
        batch = Batch(f"{self._number:032x}", TENANT, USER, now, (event,))
        assert await signals_consumer(self.services).handle(encode(batch)) == "folded"
        return batch.id

    async def signals(self) -> Signals | None:
        found = await self.rig.port.read(USER_ACTIVITY, USER, SIGNALS_ID, latest=True)
        return from_document(found.body) if found else None

    async def kept(self) -> set[str]:
        """Return the ids of everything in the user's partition."""
        return {document.id for document in await query_all(self.rig.port, USER_ACTIVITY, USER)}

    async def days_pass(self, days: float) -> None:
        await self.rig.advance(days * DAY)


@pytest.fixture
async def world(documents: Rig[DocumentStore], tmp_path: Path) -> World:
    return World(documents, tmp_path)


async def test_no_user_data_is_left_90_days_after_the_last_activity(world: World) -> None:
    await world.send()
    await world.days_pass(60)
    await world.send()
    await world.days_pass(89.9)
    assert await world.signals() is not None
    await world.days_pass(0.2)
    assert await world.kept() == set()


async def test_marker_lives_14_days_and_outlives_every_message(world: World) -> None:
    batch_id = await world.send()
    await world.days_pass(13.9)
    assert f"batch:{batch_id}" in await world.kept()
    await world.days_pass(0.2)
    assert await world.kept() == {SIGNALS_ID, "list:liked"}
    assert MESSAGE_TTL_SECONDS < MAX_AGE_SECONDS < 14 * DAY


async def test_fold_drops_all_data_older_than_90_days_and_keeps_a_younger_dislike(world: World) -> None:
    await world.send("not_interested", "disliked")
    await world.days_pass(45)
    await world.send("complete", "watched")
    await world.days_pass(44)
    await world.send()
    signals = await world.signals()
    assert signals is not None
    assert fingerprint("disliked") in signals.dismissed.keys.tolist()
    await world.days_pass(3)
    await world.send()
    signals = await world.signals()
    assert signals is not None
    assert len(signals.dismissed.keys) == 0
    assert fingerprint("watched") in signals.watched.keys.tolist()
    await world.days_pass(45)
    await world.send()
    signals = await world.signals()
    assert signals is not None
    assert len(signals.watched.keys) == 0


async def test_tombstone_and_erasure_note_outlive_every_message_and_then_expire(world: World) -> None:
    await world.send()
    await erase(world.services.documents, world.services.bus, world.services.clock, TENANT, USER)
    assert await world.kept() == {SIGNALS_ID}
    await world.days_pass(13.5)
    assert await world.kept() == {SIGNALS_ID}
    assert USER in await erasures(world.rig.port, TENANT)
    await world.days_pass(0.6)
    assert await world.kept() == set()
    assert await erasures(world.rig.port, TENANT) == {}


async def test_user_returning_after_an_erasure_is_new_and_old_messages_stay_dropped(world: World) -> None:
    late = Batch("f" * 32, TENANT, USER, world.rig.now(), (Event("like", "v1", int(world.rig.now() * 1000), 1),))
    await erase(world.services.documents, world.services.bus, world.services.clock, TENANT, USER)
    await world.days_pass(1)
    await world.send()
    assert await signals_consumer(world.services).handle(encode(late)) == "erased"
    signals = await world.signals()
    assert signals is not None
    assert signals.events == 1


def test_only_one_container_holds_user_activity_and_it_expires_by_ttl() -> None:
    assert [container.name for container in CONTAINERS.values() if container.partition_field == "userKey"] == [
        USER_ACTIVITY.name
    ]
    assert USER_ACTIVITY.default_ttl_seconds == 90 * DAY
