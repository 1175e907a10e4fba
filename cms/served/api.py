"""CMS endpoint that explains a served page, given its feed request id and its user."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import azure.functions as func

from cms.configuration.stored import stored_configuration
from cms.documents import DocumentFlow
from cms.endpoint import cms_endpoint
from cms.experiments.models import MODEL_PREFIX
from cms.forms import checked
from cms.request import CmsRequest
from cms.served.models import ServedPage, ServedPageForm
from cms.served.page_explanation import Known, Viewer, feed_of, served_page
from feed.cursor import Served
from feed.pipeline import Feed
from feed.query import FeedQuery, read_hints
from feed.session import FeedSession
from shared.adapters.documents.port import TENANTS, USER_ACTIVITY, StoreError, StoreUnavailable, query_all
from shared.adapters.retry import with_timeout
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.feed_receipt import FUTURE_SECONDS, NOT_ON_PAGE, VALID_SECONDS, FeedReceipt, places, read_receipt
from shared.domain.keys import Identity, SigningKeys
from shared.domain.records import Tenant
from shared.domain.reported_videos import ReportedVideos
from shared.domain.signals_columns import UnreadableSignals
from shared.domain.signals_document import from_document
from shared.domain.user_signals import SIGNALS_ID
from shared.web.authentication import user_hash
from shared.web.endpoint import Edge, json_response
from shared.web.openapi import X_USER
from shared.web.problems import Problem

READ_SECONDS = 2.0

Reported = Callable[[str, str, FeedReceipt, float], Awaitable[ReportedVideos]]
"""Finds the videos of a page that its app reported in events: (tenant, user key, receipt, time) → videos."""


class ServedPagesApi:
    """Explains served pages. It only reads, and records nothing."""

    def __init__(
        self,
        edge: Edge,
        flow: DocumentFlow,
        *,
        tenants: TenantDirectory,
        feed: Feed,
        identity: Identity,
        keys: SigningKeys,
        reported: Reported,
    ) -> None:
        self.edge = edge
        self._flow = flow
        self._tenants = tenants
        self._feed = feed
        self._identity = identity
        self._keys = keys
        self._reported = reported

    @cms_endpoint(
        "POST",
        "served-page",
        "Explain a served page",
        {200: ServedPage},
        description="Uses the page's receipt, the archive and the catalog. Returns the page's videos, the model that "
        "ranked it, and what can no longer be determined. A receipt is bound to its tenant and user, so both must be "
        "those that got the page. Nothing is recorded.",
        body=ServedPageForm,
        example={"feedRequestId": "AqYAaVQmWQFZ7m0X"},
        parameters=(X_USER,),
        problems=("invalid_document", "missing_user", "invalid_user", "feed_request_not_found", "feed_request_expired"),
    )
    async def explain_served_page(self, call: CmsRequest) -> func.HttpResponse:
        """Return what can be determined about the page. Raises a 404 or 410 `Problem`."""
        form = checked(ServedPageForm, call.body())
        user_key = self._identity.user_key(call.tenant_id, user_hash(call.headers))
        receipt = read_receipt(form.feed_request_id, self._keys, call.tenant_id, user_key)
        if receipt is None or receipt.served_at > call.now + FUTURE_SECONDS:
            raise Problem(
                404,
                "feed_request_not_found",
                "This tenant has not served this feedRequestId to this user. Check the id and the user hash.",
            )
        if call.now - receipt.served_at > VALID_SECONDS:
            raise Problem(
                410,
                "feed_request_expired",
                "The page was served more than 24 hours ago, so it cannot be explained any more.",
            )
        known, viewer, reported = await asyncio.gather(
            self._known(call.tenant_id),
            self._viewer(user_key),
            self._reported(call.tenant_id, user_key, receipt, call.now),
        )
        catalog = await self._feed.catalogs.get(call.tenant_id)
        keys, rows = catalog.columns.key, catalog.columns.rows()
        of_catalog = keys[rows].tolist()
        stood = await asyncio.to_thread(places, receipt, self._keys, of_catalog)

        # No await from here on: the catalog must not change while the response is built.
        rows_at: dict[int, list[int]] = {}
        for row, key, place in zip(rows.tolist(), of_catalog, stood or (), strict=False):
            if place != NOT_ON_PAGE and int(catalog.columns.key[row]) == key:  # unless the row was reused meanwhile
                rows_at.setdefault(place, []).append(row)
        _, tenant = feed_of(receipt, known)
        options = _session(tenant, user_key, call.now).ranking_options(catalog)
        return json_response(served_page(receipt, known, rows_at, reported, catalog, viewer, options))

    async def _known(self, tenant_id: str) -> Known:
        """Read the tenant's configuration, feeds, models and experiment as they are now."""
        configuration = (await stored_configuration(self._flow, tenant_id)).body
        models = await query_all(self._flow.store, TENANTS, tenant_id, id_prefix=MODEL_PREFIX)
        return Known(
            tenant=Tenant.from_document(configuration),
            feeds=self._tenants.feeds(tenant_id),
            models=[each.body for each in models if not each.body.get("deleted")],
            experiment=self._tenants.experiment(tenant_id),
        )

    async def _viewer(self, user_key: str) -> Viewer:
        """Read the user's stored signals. The read bypasses the feed's cache and does not change it."""
        try:
            read = self._flow.store.read(USER_ACTIVITY, user_key, SIGNALS_ID)
            document = await with_timeout(READ_SECONDS, read, StoreUnavailable)
            return Viewer(from_document(document.body) if document else None, readable=True)
        except (StoreError, UnreadableSignals):
            return Viewer(None, readable=False)


def _session(tenant: Tenant, user_key: str, now: float) -> FeedSession:
    query = FeedQuery(tenant.default_limit, None, read_hints(None, None, None, None), True)
    return FeedSession(query, tenant, user_key, Served(int(now), 0), now)
