"""Recent erasures of users. Consumers drop messages about these users that are still on the bus.

There is one small document per erased user, in one partition per tenant. It lives as long as a message can.
"""

from __future__ import annotations

from math import inf
from typing import Any

from shared.adapters.documents.port import USER_ACTIVITY, DocumentStore, Json, Upsert, query_all
from shared.domain.formats import is_number

KEEP_SECONDS = 14 * 86_400


def partition_of_erasures(tenant_id: str) -> str:
    """Return the partition of a tenant's erasure notices."""
    return f"erasures.{tenant_id}"


async def note_erasure(documents: DocumentStore, tenant_id: str, user_key: str, erased_at: float) -> None:
    """Record that everything accepted about a user until `erased_at` (seconds since the epoch) must be dropped."""
    notice = {"id": user_key, "kind": "erasure", "erasedAt": erased_at, "ttl": KEEP_SECONDS}
    await documents.write(USER_ACTIVITY, partition_of_erasures(tenant_id), [Upsert(notice)])


async def erasures(documents: DocumentStore, tenant_id: str) -> dict[str, float]:
    """Return user key → time of erasure. Raises `StoreUnavailable`."""
    found = await query_all(documents, USER_ACTIVITY, partition_of_erasures(tenant_id))
    return {document.id: erased_at(document.body) for document in found}


def erased_at(body: Json) -> float:
    """Return when the user of a notice or a tombstone was erased, in seconds since the epoch.

    Infinity if the time cannot be read: the user was erased all the same, so everything accepted so far is dropped.
    """
    at: Any = body.get("erasedAt")
    return float(at) if is_number(at) else inf
