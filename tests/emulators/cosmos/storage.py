"""Databases and containers in memory: items with etags, TTL, atomic batches, physical partitions, change feed.

Every write gets the next log sequence number (LSN) of the container; the change feed is the items in LSN order.
A container may have several physical partitions, each owning a range of partition-key hashes; `split` divides
one, as the service does when it grows.
"""

from __future__ import annotations

import copy
import itertools
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from azure.cosmos.partition_key import PartitionKey

from tests.emulators.clock import MovableClock

Json = dict[str, Any]
SYSTEM_FIELDS = ("_rid", "_self", "_etag", "_ts", "_attachments", "_lsn")
MAX_ITEM_BYTES = 2 * 1024 * 1024
MAX_BATCH = 100


class Refused(Exception):
    """An error of the service: HTTP status, sub-status and message."""

    def __init__(self, status: int, message: str = "", substatus: int = 0) -> None:
        self.status, self.message, self.substatus = status, message, substatus
        super().__init__(f"{status} {message}")


NOT_FOUND = "Entity with the specified id does not exist in the system."
NO_SUCH_OWNER = 1003
RANGE_GONE = 1002


@dataclass(frozen=True, slots=True)
class Range:
    """One physical partition: the hashes from `low` (included) to `high` (excluded), as hex."""

    id: str
    low: str
    high: str
    parents: tuple[str, ...] = ()

    def holds(self, hashed: str) -> bool:
        return self.low <= hashed < self.high


@dataclass(slots=True)
class Item:
    partition: str
    body: Json
    lsn: int


@dataclass
class Snapshot:
    """The state of a replica that stopped following: everything up to `lsn`."""

    lsn: int
    items: dict[tuple[str, str], Item] = field(default_factory=dict)


