"""One feed request, top to bottom: `serve_feed`.

mode (consent, flags, tenant) → signals → catalog → filters → ranking → maturity gate → page
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap import Services
from feed import cursor
from feed.catalog import Catalog, Catalogs
from feed.cursor import Served
from feed.dark_launch import DarkLaunch
from feed.editorial import Rulebook
from feed.experiments import Assignment, Experiments
from feed.fallback import Fallback
from feed.filters import Viewer, maturity_limit
from feed.models import Models, without_cowatch
from feed.page import Page
from feed.query import FeedQuery
from feed.selection import select, with_rule_exclusions
from feed.signals_reader import SignalsPaused, SignalsReader, SignalsUnavailable
from ranking.model import LinearModel
from ranking.rank import Slate
from ranking.user_features import COLD_START_EVENTS, RankingOptions
from shared.adapters.flags.evaluation import (
    CO_WATCH,
    DARK_LAUNCH,
    EXPLORATION,
    NEW_DIVERSIFIER,
    PERSONALIZED_FEED,
    Verdict,
)
from shared.domain import feed_receipt
from shared.domain.feed_receipt import NO_POSITION, FeedReceipt
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Tenant
from shared.domain.user_signals import Signals
from shared.observability.tracing import Stages

FLAGS_STALE_SECONDS = 30.0
SEED_SECONDS = 600.0
"""For so long a user's first page explores the same video, so that a page that has not changed is still a 304."""

PERSONALIZED, FALLBACK = "personalized", "fallback"
OVERLOADED = "overloaded"
REASONS: dict[str, str] = {
    "no_consent": "The user opted out of personalization (`X-Personalization: off`).",
    "kill_switch": "Operators switched personalization off, for everyone or for this tenant.",
    "flags_unavailable": "The state of the kill switch is not known yet.",
    "dark_launch": "The user is in the sample that gets the popular feed while both are compared.",
    "not_in_rollout": "The roll-out does not include this tenant or user.",
    "tenant_disabled": "The tenant switched personalization off.",
    OVERLOADED: "The service is busy: a ready page costs it less.",
    "signals_paused": "Signals kept failing, so they are not even asked for until a probe succeeds.",
    "signals_unavailable": "The user's signals did not come in time.",
    "cold_start": "Too little is known about the user yet.",
}
"""Every reason for a fallback, in the order in which they are looked at."""

_VERDICTS = {
    Verdict.SWITCHED_OFF: "kill_switch",
    Verdict.UNKNOWN: "flags_unavailable",
    Verdict.NOT_TARGETED: "not_in_rollout",
}


