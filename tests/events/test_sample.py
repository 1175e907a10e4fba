"""The sample holds whole users, the same ones for months, and is written with the archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.archive import from_lines
from events.batch import NOBODY, Batch
from events.sample import AIM_EVENTS_A_DAY, halvings_for, in_share, sampled
from events.sample_share import SHARE_ID, adjusted
from shared.adapters.blobs.port import SAMPLES
from shared.adapters.documents.port import DAY_SECONDS, VIDEO_STATS, Document, Replace, Upsert
from shared.domain.holdout_users import in_holdout
from tests.events.test_stats_consumer import NOW, TENANT, World, batch

PSEUDONYMS = st.text("0123456789abcdef", min_size=32, max_size=32)


def of_user(number: int, user: int, **changed: Any) -> Batch:
    return replace(batch(number, (0, 1)), user_key=f"user-{user}", **changed)


async def world_with(folder: Path, halvings: int) -> World:
    world = World(folder)
    await world.prepare()
    share = {"id": SHARE_ID, "kind": SHARE_ID, "halvings": halvings}
    await world.documents.write(VIDEO_STATS, TENANT, [Upsert(share)])
    return world


async def sample(world: World) -> dict[str, list[dict[str, Any]]]:
    names = [blob.name async for blob in world.services.blobs.list(SAMPLES)]
    return {name: list(from_lines(await world.services.blobs.read(SAMPLES, name) or b"")) for name in names}


@given(PSEUDONYMS, st.integers(0, 19))
def test_half_sample_is_a_subset_of_the_sample(user: str, halvings: int) -> None:
    assert in_share(user, 0)
    assert in_share(user, halvings) or not in_share(user, halvings + 1)


@given(st.floats(0, 1e11))
def test_sample_size_is_between_half_the_target_and_the_target(events: float) -> None:
    halvings = halvings_for(events)
    assert events / 2**halvings <= AIM_EVENTS_A_DAY
    assert halvings == 0 or events / 2**halvings > AIM_EVENTS_A_DAY / 2


async def test_sample_has_whole_users_and_the_same_ones_every_day(tmp_path: Path) -> None:
    world = await world_with(tmp_path, 2)
    name = world.services.identity.archive_pseudonym
    for number in range(120):
        world.send(of_user(number, number % 40, accepted_at=NOW - number // 40 * DAY_SECONDS))
    await world.rollup.run()
    lines = [line for found in (await sample(world)).values() for line in found]
    users = {name(f"user-{user}") for user in range(40)}
    chosen = {user for user in users if in_share(user, 2) or in_holdout(user, TENANT)}
    assert 0 < len(chosen) < 25
    assert {line["user"] for line in lines} == chosen
    archived = [line for line in await world.archived() if line["user"] in chosen]
    assert sorted(map(str, lines)) == sorted(map(str, archived)), "every event of theirs, as archived"


def test_users_without_consent_are_never_sampled_and_the_holdout_always_is() -> None:
    names = [f"{number:08x}{0:024x}" for number in range(1, 10_000)]
    held = next(name for name in names if in_holdout(name, TENANT) and not in_share(name, 20))
    batches = [replace(batch(1), user_key=NOBODY), replace(batch(2), user_key=held)]
    assert sampled(batches, lambda key: key, 20) == batches[1:]


async def test_redelivery_leaves_the_sample_unchanged(tmp_path: Path) -> None:
    world = await world_with(tmp_path, 0)
    for number in range(3):
        world.send(of_user(number, number))
    kept = dict(world.topic.waiting[TENANT])
    await world.rollup.run()
    before = await sample(world)
    world.topic.waiting[TENANT] = kept
    await world.rollup.run()
    assert await sample(world) == before
    assert sum(map(len, before.values())) == 6


async def test_the_first_share_follows_from_the_busiest_day_and_is_stored(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.prepare()
    world.send(of_user(1, 1))
    await world.rollup.run()
    stored = await world.documents.read(VIDEO_STATS, TENANT, SHARE_ID)
    assert stored is not None
    assert stored.body["halvings"] == 0


@pytest.mark.parametrize(
    ("halvings", "sampled_a_day", "wanted"),
    [(3, 200_000, None), (3, 390_000, None), (3, 410_000, 5), (3, 1_700_000, 7), (3, 40_000, 2), (0, 10, None)],
)
def test_share_changes_only_when_the_sample_is_far_off(halvings: int, sampled_a_day: float, wanted: int | None) -> None:
    found = adjusted(Document(TENANT, SHARE_ID, {"halvings": halvings}, "etag"), sampled_a_day)
    assert (None if found is None else found.body["halvings"] if isinstance(found, Replace) else "?") == wanted
