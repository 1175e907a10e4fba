"""The embedded document store: one SQLite file, a table per container.

A row's `sequence` grows with every write and is never reused. It is the etag, and the position in the change feed: a
rewritten item moves to the end. Transactions commit one after another, so a reader that has read up to a sequence has
missed no earlier item.

Writes are on the disk before the call returns (see `shared/adapters/sqlite.py`). A read costs one hop to the reader's
thread and back.
"""

# ruff: noqa: S608 (the only names put into SQL are those of the containers in the port)

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from shared.adapters.documents.port import (
    CONTAINERS,
    FROM_NOW,
    MAX_OPERATIONS,
    Changes,
    Container,
    Create,
    Delete,
    Document,
    Failure,
    Json,
    Operation,
    Page,
    Replace,
    StoreUnavailable,
    Upsert,
    WriteRejected,
)
from shared.adapters.sqlite import SqliteThread

MAX_DOCUMENT_BYTES = 2_000_000
"""About the limit of Cosmos DB; a larger document is refused here too."""
MAX_ID_BYTES = 1023
SWEPT_PER_OPERATION = 2
"""Expired items that each write also removes from its container: more than it adds, so none pile up."""

_NEVER = -1
"""A `ttl` that overrides the container's default: the item does not expire."""


@dataclass(frozen=True, slots=True)
class _Put:
    """A create, replace or upsert, with its encoded body."""

    id: str
    body: bytes
    expires_at: float | None
    must_be_absent: bool = False
    must_have_etag: str | None = None


class _Table:
    """SQL statements of one container's table."""

    def __init__(self, name: str) -> None:
        live = "(expires_at IS NULL OR expires_at > :now)"
        one = f'FROM "{name}" WHERE partition = :partition AND id = :id'
        self.schema = f"""
            CREATE TABLE IF NOT EXISTS "{name}" (
                sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                partition TEXT NOT NULL, id TEXT NOT NULL, expires_at REAL, body BLOB NOT NULL,
                UNIQUE (partition, id)
            );
            CREATE INDEX IF NOT EXISTS "{name} by expiry" ON "{name}" (expires_at)
                WHERE expires_at IS NOT NULL;
            """
        self.read = f"SELECT sequence, body {one} AND {live}"
        self.sequence = f"SELECT sequence {one} AND {live}"
        self.put = f"""
            REPLACE INTO "{name}" (partition, id, expires_at, body)
            VALUES (:partition, :id, :expires_at, :body)
            """
        self.delete = f"DELETE {one}"
        # SQLite orders text by UTF-8 bytes, and FF comes after every byte of an id.
        self.query = f"""
            SELECT partition, id, sequence, body FROM "{name}"
            WHERE partition = :partition AND id >= max(:prefix, :after) AND id <> :after
              AND id < :prefix || CAST(x'FF' AS TEXT) AND {live} ORDER BY id LIMIT :limit
            """
        self.changes = f"""
            SELECT partition, id, sequence, body FROM "{name}"
            WHERE sequence > :since AND {live} ORDER BY sequence LIMIT :limit
            """
        self.last_sequence = f'SELECT coalesce(max(sequence), 0) FROM "{name}"'
        self.sweep = f"""
            DELETE FROM "{name}" WHERE sequence IN (
                SELECT sequence FROM "{name}" WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)
            """


_TABLES = {name: _Table(name) for name in CONTAINERS}
_SCHEMA = "".join(table.schema for table in _TABLES.values())


class SqliteStore:
    """`DocumentStore` in the file `path`, created with its folder if missing. TTLs use `clock`."""

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        path = Path(path)
        self._reader = SqliteThread(path, _SCHEMA, StoreUnavailable, writes=False)
        # Pages of hundreds of items have their own thread, so that single reads do not wait for them.
        self._page_reader = SqliteThread(path, _SCHEMA, StoreUnavailable, writes=False)
        self._writer = SqliteThread(path, _SCHEMA, StoreUnavailable, writes=True)

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        """See the port. Every read is the latest."""
        key = {"partition": partition, "id": id, "now": self._clock()}
        return await self._reader.call(functools.partial(_read, _TABLES[container.name], key))

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        """See the port. Raises `ValueError` for operations that no backend accepts (see `_prepare`)."""
        if not 1 <= len(operations) <= MAX_OPERATIONS:
            raise ValueError(f"a batch has 1 to {MAX_OPERATIONS} operations, not {len(operations)}")
        now = self._clock()
        prepared = [_prepare(operation, container, partition, now) for operation in operations]
        work = functools.partial(_write, _TABLES[container.name], partition, prepared, now)
        return await self._writer.call(work)

    async def query(
        self,
        container: Container,
        partition: str,
        *,
        id_prefix: str = "",
        after: str | None = None,
        limit: int = 200,
    ) -> Page:
        """See the port. A continuation is the last id of the previous page."""
        wanted = {"partition": partition, "prefix": id_prefix, "after": after or "", "now": self._clock()}
        found = await self._page_reader.call(
            functools.partial(_documents, _TABLES[container.name].query, wanted, limit)
        )
        items = found[:limit]
        more = items[-1].id if len(found) > limit else None
        unreadable = tuple(each.id for each in items if not each.body)
        return Page([each for each in items if each.body] if unreadable else items, more, unreadable)

    async def changes(self, container: Container, since: str | None, *, limit: int = 500) -> Changes:
        """See the port. A token is the sequence of the last item seen."""
        table = _TABLES[container.name]
        if since == FROM_NOW:
            (last,) = await self._page_reader.call(lambda file: file.execute(table.last_sequence).fetchone())
            return Changes(token=str(last))
        if since and not since.isdecimal():
            raise ValueError(f"not a token of this store: {since!r}")
        wanted = {"since": int(since or 0), "now": self._clock()}
        found = await self._page_reader.call(functools.partial(_documents, table.changes, wanted, limit))
        documents = found[:limit]
        token = documents[-1].etag if documents else since or "0"
        return Changes(documents, token, more=len(found) > limit)

    async def purge(self, limit: int = 1000) -> int:
        """Remove up to `limit` expired items of each container; return how many were removed.

        Writes remove expired items too, so only a container without writes needs this.
        """
        return await self._writer.call(functools.partial(_purge, self._clock(), limit), durable=False)

    async def ready(self) -> None:
        """See the port. Opens the file, creates its tables and takes its write lock once."""
        await self._writer.call(lambda connection: None)
        await self._reader.call(lambda connection: connection.execute("SELECT 1").fetchone())

    async def close(self) -> None:
        """See the port."""
        await self._reader.close()
        await self._page_reader.close()
        await self._writer.close()


