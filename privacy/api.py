"""Privacy endpoints: erase a user, export what is stored about them, and show their signals to operators."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence

import azure.functions as func

from events.archive import KEEP_DAYS
from events.erasures import KEEP_SECONDS
from events.fold_markers import MARKER_PREFIX as BATCH_PREFIX
from events.history_folds import MARKER_PREFIX as HISTORY_PREFIX
from feed.catalog import Catalogs
from media.uploads import Uploads
from privacy.erase import Erased, erase
from privacy.export import describe_all, describe_lists
from privacy.responses import ErasureReceipt, ImportedHistory, Remainder, UserExport, UserSignals
from privacy.signals_view import describe
from shared.adapters.bus.port import Bus
from shared.adapters.documents.port import USER_ACTIVITY, Document, DocumentStore, Json, StoreUnavailable, query_all
from shared.domain.formats import USER_HASH, iso_time
from shared.domain.keys import Identity
from shared.domain.signals_columns import NewerSignals
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID, Signals
from shared.observability.metrics import Telemetry
from shared.web.admission import Kind, Limits
from shared.web.authentication import user_hash
from shared.web.declaration import Response
from shared.web.endpoint import Call, Edge, endpoint, json_response
from shared.web.openapi import X_USER, X_USER_TOKEN
from shared.web.problem_codes import USER
from shared.web.problems import Problem, bad_request, clock_wrong
from stories.activity import KEEP_SECONDS as SUMS_SECONDS
from stories.personal_data import PersonalData

BACKUP_DAYS = 7
"""How long the database's continuous backup can restore a document."""
ARCHIVE_NOTE = (
    "Events live up to 90 days in an archive, under a pseudonym. It has no index of users, "
    "so this answer leaves it out."
)
SOCIAL_REMAINS = (
    "sums of others' stories with a part of the person's keyed hash, views older than the newest thousand, and what "
    "authors were told within a day"
)
_RECEIPT_EXAMPLE = {
    "receiptId": "0123456789abcdef0123456789abcdef",
    "erasedAt": "2026-11-20T12:00:00Z",
    "deleted": {"signals": 1, "lists": 2, "markers": 12, "deadLetters": 0},
    "remaining": [{"what": "backups of the database", "until": "2026-11-27T12:00:00Z"}],
}


