"""Runs the feed's own page selection for a preview, live or drafted. Pure.

It creates no cursor, receipt or metric, and does not change the feed's caches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from feed.catalog import Catalog
from feed.editorial import Steering, steer
from feed.fallback import Fallback
from feed.filters import Filtered, Viewer, apply_filters
from feed.selection import select
from feed.session import FeedSession
from feed.tenant_models import without_next_watch
from ranking.model import LinearModel
from ranking.rank import Slate
from ranking.user_features import RankingOptions
from shared.domain.records import Arm
from shared.domain.rules import Editorial, Rule
from shared.domain.user_signals import Signals


@dataclass(frozen=True, slots=True)
class PreviewInput:
    """The feed to preview: a session whose tenant is live or drafted, with its rules and models.

    `at`: time at which schedules are evaluated, in seconds since 1970; the ranking uses the session's time.
    `personal`: model of personal pages, including co-watching; `popularity`: model of the popular feed.
    `reason`: why the feed is not personalized, None if it is; `signals` are used only then.
    `arm`: the viewer's arm of a running experiment.
    `diverse`, `cowatch`: whether the flags of the diversifier and of co-watching are on.
    """

    session: FeedSession
    at: float
    editorial: Editorial
    personal: LinearModel
    popularity: LinearModel
    signals: Signals | None
    reason: str | None
    arm: Arm | None
    diverse: bool
    cowatch: bool

    def model(self) -> LinearModel | None:
        """Return the model that ranks; None for the popular feed."""
        if self.reason is not None:
            return None
        return self.personal if self.cowatch else without_next_watch(self.personal)


@dataclass(frozen=True, slots=True, eq=False)
class PreviewResult:
    """The page, with all its inputs and intermediate results. `unpinned`: the page without the rules' pins."""

    given: PreviewInput
    catalog: Catalog
    viewer: Viewer
    steering: Steering
    options: RankingOptions
    model: LinearModel
    slate: Slate
    unpinned: Slate
    filtered: Filtered

    @property
    def personalized(self) -> bool:
        return self.given.reason is None

    def places(self) -> dict[int, int]:
        """Map each row to its position on the page, from 0."""
        return {row: place for place, row in enumerate(self.slate.rows.tolist())}


def run_preview(catalog: Catalog, given: PreviewInput) -> PreviewResult:
    """Select the page as the feed does, with a cache of its own."""
    session = given.session
    model = given.model()
    steering = steer(given.editorial, catalog.columns, session.query.hints, given.at)
    viewer = replace(session, now=given.at).viewer(given.signals if model is not None else None, steering)
    options = session.ranking_options(catalog, diverse=given.diverse)
    fallback, first_rank = Fallback(), len(session.served)
    slate, _ = select(catalog, viewer, options, steering, first_rank, model, fallback, given.popularity)
    unpinned = slate
    if steering.pins:
        no_pins = replace(steering, pins=())
        unpinned, _ = select(catalog, viewer, options, no_pins, first_rank, model, fallback, given.popularity)
    return PreviewResult(
        given=given,
        catalog=catalog,
        viewer=viewer,
        steering=steering,
        options=options,
        model=model or given.popularity,
        slate=slate,
        unpinned=unpinned,
        filtered=apply_filters(catalog.columns, viewer),
    )


def with_rules(
    editorial: Editorial, changed: Sequence[Rule], without: Sequence[str], playlists: Mapping[str, Sequence[str]]
) -> Editorial:
    """Apply a draft to the rules: add or replace `changed` by id, remove `without`, replace `playlists`."""
    rules = {rule.id: rule for rule in editorial.rules if rule.id not in without}
    rules |= {rule.id: rule for rule in changed}
    lists = {**editorial.playlists, **{id: tuple(ids) for id, ids in playlists.items()}}
    return Editorial.of(rules, lists)
