"""Tests of the folder store only; the contract of all blob stores is in `tests/contracts/`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shared.adapters.blobs.folder import ABANDONED_SECONDS, FolderBlobs
from shared.adapters.blobs.port import ARCHIVE, BlobsUnavailable


async def test_no_name_reaches_a_file_outside_the_container(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    blobs = FolderBlobs(tmp_path / "blobs")
    await blobs.write(ARCHIVE, "a", b"x")

    for name in ("../../secret", "/etc/hostname", "a/../../../secret", "..", ".", "../.being-written/x"):
        with pytest.raises(ValueError, match="not a blob name"):
            await blobs.read(ARCHIVE, name)
    assert [blob.name async for blob in blobs.list(ARCHIVE, "../")] == []


async def test_empty_folders_are_removed(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    await blobs.write(ARCHIVE, "t1/2026/11/20/12/7", b"x")
    await blobs.write(ARCHIVE, "t1/2026/12/1", b"x")

    await blobs.delete(ARCHIVE, "t1/2026/11/20/12/7")
    assert os.listdir(tmp_path / ARCHIVE / "t1/2026") == ["12"]
    await blobs.delete(ARCHIVE, "t1/2026/12/1")
    assert os.listdir(tmp_path / ARCHIVE) == []


async def test_folder_deleted_during_a_write_is_created_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FolderBlobs(tmp_path)
    await blobs.write(ARCHIVE, "t1/2026/1", b"x")
    looked, is_dir = [], Path.is_dir

    def gone_just_now(folder: Path) -> bool:
        if folder.name == "2026" and not looked:
            looked.append(folder)
            (folder / "1").unlink()
            folder.rmdir()
        return is_dir(folder)

    monkeypatch.setattr(Path, "is_dir", gone_just_now)
    await blobs.write(ARCHIVE, "t1/2026/2", b"y")
    assert looked
    assert await blobs.read(ARCHIVE, "t1/2026/2") == b"y"


async def test_partial_files_of_a_crash_are_removed_but_not_those_in_progress(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    await blobs.ready()
    (tmp_path / ".being-written" / "fresh").write_bytes(b"half")

    await blobs.ready()
    assert os.listdir(tmp_path / ".being-written") == ["fresh"]
    later = FolderBlobs(tmp_path, clock=lambda: time.time() + ABANDONED_SECONDS + 1)
    await later.ready()
    assert os.listdir(tmp_path / ".being-written") == []


async def test_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    blobs = FolderBlobs(tmp_path / "taken")

    with pytest.raises(BlobsUnavailable, match="taken"):
        await blobs.ready()
    with pytest.raises(BlobsUnavailable, match="taken"):
        await blobs.write(ARCHIVE, "a", b"x")


async def test_blob_name_cannot_also_be_a_folder(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    await blobs.write(ARCHIVE, "a/b", b"x")

    with pytest.raises(BlobsUnavailable, match="in the way"):
        await blobs.write(ARCHIVE, "a", b"x")
    with pytest.raises(BlobsUnavailable, match="in the way"):
        await blobs.write(ARCHIVE, "a/b/c", b"x")
    assert await blobs.read(ARCHIVE, "a/b") == b"x"
    assert await blobs.read(ARCHIVE, "a") is None
    assert os.listdir(tmp_path / ".being-written") == []
