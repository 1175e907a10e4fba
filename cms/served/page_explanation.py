"""Explains a served page from its receipt, the archive, the catalog and the tenant's current models. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from cms.preview.explanations import MIN_AMOUNT
from cms.preview.models import Contribution
from cms.served.models import ServedItem, ServedPage, Untold
from feed.catalog import Catalog
from feed.narrowing import number_of
from feed.pipeline import FALLBACK, PERSONALIZED
from feed.tenant_models import with_half_life_of, with_weights_of, without_next_watch
from ranking.explain import explain
from ranking.model import InvalidModel, LinearModel, global_model, parse, parse_popularity, popularity_model
from ranking.user_features import RankingOptions
from shared.domain.feed_receipt import NO_POSITION, FeedReceipt
from shared.domain.feeds import EDITORIAL, NEWEST, NamedFeed
from shared.domain.fingerprint import fingerprint
from shared.domain.formats import iso_time
from shared.domain.records import HOME, Arm, Experiment, Tenant
from shared.domain.reported_videos import ReportedVideos
from shared.domain.user_signals import Signals

MAX_CANDIDATES = 10
_MARKS = 1 << 16
"""Number of different marks. A receipt stores a mark of this range for each position of its page."""

ORDERS = (NEWEST, EDITORIAL)
"""Names that the feed uses instead of a model version if no model ranks."""

UNTOLD = {
    "scores": "Past scores, rules and hints are not stored. Contributions are those of the current score.",
    "reason": "The receipt does not say why the page was not personalized.",
    "feed": "None of the current feeds, without filters, matches this page.",
    "model": "None of the stored model versions ranked this page.",
    "experiment": "The experiment of this page no longer runs.",
    "page": "The receipt has version 1, which does not contain the page. Only reported videos are known.",
    "places": "At some positions the video is no longer in the catalog, or several videos match.",
    "archive": "The archive could not be read completely, so more videos can have been reported.",
    "signals": "The user's signals cannot be read, so no contributions are shown.",
}


@dataclass(frozen=True, slots=True)
class Known:
    """A tenant's current configuration. `models`: stored versions in the file format."""

    tenant: Tenant
    feeds: Sequence[NamedFeed]
    models: Sequence[Mapping[str, Any]]
    experiment: Experiment | None


@dataclass(frozen=True, slots=True)
class Viewer:
    """The user's current signals. `readable`: False if they could not be read."""

    signals: Signals | None
    readable: bool


def feed_of(receipt: FeedReceipt, known: Known) -> tuple[str | None, Tenant]:
    """Return the feed of a page (None: unknown), and the tenant with that feed's settings applied."""
    if receipt.feed == 0:
        return HOME, known.tenant
    for named in known.feeds:
        if number_of(named, ()) == receipt.feed:
            return named.id, named.laid_over(known.tenant)
    return None, known.tenant


def model_of(receipt: FeedReceipt, known: Known, tenant: Tenant) -> LinearModel | None:
    """Return the model that ranked a page, among all that the stored versions can produce now; None: unknown."""
    return next((model for model in _models(known, tenant) if fingerprint(model.version) == receipt.model), None)


def _models(known: Known, tenant: Tenant) -> Iterator[LinearModel]:
    arms = known.experiment.arms if known.experiment else ()
    over = [tenant, *(replace(tenant, weights={**tenant.weights, **arm.weights}) for arm in arms if arm.weights)]
    for base in _bases(known.models):
        yield base
        for weighted in over:
            model = with_weights_of(weighted, base)
            yield from (model, without_next_watch(model))
        yield with_half_life_of(tenant, base)


def _bases(stored: Iterable[Mapping[str, Any]]) -> Iterator[LinearModel]:
    yield from (global_model(), popularity_model())
    for document in stored:
        try:
            yield parse(document)
            popularity = parse_popularity(document)
        except InvalidModel:
            continue
        if popularity is not None:
            yield popularity


