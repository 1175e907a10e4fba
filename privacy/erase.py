"""`POST /v1/privacy/erase`: everything stored about a user is deleted, and what is on its way is dropped."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import azure.functions as func

from bootstrap import Services
from events.archive import KEEP_DAYS
from events.dead_letters import purge_dead_letters_of
from events.erasures import KEEP_SECONDS, note_erasure
from shared.adapters.documents.port import (
    MAX_OPERATIONS,
    USER_ACTIVITY,
    Create,
    Delete,
    DocumentStore,
    Failure,
    Replace,
    StoreUnavailable,
    WriteRejected,
    query_all,
)
from shared.domain.user_signals import SIGNALS_ID
from shared.web.admission import Kind
from shared.web.endpoint import endpoint, json_response

BACKUP_DAYS = 7
"""How long the database's continuous backup can bring a document back."""
ATTEMPTS = 50
"""How often an erasure tries again when batches of the same user are folded under it."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure deleted. Everything accepted until `at` (seconds since the epoch) is or will be dropped."""

    at: float
    signals: int
    markers: int
    dead_letters: int


@endpoint("privacy_erase")
async def post_erase(request: func.HttpRequest, services: Services) -> func.HttpResponse:
    """Erase the user in `X-User`, and answer with a receipt. Asking twice is harmless."""
    now = services.clock()
    caller = services.tenants.authenticate(request.headers, now)
    user = services.user_tokens.user_of(caller, request.headers, now)
    if not user.verified:  # an app's key names anybody; a token is the user's own
        caller.require("privacy", "ops")
    tenant_id = caller.tenant.id
    user_key = services.identity.user_key(tenant_id, user.hash)
    with services.limits.admit(Kind.PRIVACY, caller.tenant, user_key, now):
        erased = await erase(services, tenant_id, user_key)
    services.telemetry.count("erasures", tenant_id)
    return json_response(_receipt(erased))


async def erase(services: Services, tenant_id: str, user_key: str) -> Erased:
    """Forget a user: the signals become a tombstone that drops whatever was accepted before it, in both
    subscriptions; markers and dead letters go. What is accepted later counts again.

    In an order that leaves nothing behind when it breaks off: the tombstone first, so that no fold writes again.
    Raises `StoreUnavailable` or `BusUnavailable`; ask again then.
    """
    documents = services.documents
    at, had_signals = await _bury(services, tenant_id, user_key)
    await note_erasure(documents, tenant_id, user_key, at)
    markers = await _delete_markers(documents, user_key, at)
    letters = await purge_dead_letters_of(services.bus, user_key, at)
    return Erased(at, int(had_signals), markers, letters)


async def _bury(services: Services, tenant_id: str, user_key: str) -> tuple[float, bool]:
    """Put the tombstone in place of the signals; from when it holds, and whether there were signals.

    The time is taken after the signals were read and holds only if nobody wrote them since: all that goes was
    accepted before it, and no event accepted after it goes with the rest.
    """
    documents = services.documents
    for _ in range(ATTEMPTS):
        stored = await documents.read(USER_ACTIVITY, user_key, SIGNALS_ID, latest=True)
        at = max(services.clock(), float(stored.body.get("erasedAt", 0.0)) if stored else 0.0)
        tombstone = {"id": SIGNALS_ID, "kind": "erased", "tenantId": tenant_id, "erasedAt": at, "ttl": KEEP_SECONDS}
        try:
            await documents.write(
                USER_ACTIVITY, user_key, [Replace(tombstone, stored.etag) if stored else Create(tombstone)]
            )
        except WriteRejected:
            continue  # a batch was folded in between
        return at, stored is not None and stored.body.get("kind") != "erased"
    raise StoreUnavailable("the user's signals change faster than they can be erased", 1.0)


async def _delete_markers(documents: DocumentStore, user_key: str, erased_at: float) -> int:
    """Delete the markers of batches accepted until `erased_at`; later ones are still needed."""
    deleted = 0
    while True:
        found = await query_all(documents, USER_ACTIVITY, user_key)
        ids = [
            document.id
            for document in found
            if document.id != SIGNALS_ID and float(document.body.get("acceptedAt", 0.0)) <= erased_at
        ][:MAX_OPERATIONS]
        if not ids:
            return deleted
        try:
            await documents.write(USER_ACTIVITY, user_key, [Delete(id) for id in ids])
            deleted += len(ids)
        except WriteRejected as refused:
            # One of them expired between the query and the delete: look again.
            if set(refused.failures.values()) != {Failure.NOT_FOUND}:
                raise


def _receipt(erased: Erased) -> dict[str, object]:
    now = erased.at
    return {
        "receiptId": secrets.token_hex(16),
        "erasedAt": _iso(now),
        "deleted": {"signals": erased.signals, "markers": erased.markers, "deadLetters": erased.dead_letters},
        "remaining": [
            {"what": "archived events under a keyed pseudonym", "until": _iso(now + KEEP_DAYS * 86_400)},
            {"what": "backups of the database", "until": _iso(now + BACKUP_DAYS * 86_400)},
            {"what": "the note that this user was erased, without any event", "until": _iso(now + KEEP_SECONDS)},
        ],
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
