"""Tests of the embedded document store only; the contract of all stores is in `tests/contracts/`."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters.documents.port import USER_ACTIVITY, VIDEOS, Create, StoreUnavailable, Upsert
from shared.adapters.documents.sqlite import MAX_DOCUMENT_BYTES, SWEPT_PER_OPERATION, SqliteStore
from tests.contracts.backends import MovableClock

clock = MovableClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "documents.db", clock)
    yield store
    await store.close()


def rows(folder: Path, table: str) -> int:
    """Return how many rows a table has, including expired ones."""
    connection = sqlite3.connect(folder / "documents.db")
    try:
        return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])
    finally:
        connection.close()


async def test_writes_delete_expired_items_faster_than_they_add(store: SqliteStore, tmp_path: Path) -> None:
    await store.write(USER_ACTIVITY, "u1", [Create({"id": f"m{n}", "ttl": 60}) for n in range(20)])
    await clock.advance(61)

    for n in range(5):
        await store.write(USER_ACTIVITY, "u2", [Upsert({"id": f"n{n}"})])
        assert rows(tmp_path, "user-activity") == 20 - SWEPT_PER_OPERATION * (n + 1) + (n + 1)


async def test_a_purge_removes_expired_items_of_every_container_up_to_its_limit(
    store: SqliteStore, tmp_path: Path
) -> None:
    for container in (VIDEOS, USER_ACTIVITY):
        await store.write(container, "p", [Create({"id": f"m{n}", "ttl": 60}) for n in range(5)])
        await store.write(container, "p", [Create({"id": "stays"})])
    await clock.advance(61)

    assert [await store.purge(limit=3) for _ in range(3)] == [6, 4, 0]
    assert (rows(tmp_path, "videos"), rows(tmp_path, "user-activity")) == (1, 1)


async def test_document_above_the_cosmos_db_size_limit_is_refused(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="2,000,000"):
        await store.write(VIDEOS, "t1", [Create({"id": "v1", "text": "x" * MAX_DOCUMENT_BYTES})])


async def test_token_of_another_kind_is_refused(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="token"):
        await store.changes(VIDEOS, "not a token of this store")


async def test_nothing_is_opened_before_the_first_call(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new" / "documents.db")
    assert not (tmp_path / "new").exists()

    await store.ready()

    assert (tmp_path / "new" / "documents.db").exists()
    await store.close()


async def test_store_that_cannot_be_opened_is_not_ready_and_reports_why(tmp_path: Path) -> None:
    (tmp_path / "documents.db").write_bytes(b"something else" * 100)
    store = SqliteStore(tmp_path / "documents.db")

    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        await store.ready()
    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        await store.read(VIDEOS, "t1", "v1")
    await store.close()


async def test_a_closed_store_is_unavailable(store: SqliteStore) -> None:
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.read(VIDEOS, "t1", "v1")
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.write(VIDEOS, "t1", [Upsert({"id": "v1"})])
