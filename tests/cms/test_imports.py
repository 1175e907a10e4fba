"""Bulk imports report each row, and their jobs survive the death of a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from cms.imports.job_queue import LEASE_SECONDS, JobParts
from cms.imports.jobs import SLICE_ROWS, Importer
from shared.adapters.blobs.port import UPLOADS
from shared.adapters.documents.port import VIDEOS, query_all
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.faulty_documents import Trouble
from tests.parts import new_catalogs
from tests.served_app import App, eventually, make_videos

pytestmark = pytest.mark.asyncio(loop_scope="module")


def rows(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": f"vid_{n:05}", **VIDEO, "title": f"Video {n}", **fields} for n in range(count)]


def lines(of: list[dict[str, Any]]) -> bytes:
    return b"\n".join(map(orjson.dumps, of))


NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}


async def stored(editor: Editor) -> dict[str, dict[str, Any]]:
    documents = await query_all(editor.app.documents, VIDEOS, editor.tenant_id)
    return {each.id: each.body for each in documents if each.body["kind"] == "video"}


def new_worker(app: App) -> Importer:
    """A worker as in another process."""
    services = app.services
    return Importer(
        JobParts(
            services.documents,
            services.blobs,
            services.tenants,
            services.tenants_refresher,
            services.telemetry,
            services.clock,
        )
    )


async def finished(editor: Editor, job: dict[str, Any]) -> dict[str, Any]:
    await editor.app.services.tenants.refresh()
    await editor.app.services.imports.run()
    return dict((await editor.get(f"imports/{job['id']}")).json)


async def test_small_file_gets_a_result_per_row(app: App) -> None:
    editor = await new_editor(app, make_videos(1))
    file = [*rows(3), {"id": "bad"}, {"id": "vid_fitness_1", "title": "Renamed"}, {"id": "vid_00001", "tags": ["new"]}]
    answer = await editor.post("imports", {"videos": file})
    assert [row["status"] for row in answer.json["rows"]] == [
        "created", "created", "created", "rejected", "updated", "updated",
    ]  # fmt: skip
    assert answer.json["rows"][3]["errors"][0]["message"] == "title is missing."
    videos = await stored(editor)
    assert videos["vid_fitness_1"]["title"] == "Renamed"
    assert (videos["vid_00001"]["title"], videos["vid_00001"]["tags"]) == ("Video 1", ["new"])
    assert len((await editor.client.feed()).ids) == 4


async def test_importing_the_same_rows_again_changes_nothing(app: App) -> None:
    editor = await new_editor(app)
    assert (await editor.post("imports", {"videos": rows(200)})).json["counts"] == {"created": 200}
    before = await stored(editor)
    assert (await editor.post("imports", {"videos": rows(200)})).json["counts"] == {"unchanged": 200}
    assert await stored(editor) == before


async def test_a_spreadsheet_is_read_with_lists_numbers_and_either_separator(app: App) -> None:
    editor = await new_editor(app)
    for separator in ",;":
        head = ["id", "title", "playbackUrl", "mainTag", "tags", "durationSeconds", "maturityRating"]
        cells = ["v1", "Ä title", "https://x.example/v", "food", "a|b", "12.5", "PG"]
        text = "\n".join(separator.join(row) for row in (head, cells))
        answer = await editor.post("imports", ("\ufeff" + text).encode(), CSV)
        assert answer.json["rows"][0]["status"] in ("created", "unchanged")
    video = (await stored(editor))["v1"]
    assert (video["tags"], video["durationSeconds"], video["title"]) == (["a", "b"], 12.5, "Ä title")


async def test_import_does_not_lift_a_takedown(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("imports", {"videos": rows(2)})
    await editor.post("videos/vid_00000/takedown")
    await editor.post("imports", {"videos": rows(2, durationSeconds=50)})
    assert [body["status"] for body in (await stored(editor)).values()] == ["taken_down", "active"]
    await editor.post("imports", {"videos": rows(2, status="active")})
    assert [body["status"] for body in (await stored(editor)).values()] == ["taken_down", "active"]


async def test_a_large_file_becomes_a_job_with_partial_success(app: App) -> None:
    editor = await new_editor(app)
    file = [*rows(1_200), {"id": "broken", "title": ""}]
    answer = await editor.post("imports", lines(file), NDJSON)
    assert answer.status == 202
    assert answer.headers["Location"] == f"/v1/cms/imports/{answer.json['id']}"
    assert (answer.json["state"], answer.json["rows"]) == ("queued", 1_201)
    done = await finished(editor, answer.json)
    assert (done["state"], done["processed"]) == ("done", 1_201)
    assert done["counts"] == {"created": 1_200, "updated": 0, "unchanged": 0, "rejected": 1}
    assert done["rejected"][0]["row"] == 1_201
    assert len(await stored(editor)) == 1_200
    assert await app.services.blobs.read(UPLOADS, f"{editor.tenant_id}/{answer.json['id']}.ndjson") is None
    assert [job["id"] for job in (await editor.get("imports")).json["imports"]] == [answer.json["id"]]


async def test_the_same_file_sent_twice_is_one_job_while_it_runs(app: App) -> None:
    editor = await new_editor(app)
    body = lines(rows(1_001))
    first, second = await editor.post("imports", body, NDJSON), await editor.post("imports", body, NDJSON)
    assert first.json["id"] == second.json["id"]
    await finished(editor, first.json)
    assert (await editor.post("imports", body, NDJSON)).json["id"] != first.json["id"]
    key = {**NDJSON, "Idempotency-Key": "monday"}
    third = await editor.post("imports", body, key)
    await finished(editor, third.json)
    assert (await editor.post("imports", body, key)).json["id"] == third.json["id"]


async def test_job_of_a_dead_worker_is_finished_and_every_row_counts_once(app: App) -> None:
    editor = await new_editor(app)
    job = (await editor.post("imports", lines(rows(1_500)), NDJSON)).json
    await app.services.tenants.refresh()
    worker = asyncio.create_task(new_worker(app).run())
    while (await editor.get(f"imports/{job['id']}")).json["processed"] < 3 * SLICE_ROWS:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    at_death = (await editor.get(f"imports/{job['id']}")).json
    assert at_death["state"] == "processing"
    assert len(await stored(editor)) == at_death["processed"] == at_death["counts"]["created"]
    other = new_worker(app)
    assert await other.run() == 0, "the dead worker's lease still holds"
    app.clock.advance(LEASE_SECONDS + 1)

    async def is_done() -> bool:
        await other.run()
        return bool((await editor.get(f"imports/{job['id']}")).json["state"] == "done")

    await eventually(is_done)
    done = (await editor.get(f"imports/{job['id']}")).json
    assert done["counts"] == {"created": 1_500, "updated": 0, "unchanged": 0, "rejected": 0}
    assert len(await stored(editor)) == 1_500


async def test_two_workers_do_not_run_the_same_job(app: App) -> None:
    editor = await new_editor(app)
    job = (await editor.post("imports", lines(rows(1_100)), NDJSON)).json
    await app.services.tenants.refresh()
    finishes = await asyncio.gather(new_worker(app).run(), new_worker(app).run())
    assert sum(finishes) <= 1
    await finished(editor, job)
    assert (await editor.get(f"imports/{job['id']}")).json["counts"]["created"] == 1_100


async def test_a_job_waits_for_a_store_that_is_down(app: App) -> None:
    editor = await new_editor(app)
    job = (await editor.post("imports", lines(rows(1_001)), NDJSON)).json
    await app.services.tenants.refresh()
    worker = new_worker(app)
    with app.documents.in_trouble(Trouble(partitions=frozenset({editor.tenant_id}), writes_fail=True)):
        assert await worker.run() == 0
    cut = Trouble(partitions=frozenset({editor.tenant_id}), containers=frozenset({VIDEOS.name}), cut_after_write=3)
    with app.documents.in_trouble(cut):
        for _ in range(4):
            await worker.run()
    app.clock.advance(LEASE_SECONDS + 1)
    done = await finished(editor, job)
    assert done["state"] == "done"
    assert done["counts"]["created"] == 1_001


async def test_edit_during_an_import_is_not_lost(app: App) -> None:
    editor = await new_editor(app)
    await editor.post("imports", {"videos": rows(300)})
    edits = [editor.change("PATCH", f"videos/vid_{n:05}", {"editorialBoost": 5}) for n in range(0, 300, 30)]
    done, *edited = await asyncio.gather(editor.post("imports", {"videos": rows(300, durationSeconds=55)}), *edits)
    assert done.json["counts"] == {"updated": 300}
    videos = await stored(editor)
    assert all(video["durationSeconds"] == 55 for id, video in videos.items() if int(id[4:]) % 30)
    for n, answer in zip(range(0, 300, 30), edited, strict=True):
        if answer.status == 200:
            assert videos[f"vid_{n:05}"]["editorialBoost"] == 5


async def test_catalog_load_ignores_other_documents_of_the_partition(app: App) -> None:
    """Other documents of the partition (audit entries, progress) sort after the videos and are not read."""
    editor = await new_editor(app)
    await editor.post("imports", {"videos": rows(450)})
    for n in range(3):
        await editor.change("PATCH", f"videos/vid_{n:05}", {"editorialBoost": 1})
    fresh = new_catalogs(app.services)
    try:
        catalog = await fresh.get(editor.tenant_id)
    finally:
        await fresh.close()
    assert len(catalog.columns.rows()) == 450
