"""Damaged rows, secrets or a full disk affect only themselves and are reported."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.__main__ import main
from local.story import story_events
from shared.adapters import sqlite as sqlite_thread
from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import TABLES
from shared.adapters.embedded_secrets import with_embedded_secrets
from shared.settings import BadSetting, Settings
from shared.web.status import KEEP_SECONDS
from tests.parts import new_catalogs
from tests.served_app import App, Client, make_video, make_videos, served


@pytest.fixture(autouse=True)
def _no_secret_is_ever_logged() -> None:
    """Override the log check, which needs one app per module: each test here damages its own."""


async def ready(app: App) -> Any:
    app.clock.advance(KEEP_SECONDS)
    return (await app.request("GET", "/ready")).json


@contextmanager
def rows(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the document store's file as another program would."""
    connection = sqlite3.connect(folder / "documents.db")
    with connection:
        yield connection
    connection.close()


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """Return the fields of every log line of that name."""
    lines = [json.loads(line.getMessage()) for line in caplog.records if line.getMessage().startswith("{")]
    return [line for line in lines if line["event"] == event]


# ---- rows of the document store

BROKEN = [b"", b'{"id": "vid_fitness_1", "kin', b"\xff\xfe", b"null", b"[1]", b'{"kind": "video"}', b'{"kind": 9']


@pytest.mark.parametrize("body", BROKEN, ids=repr)
async def test_damaged_video_is_left_out_and_the_feed_goes_on(
    tmp_path: Path, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, flags=True) as app:
        client = await app.tenant(make_videos(30))
        other = await app.tenant(make_videos(5))
        with rows(tmp_path) as file:
            where = (body, client.tenant_id, "vid_fitness_1")
            assert file.execute("UPDATE videos SET body = ? WHERE partition = ? AND id = ?", where).rowcount == 1
        caplog.clear()
        pages = await client.walk(limit=50)
        assert {page.status for page in pages} == {200}
        assert sorted(id for page in pages for id in page.ids) == sorted(
            video.id for video in make_videos(30) if video.id != "vid_fitness_1"
        )
        assert len((await other.feed()).ids) == 5
        assert app.counted("unreadable_documents", "videos") == 1
        assert [line["kind"] for line in logged(caplog, "document_unreadable")] == ["videos"]
        told = await ready(app)
        assert (told["status"], told["unreadableDocuments"]) == ("ready", {"videos": 1})

        await app.save_videos(client.tenant_id, [make_video("vid_fitness_1")])
        assert "vid_fitness_1" in (await client.feed(limit=50)).ids
        assert (await ready(app))["unreadableDocuments"] == {}


async def test_video_that_becomes_unreadable_is_no_longer_served(tmp_path: Path) -> None:
    async with served(tmp_path) as app:
        client = await app.tenant(make_videos(30))
        assert "vid_fitness_1" in (await client.feed(limit=50)).ids
        with rows(tmp_path) as file:  # moved to the end of the change feed, as by a write
            file.execute(
                "REPLACE INTO videos (partition, id, expires_at, body) VALUES (?, 'vid_fitness_1', NULL, 'oops')",
                (client.tenant_id,),
            )
        await app.see_content()
        assert "vid_fitness_1" not in (await client.feed(limit=50)).ids
        assert (await ready(app))["unreadableDocuments"] == {"videos": 1}


async def test_events_of_a_damaged_video_still_fold(tmp_path: Path) -> None:
    async with served(tmp_path) as app:
        client = await app.tenant(make_videos(30))
        with rows(tmp_path) as file:
            file.execute("""UPDATE videos SET body = '{"kind": "video"}' WHERE id = 'vid_fitness_1'""")
        assert (await client.post(story_events(app.clock.now()))).status == 202
        await app.folded()
        assert 0 < (await client.signals()).json["events"] < 20, "those of the other videos"


async def test_pages_full_of_damaged_rows_hide_no_later_row(tmp_path: Path) -> None:
    async with served(tmp_path) as app:
        client = await app.tenant([make_video(f"vid_{number:04}") for number in range(450)])
        with rows(tmp_path) as file:
            file.execute("UPDATE videos SET body = 'cut' WHERE id < 'vid_0440'")
        catalog = await new_catalogs(app.services).get(client.tenant_id)
        assert len(catalog.columns) == 10


