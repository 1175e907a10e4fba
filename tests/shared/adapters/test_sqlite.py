"""A SQLite connection on its own thread: grouped commits, failures, and recovery."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters.sqlite import SqliteThread, explain

SCHEMA = "CREATE TABLE IF NOT EXISTS lines (line TEXT NOT NULL);"


class Unavailable(Exception):
    pass


def open_thread(path: Path, *, writes: bool = True) -> SqliteThread:
    return SqliteThread(path, SCHEMA, Unavailable, writes=writes, busy_seconds=0.05)


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[SqliteThread]:
    thread = open_thread(tmp_path / "lines.db")
    yield thread
    await thread.close()


def add(line: str | None, *, then: Exception | None = None) -> object:
    """Return work that writes a line, and can fail afterwards."""

    def work(connection: sqlite3.Connection) -> int:
        rowid = connection.execute("INSERT INTO lines VALUES (?)", (line,)).lastrowid
        if then is not None:
            raise then
        return rowid or 0

    return work


def lines(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return [line for (line,) in connection.execute("SELECT line FROM lines ORDER BY rowid")]
    finally:
        connection.close()


async def test_concurrent_calls_run_in_order_and_each_gets_its_answer(writer: SqliteThread, tmp_path: Path) -> None:
    rowids = await asyncio.gather(*[writer.call(add(f"{n}")) for n in range(600)])

    assert rowids == list(range(1, 601))
    assert lines(tmp_path / "lines.db") == [f"{n}" for n in range(600)]


async def test_failing_call_rolls_back_only_its_own_work_in_a_group(writer: SqliteThread, tmp_path: Path) -> None:
    await writer.call(add("first"))
    outcomes = await asyncio.gather(
        writer.call(add("good")),
        writer.call(add("bad", then=KeyError("on purpose"))),
        writer.call(add(None)),  # breaks NOT NULL: the caller's fault, not the file's
        writer.call(add("good too")),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [int, KeyError, sqlite3.IntegrityError, int]
    assert lines(tmp_path / "lines.db") == ["first", "good", "good too"]


async def test_event_loop_is_not_blocked_by_database_work(writer: SqliteThread) -> None:
    go_on = threading.Event()

    future = writer.call(lambda connection: go_on.wait(timeout=120))
    await asyncio.sleep(0)  # would block for ever if the work were done on this thread
    go_on.set()

    assert await future is True


async def test_call_cancelled_before_its_turn_does_not_run(writer: SqliteThread, tmp_path: Path) -> None:
    go_on = threading.Event()
    first = writer.call(lambda connection: go_on.wait(timeout=120))
    second = writer.call(add("cancelled"))
    second.cancel()
    third = writer.call(add("kept"))
    go_on.set()

    await asyncio.gather(first, third)

    assert lines(tmp_path / "lines.db") == ["kept"]


async def test_closing_finishes_queued_calls_and_refuses_later_ones(writer: SqliteThread, tmp_path: Path) -> None:
    asked = [writer.call(add(f"{n}")) for n in range(20)]
    await writer.close()
    await writer.close()

    assert await asyncio.gather(*asked) == list(range(1, 21))
    with pytest.raises(Unavailable, match="closed"):
        await writer.call(add("late"))


async def test_reader_sees_what_another_connection_committed(writer: SqliteThread, tmp_path: Path) -> None:
    reader = open_thread(tmp_path / "lines.db", writes=False)
    for n in range(3):
        await writer.call(add(f"{n}"))
        assert await reader.call(lambda file: file.execute("SELECT count(*) FROM lines").fetchone()) == (n + 1,)
    await reader.close()


async def test_missing_folder_is_created(tmp_path: Path) -> None:
    thread = open_thread(tmp_path / "new" / "deeper" / "lines.db")
    await thread.call(add("one"))
    await thread.close()

    assert lines(tmp_path / "new" / "deeper" / "lines.db") == ["one"]


# Failures and their texts


async def test_uncreatable_folder_is_reported_and_used_once_possible(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    thread = open_thread(tmp_path / "taken" / "lines.db")

    with pytest.raises(Unavailable, match=r"cannot be made.*choose one this user can write to"):
        await thread.call(add("one"))

    (tmp_path / "taken").unlink()
    await thread.call(add("one"))
    await thread.close()


async def test_unwritable_path_is_reported(tmp_path: Path) -> None:
    (tmp_path / "lines.db").mkdir()
    thread = open_thread(tmp_path / "lines.db")

    with pytest.raises(Unavailable, match="cannot be opened for writing"):
        await thread.call(add("one"))
    await thread.close()


async def test_file_that_is_no_database_is_reported_and_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "lines.db"
    path.write_bytes(b"not a database at all" * 100)
    thread = open_thread(path)

    with pytest.raises(Unavailable, match=r"damaged or no SQLite database.*move the file"):
        await thread.call(add("one"))

    assert path.read_bytes() == b"not a database at all" * 100
    path.unlink()
    assert await thread.call(add("one")) == 1
    await thread.close()


async def test_overwritten_pages_are_reported_as_damage(writer: SqliteThread, tmp_path: Path) -> None:
    for n in range(200):
        await writer.call(add(f"{n}" * 200))
    await writer.close()
    path = tmp_path / "lines.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    reader = open_thread(path, writes=False)

    with pytest.raises(Unavailable, match="damaged"):
        await reader.call(lambda file: file.execute("SELECT count(line) FROM lines").fetchone())
    await reader.close()


async def test_locked_file_is_reported_and_written_once_it_is_free(writer: SqliteThread, tmp_path: Path) -> None:
    await writer.call(add("before"))
    other = sqlite3.connect(tmp_path / "lines.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable, match="locked by another program"):
        await writer.call(add("in vain"))

    other.execute("ROLLBACK")
    other.close()
    await writer.call(add("after"))
    assert lines(tmp_path / "lines.db") == ["before", "after"]


async def test_full_disk_fails_the_whole_group_without_partial_writes_and_recovers(
    writer: SqliteThread, tmp_path: Path
) -> None:
    await writer.call(add("before"))
    # SQLite's own limit on the file size fails in the same place and way as a full disk.
    await writer.call(lambda file: file.execute("PRAGMA max_page_count = 4").fetchone())

    outcomes = await asyncio.gather(*[writer.call(add(f"{n}" * 3000)) for n in range(10)], return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert "is full, nothing was written: free some space" in str(outcomes[0])
    assert lines(tmp_path / "lines.db") == ["before"]
    await writer.call(add("after"))
    assert lines(tmp_path / "lines.db") == ["before", "after"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked by another program"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "allow this user to"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "allow this user to"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, "choose another folder"),
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "restore a copy"),
        (sqlite3.SQLITE_NOTADB, "restore a copy"),
        (sqlite3.SQLITE_IOERR_FSYNC, "check the disk"),
        (sqlite3.SQLITE_ERROR, "something else"),
    ],
)
def test_every_failure_names_the_file_and_a_remedy(code: int, advice: str) -> None:
    error = sqlite3.OperationalError("something else")
    error.sqlite_errorcode = code

    said = explain(error, Path("/data/documents.db"))

    assert "/data" in said
    assert advice in said


async def test_invalid_path_is_an_error_for_the_caller_and_the_thread_survives() -> None:
    thread = open_thread(Path("/tmp/with\0zero"))

    for _ in range(2):
        with pytest.raises(Unavailable, match="null"):
            await thread.call(add("one"))
    await thread.close()
