"""Only a restore lifts a takedown, and an inactive video becomes active only by an explicit status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from cms.forms import Fault
from local import importer
from shared.adapters.documents.port import DAY_SECONDS, VIDEOS, Upsert
from shared.domain.formats import iso_time
from shared.domain.records import Video
from tests.cms.editor import VIDEO, Editor, new_editor
from tests.served_app import Answer, App

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEPT = "The video stays taken down. It gets the status {} when it is restored."


async def editor_of(app: App, **fields: Any) -> Editor:
    """An editor with the video `v1`."""
    editor = await new_editor(app)
    assert (await editor.post("videos", {"id": "v1", **VIDEO, **fields})).status == 201
    return editor


async def put(editor: Editor, **fields: Any) -> Answer:
    return await editor.change("PUT", "videos/v1", {**VIDEO, **fields})


async def patched(editor: Editor, **fields: Any) -> Answer:
    return await editor.change("PATCH", "videos/v1", fields)


async def imported(editor: Editor, **fields: Any) -> Answer:
    assert (await editor.post("imports", {"videos": [{"id": "v1", **fields}]})).json["counts"].keys() <= {
        "updated",
        "unchanged",
    }
    return await editor.get("videos/v1")


WAYS_IN = [put, patched, imported]


def standing(answer: Answer) -> tuple[str, str, str | None]:
    return answer.json["state"], answer.json["status"], answer.json["statusWhenRestored"]


@pytest.mark.parametrize("way_in", WAYS_IN)
@pytest.mark.parametrize("sent", ["active", "inactive"])
async def test_status_sent_for_a_taken_down_video_is_kept_for_its_restore(app: App, way_in: Any, sent: str) -> None:
    editor = await editor_of(app)
    await editor.post("videos/v1/takedown", {"reason": "Court order"})
    answer = await way_in(editor, status=sent, title="Again")
    assert standing(answer) == ("taken_down", "taken_down", sent)
    assert answer.json["title"] == "Again"
    assert (await editor.client.feed()).ids == []
    restored = await editor.post("videos/v1/restore")
    assert standing(restored) == ({"active": "live"}.get(sent, sent), sent, None)


@pytest.mark.parametrize("way_in", WAYS_IN)
async def test_write_without_a_status_neither_lifts_a_takedown_nor_activates(app: App, way_in: Any) -> None:
    editor = await editor_of(app, status="inactive")
    for sent in ({"title": "One"}, {"title": "Two", "status": None}):
        assert standing(await way_in(editor, **sent)) == ("inactive", "inactive", None)
    await editor.post("videos/v1/takedown")
    for sent in ({"title": "Three"}, {"title": "Four", "status": None}):
        assert standing(await way_in(editor, **sent)) == ("taken_down", "taken_down", "inactive")
    assert standing(await editor.post("videos/v1/restore")) == ("inactive", "inactive", None)
    assert standing(await way_in(editor, status="active")) == ("live", "active", None)


@pytest.mark.parametrize("status", ["active", "inactive"])
async def test_restore_returns_the_status_from_before_the_takedown(app: App, status: str) -> None:
    editor = await editor_of(app, status=status)
    before = (await editor.get("videos/v1")).json
    for _ in range(2):  # a second takedown keeps the remembered status
        assert standing(await editor.post("videos/v1/takedown")) == ("taken_down", "taken_down", status)
    after = (await editor.post("videos/v1/restore")).json
    ignored = ("updatedAt", "updatedBy")
    assert {**after, **dict.fromkeys(ignored)} == {**before, **dict.fromkeys(ignored)}


@pytest.mark.parametrize("way_in", WAYS_IN)
async def test_takedown_by_a_status_remembers_the_previous_one(app: App, way_in: Any) -> None:
    editor = await editor_of(app)
    assert standing(await way_in(editor, status="taken_down")) == ("taken_down", "taken_down", "active")
    assert standing(await way_in(editor, status="taken_down")) == ("taken_down", "taken_down", "active")
    assert standing(await editor.post("videos/v1/restore")) == ("live", "active", None)


async def test_video_created_as_taken_down_is_inactive_when_restored(app: App) -> None:
    editor = await editor_of(app, status="taken_down")
    assert standing(await editor.post("videos/v1/restore")) == ("inactive", "inactive", None)


async def test_restoring_a_video_that_is_not_taken_down_changes_nothing(app: App) -> None:
    editor = await editor_of(app, status="inactive")
    before = await editor.get("videos/v1")
    after = await editor.post("videos/v1/restore")
    assert (after.status, after.json, after.headers["Etag"]) == (200, before.json, before.headers["Etag"])
    assert [entry["action"] for entry in (await editor.get("audit")).json["entries"]] == ["create"]


async def test_import_of_an_older_export_lifts_no_takedown_and_reports_it(app: App) -> None:
    editor = await editor_of(app)
    await editor.post("videos", {"id": "v2", **VIDEO})
    exported = (await editor.get("videos")).json
    await editor.post("videos/v1/takedown")
    report = (await editor.post("imports", exported)).json
    assert report["counts"] == {"unchanged": 2}
    note = Fault("status", "kept_for_restore", KEPT.format("active")).to_json()
    assert [row.get("notes") for row in report["rows"]] == [[note], None]
    assert (await editor.client.feed()).ids == ["v2"]


async def test_putting_back_a_read_document_lifts_no_takedown(app: App) -> None:
    editor = await editor_of(app)
    live = (await editor.get("videos/v1")).json
    down = (await editor.post("videos/v1/takedown")).json
    assert standing(await editor.change("PUT", "videos/v1", down)) == ("taken_down", "taken_down", "active")
    assert standing(await editor.change("PUT", "videos/v1", live)) == ("taken_down", "taken_down", "active")


async def test_job_reports_the_statuses_it_kept_for_later(app: App) -> None:
    editor = await editor_of(app)
    await editor.post("videos/v1/takedown")
    rows = b"\n".join(orjson.dumps({"id": f"v{n}", **VIDEO, "status": "active"}) for n in range(1_001))
    queued = await editor.call("POST", "imports", rows, {"Content-Type": "application/x-ndjson"})
    await app.services.tenants.refresh()
    await app.services.imports.run()
    job = (await editor.get(f"imports/{queued.json['id']}")).json
    assert [(row["id"], row["notes"][0]["code"]) for row in job["noted"]] == [("v1", "kept_for_restore")]
    assert (await editor.get("videos/v1")).json["state"] == "taken_down"


async def test_the_local_import_lifts_no_takedown_and_activates_nothing(app: App, tmp_path: Path) -> None:
    editor = await editor_of(app)
    await editor.post("videos", {"id": "v2", **VIDEO, "status": "inactive"})
    await editor.post("videos/v1/takedown")
    file = tmp_path / "videos.jsonl"
    lines = [{"video_id": id, "tag": "a", "video_duration": 9_000, "status": "active"} for id in ("v1", "v2")]
    file.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    rows = [importer.to_video(each, importer.DEFAULT_COLUMNS, "PG") for each in importer.read_rows(file)]
    assert await importer.import_videos(app.services, editor.tenant_id, rows) == 2
    assert standing(await editor.get("videos/v1")) == ("taken_down", "taken_down", "active")
    assert standing(await editor.get("videos/v2")) == ("inactive", "inactive", None)


async def test_taken_down_video_is_not_deleted_when_it_expires(app: App) -> None:
    editor = await editor_of(app, expiresAt=iso_time(app.clock.now() + DAY_SECONDS))
    await editor.post("videos/v1/takedown")
    app.clock.advance(100 * DAY_SECONDS)
    assert (await editor.post("imports", {"videos": [{"id": "v1", **VIDEO}]})).json["counts"] == {"unchanged": 1}
    assert (await editor.get("videos/v1")).json["state"] == "taken_down"
    await patched(editor, expiresAt=iso_time(app.clock.now() + DAY_SECONDS))
    await editor.post("videos/v1/restore")
    app.clock.advance(32 * DAY_SECONDS)
    assert (await editor.get("videos/v1")).status == 404


# ---- videos taken down by an older release


async def taken_down_earlier(app: App, *history: tuple[str | None, str]) -> Editor:
    """Store `v1` as an older release did; `history` lists the statuses before and after each change, oldest first."""
    editor = await new_editor(app)
    kept = {"maturity_rating": "PG", "duration_seconds": 41.0}
    video = Video("v1", "Core", "https://cdn.example/v1.m3u8", "a", **kept).to_document()  # type: ignore[arg-type]
    for at, (before, after) in enumerate(history):
        entry = {
            "id": f"~audit:{10**14 - 1 - int(app.clock.now() * 1000) - at:014d}abcdef01", "kind": "audit",
            "at": app.clock.now(), "who": "Anna", "action": "update", "resource": "video", "name": "v1",
            "documentId": "v1", "before": before and {"status": before}, "after": {"status": after},
        }  # fmt: skip
        await app.documents.write(VIDEOS, editor.tenant_id, [Upsert(entry)])
    await app.documents.write(VIDEOS, editor.tenant_id, [Upsert({**video, "status": "taken_down"})])
    return editor


@pytest.mark.parametrize(
    ("history", "restored"),
    [
        ((("active", "taken_down"),), "active"),
        ((("inactive", "taken_down"), ("taken_down", "taken_down")), "inactive"),
        ((("active", "taken_down"), ("taken_down", "active"), ("active", "inactive"), ("inactive", "taken_down")),
         "inactive"),
        ((), "inactive"),
        (((None, "taken_down"),), "inactive"),
    ],
)  # fmt: skip
async def test_older_takedown_is_restored_from_the_history(
    app: App, history: tuple[tuple[str | None, str], ...], restored: str
) -> None:
    editor = await taken_down_earlier(app, *history)
    assert standing(await editor.get("videos/v1")) == ("taken_down", "taken_down", None)
    assert (await editor.post("videos/v1/restore")).json["status"] == restored


async def test_status_sent_for_an_older_takedown_is_kept_too(app: App) -> None:
    editor = await taken_down_earlier(app)
    assert standing(await patched(editor, title="Other")) == ("taken_down", "taken_down", None)
    assert standing(await patched(editor, status="active")) == ("taken_down", "taken_down", "active")
    assert (await editor.post("videos/v1/restore")).json["state"] == "live"
