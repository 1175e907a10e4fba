"""Backs up the whole state of one machine into one file, while the app runs, and restores it.

Bus and documents depend on each other: a message can be about a change that a document already has or still lacks. So
both databases are copied as of one moment. Writers wait only for the start of two reads, not for the copy. Blobs never
change after they are written; those that exist at that moment are copied.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import orjson
from tqdm import tqdm

from shared.settings import BadSetting, Settings

VERSION = 1
"""Version of the backup's format."""
ABOUT, END = "backup.json", "end"
"""First and last file of a backup. Without the last one, the backup is truncated."""
STORES = ("documents.db", "bus.db")
FILES = ("secrets.json", "flags.json")
BLOBS = "blobs"
BUSY_SECONDS = 30.0
_ASIDE = ".being-written"


@dataclass(frozen=True, slots=True)
class Saved:
    """Result of a backup. `secrets`: whether it has the secrets; they are left out if the settings give them."""

    blobs: int
    size_bytes: int
    secrets: bool


def save(settings: Settings, file: Path) -> Saved:
    """Write a backup, readable by its owner only. Raises `BadSetting` when there is no data, or when it cannot be
    written. A failed backup leaves no file."""
    folder = _embedded(settings)
    if file.exists():
        raise BadSetting(f"{file} exists already. Choose another name.")
    if missing := [name for name in STORES if not (folder / name).exists()]:
        raise BadSetting(
            f"{folder} has no {missing[0]}: start the app once, or set DATA_FOLDER to the app's data folder."
        )
    with _written(file) as output, tempfile.TemporaryDirectory(dir=file.absolute().parent) as scratch:
        copied, blobs, plain = _as_of_one_moment(folder, Path(scratch))
        with tarfile.open(fileobj=output, mode="w:gz", compresslevel=6) as archive:
            _add(archive, ABOUT, orjson.dumps({"version": VERSION, "savedAt": int(time.time())}))
            for name, content in plain.items():
                _add(archive, name, content)
            for store in copied:
                archive.add(store, store.name)
            for name in tqdm(blobs, unit=" blobs", disable=None):
                with contextlib.suppress(FileNotFoundError):  # it has expired and was deleted in the meantime
                    archive.add(folder / BLOBS / name, f"{BLOBS}/{name}", recursive=False)
            _add(archive, END, b"")
    return Saved(len(blobs), file.stat().st_size, FILES[0] in plain)


def restore(settings: Settings, file: Path) -> int:
    """Restore a backup into `DATA_FOLDER`, completely or not at all. Return its time in seconds since the epoch.

    Raises `BadSetting` when the folder has data already, or the file is damaged or no backup of this program.
    """
    folder = _embedded(settings)
    if folder.exists() and any(folder.iterdir()):
        raise BadSetting(f"{folder} is not empty: move it away, or set DATA_FOLDER to an empty one.")
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        saved_at = _extract(file, aside)
        for name in STORES:
            _check(aside / name)
        folder.mkdir(exist_ok=True)
        folder.rmdir()
        aside.rename(folder)
    except (OSError, EOFError, tarfile.TarError, sqlite3.Error, ValueError, KeyError) as error:
        raise BadSetting(
            f"{file} could not be restored ({type(error).__name__}). Nothing was changed: try another backup file."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return saved_at


def _embedded(settings: Settings) -> Path:
    if (settings.document_store, settings.bus, settings.blobs) != ("sqlite", "sqlite", "folder"):
        raise BadSetting(
            "This command backs up the data of one machine only. On Azure, Cosmos DB keeps its own backups."
        )
    return Path(settings.data_folder)


@contextlib.contextmanager
def _written(file: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name only when it is complete and flushed."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as output:
            yield output
            output.flush()
            os.fsync(output.fileno())
        temporary.rename(file)
    except (OSError, sqlite3.Error) as error:
        raise BadSetting(f"{file} cannot be written ({error}). Choose another folder, or free some space.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _as_of_one_moment(folder: Path, scratch: Path) -> tuple[list[Path], list[str], dict[str, bytes]]:
    """Copy the databases, blob names and small files of the same moment."""
    with contextlib.ExitStack() as open_files:
        locks = [open_files.enter_context(_opened(folder / name)) for name in STORES]
        readers = [open_files.enter_context(_opened(folder / name)) for name in STORES]
        for lock in locks:
            lock.execute("BEGIN IMMEDIATE")  # no other program can write from here on
        for reader in readers:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()  # starts the read
        blobs = sorted(_blobs(folder / BLOBS))
        plain = {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}
        for lock in locks:
            lock.execute("ROLLBACK")
        return [_copied(reader, scratch / name) for reader, name in zip(readers, STORES, strict=True)], blobs, plain


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _copied(reader: sqlite3.Connection, path: Path) -> Path:
    with _opened(path) as copy:
        reader.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    return path


def _blobs(root: Path) -> Iterable[str]:
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if path.is_file() and name.parts[0] != _ASIDE:
            yield name.as_posix()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
    archive.addfile(entry, io.BytesIO(content))


def _extract(file: Path, folder: Path) -> int:
    """Extract only files that a backup has. Return the backup's time."""
    with tarfile.open(file, mode="r:gz") as archive:
        first = archive.next()
        content = archive.extractfile(first) if first is not None and first.name == ABOUT else None
        if content is None:
            raise ValueError("no backup")
        about = orjson.loads(content.read())
        if about["version"] != VERSION:
            raise ValueError("a backup of another version")
        for entry in tqdm(archive, unit=" files", disable=None):
            if entry.name == END:
                return int(about["savedAt"])
            if entry is not first:
                _take_out(archive, entry, folder)
    raise ValueError("cut off")


def _take_out(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """Extract one file of a backup with its time, since blobs are deleted by age. Raises `ValueError` for a name or a
    kind that no backup has."""
    name = PurePosixPath(entry.name)
    is_blob = name.parts[0] == BLOBS and not {"", ".", ".."} & set(entry.name.split("/"))
    content = archive.extractfile(entry) if entry.isfile() else None
    if content is None or not (is_blob or entry.name in (*STORES, *FILES)):
        raise ValueError("no backup of ours")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600 if entry.name in FILES else 0o644), "wb") as file:
        shutil.copyfileobj(content, file)
    os.utime(path, (entry.mtime, entry.mtime))


def _check(path: Path) -> None:
    if not path.exists():
        raise ValueError("a store is missing")
    with _opened(path) as store:
        if store.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise ValueError("a store is damaged")