def arm_named(receipt: FeedReceipt, experiment: Experiment | None) -> str | None:
    """Return `experiment/arm` of a page; None if there was none, or its experiment no longer runs."""
    if receipt.arm == 0 or experiment is None or (experiment.started_at or 0.0) > receipt.served_at:
        return None
    arm: Arm | None = next((arm for arm in experiment.arms if arm.number == receipt.arm), None)
    return None if arm is None else f"{experiment.id}/{arm.name}"


def served_page(
    receipt: FeedReceipt,
    known: Known,
    rows_at: Mapping[int, Sequence[int]],
    reported: ReportedVideos,
    catalog: Catalog,
    viewer: Viewer,
    options: RankingOptions,
) -> ServedPage:
    """Build the response. `rows_at`: position → catalog rows that match the receipt's mark."""
    feed, tenant = feed_of(receipt, known)
    model = model_of(receipt, known, tenant)
    arm = arm_named(receipt, known.experiment)
    order = next((order for order in ORDERS if fingerprint(order) == receipt.model), None)
    version = order if model is None else model.version
    shown = model if viewer.readable or not receipt.personalized else None
    items = None if receipt.page is None else [
        _item(place, rows_at.get(place, ()), reported, catalog, shown, viewer, options, receipt)
        for place in range(len(receipt.page) // 2)
    ]  # fmt: skip
    explored = receipt.explored_rank != NO_POSITION
    missing = {
        "scores": True,
        "reason": not receipt.personalized,
        "feed": feed is None,
        "model": version is None,
        "experiment": receipt.arm != 0 and arm is None,
        "page": items is None,
        "places": any(item.video_id is None for item in items or ()),
        "archive": not reported.whole,
        "signals": receipt.personalized and not viewer.readable,
    }
    return ServedPage(
        served_at=iso_time(receipt.served_at),
        mode=PERSONALIZED if receipt.personalized else FALLBACK,
        warm=receipt.warm,
        feed=feed,
        model_version=version,
        arm=arm,
        arm_number=receipt.arm,
        explored_rank=receipt.explored_rank if explored else None,
        propensity=round(receipt.propensity, 4) if explored else None,
        items=items,
        mistaken=round(1 - (1 - 1 / _MARKS) ** len(catalog.columns.rows()), 4),
        reported=sorted(reported.ids),
        untold=[Untold(what=what, text=UNTOLD[what]) for what, holds in missing.items() if holds],
    )


def _item(
    place: int,
    rows: Sequence[int],
    reported: ReportedVideos,
    catalog: Catalog,
    model: LinearModel | None,
    viewer: Viewer,
    options: RankingOptions,
    receipt: FeedReceipt,
) -> ServedItem:
    ids = catalog.columns.ids
    certain = [row for row in rows if ids[row] in reported.ids]
    (row,) = certain if len(certain) == 1 else rows if len(rows) == 1 else (None,)
    signals = viewer.signals if receipt.personalized else None
    return ServedItem(
        place=place,
        video_id=None if row is None else ids[row],
        title=None if row is None else orjson.loads(catalog.items[row] + b"}")["title"],
        candidates=sorted(ids[each] for each in rows)[:MAX_CANDIDATES] if row is None else [],
        reported=row is not None and row in certain,
        contributions=[] if row is None or model is None else _contributions(catalog, signals, row, model, options),
    )


def _contributions(
    catalog: Catalog, signals: Signals | None, row: int, model: LinearModel, options: RankingOptions
) -> list[Contribution]:
    parts = explain(catalog.columns, catalog.stats, signals, row, model, options).contributions
    return [
        Contribution(feature=part.feature, unit=part.unit, value=part.value, weight=part.weight, amount=part.amount)
        for part in sorted(parts, key=lambda part: -abs(part.amount))
        if abs(part.amount) > MIN_AMOUNT
    ]
