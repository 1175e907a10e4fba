"""One feed request, top to bottom: `serve_feed`.

mode (consent, flags, tenant) → signals → catalog → filters → ranking → maturity gate → page
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from feed import cursor
from feed.catalog import Catalog, Catalogs
from feed.cursor import Served
from feed.fallback import Fallback
from feed.filters import Viewer, maturity_limit
from feed.models import Models
from feed.page import Page
from feed.query import FeedQuery
from feed.rules import Rulebook
from feed.selection import select, steered
from feed.signals import SignalsReader, SignalsUnavailable
from ranking.rank import Slate
from ranking.request import Context
from shared import feed_request
from shared.feed_request import FeedRequest
from shared.fingerprint import fingerprint
from shared.flags.evaluation import PERSONALIZED_FEED, Verdict
from shared.records import Tenant
from shared.services import Services
from shared.signals import Signals

COLD_START_EVENTS = 3
"""With fewer events than this a user is new: the fallback serves better than a guess."""
FLAGS_STALE_SECONDS = 30.0

PERSONALIZED, FALLBACK = "personalized", "fallback"
REASONS: dict[str, str] = {
    "no_consent": "The user opted out of personalization (`X-Personalization: off`).",
    "kill_switch": "Operators switched personalization off, for everyone or for this tenant.",
    "flags_unavailable": "The state of the kill switch is not known yet.",
    "not_in_rollout": "The roll-out does not include this tenant or user.",
    "tenant_disabled": "The tenant switched personalization off.",
    "signals_unavailable": "The user's signals did not come in time.",
    "cold_start": "Too little is known about the user yet.",
}
"""Every reason for a fallback, in the order in which they are looked at."""

_VERDICTS = {
    Verdict.SWITCHED_OFF: "kill_switch",
    Verdict.UNKNOWN: "flags_unavailable",
    Verdict.NOT_TARGETED: "not_in_rollout",
}


@dataclass(frozen=True, slots=True)
class Result:
    """A served page and the catalog whose rows it speaks of; use both before the next await."""

    page: Page
    catalog: Catalog


class Feed:
    """The feed room of one process."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.catalogs = Catalogs(services)
        self.signals = SignalsReader(services)
        self.models = Models(services)
        self.fallback = Fallback()
        self.rulebook = Rulebook()
        self._cursor_keys = services.keys.for_purpose("cursor")
        self._request_keys = services.keys.for_purpose("feed-request")

    async def close(self) -> None:
        """Stop pulling content."""
        await self.catalogs.close()

    async def serve_feed(self, query: FeedQuery, tenant: Tenant, user_key: str, now: float) -> Result:
        """The next page for a user. Raises a 400 `Problem` for a bad cursor, `StoreUnavailable` when the tenant's
        catalog was never loaded and cannot be."""
        served = self._served(query, tenant, user_key, now)
        await self.services.flags_refresher.at_most(FLAGS_STALE_SECONDS, now, 0.05)
        reason = self.why_not_personalized(query, tenant, user_key)
        signals: Signals | None = None
        if reason is None:
            signals, reason = await self._signals(user_key, now)
        catalog = await self.catalogs.get(tenant.id, now)

        # No await from here on: the catalog may not change under the request.
        editorial = self.services.tenants.editorial(tenant.id)
        steering = self.rulebook.of(tenant, editorial, catalog.columns, query.hints, now)
        viewer = Viewer(
            now=now,
            maturity=maturity_limit(tenant, query.hints.age_band),
            country=query.hints.country,
            served=served.fingerprints,
            signals=signals,
        )
        model = self.models.of(tenant) if reason is None else None
        context = context_of(query, tenant, catalog, served, now)
        slate, more = select(catalog, steered(viewer, steering), context, steering, len(served), model, self.fallback)
        page = self._page(query, tenant, user_key, catalog, served, slate, more, reason, signals, now)
        return Result(page, catalog)

    def why_not_personalized(self, query: FeedQuery, tenant: Tenant, user_key: str) -> str | None:
        """The first reason against a personalized feed that needs no look at the user; None when there is none.

        Consent beats everything; then the kill switch and its targeting, the tenant's switch, the tenant's own flags.
        """
        if not query.consented:
            return "no_consent"
        verdict = self.services.flags.ask(PERSONALIZED_FEED, tenant.id, user_key)
        if verdict is not Verdict.ON:
            return _VERDICTS[verdict]
        if not tenant.use_personalization or tenant.feature_flags.get(PERSONALIZED_FEED) is False:
            return "tenant_disabled"
        return None

    async def _signals(self, user_key: str, now: float) -> tuple[Signals | None, str | None]:
        try:
            signals = await self.signals.get(user_key, now)
        except SignalsUnavailable:
            return None, "signals_unavailable"
        if signals is None or signals.events < COLD_START_EVENTS:
            return signals, "cold_start"
        return signals, None

    def _served(self, query: FeedQuery, tenant: Tenant, user_key: str, now: float) -> Served:
        if query.cursor is None:
            return Served(int(now), int.from_bytes(os.urandom(4), "little"))
        return cursor.decode(query.cursor, self._cursor_keys, tenant.id, user_key, now)

    def _page(
        self,
        query: FeedQuery,
        tenant: Tenant,
        user_key: str,
        catalog: Catalog,
        served: Served,
        slate: Slate,
        more: bool,
        reason: str | None,
        signals: Signals | None,
        now: float,
    ) -> Page:
        rows, scores = slate.rows, slate.scores
        after = Served(
            served.started_at,
            served.seed,
            np.concatenate([served.fingerprints, catalog.columns.fingerprint[rows]]),
        )
        request = FeedRequest(
            served_at=int(now),
            personalized=reason is None,
            warm=signals is not None and signals.events >= COLD_START_EVENTS,
            model=fingerprint(slate.model_version),
        )
        return Page(
            mode=PERSONALIZED if reason is None else FALLBACK,
            reason=reason,
            rows=rows,
            scores=scores,
            first_rank=len(served),
            next_cursor=cursor.encode(after, self._cursor_keys, tenant.id, user_key) if more else None,
            feed_request_id=feed_request.mint(request, self._request_keys, tenant.id, user_key),
            model_version=slate.model_version,
            content_at=self.catalogs.refreshed_at,
            signals_at=signals.updated_at if signals is not None and reason is None else None,
        )


def context_of(query: FeedQuery, tenant: Tenant, catalog: Catalog, served: Served, now: float) -> Context:
    """What the ranking is asked for. Streaks count across pages, so it sees the end of what was served."""
    before = served.fingerprints[-max(tenant.streak_cap, 1) :] if len(served) else served.fingerprints
    rows = catalog.columns.row_of_each(before)
    return Context(
        now=now,
        limit=query.limit,
        streak_cap=tenant.streak_cap,
        creator_cap=tenant.creator_cap,
        diversity=tenant.diversity,
        seed=served.seed,
        served=tuple(rows[rows >= 0].tolist()),
        country=query.hints.country,
        language=query.hints.language,
        age_band=query.hints.age_band,
        platform=query.hints.platform,
    )
