"""The job that rolls back learned models keeps its promises on every document store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from cms.changes import AUDIT_PREFIX
from cms.learning.take_backs import TakeBacks
from learning.holdout import HoldoutDay, WatchedDay
from learning.take_back import with_holdout_day
from shared.adapters.documents.port import TENANTS, DocumentStore, Upsert, query_all
from shared.adapters.refresh import Refresher
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.auto_model import AUTO_MODEL_ID, AutoModel
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from tests.contracts.backends import Rig
from tests.faulty_documents import FaultyDocuments, Trouble

Documents = Rig[DocumentStore]
NOW = 1_790_000_000.0
NIGHT = "2026-11-28"


def watched(seconds: float) -> WatchedDay:
    """2,000 users of a day, all with about this watch time."""
    return WatchedDay(2_000, 2_000 * seconds, 2_000 * 1.1 * seconds**2)


def state(less: float, personal: str | None = "night-1") -> AutoModel:
    """A learning state whose model's users watch that much less than the holdout."""
    auto = AutoModel(NIGHT, "night-1", personal, "night-1", "it won on the newest day", {"lift": [0.1, 0.0, 0.2]})
    for day in range(22, 29):
        figures = HoldoutDay(watched(600.0 * (1.0 - less)), watched(600.0))
        auto = with_holdout_day(auto, f"2026-11-{day}", "night-1", figures)
    return auto


@dataclass
class Night:
    """The job over a store, with the directory it reads."""

    documents: FaultyDocuments
    telemetry: Telemetry
    tenants: TenantDirectory
    job: TakeBacks

    @classmethod
    def over(cls, store: DocumentStore) -> Night:
        documents, telemetry = FaultyDocuments(store), Telemetry()
        tenants = TenantDirectory(documents, telemetry)
        refresher = Refresher("tenants", tenants.refresh, 5.0, lambda: NOW, telemetry)
        return cls(documents, telemetry, tenants, TakeBacks(documents, tenants, refresher, telemetry, lambda: NOW))

    async def store(self, tenant_id: str, auto: AutoModel | None) -> None:
        bodies = [Tenant(tenant_id).to_document(), *([auto.to_document()] if auto else [])]
        await self.documents.write(TENANTS, tenant_id, [Upsert(body) for body in bodies])

    async def stored(self, tenant_id: str) -> AutoModel | None:
        found = await self.documents.read(TENANTS, tenant_id, AUTO_MODEL_ID, latest=True)
        return AutoModel.from_document(found.body) if found else None

    async def history(self, tenant_id: str) -> list[dict[str, Any]]:
        return [each.body for each in await query_all(self.documents, TENANTS, tenant_id, AUDIT_PREFIX)]

    def counted(self, tenant_id: str, outcome: str) -> float:
        return self.telemetry.counters["model_take_backs", (tenant_id, outcome)]


async def test_losing_model_is_rolled_back_with_its_entry_for_one_tenant_only(documents: Documents) -> None:
    night = Night.over(documents.port)
    for tenant_id, auto in {"loser": state(0.2), "winner": state(-0.2), "undecided": state(0.0), "none": None}.items():
        await night.store(tenant_id, auto)
    assert await night.job.run() == 1
    left = await night.stored("loser")
    assert left is not None
    assert (left.personal, left.popularity, left.taken_back, left.taken_back_on) == (
        None,
        "night-1",
        ("night-1",),
        NIGHT,
    )
    assert left == night.tenants.auto_model("loser"), "this instance serves by it at once"
    assert await night.stored("winner") == state(-0.2)
    assert await night.stored("undecided") == state(0.0)
    [entry] = await night.history("loser")
    assert (entry["action"], entry["resource"], entry["name"]) == ("take_back", "auto-model", "night-1")
    assert (entry["before"]["personal"], entry["after"]["personal"]) == ("night-1", None)
    assert "watch less" in entry["why"]
    assert night.counted("loser", "taken_back") == 1
    assert await night.history("winner") == []


async def test_repeated_job_rolls_nothing_back_twice(documents: Documents) -> None:
    night = Night.over(documents.port)
    await night.store("loser", state(0.2))
    assert [await night.job.run() for _ in range(3)] == [1, 0, 0]
    assert len(await night.history("loser")) == 1
    assert night.counted("loser", "taken_back") == 1


async def test_state_written_by_a_concurrent_night_is_judged_again(documents: Documents) -> None:
    night = Night.over(documents.port)
    await night.store("loser", state(0.2))
    newer = replace(state(0.2), personal="night-2", popularity="night-2")

    async def meanwhile() -> None:
        await documents.port.write(TENANTS, "loser", [Upsert(newer.to_document())])

    with night.documents.in_trouble(Trouble(before_write=meanwhile)):
        assert await night.job.run() == 1
    left = await night.stored("loser")
    assert left is not None
    assert (left.personal, left.popularity, left.taken_back) == (None, "night-2", ("night-2",))
    assert len(await night.history("loser")) == 1


@pytest.mark.parametrize(
    "trouble", [Trouble(writes_fail=True), Trouble(reads_fail=True), Trouble(defect=KeyError("x"))]
)
async def test_failure_of_one_tenant_skips_no_other(documents: Documents, trouble: Trouble) -> None:
    night = Night.over(documents.port)
    for tenant_id in ("a", "loser", "z"):
        await night.store(tenant_id, state(0.2))
    await night.tenants.refresh()
    with night.documents.in_trouble(replace(trouble, partitions=frozenset({"loser"}))):
        assert await night.job.run() == 2
    assert night.counted("loser", "failed") == 1
    assert (await night.stored("loser")) == state(0.2)
    assert await night.job.run() == 1


async def test_rollback_with_a_lost_response_is_found_by_the_next_run(documents: Documents) -> None:
    night = Night.over(documents.port)
    await night.store("loser", state(0.2))
    await night.tenants.refresh()
    with night.documents.in_trouble(Trouble(cut_after_write=1)):
        assert await night.job.run() == 0
    assert night.counted("loser", "failed") == 1, "the alert tells it all the same"
    assert await night.job.run() == 0
    assert len(await night.history("loser")) == 1
