"""One SQLite connection on a thread of its own, so that the event loop never waits for a disk.

Calls queue up while the thread is busy and are then taken together. For a connection that writes, such a
group is one transaction: sixty-four concurrent writers share one `fsync`, and each still gets its own answer,
because every call runs inside its own savepoint.

Durability: the file is in WAL mode. With `synchronous=FULL` a commit is on the disk before it is answered, so
it survives a `kill -9` and a power cut. With `NORMAL` (calls marked `durable=False`) it survives a `kill -9`,
but a power cut may undo the latest ones, always from the end backwards and never half of one.

Several processes may open the same file; SQLite's own locks order their transactions.
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
"""How long a transaction waits for another process to finish its own."""
MAX_GROUP = 256
"""Calls in one transaction at most: bounds how long the first of them waits for the last."""

_SETTINGS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16000;
PRAGMA journal_size_limit = 67108864;
"""


@dataclass(slots=True)
class _Call(Generic[T]):
    """A piece of work, and where its outcome goes."""

    work: Callable[[sqlite3.Connection], T]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    durable: bool
    result: T | None = None
    error: BaseException | None = None


class SqliteThread:
    """Runs work on one connection to `path`, opened at the first call and again after a failure.

    `schema` is a script that may run any number of times. `writes` makes every group of calls one
    transaction; a reader's calls each see everything committed before they were made. Failures of the file
    itself are raised as `unavailable(sentence)`; whatever else a piece of work raises undoes that work alone
    and is handed on.
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
        """Queue `work`; the future answers when it is done (for a writer: committed)."""
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
        """Finish what is queued, then let go of the file. Safe to call twice."""
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
                # Whatever it was, those who wait must hear of it and the thread must live on. Nothing of the group
                # was committed. The connection may be in any state, so the next group gets a fresh one: that is
                # also how the file is found again once its disk is back.
                for call in group:
                    call.error = self._unavailable(explain(error, self._path))
                _discard(connection)
                connection = None
            _answer(group)
        _discard(connection)

    def _take(self) -> tuple[list[_Call[Any]], bool]:
        """Wait for a call, then take what else is there; True when the thread is to end afterwards."""
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
                # Two processes that turn a new file to WAL mode at once get BUSY without SQLite waiting.
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
    """One wake-up of each event loop, however many of its calls are done."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Call[Any]]] = {}
    for call in group:
        by_loop.setdefault(call.loop, []).append(call)
    for loop, calls in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
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
    """True when SQLite could not do its work, as opposed to having been asked for something wrong."""
    wrongly_asked = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.DataError)
    return isinstance(error, sqlite3.Error) and not isinstance(error, wrongly_asked)


def _is_busy(error: sqlite3.Error) -> bool:
    return _general_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _general_code(error: Exception) -> int:
    """SQLite's result code without its detail, which is in the higher bytes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def explain(error: Exception, path: Path) -> str:
    """A failure of the file in one sentence that says what to do."""
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
