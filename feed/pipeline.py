"""Handles one feed request from top to bottom: `serve_feed`.

mode (consent, flags, tenant) → signals → catalog → feed and filters → ranking → maturity gate → page
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from feed import cursor, warm_up
from feed.catalog import Catalog, Catalogs
from feed.cursor import Served
from feed.dark_launch import DarkLaunch
from feed.editorial import Rulebook, Steering
from feed.experiments import Assignment, Experiments
from feed.fallback import Fallback
from feed.filters import Viewer
from feed.following import NEWEST_FOLLOWING, within_following
from feed.named_feeds import NamedFeeds
from feed.named_hints import HintReducer
from feed.narrowing import number_of
from feed.page import Page
from feed.query import NO_HINTS, FeedQuery
from feed.ready_pages import ReadyPage, ReadyPages
from feed.selection import select
from feed.series import next_episodes
from feed.session import FeedSession
from feed.signals_reader import SignalsPaused, SignalsReader, SignalsUnavailable
from feed.subsets import Subsets
from feed.tenant_models import Models, ServedModels, without_next_watch
from feed.videos_by_id import Found, look_up
from ranking.model import LinearModel
from ranking.rank import Slate
from ranking.user_features import COLD_START_EVENTS
from shared.adapters.flags.evaluation import (
    CO_WATCH,
    DARK_LAUNCH,
    EXPLORATION,
    NEW_DIVERSIFIER,
    PERSONALIZED_FEED,
    Flags,
    Verdict,
)
from shared.adapters.refresh import Refresher
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain import feed_receipt
from shared.domain.feed_receipt import NO_POSITION, FeedReceipt
from shared.domain.feeds import NamedFeed
from shared.domain.fingerprint import fingerprint
from shared.domain.holdout_users import in_holdout
from shared.domain.keys import KeyRing
from shared.domain.records import Tenant
from shared.domain.rules import Editorial
from shared.domain.user_signals import Signals
from shared.observability.metrics import Telemetry
from shared.observability.tracing import Stages

FLAGS_STALE_SECONDS = 25.0
"""If flags are older, a request waits for one refresh: the kill switch must take effect within 30 s."""
SEED_SECONDS = 600.0
"""How long a user's first page explores the same video, so that an unchanged page is still a 304."""

PERSONALIZED, FALLBACK = "personalized", "fallback"
OVERLOADED = "overloaded"
REASONS: dict[str, str] = {
    "no_consent": "The user opted out of personalization (`X-Personalization: off`).",
    "kill_switch": "Operators switched personalization off, for everyone or for this tenant.",
    "flags_unavailable": "The state of the kill switch is not known yet.",
    "dark_launch": "The user is in the sample that gets the popular feed while both feeds are compared.",
    "not_in_rollout": "The roll-out does not include this tenant or user.",
    "tenant_disabled": "The tenant switched personalization off.",
    OVERLOADED: "The service is overloaded and serves a prepared page.",
    "signals_paused": "Reading signals kept failing, so they are not read until a probe succeeds.",
    "signals_unavailable": "The user's signals could not be read in time.",
    "cold_start": "Too little is known about the user yet.",
}
"""Every reason for a fallback, in the order they are checked."""

_VERDICTS = {
    Verdict.SWITCHED_OFF: "kill_switch",
    Verdict.UNKNOWN: "flags_unavailable",
    Verdict.NOT_TARGETED: "not_in_rollout",
}


_fingerprint_of_model = lru_cache(1_024)(fingerprint)


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to create
class Selection:
    """The chosen videos, whether more can follow, and how they were chosen.

    `reason` says why the page is a fallback; None if it is personalized. `signals` are the user's, if they were read.
    """

    slate: Slate
    more: bool
    reason: str | None
    signals: Signals | None
    assignment: Assignment | None
    ready: ReadyPage | None = None
    """The shared ready page, if it was chosen."""


@dataclass(slots=True)
class Result:
    """A served page and the catalog that its rows refer to. Use both before the next await."""

    page: Page
    catalog: Catalog