# ---- secrets


def embedded(folder: Path) -> Settings:
    return Settings(data_folder=str(folder))


@pytest.mark.parametrize("body", [None, "", '{"signing": "', "[]", '{"signing": "YQ==", "identity": "YQ=="}', "{}"])
def test_damaged_secrets_stop_the_start_with_one_sentence(
    tmp_path: Path, body: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = with_embedded_secrets(embedded(tmp_path))
    assert with_embedded_secrets(embedded(tmp_path)) == first
    (tmp_path / "documents.db").write_bytes(b"")
    secrets = tmp_path / "secrets.json"
    if body is None:
        secrets.unlink()
    else:
        secrets.write_text(body)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BadSetting, match="Restore it from a backup"):
        with_embedded_secrets(embedded(tmp_path))
    monkeypatch.setenv("DATA_FOLDER", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["local", "serve", "--port", "0"])
    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert str(secrets) in said
    assert sorted(path.name for path in tmp_path.iterdir()) == before, "nothing was made"


def test_empty_folder_gets_secrets_and_given_secrets_need_no_file(tmp_path: Path) -> None:
    made = with_embedded_secrets(embedded(tmp_path))
    (tmp_path / "bus.db").write_bytes(b"")
    (tmp_path / "secrets.json").unlink()
    given = Settings(data_folder=str(tmp_path), signing_keys=made.signing_keys, identity_secret=made.identity_secret)
    assert with_embedded_secrets(given) == given


# ---- a full disk


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make SQLite and the blob folder fail as on a full disk."""

    def no_space(blobs: FolderBlobs, path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FolderBlobs, "_write", no_space)
        patch.setattr(sqlite_thread, "_run_in_one_transaction", _no_page_left)
        yield


def _no_page_left(connection: sqlite3.Connection, group: object) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise full


async def test_full_disk_refuses_writes_serves_reads_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, signals_budget_ms=10_000.0) as app:
        client = await app.tenant(make_videos(30))
        assert (await client.post(story_events(app.clock.now()))).status == 202
        await app.folded()
        await app.save_key(client.tenant_id, "cms-key-of-the-test", "cms", name="cms")
        editor = client.with_key("cms-key-of-the-test")
        app.services.telemetry.dependencies.quiet_seconds = 0.0
        with full_disk(monkeypatch):
            caplog.clear()
            answers = [await write(client, app) for _ in range(5)]
            answers += [await new_video(editor, number) for number in range(5)]
            assert {(answer.status, answer.code) for answer in answers} == {(503, "unavailable")}
            told = {answer.json["errorId"] for answer in answers}
            fails = logged(caplog, "dependency_fails")
            assert told <= {line["errorId"] for line in fails}
            assert len(fails) == len({line["dependency"] for line in fails}), "one line for each that fails"
            assert all("full" in line["reason"] for line in fails)
            assert (await client.feed()).json["mode"] == "personalized", "reads go on"
            state = await ready(app)
            assert state["status"] == "not_ready"
            assert state["dependencies"]["documents"] == state["dependencies"]["bus"] == "unavailable"
            with pytest.raises(Exception, match="full"):
                await app.services.blobs.write(TABLES, "one", b"1")
        assert (await write(client, app)).status == 202
        assert (await new_video(editor, 1)).status == 201
        await app.services.blobs.write(TABLES, "one", b"1")
        assert {line["dependency"] for line in logged(caplog, "dependency_works_again")} >= {"documents.write"}
        assert (await ready(app))["status"] == "ready"


async def write(client: Client, app: App) -> Any:
    return await client.as_user().post(story_events(app.clock.now()))


async def new_video(editor: Client, number: int) -> Any:
    video = make_video(f"new_{number}").to_document()
    kept = ("title", "playbackUrl", "mainTag", "tags", "durationSeconds", "maturityRating")
    body = {name: video.get(name, "fitness") for name in kept}
    body["id"] = f"new_{number}"
    headers = {**editor.headers, "Content-Type": "application/json"}
    return await editor.app.request("POST", "/v1/cms/videos", headers, body=json.dumps(body).encode())