class ContainerState:
    """One container and everything in it."""

    def __init__(self, clock: MovableClock, rid: str, properties: Json, physical_partitions: int) -> None:
        self.clock, self.rid = clock, rid
        self.properties: Json = {**properties, "_rid": rid, "_ts": int(clock.now()), "_etag": _new_etag()}
        key = properties["partitionKey"]
        self._field: str = key["paths"][0].strip("/")
        self._hash = PartitionKey(path=key["paths"][0], kind="Hash", version=key.get("version", 2))
        self.items: dict[tuple[str, str], Item] = {}
        self.lsn = 0
        self.stale: Snapshot | None = None
        self._range_ids = itertools.count()
        self._item_ids = itertools.count()
        edges = ["", *(f"{0x40 * i // physical_partitions:02X}" + "00" * 15 for i in range(1, physical_partitions))]
        self.ranges = [
            Range(str(next(self._range_ids)), low, high) for low, high in zip(edges, [*edges[1:], "FF"], strict=True)
        ]

    # Where an item lives

    def hashed(self, partition: str) -> str:
        """Return the effective partition key by the hash of the SDK, so both sides agree on ranges."""
        hashed: str = self._hash._get_effective_partition_key_string([partition])
        return hashed

    def range_of(self, partition: str) -> Range:
        hashed = self.hashed(partition)
        return next(r for r in self.ranges if r.holds(hashed))

    def split(self, range_id: str) -> None:
        """Divide one physical partition; clients with its id get 410 until they read the ranges again."""
        old = self.range_by_id(range_id)
        low = int(old.low[:4] or "0", 16)
        high = 0x4000 if old.high == "FF" else int(old.high[:4], 16)
        middle = f"{(low + high) // 2:04X}" + "00" * 14
        halves = [(old.low, middle), (middle, old.high)]
        self.ranges = [r for r in self.ranges if r.id != range_id]
        self.ranges += [Range(str(next(self._range_ids)), low, high, (*old.parents, old.id)) for low, high in halves]

    def range_by_id(self, range_id: str) -> Range:
        for r in self.ranges:
            if r.id == range_id:
                return r
        raise Refused(410, "The requested resource is no longer available at the server.", RANGE_GONE)

    # Reading

    def visible(self, partition: str | None = None, *, stale: bool = False) -> list[Item]:
        """Return items that have not expired, of one partition or of all, in LSN order."""
        source = self.stale.items if stale and self.stale else self.items
        found = [
            item
            for item in source.values()
            if (partition is None or item.partition == partition) and not self._expired(item)
        ]
        return sorted(found, key=lambda item: item.lsn)

    def get(self, partition: str, id: str, *, stale: bool = False) -> Item | None:
        source = self.stale.items if stale and self.stale else self.items
        item = source.get((partition, id))
        return None if item is None or self._expired(item) else item

    def _expired(self, item: Item) -> bool:
        default = self.properties.get("defaultTtl")
        if default is None:
            return False
        ttl = item.body.get("ttl", default)
        return ttl is not None and ttl >= 0 and self.clock.now() >= item.body["_ts"] + ttl

    def freeze_replica(self) -> None:
        """Keep the current state for later reads without a newer session token."""
        self.stale = Snapshot(self.lsn, copy.deepcopy(self.items))

    def thaw_replica(self) -> None:
        self.stale = None

    # Writing

    def apply(self, kind: str, partition: str, id: str | None, body: Json | None, if_match: str | None) -> Item | None:
        """Apply one operation; return the new item, None after a delete. Raises `Refused`."""
        if body is not None:
            id = self._check(partition, id, body)
        if id is None:
            raise Refused(400, "an id is needed")
        old = self.get(partition, id)
        if kind == "Create" and old is not None:
            raise Refused(409, "Entity with the specified id already exists in the system.")
        if kind in ("Replace", "Delete", "Read") and old is None:
            raise Refused(404, NOT_FOUND)
        if if_match and if_match != "*" and (old is None or old.body["_etag"] != if_match):
            raise Refused(412, "One of the specified pre-condition is not met.")
        if kind == "Read":
            return old
        if kind == "Delete":
            del self.items[partition, id]
            return None
        if body is None:
            raise Refused(400, f"{kind} needs a body")
        return self._put(partition, id, body, old)

    def _check(self, partition: str, id: str | None, body: Json) -> str:
        own = body.get("id")
        if not isinstance(own, str) or not 0 < len(own) <= 1023 or any(c in own for c in "/\\?#"):
            raise Refused(400, "The input id is invalid.")
        if id is not None and id != own:
            raise Refused(400, "Replacing the id is not allowed.")
        if body.get(self._field) != partition:
            raise Refused(400, "PartitionKey extracted from document doesn't match the one in the header.", 1001)
        if len(json.dumps(body)) > MAX_ITEM_BYTES:
            raise Refused(413, "Request size is too large.")
        ttl = body.get("ttl", 1)
        if ttl is not None and (not isinstance(ttl, int) or isinstance(ttl, bool) or (ttl <= 0 and ttl != -1)):
            raise Refused(400, "The input ttl is invalid. Ttl must be a nonzero positive integer or -1.")
        return own

    def _put(self, partition: str, id: str, body: Json, old: Item | None) -> Item:
        rid = old.body["_rid"] if old else f"{self.rid}{next(self._item_ids):08X}"
        stored = {k: v for k, v in body.items() if k not in SYSTEM_FIELDS}
        stored |= {
            "_rid": rid,
            "_self": f"dbs/db/colls/{self.rid}/docs/{rid}/",
            "_etag": _new_etag(),
            "_attachments": "attachments/",
            "_ts": int(self.clock.now()),
        }
        item = Item(partition, stored, self.lsn)
        self.items[partition, id] = item
        return item

    def put_foreign(self, body: Json) -> None:
        """Store an item of another program or the portal: without the partition key of the container."""
        self.lsn += 1
        self._put("", body["id"], body, None)

    def batch(self, partition: str, operations: list[Json]) -> tuple[int, list[Json]]:
        """Apply all operations or none; return the HTTP status and one result per operation."""
        if not isinstance(operations, list) or not 0 < len(operations) <= MAX_BATCH:
            raise Refused(400, "Batch request has more operations than what is supported.")
        before = dict(self.items)
        self.lsn += 1  # one LSN per transaction: the change feed never splits it
        results: list[Json] = []
        for op in operations:
            kind = op["operationType"]
            try:
                item = self.apply(kind, partition, op.get("id"), op.get("resourceBody"), op.get("ifMatch"))
            except Refused as refused:
                self.items, self.lsn = before, self.lsn - 1
                failed = {"statusCode": refused.status, "requestCharge": 1.0}
                dependent = {"statusCode": 424, "requestCharge": 0}
                rest = len(operations) - len(results) - 1
                return 207, [dependent] * len(results) + [failed] + [dependent] * rest
            status = {"Create": 201, "Upsert": 201, "Delete": 204}.get(kind, 200)
            result: Json = {"statusCode": status, "requestCharge": 5.0}
            if item is not None:
                result |= {"eTag": item.body["_etag"], "resourceBody": item.body}
            results.append(result)
        return 200, results


def _new_etag() -> str:
    return f'"{uuid.uuid4()}"'
