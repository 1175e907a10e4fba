"""Nightly learning of generated tenants, by the production job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from events.archive import from_lines
from learning.night_state import NightState
from learning.nightly import AGAIN, LEARNED, TABLES_ONLY
from learning.rolling import user_code
from learning.state_store import STATE_ID
from privacy.erase import erase
from shared.adapters.blobs.port import SAMPLES, TABLES
from shared.adapters.documents.port import TENANTS, query_all
from shared.domain.records import Tenant
from tests.learning.generated_nights import DAY, START, TENANT, Generated, day_named, generated


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Generated]:
    world = generated(tmp_path)
    await world.begin()
    yield world
    await world.app.close()


async def state_of(world: Generated) -> NightState:
    kept = await world.stored(STATE_ID)
    assert kept is not None
    content = await world.app.blobs.read(TABLES, kept["file"])
    assert content is not None
    return NightState.from_bytes(content)


async def sampled(world: Generated) -> list[dict[str, Any]]:
    names = [blob.name async for blob in world.app.blobs.list(SAMPLES)]
    contents = [await world.app.blobs.read(SAMPLES, name) or b"" for name in names]
    return [line for content in contents for line in from_lines(content)]


async def entries(world: Generated) -> list[dict[str, Any]]:
    found = await query_all(world.app.documents, TENANTS, TENANT)
    return [each.body for each in found if each.body.get("resource") == "auto-model"]


async def test_simulated_nights_serve_popularity_first_and_then_the_personal_model(world: Generated) -> None:
    assert await world.live(1) == [LEARNED]
    first = await world.served()
    assert first is not None
    assert (first.popularity, first.personal) == (f"auto-{day_named(0)}", None), "nothing was judged yet"
    for day in range(1, 4):
        await world.sample_day(day)
        assert await world.app.learning.run(TENANT, world.to_night_after(day)) == LEARNED
    served = await world.served()
    assert served is not None
    assert served.popularity == served.personal == f"auto-{day_named(3)}"
    assert served.report["lift"][1] > 0
    model = await world.stored(f"model:{served.personal}")
    assert model is not None
    assert model["popularityWeights"]
    assert model["report"] == served.report
    assert len(await entries(world)) == 4, "each night left its audit entry"
    await world.app.tenants_refresher.refresh()
    ranked = world.app.feed.models.of(Tenant(TENANT, "R"))
    assert ranked.personal.version == served.personal
    assert ranked.held_out is not None, "the holdout gets fitted popularity"


async def test_repeated_night_changes_nothing(world: Generated) -> None:
    await world.live(2)
    served, state = await world.served(), await world.stored(STATE_ID)
    assert await world.app.learning.run(TENANT, day_named(1)) == AGAIN
    assert await world.app.learning.run(TENANT, day_named(0)) == AGAIN
    assert (await world.served(), await world.stored(STATE_ID)) == (served, state)
    assert len(await entries(world)) == 2


async def test_tenant_in_suggest_mode_is_served_as_before(world: Generated) -> None:
    await world.change(Tenant(TENANT, "R", auto_model="suggest"))
    await world.live(4)
    served = await world.served()
    assert served is not None
    assert (served.popularity, served.personal) == (None, None)
    assert served.suggested == f"auto-{day_named(3)}"
    assert await world.stored(f"model:{served.suggested}") is not None


async def test_tenant_with_learning_off_gets_only_its_tables(world: Generated) -> None:
    await world.change(Tenant(TENANT, "R", auto_model="off"))
    assert await world.live(2) == [TABLES_ONLY] * 2
    assert await world.served() is None
    assert await world.stored(f"model:auto-{day_named(1)}") is None
    catalog = await world.app.feed.catalogs.get(TENANT)
    assert catalog.stats.cowatch is not None


async def test_disabled_flag_promotes_nothing_and_keeps_the_versions(
    world: Generated, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.live(1)
    monkeypatch.setattr(world.app.flags, "on", lambda *_, **__: False)
    await world.sample_day(1)
    await world.app.learning.run(TENANT, world.to_night_after(1))
    served = await world.served()
    assert served is not None
    assert (served.night, served.popularity) == (day_named(1), f"auto-{day_named(0)}")
    assert await world.stored(f"model:auto-{day_named(1)}") is not None


async def test_night_without_a_sample_records_too_little_data(world: Generated) -> None:
    assert await world.app.learning.run(TENANT, world.to_night_after(0)) == LEARNED
    served = await world.served()
    assert served is not None
    assert (served.popularity, served.personal) == (None, None)
    assert served.why == "too few long views to learn from"


async def test_missed_night_is_made_up_by_the_next(world: Generated) -> None:
    await world.live(1)
    for day in (1, 2):
        await world.sample_day(day)
    await world.app.learning.run(TENANT, world.to_night_after(2))
    state = await state_of(world)
    assert len(state.memory.days) == 3, "both days were learned from"


async def test_erased_user_leaves_long_views_and_exposures_the_next_night(world: Generated) -> None:
    await world.live(2)
    name = world.app.identity.archive_pseudonym
    user = user_code(name("key-u1"))
    before = await state_of(world)
    assert user in before.views.users
    assert user in before.window.user
    await erase(world.app.documents, world.app.bus, lambda: START + 2 * DAY, TENANT, "key-u1")
    await world.sample_day(2)
    await world.app.learning.run(TENANT, world.to_night_after(2))
    after = await state_of(world)
    later = after.window.only(after.window.user == user)
    lines = [line for line in await sampled(world) if line["user"] == name("key-u1")]
    assert all(line["acceptedAt"] > 1000 * (START + 2 * DAY) for line in lines), "the sample's files have forgotten too"
    assert {line["user"] for line in await sampled(world)} > {name("key-u2")}, "others stay"
    assert (later.time > START + 2 * DAY).all(), "what came after the erasure is new"
    assert (after.views.times[after.views.users == user] > START + 2 * DAY).all()


async def test_users_are_dropped_after_ninety_days(world: Generated) -> None:
    await world.live(1)
    assert len((await state_of(world)).views)
    await world.app.learning.run(TENANT, world.to_night_after(91))
    state = await state_of(world)
    assert (len(state.views), len(state.window)) == (0, 0)


async def test_sample_files_expire_by_the_day_in_their_name(world: Generated) -> None:
    await world.live(1)
    await world.app.learning.run(TENANT, world.to_night_after(90))
    assert [blob.name async for blob in world.app.blobs.list(SAMPLES)] == []


async def test_files_of_a_finished_day_are_merged_and_not_read_again(world: Generated) -> None:
    batches = list(world.batches(0))
    await world.sample_day(0, batches[:50], number=1)
    await world.sample_day(0, batches[50:], number=2)
    for day in range(5):
        await world.app.learning.run(TENANT, world.to_night_after(day))
    names = [blob.name async for blob in world.app.blobs.list(SAMPLES)]
    assert names == [f"{TENANT}/{day_named(0).replace('-', '/')}/all.jsonl.gz"]
    assert len(await sampled(world)) == 2 * len(batches)
    await world.put({"id": "history-job:1", "kind": "history-job", "state": "done"})
    await world.app.learning.run(TENANT, world.to_night_after(5))
    assert len((await state_of(world)).window) == len(batches)


async def test_damaged_sample_file_affects_only_itself(world: Generated) -> None:
    await world.app.blobs.write(SAMPLES, f"{TENANT}/{day_named(0).replace('-', '/')}/00-broken.jsonl.gz", b"no gzip")
    assert await world.live(1) == [LEARNED]
    assert world.app.telemetry.counters["learning_files", ("unreadable",)] == 1
    assert len((await state_of(world)).views)


async def test_damaged_state_restarts_the_learning(world: Generated) -> None:
    await world.live(1)
    kept = await world.stored(STATE_ID)
    assert kept is not None
    await world.app.blobs.write(TABLES, kept["file"], b"LNS1 and nothing of sense behind it")
    await world.sample_day(1)
    assert await world.app.learning.run(TENANT, world.to_night_after(1)) == LEARNED
    assert world.app.telemetry.counters["learning_files", ("unreadable_state",)] == 1
    assert len((await state_of(world)).window) == len(
        world.log.exposures.user[world.log.exposures.time < START + 2 * DAY]
    )


async def test_late_file_of_the_day_before_is_read_once(world: Generated) -> None:
    late = list(world.batches(1))
    await world.live(1)
    await world.sample_day(1, late[10:])
    await world.sample_day(0, late[:10], number=99)
    await world.app.learning.run(TENANT, world.to_night_after(1))
    times = world.log.exposures.time
    assert len((await state_of(world)).window) == int((times < START + 2 * DAY).sum())
    await world.app.learning.run(TENANT, world.to_night_after(2))
    assert len((await state_of(world)).window) == int((times < START + 2 * DAY).sum())
