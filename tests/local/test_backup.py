"""A backup is consistent, and a restore is complete or changes nothing."""

from __future__ import annotations

import asyncio
import gzip
import io
import shutil
import sqlite3
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.backup import ABOUT, restore, save
from shared.adapters.blobs.folder import FolderBlobs
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.bus.port import SIGNALS, OutgoingMessage
from shared.adapters.bus.sqlite import SqliteBus
from shared.adapters.documents.port import VIDEOS, Upsert, query_all
from shared.adapters.documents.sqlite import SqliteStore
from shared.adapters.embedded_secrets import with_embedded_secrets
from shared.settings import BadSetting, Settings

BLOB = "tenant/2026/11/29/10/0-1-1.jsonl.gz"


def at(folder: Path) -> Settings:
    return Settings(data_folder=str(folder))


async def write(folder: Path, first: int, last: int) -> None:
    """Write documents and messages of these numbers, each document before its message."""
    documents, bus = SqliteStore(folder / "documents.db"), SqliteBus(folder / "bus.db")
    try:
        for number in range(first, last):
            await documents.write(VIDEOS, "tenant", [Upsert({"id": f"v{number}"})])
            await bus.publish(OutgoingMessage(f"m{number}", "tenant", b"x", SIGNALS))
    finally:
        await documents.close()
        await bus.close()


async def counts(folder: Path) -> tuple[int, int]:
    """Return how many documents and messages there are."""
    documents, bus = SqliteStore(folder / "documents.db"), SqliteBus(folder / "bus.db")
    try:
        return len(await query_all(documents, VIDEOS, "tenant")), (await bus.depth(SIGNALS))[0]
    finally:
        await documents.close()
        await bus.close()


async def test_backup_of_a_running_app_is_consistent(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with_embedded_secrets(at(data))
    await write(data, 0, 3)
    await FolderBlobs(data / "blobs").write(ARCHIVE, BLOB, b"lines")
    writing = asyncio.create_task(write(data, 3, 400))
    for number in range(4):
        await asyncio.to_thread(save, at(data), tmp_path / f"{number}.tar.gz")
    await writing
    assert await counts(data) == (400, 400)
    for number in range(4):
        again = tmp_path / f"again-{number}"
        restore(at(again), tmp_path / f"{number}.tar.gz")
        documents, messages = await counts(again)
        assert 3 <= messages <= documents <= messages + 1
        assert await FolderBlobs(again / "blobs").read(ARCHIVE, BLOB) == b"lines"
        assert with_embedded_secrets(at(again)).signing_keys == with_embedded_secrets(at(data)).signing_keys
        assert (again / "blobs" / ARCHIVE / BLOB).stat().st_mtime == pytest.approx(
            (data / "blobs" / ARCHIVE / BLOB).stat().st_mtime, abs=1
        )


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("backup")
    with_embedded_secrets(at(folder / "data"))
    asyncio.run(write(folder / "data", 0, 3))
    save(at(folder / "data"), folder / "file")
    return (folder / "file").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.floats(0, 0.9), sound=st.booleans())
def test_truncated_backup_changes_nothing(tmp_path: Path, backup: bytes, kept: float, sound: bool) -> None:
    file = tmp_path / "cut"
    whole = zlib.decompress(backup, 31).rstrip(b"\0")  # a tar file ends with zero blocks
    file.write_bytes(gzip.compress(whole[: int(kept * len(whole))]) if sound else backup[: int(kept * len(backup))])
    with pytest.raises(BadSetting, match="Nothing was changed"):
        restore(at(tmp_path / "data"), file)
    assert [path.name for path in tmp_path.iterdir()] == ["cut"]


@pytest.mark.parametrize("name", ["../outside", "blobs/../../outside", "/etc/outside", "other", "blobs/./x"])
def test_backup_with_a_foreign_file_name_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "foreign"
    with tarfile.open(file, "w:gz") as archive:
        for each, content in ((ABOUT, b'{"version": 1, "savedAt": 1}'), (name, b"x")):
            entry = tarfile.TarInfo(each)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(BadSetting, match="Nothing was changed"):
        restore(at(tmp_path / "data"), file)
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_restore_overwrites_nothing(tmp_path: Path, backup: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(backup)
    restore(at(tmp_path / "data"), file)
    with pytest.raises(BadSetting, match="not empty"):
        restore(at(tmp_path / "data"), file)
    with pytest.raises(BadSetting, match="exists already"):
        save(at(tmp_path / "data"), file)
    assert file.read_bytes() == backup


def test_failed_backup_leaves_no_file(tmp_path: Path, backup: bytes) -> None:
    with pytest.raises(BadSetting, match="start the app once"):
        save(at(tmp_path / "none"), tmp_path / "file")
    (tmp_path / "kept").write_bytes(backup)
    restore(at(tmp_path / "data"), tmp_path / "kept")
    with pytest.raises(BadSetting, match="cannot be written"):
        save(at(tmp_path / "data"), tmp_path / "no-folder" / "file")
    shutil.rmtree(tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_full_disk_leaves_no_backup_file(tmp_path: Path, backup: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise sqlite3.OperationalError("database or disk is full")

    (tmp_path / "kept").write_bytes(backup)
    restore(at(tmp_path / "data"), tmp_path / "kept")
    monkeypatch.setattr("local.backup._copied", full)
    with pytest.raises(BadSetting, match="cannot be written"):
        save(at(tmp_path / "data"), tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kept"]


def test_backup_is_refused_on_azure(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="keeps its own"):
        save(Settings(document_store="cosmos", data_folder=str(tmp_path)), tmp_path / "file")
