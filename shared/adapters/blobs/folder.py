"""The embedded blob store: a folder per container, a file per blob.

A write goes to a temporary file, which is flushed to the disk and then renamed. So a reader sees the old blob or the
new one, and a crash leaves one of the two. Everything runs in threads, off the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from shared.adapters.blobs.door_links import DoorLinks
from shared.adapters.blobs.port import BLOB_CONTAINERS, BlobInfo, BlobsUnavailable, UploadLink

T = TypeVar("T")

MAX_NAME_LENGTH = 1024
"""Most characters of a blob's name, as in Blob Storage."""
MAX_SEGMENT_BYTES = 255
"""Most bytes between two slashes, a limit of file systems."""
ABANDONED_SECONDS = 3600
"""A temporary file of this age belongs to a process that died."""

_ASIDE = ".being-written"


class FolderBlobs:
    """`LinkedBlobs` under the folder `root`, created if missing. `clock` gives the time of writes.

    `links` signs links to a server of this folder. Without it, no link can be made.
    """

    def __init__(
        self,
        root: Path | str,
        clock: Callable[[], float] = time.time,
        *,
        containers: Sequence[str] = BLOB_CONTAINERS,
        links: DoorLinks | None = None,
    ) -> None:
        self._root = Path(root)
        self._clock = clock
        self._containers = tuple(containers)
        self._links = links

    async def write(self, container: str, name: str, data: bytes) -> None:
        """See the port. Durable once it returns."""
        path = self.path(container, name)
        await self._in_thread(partial(self._write, path, data))

    async def read(self, container: str, name: str) -> bytes | None:
        """See the port."""
        path = self.path(container, name)
        return await self._in_thread(partial(_read, path))

    async def list(self, container: str, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """See the port. A blob that is written or deleted in the meantime can be in the list or not."""
        top = self._container(container)
        # Entries still to visit, the next one last. A folder's name ends with its slash, so "a-b" sorts before "a/b"
        # as the full names do.
        ahead: list[tuple[str, BlobInfo | None]] = [("", None)]
        while ahead:
            name, blob = ahead.pop()
            if blob is not None:
                yield blob
            else:
                inside = await self._in_thread(partial(_entries, top, name))
                ahead += sorted((entry for entry in inside if _may_start_with(prefix, *entry)), reverse=True)

    async def delete(self, container: str, name: str) -> bool:
        """See the port. Empty folders are removed too."""
        path = self.path(container, name)
        return await self._in_thread(partial(_delete, path, self._container(container)))

    async def upload_url(self, container: str, name: str, content_type: str, expires_at: float) -> UploadLink:
        """See the port."""
        self.path(container, name)
        return self._door().upload(container, name, content_type, expires_at)

    async def download_url(self, container: str, name: str, content_type: str, expires_at: float) -> str:
        """See the port."""
        self.path(container, name)
        return self._door().download(container, name, content_type, expires_at)

    async def head(self, container: str, name: str) -> BlobInfo | None:
        """See the port."""
        path = self.path(container, name)
        return await self._in_thread(partial(_head, path, name))

    async def read_range(self, container: str, name: str, start: int, length: int) -> bytes | None:
        """See the port."""
        path = self.path(container, name)
        return await self._in_thread(partial(_read, path, start, length))

    async def move(self, source: tuple[str, str], target: tuple[str, str], content_type: str) -> bool:
        """See the port. A rename, so exactly one of the two names exists. Each link names the content type."""
        came, goes = self.path(*source), self.path(*target)
        return await self._in_thread(partial(self._rename, came, goes, self._container(source[0])))

    async def take(self, container: str, name: str, temporary: Path) -> bool:
        """Store a file of `aside` as a new blob. Return False, and store nothing, if the blob exists."""
        path = self.path(container, name)
        return await self._in_thread(partial(self._take, temporary, path))

    def aside(self) -> tuple[int, Path]:
        """Open a temporary file for a blob that `take` stores later. Files that are never taken are removed."""
        folder = self._root / _ASIDE
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=folder)
        return descriptor, Path(temporary)

    async def ready(self) -> None:
        """See the port. Writes and removes a file, and removes the temporary files of crashed processes."""
        await self._in_thread(self._prepare)

    async def close(self) -> None:
        """See the port. Does nothing."""

    def _container(self, container: str) -> Path:
        if container not in self._containers:
            raise ValueError(f"no blob container {container!r}: there are {', '.join(self._containers)}")
        return self._root / container

    def path(self, container: str, name: str) -> Path:
        """Return the path of a blob. Raises `ValueError` for a name that could lead outside its container."""
        segments = name.split("/")
        if len(name) > MAX_NAME_LENGTH or not all(_is_plain(segment) for segment in segments):
            raise ValueError(f"not a blob name: {name!r}. Write it as parts joined by '/', none of them '.' or '..'")
        return self._container(container).joinpath(*segments)

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, aside = self.aside()
        temporary = str(aside)
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
        self._flush_above(path)

    def _flush_above(self, path: Path) -> None:
        for folder in path.parents:  # a power cut would lose new entries of folders that are not flushed
            _flush_folder(folder)
            if folder == self._root:
                break

    def _rename(self, source: Path, target: Path, top: Path) -> bool:
        if not source.is_file():
            return target.is_file()
        try:
            _move(str(source), target)
        except FileNotFoundError:  # another call moved it meanwhile
            return target.is_file()
        self._flush_above(target)
        _clear_above(source, top)
        return True

    def _take(self, temporary: Path, path: Path) -> bool:
        now = self._clock()
        os.utime(temporary, (now, now))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        self._flush_above(path)
        return True

    def _door(self) -> DoorLinks:
        if self._links is None:
            raise BlobsUnavailable("no door serves this folder: start the app with `python -m local serve`")
        return self._links

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
            # A delete has just removed an empty folder on the path: create it again.
        except FileExistsError as error:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(os.lstat(error.filename).st_mode):
                    raise
            # The same, between finding the folder and reading it.


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # a delete removed the folder in the meantime
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path, start: int = 0, length: int = -1) -> bytes | None:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _head(path: Path, name: str) -> BlobInfo | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return BlobInfo(name, status.st_size, status.st_mtime) if stat.S_ISREG(status.st_mode) else None


def _entries(top: Path, folder: str) -> list[tuple[str, BlobInfo | None]]:
    """Return the direct entries of a folder: name from the container on, and the blob; None for a folder ("a/b/")."""
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
    """Whether the blob's name starts with the prefix, or a name inside the folder could."""
    return name.startswith(prefix) or (blob is None and prefix.startswith(name))


def _delete(path: Path, top: Path) -> bool:
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    _clear_above(path, top)
    return True


def _clear_above(path: Path, top: Path) -> None:
    with contextlib.suppress(OSError):  # not empty
        for folder in path.parents:
            if folder == top:
                break
            folder.rmdir()
