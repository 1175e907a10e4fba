"""One feed request, with the videos that the pages before it served, and what filters and ranking need of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from feed.catalog import Catalog
from feed.cursor import Served
from feed.editorial import Steering
from feed.filters import Viewer, maturity_limit
from feed.query import FeedQuery, Hints
from feed.subsets import BaseSet, Mask
from ranking.user_features import RankingOptions
from shared.domain.feeds import NamedFeed
from shared.domain.records import HOME, Tenant
from shared.domain.user_signals import Signals


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to create
class FeedSession:
    """One feed request: caller, query, and the videos that this walk by cursor has served. `now` is in seconds since
    the epoch.

    `tenant` has the named feed's configuration (`NamedFeed.laid_over`); `feed` None is the home feed. `hints` start as
    the query's. `Feed.narrow` replaces them with the reduced ones (`feed/named_hints.py`), and sets `base`, the rows of
    the named feed, and `wanted`, the rows that match the request's filters.
    """

    query: FeedQuery
    tenant: Tenant
    user_key: str
    served: Served
    now: float
    feed: NamedFeed | None = None
    hints: Hints = field(init=False)
    base: BaseSet | None = field(init=False, default=None)
    wanted: Mask | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.hints = self.query.hints

    @property
    def feed_id(self) -> str:
        return HOME if self.feed is None else self.feed.id

    def _is_of_one(self, kind: str) -> bool:
        """Tell whether the feed or the request names a single category or creator, so that a cap on it would have no
        effect."""
        criteria = self.query.filters if self.feed is None else (*self.query.filters, *self.feed.base)
        return any(name == kind and len(values) == 1 for name, values in criteria)

    def viewer(self, signals: Signals | None, steering: Steering) -> Viewer:
        """Return the filters' input. `signals` None: only the hints are used."""
        hints = self.hints
        return Viewer(
            now=self.now,
            maturity=maturity_limit(self.tenant, hints.age_band),
            country=hints.country,
            served=self.served.fingerprints,
            signals=signals,
            excluded=steering.excluded,
            outside_limit=steering.outside_limit,
            base=self.base,
            wanted=self.wanted,
        )

    def ranking_options(self, catalog: Catalog, *, diverse: bool = True, explore: bool = False) -> RankingOptions:
        """Return the options of the ranking. Streaks count across pages, so they have the last served rows."""
        tenant, hints = self.tenant, self.hints
        streak_cap = 0 if self._is_of_one("category") else tenant.streak_cap
        last = self.served.fingerprints[-max(streak_cap, 1) :]
        before = catalog.columns.row_of_each(last).tolist() if len(last) else []
        return RankingOptions(
            now=self.now,
            limit=self.query.limit,
            streak_cap=streak_cap,
            creator_cap=0 if self._is_of_one("creator") else tenant.creator_cap,
            diversity=tenant.diversity if diverse else 0.0,
            seed=self.served.seed,
            explore=explore,
            served=tuple(row for row in before if row >= 0),
            country=hints.country,
            language=hints.language,
            age_band=hints.age_band,
            platform=hints.platform,
        )