class Feed:
    """Serves feed requests. A process has one."""

    def __init__(
        self,
        *,
        catalogs: Catalogs,
        signals: SignalsReader,
        models: Models,
        experiments: Experiments,
        dark_launch: DarkLaunch,
        flags: Flags,
        flags_refresher: Refresher,
        tenants: TenantDirectory,
        keys: KeyRing,
        archive_pseudonym: Callable[[str], str],
        telemetry: Telemetry,
        receipts_know_their_page: bool = False,
        write_cursor_version: int = 1,
    ) -> None:
        self.catalogs = catalogs
        self.signals = signals
        self.models = models
        self.experiments = experiments
        self.dark_launch = dark_launch
        self.fallback = Fallback()
        self.ready_pages = ReadyPages()
        self.rulebook = Rulebook()
        self.hint_reducer = HintReducer()
        self.named_feeds = NamedFeeds(tenants)
        self.subsets = Subsets()
        self._flags = flags
        self._flags_refresher = flags_refresher
        self._tenants = tenants
        self._archive_pseudonym = archive_pseudonym
        self._telemetry = telemetry
        self._cursor_keys = keys.for_purpose("cursor")
        self._receipt_keys = keys.for_purpose("feed-request")
        self._receipts_know_their_page = receipts_know_their_page
        self._write_cursor_version = write_cursor_version

    async def close(self) -> None:
        """Stop comparisons and content pulls."""
        await self.dark_launch.close()
        await self.catalogs.close()

    def warm_up(self, now: float) -> list[bytes]:
        """Build a personal and a popular page of generated content, the way requests are served, so that no user waits
        for one-time costs. Calls no dependency. Returns the JSON of both, which only tests read."""
        tenant, catalog = warm_up.TENANT, warm_up.made_up_catalog(now)
        query = FeedQuery(tenant.default_limit, None, NO_HINTS, True)
        session = FeedSession(query, tenant, "", self._served(query, tenant, "", now), now)
        bodies = []
        for reason in (None, "cold_start"):
            selection = self._select(session, catalog, warm_up.made_up_signals(now), reason)
            bodies.append(self._page(session, catalog, selection).body(catalog))
        return bodies

    async def serve_feed(
        self,
        query: FeedQuery,
        tenant: Tenant,
        user_key: str,
        now: float,
        *,
        feed: NamedFeed | None = None,
        overloaded: bool = False,
        stages: Stages | None = None,
    ) -> Result:
        """Return the next page for a user, the ready one when the process is overloaded. `stages` records how long each
        part took. `feed` and `tenant` come from `NamedFeeds.of`. Raises a 400 `Problem` for a bad cursor,
        `StoreUnavailable` when the tenant's catalog was never loaded and cannot be."""
        stages = stages or Stages()
        served = self._served(query, tenant, user_key, now, number_of(feed, query.filters))
        session = FeedSession(query, tenant, user_key, served, now, feed)
        reason = await self.reason_against(query, tenant, user_key) or (OVERLOADED if overloaded else None)
        stages.end("flags")
        signals: Signals | None = None
        if reason is None:
            signals, reason = await self.signals_of(tenant.id, user_key)
        stages.end("signals")
        catalog = await self.catalogs.get(tenant.id)
        stages.end("catalog")

        # No await from here on: the catalog must not change during the request.
        selection = self._select(session, catalog, signals, reason)
        stages.end("rank")
        page = self._page(session, catalog, selection)
        stages.end("page")
        if reason == "dark_launch" and not overloaded:
            self.dark_launch.compare_later(
                tenant.id,
                catalog.columns.fingerprint[selection.slate.rows],
                lambda: self._personalized_instead(session),
            )
        return Result(page, catalog)

    async def look_up(self, ids: Sequence[str], query: FeedQuery, tenant: Tenant, user_key: str, now: float) -> Found:
        """Return the videos among `ids` that a viewer can see. Raises `StoreUnavailable` like `serve_feed`."""
        return look_up(*await self.viewer_of(query, tenant, user_key, now), ids)

    async def viewer_of(self, query: FeedQuery, tenant: Tenant, user_key: str, now: float) -> tuple[Catalog, Viewer]:
        """Return the tenant's catalog and the filters' input for a viewer, without signals. Use both before the next
        await. Raises `StoreUnavailable` like `serve_feed`."""
        catalog = await self.catalogs.get(tenant.id)
        session = FeedSession(query, tenant, user_key, Served(int(now), 0), now)
        editorial = self._tenants.editorial(tenant.id)
        session.hints = self.hint_reducer.of(tenant, editorial, catalog.columns, query.hints)
        steering = self.rulebook.of(tenant, editorial, catalog.columns, session.hints, now)
        return catalog, session.viewer(None, steering)

    async def signals_if_allowed(self, query: FeedQuery, tenant: Tenant, user_key: str) -> Signals | None:
        """Return the user's signals if a feed could be personalized; None if not, or if there are none."""
        reason = await self.reason_against(query, tenant, user_key)
        return None if reason is not None else (await self.signals_of(tenant.id, user_key))[0]

    async def reason_against(self, query: FeedQuery, tenant: Tenant, user_key: str) -> str | None:
        """Return `why_not_personalized`, with flags that are recent enough for the kill switch."""
        await self._flags_refresher.ensure_fresh(FLAGS_STALE_SECONDS, 0.05)
        return self.why_not_personalized(query, tenant, user_key)

    def why_not_personalized(self, query: FeedQuery, tenant: Tenant, user_key: str) -> str | None:
        """Return the first reason not to personalize that needs no data about the user; None if there is none.

        Consent comes first; then the kill switch and its targeting, the tenant's switch, and the tenant's own flags. A
        dark launch applies only to users whom the roll-out includes or leaves out.
        """
        if not query.consented:
            return "no_consent"
        verdict = self._flags.ask(PERSONALIZED_FEED, tenant.id, user_key)
        if verdict in (Verdict.SWITCHED_OFF, Verdict.UNKNOWN):
            return _VERDICTS[verdict]
        disabled = not tenant.use_personalization or tenant.feature_flags.get(PERSONALIZED_FEED) is False
        if not disabled and self._flags.on(DARK_LAUNCH, tenant.id, user_key):
            return "dark_launch"
        if verdict is not Verdict.ON:
            return _VERDICTS[verdict]
        return "tenant_disabled" if disabled else None

    async def signals_of(self, tenant_id: str, user_key: str) -> tuple[Signals | None, str | None]:
        """Return a user's signals, if they can be read, and the reason why no page can be personalized with them; None
        if one can."""
        try:
            signals = await self.signals.get(tenant_id, user_key)
        except SignalsPaused:
            return None, "signals_paused"
        except SignalsUnavailable:
            return None, "signals_unavailable"
        if signals is None or signals.events < COLD_START_EVENTS:
            return signals, "cold_start"
        return signals, None

    def is_held_out(self, tenant: Tenant, user_key: str, models: ServedModels) -> bool:
        """Tell whether a user is in the tenant's holdout. It is decided by the archive's pseudonym, so that evaluations
        of the archive find the same users."""
        return models.holdout and in_holdout(self._archive_pseudonym(user_key), tenant.id)

    def _ranking(self, tenant: Tenant, user_key: str, feed: str) -> tuple[LinearModel, Assignment | None]:
        """Return the model of a personal page, and the user's arm; None outside experiments."""
        models, assignment, flags = self.models.of(tenant, feed), None, self._flags
        if self.is_held_out(tenant, user_key, models):
            model = models.for_user(in_holdout=True)
        else:
            assignment = self.experiments.of(tenant, user_key, feed)
            model = assignment.model if assignment is not None else models.personal
        on = flags.on(CO_WATCH, tenant.id, user_key, tenant.feature_flags)
        return model if on else without_next_watch(model), assignment

    def _select(self, session: FeedSession, catalog: Catalog, signals: Signals | None, reason: str | None) -> Selection:
        """Choose the videos of the page: ranked for the user, or the popular ones if there is a reason not to
        personalize."""
        tenant, user_key = session.tenant, session.user_key
        editorial = self._tenants.editorial(tenant.id)
        self.narrow(session, editorial, catalog, signals)
        diverse = self._flags.on(NEW_DIVERSIFIER, tenant.id, user_key, tenant.feature_flags)
        if reason is None and session.feed is not NEWEST_FOLLOWING:
            model, assignment = self._ranking(tenant, user_key, session.feed_id)
            slate, more, _ = self._slate(session, editorial, catalog, signals, model, diverse)
            return Selection(slate, more, None, signals, assignment)
        popularity = self.models.of(tenant, session.feed_id).popularity
        if (
            session.wanted is None
            and not len(session.served)
            and not (signals is not None and len(signals.dismissed.keys))
        ):

            def make() -> tuple[Slate, bool, Steering]:
                return self._slate(session, editorial, catalog, None, None, diverse, popularity)

            ready = self.ready_pages.page(session, editorial, popularity, catalog, diverse, make)
            if not ready.pinned or signals is None or not len(signals.seen.keys):
                return Selection(ready.slate, ready.more, reason, signals, None, ready)
        slate, more, _ = self._slate(session, editorial, catalog, signals, None, diverse, popularity)
        return Selection(slate, more, reason, signals, None)

    def narrow(self, session: FeedSession, editorial: Editorial, catalog: Catalog, signals: Signals | None) -> None:
        """Set the session's reduced hints, and the rows of its feed and its filters in this catalog."""
        columns, tenant_id = catalog.columns, session.tenant.id
        session.hints = self.hint_reducer.of(session.tenant, editorial, columns, session.query.hints)
        if session.feed is not None:
            session.base = self.subsets.base(tenant_id, session.feed, columns, editorial)
        wanted = self.subsets.wanted(tenant_id, session.query.filters, columns, editorial)
        session.wanted = wanted if session.feed is None else within_following(session.feed, wanted, columns, signals)

    def _slate(
        self,
        session: FeedSession,
        editorial: Editorial,
        catalog: Catalog,
        signals: Signals | None,
        model: LinearModel | None,
        diverse: bool,
        popularity: LinearModel | None = None,
    ) -> tuple[Slate, bool, Steering]:
        """Return the videos by a model (None: by popularity), whether more can follow, and the compiled rules."""
        tenant, flags = session.tenant, self._flags
        steering = self.rulebook.of(tenant, editorial, catalog.columns, session.hints, session.now)
        explore = model is not None and flags.on(EXPLORATION, tenant.id, session.user_key, tenant.feature_flags)
        options = session.ranking_options(catalog, diverse=diverse, explore=explore)
        viewer = session.viewer(signals, steering)
        first = len(session.served)
        episodes: Sequence[int] = ()
        if model is not None and signals is not None and signals.finished.rows and tenant.offer_next_episode:
            episodes = next_episodes(catalog.columns, signals.finished, viewer)
        slate, more = select(
            catalog, viewer, options, steering, first, model, self.fallback, popularity, session.feed, episodes
        )
        return slate, more, steering

    async def _personalized_instead(self, session: FeedSession) -> NDArray[np.uint32] | None:
        """Return the fingerprints of the personalized page that was not served; None if the user is too new for one."""
        signals, reason = await self.signals_of(session.tenant.id, session.user_key)
        if reason is not None:
            return None
        catalog = await self.catalogs.get(session.tenant.id)
        slate = self._select(session, catalog, signals, None).slate
        return catalog.columns.fingerprint[slate.rows]

    def _served(self, query: FeedQuery, tenant: Tenant, user_key: str, now: float, feed: int = 0) -> Served:
        if query.cursor is None:
            return Served(int(now), fingerprint(f"{user_key}\n{int(now // SEED_SECONDS)}"), feed=feed)
        return cursor.decode(query.cursor, self._cursor_keys, tenant.id, user_key, now, feed)

    def _page(self, session: FeedSession, catalog: Catalog, selection: Selection) -> Page:
        tenant, user_key, served = session.tenant, session.user_key, session.served
        slate, reason, assignment = selection.slate, selection.reason, selection.assignment
        signals, ready = selection.signals, selection.ready
        shown = catalog.columns.fingerprint[slate.rows] if ready is None else ready.fingerprints
        every = np.concatenate([served.fingerprints, shown]) if len(served) else shown
        keys = self._cursor_keys, tenant.id, user_key
        after = Served(served.started_at, served.seed, every, served.feed)
        receipt = FeedReceipt(
            int(session.now),
            reason is None,
            signals is not None and signals.events >= COLD_START_EVENTS,
            _fingerprint_of_model(slate.model_version),
            assignment.arm.number if assignment else 0,
            *_explored(slate, len(served)),
            feed=served.feed,
        )
        knows_page = self._receipts_know_their_page or served.feed != 0  # only a receipt with its page can store a feed
        videos = catalog.columns.key[slate.rows] if knows_page else None
        if assignment is not None:
            self._telemetry.count("experiment_feeds", tenant.id, str(assignment.arm.number))
        return Page(
            mode=PERSONALIZED if reason is None else FALLBACK,
            reason=reason,
            rows=slate.rows,
            scores=slate.scores,
            first_rank=len(served),
            next_cursor=cursor.encode(after, *keys, self._write_cursor_version) if selection.more else None,
            feed_request_id=feed_receipt.sign(receipt, self._receipt_keys, tenant.id, user_key, videos),
            model_version=slate.model_version,
            content_at=session.now - (self.catalogs.age() or 0.0),
            signals_at=signals.updated_at if signals is not None and reason is None else None,
            experiment=assignment.name if assignment else None,
            ready=ready.rendered if ready is not None else None,
            include=session.query.include,
            feed=served.feed,
        )


def _explored(slate: Slate, first_rank: int) -> tuple[int, float]:
    """Return the position of the exploration slot in the walk and its video's probability. Nothing beyond position
    254."""
    if slate.explored is None or first_rank + slate.explored >= NO_POSITION:
        return NO_POSITION, 0.0
    return first_rank + slate.explored, float(slate.propensities[slate.explored])
