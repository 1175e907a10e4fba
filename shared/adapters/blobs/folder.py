"""The embedded blob store: a folder per container, a file per blob.

A write goes to a file aside, is flushed to the disk and then renamed, so a reader sees the old blob or the new one
and a crash leaves either. Everything runs in threads, off the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from shared.adapters.blobs.port import BLOB_CONTAINERS, BlobInfo, BlobsUnavailable

T = TypeVar("T")

MAX_NAME_LENGTH = 1024
"""Characters of a blob's name, as in Blob Storage."""
MAX_SEGMENT_BYTES = 255
"""Bytes between two slashes: what file systems take."""
ABANDONED_SECONDS = 3600
"""A half-written file of this age belongs to a process that died."""

_ASIDE = ".being-written"


class FolderBlobs:
    """`Blobs` under the folder `root`, made when absent. `clock` stamps what is written."""

    def __init__(self, root: Path | str, clock: Callable[[], float] = time.time) -> None:
        self._root = Path(root)
        self._clock = clock

    async def write(self, container: str, name: str, data: bytes) -> None:
        """See the port. Durable once it returns."""
        path = self._path(container, name)
        await self._in_thread(partial(self._write, path, data))

    async def read(self, container: str, name: str) -> bytes | None:
        """See the port."""
        path = self._path(container, name)
        return await self._in_thread(partial(_read, path))

    async def list(self, container: str, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """See the port. A blob that comes or goes meanwhile may be seen or not."""
        top = self._container(container)
        # What is yet to visit, the next one last. A folder is named with its slash: that is what sorts "a-b" before
        # "a/b", as the whole names do.
        ahead: list[tuple[str, BlobInfo | None]] = [("", None)]
        while ahead:
            name, blob = ahead.pop()
            if blob is not None:
                yield blob
            else:
                inside = await self._in_thread(partial(_entries, top, name))
                ahead += sorted((entry for entry in inside if _may_start_with(prefix, *entry)), reverse=True)

    async def delete(self, container: str, name: str) -> bool:
        """See the port. Folders left empty go too."""
        path = self._path(container, name)
        return await self._in_thread(partial(_delete, path, self._container(container)))

    async def ready(self) -> None:
        """See the port. Writes and removes a file, and clears away what a crash left half written."""
        await self._in_thread(self._prepare)

    async def close(self) -> None:
        """See the port: there is nothing to let go of."""

    def _container(self, container: str) -> Path:
        if container not in BLOB_CONTAINERS:
            raise ValueError(f"no blob container {container!r}: there are {', '.join(BLOB_CONTAINERS)}")
        return self._root / container

    def _path(self, container: str, name: str) -> Path:
        """Where a blob lies. Raises `ValueError` for a name that could mean anything outside of its container."""
        segments = name.split("/")
        if len(name) > MAX_NAME_LENGTH or not all(_is_plain(segment) for segment in segments):
            raise ValueError(f"not a blob name: {name!r}. Write it as parts joined by '/', none of them '.' or '..'")
        return self._container(container).joinpath(*segments)

    def _write(self, path: Path, data: bytes) -> None:
        aside = self._root / _ASIDE
        aside.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=aside)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            now = self._clock()
            os.utime(temporary, (now, now))
            _move(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        for folder in path.parents:  # the entry in each folder, which may be new, is what a power cut would lose
            _flush_folder(folder)
            if folder == self._root:
                break

    def _prepare(self) -> None:
        aside = self._root / _ASIDE
        aside.mkdir(parents=True, exist_ok=True)
        descriptor, probe = tempfile.mkstemp(dir=aside)
        os.close(descriptor)
        os.unlink(probe)
        with os.scandir(aside) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < self._clock() - ABANDONED_SECONDS:
                        os.unlink(entry)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise BlobsUnavailable(self._explain(error)) from error

    def _explain(self, error: OSError) -> str:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                return f"the disk of {self._root} is full, nothing was written: free some space, then try again"
            case errno.EACCES | errno.EPERM | errno.EROFS:
                return f"{self._root} cannot be written: give this user the right to, or choose another folder"
            case errno.ENOTDIR | errno.EISDIR | errno.EEXIST | errno.ENOTEMPTY:
                return f"{error.filename} is in the way: what is a folder of blobs cannot be a blob as well"
            case _:
                return f"{self._root}: {error.strerror}"


def _is_plain(segment: str) -> bool:
    if segment in ("", ".", "..") or not segment.isprintable() or "\\" in segment:
        return False
    return len(segment.encode(errors="replace")) <= MAX_SEGMENT_BYTES


def _move(temporary: str, path: Path) -> None:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, path)
            return
        except FileNotFoundError:
            if not os.path.exists(temporary):
                raise
            # A delete has just taken an emptied folder on the way to it: make it again.
        except FileExistsError as error:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(os.lstat(error.filename).st_mode):
                    raise
            # The same, after the folder was found and before it was looked at.


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # a delete took it away meanwhile, and with it what was to be kept
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _entries(top: Path, folder: str) -> list[tuple[str, BlobInfo | None]]:
    """What lies directly in a folder, by its name from the container on: a blob, or None for a folder ("a/b/")."""
    found: list[tuple[str, BlobInfo | None]] = []
    with contextlib.suppress(FileNotFoundError), os.scandir(top / folder) as entries:
        for entry in entries:
            name = folder + entry.name
            if entry.is_dir():
                found.append((f"{name}/", None))
                continue
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                found.append((name, BlobInfo(name, status.st_size, status.st_mtime)))
    return found


def _may_start_with(prefix: str, name: str, blob: BlobInfo | None) -> bool:
    """Whether the blob's name starts with the prefix, or that of a blob inside the folder might."""
    return name.startswith(prefix) or (blob is None and prefix.startswith(name))


def _delete(path: Path, top: Path) -> bool:
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    with contextlib.suppress(OSError):  # not empty
        for folder in path.parents:
            if folder == top:
                break
            folder.rmdir()
    return True
