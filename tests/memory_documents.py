"""A document store in a dictionary, for tests above the port: no file, thread or wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import orjson

from shared.adapters.documents.port import (
    FROM_NOW,
    Changes,
    Container,
    Create,
    Delete,
    Document,
    Failure,
    Operation,
    Page,
    Replace,
    WriteRejected,
)

_Key = tuple[str, str, str]


class MemoryDocuments:
    """`DocumentStore` with a sequence that serves as etag and change token. Bodies are encoded as JSON, as
    elsewhere."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._items: dict[_Key, tuple[int, float | None, bytes]] = {}
        self._sequence = 0

    def _find(self, container: Container, partition: str, id: str) -> Document | None:
        found = self._items.get((container.name, partition, id))
        if found is None or (found[1] is not None and found[1] <= self._clock()):
            return None
        return Document(partition, id, orjson.loads(found[2]), str(found[0]))

    async def read(self, container: Container, partition: str, id: str, *, latest: bool = False) -> Document | None:
        return self._find(container, partition, id)

    async def write(self, container: Container, partition: str, operations: Sequence[Operation]) -> list[str | None]:
        for index, operation in enumerate(operations):
            refused = self._refused(container, partition, operation)
            if refused is not None:
                raise WriteRejected({index: refused})
        etags: list[str | None] = []
        for operation in operations:
            if isinstance(operation, Delete):
                self._items.pop((container.name, partition, operation.id), None)
                etags.append(None)
                continue
            self._sequence += 1
            body = {**operation.body, container.partition_field: partition}
            ttl = body.get("ttl", container.default_ttl_seconds)
            expires_at = None if ttl is None else self._clock() + ttl
            self._items[container.name, partition, body["id"]] = (self._sequence, expires_at, orjson.dumps(body))
            etags.append(str(self._sequence))
        return etags

    def _refused(self, container: Container, partition: str, operation: Operation) -> Failure | None:
        id = operation.id if isinstance(operation, Delete) else operation.body["id"]
        if not set("/\\?#").isdisjoint(id):
            raise ValueError(f"no store takes the id {id!r}")
        found = self._find(container, partition, id)
        if isinstance(operation, Create):
            return Failure.ALREADY_EXISTS if found else None
        if isinstance(operation, Replace | Delete):
            if found is None:
                return Failure.NOT_FOUND
            if operation.etag is not None and operation.etag != found.etag:
                return Failure.CONFLICT
        return None

    async def query(
        self,
        container: Container,
        partition: str,
        *,
        id_prefix: str = "",
        after: str | None = None,
        limit: int = 200,
    ) -> Page:
        ids = sorted(id for name, place, id in self._items if (name, place) == (container.name, partition))
        wanted = [id for id in ids if id.startswith(id_prefix) and (after is None or id > after)]
        found = [document for id in wanted if (document := self._find(container, partition, id))]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def changes(self, container: Container, since: str | None, *, limit: int = 500) -> Changes:
        if since == FROM_NOW:
            return Changes(token=str(self._sequence))
        newer = sorted(
            (sequence, partition, id)
            for (name, partition, id), (sequence, _, _) in self._items.items()
            if name == container.name and sequence > int(since or 0)
        )
        found = [document for _, place, id in newer[:limit] if (document := self._find(container, place, id))]
        token = str(newer[:limit][-1][0]) if newer else since or "0"
        return Changes(found, token, more=len(newer) > limit)

    async def ready(self) -> None:
        pass

    async def close(self) -> None:
        pass