class PrivacyApi:
    """Shows what is stored about one user, and deletes it.

    `user_hash_in_url`: whether `userHash=` can name the user. On a server, a URL ends up in logs.
    """

    def __init__(
        self,
        edge: Edge,
        *,
        documents: DocumentStore,
        bus: Bus,
        catalogs: Catalogs,
        identity: Identity,
        limits: Limits,
        telemetry: Telemetry,
        clock: Callable[[], float],
        user_hash_in_url: bool,
        people: PersonalData,
        uploads: Uploads | None = None,
        clock_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self.edge = edge
        self._documents = documents
        self._bus = bus
        self._catalogs = catalogs
        self._identity = identity
        self._limits = limits
        self._telemetry = telemetry
        self._clock = clock
        self._people = people
        self._clock_trusted = clock_trusted
        self.user_hash_in_url = user_hash_in_url
        self._uploads = uploads

    @endpoint(
        "POST",
        "v1/privacy/export",
        "Everything stored about a user",
        tag="privacy",
        responses={200: Response("In readable form, with names that are still known.", UserExport)},
        scopes=("privacy", "ops"),
        user=True,
        token_instead=True,
        cors=True,
        parameters=(X_USER, X_USER_TOKEN),
        problems=(*USER, "no_signals"),
    )
    async def export_user(self, call: Call) -> func.HttpResponse:
        """Return everything stored about the user in `X-User`; 404 if there is nothing."""
        tenant, user_key, now = call.tenant, call.user_key, call.now
        with self._limits.admit(Kind.PRIVACY, tenant, user_key):
            documents = await query_all(self._documents, USER_ACTIVITY, user_key)
            person = await self._people.export(tenant.id, user_key)
        if not documents and person is None:
            raise _nothing_stored()
        catalog = await self._catalogs.get(tenant.id)
        stored = next((document.body for document in documents if document.id == SIGNALS_ID), None)
        signals = _read(stored) if stored else None
        return json_response(
            UserExport.unchecked(
                tenant_id=tenant.id,
                stored_as=user_key,
                signals=describe_all(signals, catalog.columns, now) if signals else None,
                lists=describe_lists(documents),
                erased_at=iso_time(stored["erasedAt"]) if stored and "erasedAt" in stored else None,
                folded_batches=sorted(d.id.partition(":")[2] for d in documents if d.id.startswith(BATCH_PREFIX)),
                imported_history=_imported(documents),
                person=person,
                archive=ARCHIVE_NOTE,
            )
        )

    @endpoint(
        "POST",
        "v1/privacy/erase",
        "Delete everything stored about a user",
        tag="privacy",
        responses={200: Response("Erased. A repeated call is harmless.", ErasureReceipt, _RECEIPT_EXAMPLE)},
        scopes=("privacy", "ops"),
        user=True,
        token_instead=True,
        cors=True,
        parameters=(X_USER, X_USER_TOKEN),
        problems=(*USER, "clock_wrong"),
    )
    async def erase_user(self, call: Call) -> func.HttpResponse:
        """Erase the user in `X-User`, and return a receipt. A repeated call is harmless."""
        tenant_id = call.tenant.id
        if not self._clock_trusted():
            raise clock_wrong()
        with self._limits.admit(Kind.PRIVACY, call.tenant, call.user_key):
            if self._uploads is not None:
                await self._uploads.forget(
                    tenant_id, self._identity.people_partition(tenant_id, call.user_key)
                )  # first, since the documents name the files
            erased = await erase(self._documents, self._bus, self._clock, tenant_id, call.user_key)
            social = await self._people.erase(tenant_id, call.user_key, call.now)
        self._telemetry.count("erasures", tenant_id)
        return json_response(_receipt(erased, social))

    @endpoint(
        "GET",
        "v1/debug/user-signals",
        "A user's signals in readable form",
        tag="operators",
        responses={
            200: Response("Category figures are decayed to now; seven-day totals are plain counts.", UserSignals)
        },
        scopes=("ops",),
        parameters=(X_USER,),
        problems=("missing_user", "invalid_user", "user_in_url", "no_signals"),
    )
    async def get_user_signals(self, call: Call) -> func.HttpResponse:
        """Return a user's signals in readable form; 404 if there are none. Names come from the tenant's catalog."""
        user_key = self._identity.user_key(call.tenant.id, self._asked_user(call))
        document = await self._documents.read(USER_ACTIVITY, user_key, SIGNALS_ID, latest=True)
        signals = _read(document.body) if document else None
        if signals is None:
            raise _nothing_stored()
        catalog = await self._catalogs.get(call.tenant.id)
        return json_response(UserSignals.unchecked(**describe(signals, catalog.columns.categories, call.now)))

    def _asked_user(self, call: Call) -> str:
        """Return the hash in `X-User`, or in `userHash=` if that is allowed."""
        in_query: str | None = call.request.params.get("userHash")
        if in_query is None:
            return user_hash(call.headers)
        if not self.user_hash_in_url:
            raise bad_request("user_in_url", "Send the user hash in X-User, not in the URL, where it would be logged.")
        if not USER_HASH.matches(in_query):
            raise bad_request("invalid_user", "userHash must be 64 lower-case hex digits.")
        return in_query


def _read(body: Json) -> Signals | None:
    """Return the stored signals. Raises `StoreUnavailable` for a version that only a later release knows."""
    try:
        return from_document(body)
    except NewerSignals as error:
        raise StoreUnavailable("signals of a newer version") from error


def _imported(documents: Sequence[Document]) -> list[ImportedHistory]:
    """Return the jobs that imported past events of the user, latest first."""
    rows: Counter[tuple[float, str]] = Counter()
    for each in documents:
        if each.id.startswith(HISTORY_PREFIX):
            job = each.id.removeprefix(HISTORY_PREFIX).partition(":")[0]
            rows[each.body["acceptedAt"], job] += each.body["rows"]
    return [
        ImportedHistory.unchecked(job=job, rows=amount, sent_at=iso_time(at))
        for (at, job), amount in sorted(rows.items(), reverse=True)
    ]


def _nothing_stored() -> Problem:
    return Problem(404, "no_signals", "Nothing is stored about this user.")


def _receipt(erased: Erased, social: dict[str, int]) -> ErasureReceipt:
    now = erased.at
    return ErasureReceipt(
        receipt_id=secrets.token_hex(16),
        erased_at=iso_time(now),
        deleted={
            "signals": erased.signals,
            "lists": erased.lists,
            "markers": erased.markers,
            "deadLetters": erased.dead_letters,
            **social,
        },
        remaining=[
            Remainder(what="archived events under a keyed pseudonym", until=iso_time(now + KEEP_DAYS * 86_400)),
            Remainder(what="backups of the database", until=iso_time(now + BACKUP_DAYS * 86_400)),
            Remainder(what="the note that this user was erased, without any event", until=iso_time(now + KEEP_SECONDS)),
            *([Remainder(what=SOCIAL_REMAINS, until=iso_time(now + SUMS_SECONDS))] if social else []),
        ],
    )
