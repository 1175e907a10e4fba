"""Converts documents of the port to items of Cosmos DB and back. Refuses what the service would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.adapters.documents.cosmos_layout import TTL_PER_ITEM
from shared.adapters.documents.port import Container, Create, Delete, Document, Operation, Replace, Upsert

SYSTEM_FIELDS = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")
MAX_ID_BYTES = 1_023
_FORBIDDEN_IN_IDS = frozenset("/\\?#")

FIRST_PAGE = "SELECT TOP @top * FROM c WHERE STARTSWITH(c.id, @prefix) ORDER BY c.id"
NEXT_PAGE = "SELECT TOP @top * FROM c WHERE STARTSWITH(c.id, @prefix) AND c.id > @after ORDER BY c.id"


def page_query(id_prefix: str, after: str | None, top: int) -> tuple[str, list[dict[str, object]]]:
    """Return the query for the next `top` items by id, and its parameters."""
    parameters: list[dict[str, object]] = [{"name": "@top", "value": top}, {"name": "@prefix", "value": id_prefix}]
    if after is None:
        return FIRST_PAGE, parameters
    return NEXT_PAGE, [*parameters, {"name": "@after", "value": after}]


def document_of(item: Mapping[str, Any], partition: str) -> Document:
    """Convert an item to a document of the port, without the service's own fields."""
    plain = dict(item)
    etag = plain["_etag"]
    for name in SYSTEM_FIELDS:
        plain.pop(name, None)
    return Document(partition, plain["id"], plain, etag)


def check(op: Operation) -> None:
    """Raise a clear `ValueError` for an operation that the service would refuse."""
    id = op.id if isinstance(op, Delete) else op.body.get("id")
    if not isinstance(id, str) or not 0 < len(id.encode()) <= MAX_ID_BYTES or not _FORBIDDEN_IN_IDS.isdisjoint(id):
        raise ValueError(f"an id has 1 to {MAX_ID_BYTES} bytes and none of / \\ ? #, unlike {id!r}")
    ttl = None if isinstance(op, Delete) else op.body.get("ttl")
    if ttl is not None and (not isinstance(ttl, int) or isinstance(ttl, bool) or (ttl < 1 and ttl != TTL_PER_ITEM)):
        raise ValueError(f"a ttl is a whole number of seconds from 1, or {TTL_PER_ITEM} for never, not {ttl!r}")


def batch_operation(op: Operation, container: Container, partition: str) -> tuple[Any, ...]:
    """Return the SDK's tuple for one operation. The SDK empties the options dict, so each send needs a new tuple."""
    match op:
        case Create(body):
            return "create", ({**body, container.partition_field: partition},)
        case Upsert(body):
            return "upsert", ({**body, container.partition_field: partition},)
        case Replace(body, etag):
            stored = {**body, container.partition_field: partition}
            return "replace", (stored["id"], stored), {"if_match_etag": etag}
        case Delete(id, etag):
            return "delete", (id,), {} if etag is None else {"if_match_etag": etag}


def wire_operation(op: Operation, container: Container, partition: str) -> dict[str, Any]:
    """Return one operation in the service's format, as the SDK makes it from its tuple."""
    match op:
        case Create(body):
            return {"operationType": "Create", "resourceBody": {**body, container.partition_field: partition}}
        case Upsert(body):
            return {"operationType": "Upsert", "resourceBody": {**body, container.partition_field: partition}}
        case Replace(body, etag):
            stored = {**body, container.partition_field: partition}
            return {"operationType": "Replace", "id": stored["id"], "resourceBody": stored, "ifMatch": etag}
        case Delete(id, etag):
            deleted = {"operationType": "Delete", "id": id}
            return deleted if etag is None else {**deleted, "ifMatch": etag}