_fingerprint_of_model = lru_cache(1_024)(fingerprint)


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
        self.experiments = Experiments(services)
        self.dark_launch = DarkLaunch(services)
        self._cursor_keys = services.keys.for_purpose("cursor")
        self._request_keys = services.keys.for_purpose("feed-request")

    async def close(self) -> None:
        """Stop pulling content."""
        await self.dark_launch.close()
        await self.catalogs.close()

    async def serve_feed(
        self,
        query: FeedQuery,
        tenant: Tenant,
        user_key: str,
        now: float,
        *,
        overloaded: bool = False,
        stages: Stages | None = None,
    ) -> Result:
        """The next page for a user, the ready one when the process is overloaded; `stages` notes how long each part
        took. Raises a 400 `Problem` for a bad cursor, `StoreUnavailable` when the tenant's catalog was never loaded
        and cannot be."""
        stages = stages or Stages()
        served = self._served(query, tenant, user_key, now)
        await self.services.flags_refresher.ensure_fresh(FLAGS_STALE_SECONDS, now, 0.05)
        reason = self.why_not_personalized(query, tenant, user_key) or (OVERLOADED if overloaded else None)
        stages.end("flags")
        signals: Signals | None = None
        if reason is None:
            signals, reason = await self._signals(user_key, now)
        stages.end("signals")
        catalog = await self.catalogs.get(tenant.id, now)
        stages.end("catalog")

        # No await from here on: the catalog may not change under the request.
        assignment = self.experiments.of(tenant, user_key) if reason is None else None
        model = self._model(tenant, user_key, assignment) if reason is None else None
        slate, more = self._select(query, tenant, user_key, catalog, served, signals, model, now)
        stages.end("rank")
        page = self._page(query, tenant, user_key, catalog, served, slate, more, reason, signals, assignment, now)
        stages.end("page")
        if reason == "dark_launch" and not overloaded:
            self.dark_launch.compare_later(
                tenant.id,
                catalog.columns.fingerprint[slate.rows],
                lambda: self._in_the_dark(query, tenant, user_key, served, now),
            )
        return Result(page, catalog)

    def why_not_personalized(self, query: FeedQuery, tenant: Tenant, user_key: str) -> str | None:
        """The first reason against a personalized feed that needs no look at the user; None when there is none.

        Consent beats everything; then the kill switch and its targeting, the tenant's switch, the tenant's own flags.
        A dark launch takes those whom the roll-out leaves out or lets in, and nobody else.
        """
        if not query.consented:
            return "no_consent"
        verdict = self.services.flags.ask(PERSONALIZED_FEED, tenant.id, user_key)
        if verdict in (Verdict.SWITCHED_OFF, Verdict.UNKNOWN):
            return _VERDICTS[verdict]
        disabled = not tenant.use_personalization or tenant.feature_flags.get(PERSONALIZED_FEED) is False
        if not disabled and self.services.flags.on(DARK_LAUNCH, tenant.id, user_key):
            return "dark_launch"
        if verdict is not Verdict.ON:
            return _VERDICTS[verdict]
        return "tenant_disabled" if disabled else None

    async def _signals(self, user_key: str, now: float) -> tuple[Signals | None, str | None]:
        try:
            signals = await self.signals.get(user_key, now)
        except SignalsPaused:
            return None, "signals_paused"
        except SignalsUnavailable:
            return None, "signals_unavailable"
        if signals is None or signals.events < COLD_START_EVENTS:
            return signals, "cold_start"
        return signals, None

    def _model(self, tenant: Tenant, user_key: str, assignment: Assignment | None) -> LinearModel:
        model = assignment.model if assignment is not None else self.models.of(tenant)
        flags = self.services.flags
        return model if flags.on(CO_WATCH, tenant.id, user_key, tenant.feature_flags) else without_cowatch(model)

    def _select(
        self,
        query: FeedQuery,
        tenant: Tenant,
        user_key: str,
        catalog: Catalog,
        served: Served,
        signals: Signals | None,
        model: LinearModel | None,
        now: float,
    ) -> tuple[Slate, bool]:
        """The videos of the page, and whether more may follow; `model` None asks for the popular feed."""
        editorial = self.services.tenants.editorial(tenant.id)
        steering = self.rulebook.of(tenant, editorial, catalog.columns, query.hints, now)
        viewer = Viewer(
            now=now,
            maturity=maturity_limit(tenant, query.hints.age_band),
            country=query.hints.country,
            served=served.fingerprints,
            signals=signals,
        )
        flags, own = self.services.flags, tenant.feature_flags
        context = context_of(
            query,
            tenant,
            catalog,
            served,
            now,
            diverse=flags.on(NEW_DIVERSIFIER, tenant.id, user_key, own),
            explore=model is not None and flags.on(EXPLORATION, tenant.id, user_key, own),
        )
        return select(
            catalog, with_rule_exclusions(viewer, steering), context, steering, len(served), model, self.fallback
        )

    async def _in_the_dark(
        self, query: FeedQuery, tenant: Tenant, user_key: str, served: Served, now: float
    ) -> NDArray[np.uint32] | None:
        """The fingerprints of the personalized page that was not served, None when the user is too new for one."""
        signals, reason = await self._signals(user_key, now)
        if reason is not None:
            return None
        catalog = await self.catalogs.get(tenant.id, now)
        model = self._model(tenant, user_key, self.experiments.of(tenant, user_key))
        slate, _ = self._select(query, tenant, user_key, catalog, served, signals, model, now)
        return catalog.columns.fingerprint[slate.rows]

    def _served(self, query: FeedQuery, tenant: Tenant, user_key: str, now: float) -> Served:
        if query.cursor is None:
            return Served(int(now), fingerprint(f"{user_key}\n{int(now // SEED_SECONDS)}"))
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
        assignment: Assignment | None,
        now: float,
    ) -> Page:
        rows, scores = slate.rows, slate.scores
        every = np.concatenate([served.fingerprints, catalog.columns.fingerprint[rows]])
        after = Served(served.started_at, served.seed, every)
        request = FeedReceipt(
            served_at=int(now),
            personalized=reason is None,
            warm=signals is not None and signals.events >= COLD_START_EVENTS,
            model=_fingerprint_of_model(slate.model_version),
            arm=assignment.arm.number if assignment else 0,
            **_explored(slate, len(served)),
        )
        if assignment is not None:
            self.services.telemetry.count("experiment_feeds", tenant.id, str(assignment.arm.number))
        return Page(
            mode=PERSONALIZED if reason is None else FALLBACK,
            reason=reason,
            rows=rows,
            scores=scores,
            first_rank=len(served),
            next_cursor=cursor.encode(after, self._cursor_keys, tenant.id, user_key) if more else None,
            feed_request_id=feed_receipt.sign(request, self._request_keys, tenant.id, user_key),
            model_version=slate.model_version,
            content_at=self.catalogs.refreshed_at,
            signals_at=signals.updated_at if signals is not None and reason is None else None,
            experiment=assignment.name if assignment else None,
        )


def _explored(slate: Slate, first_rank: int) -> dict[str, Any]:
    """Where in the walk the exploration slot is, and how likely its video was to get it; nothing beyond place 254."""
    if slate.explored is None or first_rank + slate.explored >= NO_POSITION:
        return {}
    return {"explored_rank": first_rank + slate.explored, "propensity": float(slate.propensities[slate.explored])}


def context_of(
    query: FeedQuery,
    tenant: Tenant,
    catalog: Catalog,
    served: Served,
    now: float,
    *,
    diverse: bool = True,
    explore: bool = False,
) -> RankingOptions:
    """What the ranking is asked for. Streaks count across pages, so it sees the end of what was served."""
    last = served.fingerprints[-max(tenant.streak_cap, 1) :]
    before = catalog.columns.row_of_each(last).tolist() if len(last) else []
    return RankingOptions(
        now=now,
        limit=query.limit,
        streak_cap=tenant.streak_cap,
        creator_cap=tenant.creator_cap,
        diversity=tenant.diversity if diverse else 0.0,
        seed=served.seed,
        explore=explore,
        served=tuple(row for row in before if row >= 0),
        country=query.hints.country,
        language=query.hints.language,
        age_band=query.hints.age_band,
        platform=query.hints.platform,
    )
