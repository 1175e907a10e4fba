"""Runs one SQLite connection on its own thread, so that the event loop never waits for a disk.

Calls that arrive while the thread is busy are executed as a group. For a connection that writes, a group is one
transaction: sixty-four concurrent writers share one `fsync`. Every call has its own savepoint, so each gets its own
result.

Durability: the file is in WAL mode. With `synchronous=FULL` a commit is on the disk before the call returns, so it
survives a `kill -9` and a power cut. With `NORMAL` (calls with `durable=False`) it survives a `kill -9`, but a power
cut can undo the latest commits, always whole ones.

Several processes can open the same file; SQLite's locks order their transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""Longest wait for a transaction of another process."""
MAX_GROUP = 256
"""Most calls in one transaction; limits how long the first of them waits for the last."""

_SETTINGS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16000;
PRAGMA journal_size_limit = 67108864;
"""


@dataclass(slots=True)
class _Call(Generic[T]):
    """A function to run, and the future of its result."""

    work: Callable[[sqlite3.Connection], T]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    durable: bool
    result: T | None = None
    error: BaseException | None = None


class SqliteThread:
    """Runs functions on one connection to `path`, opened at the first call and again after a failure.

    `schema`: a script that can run repeatedly. `writes`: every group of calls is one transaction; without it, each call
    sees everything committed before it. Failures of the file are raised as `unavailable(sentence)`. Any other exception
    of a function undoes only that function's work and is raised to its caller.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        unavailable: Callable[[str], Exception],
        *,
        writes: bool,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._path = path
        self._schema = schema
        self._unavailable = unavailable
        self._writes = writes
        self._busy_seconds = busy_seconds
        self._calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> asyncio.Future[T]:
        """Queue `work`; the future has its result when it is done (for a writer: committed)."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._closed:
            future.set_exception(self._unavailable(f"{self._path} was closed"))
            return future
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"sqlite {self._path.name}", daemon=True)
            self._thread.start()
        self._calls.put(_Call(work, loop, future, durable))
        return future

    async def close(self) -> None:
        """Finish the queued calls, then close the file. Safe to call twice."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._calls.put(None)
            await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        closing = False
        while not closing:
            group, closing = self._take()
            if not group:
                continue
            try:
                if connection is None:
                    connection = self._open()
                run = _run_in_one_transaction if self._writes else _run_each
                run(connection, group)
            except Exception as error:
                # Whatever failed, the callers must get it and the thread must go on. Nothing of the group was
                # committed. The connection is in an unknown state, so the next group opens a new one. That also
                # finds the file again when its disk is back.
                for call in group:
                    call.error = self._unavailable(explain(error, self._path))
                _discard(connection)
                connection = None
            _answer(group)
        _discard(connection)

    def _take(self) -> tuple[list[_Call[Any]], bool]:
        """Wait for a call and take all queued ones; True when the thread must end afterwards."""
        group: list[_Call[Any]] = []
        while True:
            call = self._calls.get()
            if call is None:
                return group, True
            if not call.future.cancelled():
                group.append(call)
            if len(group) >= MAX_GROUP or self._calls.empty():
                return group, False

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        give_up_at = time.monotonic() + self._busy_seconds
        while True:
            connection = sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None)
            try:
                connection.executescript(_SETTINGS + self._schema)
                return connection
            except sqlite3.OperationalError as error:
                # Two processes that switch a new file to WAL mode at once get BUSY immediately.
                _discard(connection)
                if not _is_busy(error) or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.01)
            except sqlite3.Error:
                _discard(connection)
                raise


def _run_in_one_transaction(connection: sqlite3.Connection, group: Sequence[_Call[Any]]) -> None:
    durable = any(call.durable for call in group)
    connection.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    for call in group:
        connection.execute("SAVEPOINT one")
        try:
            call.result = call.work(connection)
        except Exception as error:
            if _file_failed(error):
                raise
            connection.execute("ROLLBACK TO one")
            call.error = error
        connection.execute("RELEASE one")
    connection.execute("COMMIT")


def _run_each(connection: sqlite3.Connection, group: Sequence[_Call[Any]]) -> None:
    for call in group:
        try:
            call.result = call.work(connection)
        except Exception as error:
            if _file_failed(error):
                raise
            call.error = error


def _answer(group: Sequence[_Call[Any]]) -> None:
    """Set the results of a group, with one wake-up per event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Call[Any]]] = {}
    for call in group:
        by_loop.setdefault(call.loop, []).append(call)
    for loop, calls in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits
            loop.call_soon_threadsafe(_settle, calls)


def _settle(calls: Sequence[_Call[Any]]) -> None:
    for call in calls:
        if call.future.cancelled():
            continue
        if call.error is not None:
            call.future.set_exception(call.error)
        else:
            call.future.set_result(call.result)


def _discard(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()


def _file_failed(error: Exception) -> bool:
    """Whether SQLite failed at its work; False for a wrong statement or value."""
    wrongly_asked = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.DataError)
    return isinstance(error, sqlite3.Error) and not isinstance(error, wrongly_asked)


def _is_busy(error: sqlite3.Error) -> bool:
    return _general_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _general_code(error: Exception) -> int:
    """Return SQLite's primary result code, without the detail in the higher bytes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def explain(error: Exception, path: Path) -> str:
    """Return a sentence about a failure of the file that says what to do."""
    if isinstance(error, OSError):
        return f"the folder {path.parent} cannot be made ({error.strerror}): choose one this user can write to"
    match _general_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path} is locked by another program: close what holds it (a backup, a database browser)"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"{path} cannot be opened for writing: allow this user to, or choose another folder"
        case sqlite3.SQLITE_FULL:
            return f"the disk of {path.parent} is full, nothing was written: free some space, then try again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return (
                f"{path} is damaged or no SQLite database: stop the app, move the file and its -wal and -shm"
                " away, then restore a copy or start afresh"
            )
        case sqlite3.SQLITE_IOERR:
            return f"{path} could not be read or written ({error}): check the disk"
        case _:
            return f"{path}: {error}"
