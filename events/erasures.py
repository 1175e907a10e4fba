"""Recent erasures of users: messages about them that are still on the bus are dropped wherever they arrive.

One small document per erased user, in a partition per tenant, for as long as a message can live.
"""

from __future__ import annotations

from shared.adapters.documents.port import USER_ACTIVITY, DocumentStore, Upsert, query_all

KEEP_SECONDS = 14 * 86_400


def _partition(tenant_id: str) -> str:
    return f"erasures.{tenant_id}"


async def note_erasure(documents: DocumentStore, tenant_id: str, user_key: str, erased_at: float) -> None:
    """Remember that everything accepted about a user until `erased_at` (seconds since the epoch) is to be dropped."""
    notice = {"id": user_key, "kind": "erasure", "erasedAt": erased_at, "ttl": KEEP_SECONDS}
    await documents.write(USER_ACTIVITY, _partition(tenant_id), [Upsert(notice)])


async def erasures(documents: DocumentStore, tenant_id: str) -> dict[str, float]:
    """User key → when it was erased. Raises `StoreUnavailable`."""
    found = await query_all(documents, USER_ACTIVITY, _partition(tenant_id))
    return {document.id: float(document.body["erasedAt"]) for document in found}
