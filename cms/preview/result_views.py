"""Builds the views of a preview: live feed, drafted feed, and explanations of single videos. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from cms.preview.explanations import absence_fields, contributions
from cms.preview.models import (
    AppliedRule,
    AskedVideo,
    CountedRule,
    DraftFeed,
    DraftItem,
    LeftVideo,
    LiveFeed,
    PreviewItem,
)
from cms.preview.run import PreviewResult
from feed.catalog import Catalog
from feed.pipeline import FALLBACK, PERSONALIZED, REASONS
from shared.domain.rules import BOOST, PIN, SUPPRESS, Rule

_SUMMARY = ("videoId", "title", "mainTag", "tags", "durationSeconds", "maturityRating", "thumbnailUrl")


def live_feed(result: PreviewResult) -> LiveFeed:
    """Build the view of the live feed."""
    items = [PreviewItem.unchecked(**_item_fields(result, row, place)) for row, place in result.places().items()]
    return LiveFeed.unchecked(**_feed_fields(result), items=items)


def draft_feed(result: PreviewResult, live: PreviewResult) -> DraftFeed:
    """Build the view of the drafted feed, with each video's move compared with the live feed."""
    before, after = live.places(), result.places()
    items = [
        DraftItem.unchecked(
            **_item_fields(result, row, place),
            before=before.get(row),
            moved=before[row] - place if row in before else None,
        )
        for row, place in after.items()
    ]
    left = [
        LeftVideo.unchecked(**_summary(result.catalog, row), before=place, **absence_fields(result, row))
        for row, place in before.items()
        if row not in after
    ]
    return DraftFeed.unchecked(**_feed_fields(result), items=items, left=left)


def asked_videos(result: PreviewResult, ids: Sequence[str]) -> list[AskedVideo]:
    """Explain for each video why it is, or is not, on the page."""
    rows = [(id, result.catalog.columns.row(id)) for id in ids]
    return [
        AskedVideo.unchecked(
            **({"videoId": id} if row is None else _summary(result.catalog, row)), **absence_fields(result, row)
        )
        for id, row in rows
    ]


def _feed_fields(result: PreviewResult) -> dict[str, Any]:
    """Return the fields of a `PreviewFeed`."""
    given = result.given
    return {
        "mode": PERSONALIZED if result.personalized else FALLBACK,
        "reason": given.reason,
        "reason_text": REASONS[given.reason] if given.reason is not None else None,
        "model_version": result.slate.model_version,
        "arm": given.arm.name if given.arm and result.personalized else None,
        "candidates": len(result.filtered.kept),
        "removed": {name: count for name, count in result.filtered.removed().items() if count},
        "rules": [
            CountedRule.unchecked(**_rule_fields(rule), matches=int(mask.sum()))
            for rule, mask in result.steering.applied
        ],
    }


def _item_fields(result: PreviewResult, row: int, place: int) -> dict[str, Any]:
    """Return the fields of a `PreviewItem`."""
    slate = result.slate
    return {
        **_summary(result.catalog, row),
        "rank": place,
        "score": float(slate.scores[place]),
        "contributions": contributions(result, row),
        "rules": [AppliedRule.unchecked(**_rule_fields(rule)) for rule, mask in result.steering.applied if mask[row]],
        "explored": slate.explored == place,
        "pinned": place in slate.pinned,
    }


def _summary(catalog: Catalog, row: int) -> dict[str, Any]:
    """Return the fields of a `VideoSummary`. A catalog's item lacks its closing brace, so the feed can append to it."""
    item: dict[str, Any] = orjson.loads(catalog.items[row] + b"}")
    return {name: item[name] for name in _SUMMARY}


def _rule_fields(rule: Rule) -> dict[str, Any]:
    """Return the fields of an `AppliedRule`."""
    fields: dict[str, Any] = {"id": rule.id, "name": rule.name, "action": rule.action}
    if rule.action in (BOOST, SUPPRESS):
        fields["multiplier"] = rule.multiplier
    if rule.action == PIN:
        fields["positions"] = list(rule.positions)
    return fields