def _prepare(operation: Operation, container: Container, partition: str, now: float) -> _Put | Delete:
    """Encode an operation for the table. Raises `ValueError` for an id, TTL or size that is not allowed."""
    if isinstance(operation, Delete):
        return operation
    id = operation.body.get("id")
    if not isinstance(id, str) or not id or len(id.encode()) > MAX_ID_BYTES or not set("/\\?#").isdisjoint(id):
        raise ValueError(f"an id has 1 to {MAX_ID_BYTES} bytes and none of / \\ ? #, unlike {id!r}")
    body = orjson.dumps({**operation.body, container.partition_field: partition})
    if len(body) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"document {id!r} has {len(body):,} bytes, more than {MAX_DOCUMENT_BYTES:,}")
    expires_at = _expires_at(operation.body, container, now)
    match operation:
        case Create():
            return _Put(id, body, expires_at, must_be_absent=True)
        case Replace(etag=etag):
            return _Put(id, body, expires_at, must_have_etag=etag)
        case Upsert():
            return _Put(id, body, expires_at)


def _expires_at(body: Json, container: Container, now: float) -> float | None:
    ttl = body.get("ttl", container.default_ttl_seconds)
    if ttl is None or ttl == _NEVER:
        return None
    if not isinstance(ttl, int) or isinstance(ttl, bool) or ttl < 1:
        raise ValueError(f"a ttl is a whole number of seconds from 1, or {_NEVER} for never, not {ttl!r}")
    return now + ttl


def _read(table: _Table, key: Json, connection: sqlite3.Connection) -> Document | None:
    row = connection.execute(table.read, key).fetchone()
    return None if row is None else Document(key["partition"], key["id"], _body(row[1]), str(row[0]))


def _documents(statement: str, wanted: Json, limit: int, connection: sqlite3.Connection) -> list[Document]:
    """Return up to `limit` + 1 documents: the extra one tells the caller that there is a next page."""
    rows = connection.execute(statement, {**wanted, "limit": limit + 1})
    return [Document(partition, id, _body(body), str(sequence)) for partition, id, sequence, body in rows]


def _body(stored: bytes) -> Json:
    """Return the stored JSON object; empty for a damaged row, which must not make others fail."""
    try:
        body = orjson.loads(stored)
    except (orjson.JSONDecodeError, TypeError):
        return {}
    return body if isinstance(body, dict) else {}


def _write(
    table: _Table,
    partition: str,
    operations: Sequence[_Put | Delete],
    now: float,
    connection: sqlite3.Connection,
) -> list[str | None]:
    """Apply the batch, or raise `WriteRejected` at the first refused operation; the caller then rolls back."""
    etags: list[str | None] = []
    for index, operation in enumerate(operations):
        key = {"partition": partition, "id": operation.id, "now": now}
        row = connection.execute(table.sequence, key).fetchone()
        refused = _refused(operation, None if row is None else str(row[0]))
        if refused:
            raise WriteRejected({index: refused})
        if isinstance(operation, Delete):
            connection.execute(table.delete, key)
            etags.append(None)
        else:
            stored = {"expires_at": operation.expires_at, "body": operation.body}
            etags.append(str(connection.execute(table.put, key | stored).lastrowid))
    connection.execute(table.sweep, {"now": now, "limit": SWEPT_PER_OPERATION * len(operations)})
    return etags


def _refused(operation: _Put | Delete, etag: str | None) -> Failure | None:
    """Return why an operation is refused for an item with `etag` (None: no such item); None if it is allowed."""
    if isinstance(operation, Delete):
        expected, must_exist = operation.etag, True
    else:
        expected, must_exist = operation.must_have_etag, operation.must_have_etag is not None
        if operation.must_be_absent and etag is not None:
            return Failure.ALREADY_EXISTS
    if must_exist and etag is None:
        return Failure.NOT_FOUND
    if expected is not None and expected != etag:
        return Failure.CONFLICT
    return None


def _purge(now: float, limit: int, connection: sqlite3.Connection) -> int:
    return sum(connection.execute(table.sweep, {"now": now, "limit": limit}).rowcount for table in _TABLES.values())
