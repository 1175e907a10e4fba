"""A night killed at any write and repeated ends with the result of an undisturbed one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import bootstrap
from evaluation.synthetic import tastes_log
from learning.log import Log
from learning.nightly import LEARNED
from learning.state_store import STATE_ID
from shared.settings import Settings
from tests.learning.generated_nights import TENANT, Generated, day_named, generated

BEFORE, AFTER = "before", "after"


class Died(BaseException):
    """The process died; nothing catches this."""


class Dying:
    """A store whose writes are counted together with those of others, and which dies at the one numbered `at`."""

    def __init__(self, inner: Any, writes: Writes) -> None:
        self._inner, self._writes = inner, writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write(self, *arguments: Any) -> Any:
        return await self._writes.call(lambda: self._inner.write(*arguments))


class Writes:
    def __init__(self, at: int, when: str) -> None:
        self.at, self.when, self.count = at, when, 0

    async def call(self, write: Any) -> Any:
        number, self.count = self.count, self.count + 1
        if number == self.at and self.when == BEFORE:
            raise Died
        result = await write()
        if number == self.at and self.when == AFTER:
            raise Died
        return result


def tiny_log() -> Log:
    return tastes_log(users=20, videos=40, days=2, a_day=6)


async def result(world: Generated) -> list[Any]:
    """Return the result of a night: the version, the served state, and the file for the next night."""
    model = await world.stored(f"model:auto-{day_named(1)}")
    state = await world.stored(STATE_ID)
    assert model is not None
    assert state is not None
    return [model, await world.served(), state["file"], state["night"]]


async def run_here(folder: Path, writes: Writes | None = None) -> Generated:
    """Run the night in a new process, in stores that another one left."""
    world = generated(folder, tiny_log())
    if writes is not None:
        parts = {"documents": Dying(world.app.documents, writes), "blobs": Dying(world.app.blobs, writes)}
        clock = world._clock
        world.app = bootstrap.build(Settings(data_folder=str(folder)), clock=lambda: clock[0], **parts)
    await world.app.tenants_refresher.refresh()
    try:
        await world.app.learning.run(TENANT, world.to_night_after(1))
    except Died:
        await world.app.close()
        return await run_here(folder)
    return world


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_night_killed_at_any_write_and_repeated_gives_one_result(tmp_path: Path, when: str) -> None:
    before = generated(tmp_path / "before", tiny_log())
    await before.begin()
    assert await before.live(1) == [LEARNED]
    await before.sample_day(1)
    await before.app.close()
    fine = shutil.copytree(tmp_path / "before", tmp_path / "fine")
    counted = Writes(-1, when)
    left_alone = await run_here(fine, counted)
    wanted = await result(left_alone)
    await left_alone.app.close()
    assert counted.count >= 5, "training, tables, their pointer, the state, and the end"
    for at in range(counted.count):
        folder = shutil.copytree(tmp_path / "before", tmp_path / f"{when}-{at}")
        world = await run_here(folder, Writes(at, when))
        assert await result(world) == wanted, f"died {when} write {at}"
        await world.app.close()
