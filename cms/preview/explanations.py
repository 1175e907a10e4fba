"""Explains a preview: the contributions to a video's score, and why a video is not on the page. Pure."""

from __future__ import annotations

from typing import Any

from cms.preview.models import Contribution
from cms.preview.run import PreviewResult
from feed.filters import FILTERS
from ranking.explain import ABSENCES, explain, why_absent
from shared.domain.records import RATINGS
from shared.domain.rules import EXCLUDE, LIMIT

MIN_AMOUNT = 5e-7
"""Smaller contributions are left out."""
_RATING_OF_RANK = {rank: rating for rating, rank in RATINGS.items()}


def contributions(result: PreviewResult, row: int) -> list[Contribution]:
    """Return the contributions to a video's score, the largest first. They add up to the score and include rules."""
    catalog = result.catalog
    explained = explain(catalog.columns, catalog.stats, result.viewer.signals, row, result.model, result.options)
    parts = [
        Contribution(feature=part.feature, unit=part.unit, value=part.value, weight=part.weight, amount=part.amount)
        for part in explained.contributions
    ]
    if result.steering.adjustment is not None:
        amount = float(result.steering.adjustment[row])
        parts.append(
            Contribution(feature="rules", unit="ln of the multipliers", value=amount, weight=1.0, amount=amount)
        )
    return sorted((part for part in parts if abs(part.amount) > MIN_AMOUNT), key=lambda part: -abs(part.amount))


def absence_fields(result: PreviewResult, row: int | None) -> dict[str, Any]:
    """Return why a video is not on the page, as the fields of an `Absence`. `row` None: it is not in the catalog."""
    if row is None:
        return {"reason": "unknown", "text": "There is no video of that id."}
    place = result.places().get(row)
    if place is not None:
        return {"reason": "served", "text": f"It is on the page, at position {place + 1}."}
    reason = result.filtered.reason(row)
    if reason is not None:
        return {"reason": reason, "text": _removed_text(result, row, reason)}
    if row in result.unpinned.rows:
        return {"reason": "pinned", "text": f"{ABSENCES['pinned'][1]} It comes later."}
    return _outranked_fields(result, row)


def _removed_text(result: PreviewResult, row: int, reason: str) -> str:
    """Describe why a filter removed a video for this viewer."""
    text = FILTERS[reason][0]
    if reason == "maturity":
        own = _RATING_OF_RANK.get(int(result.catalog.columns.maturity[row]), "no known rating")
        return f"It is rated {own}, and this viewer may see up to {_RATING_OF_RANK[result.viewer.maturity]}."
    if reason in ("rule_excluded", "rule_limited"):
        action = EXCLUDE if reason == "rule_excluded" else LIMIT
        names = [
            f"“{rule.name}”"
            for rule, mask in result.steering.applied
            if rule.action == action and (action == LIMIT or mask[row])
        ]
        return f"{text} ({', '.join(names)})"
    return text


def _outranked_fields(result: PreviewResult, row: int) -> dict[str, Any]:
    """Return why other candidates were chosen: the ranking's rule, and the video's position by score."""
    catalog = result.catalog
    found = why_absent(
        catalog.columns,
        catalog.stats,
        result.viewer.signals,
        result.filtered.kept,
        result.model,
        result.options,
        result.unpinned,
        row,
        result.steering.adjustment,
    )
    assert found is not None
    assert found.place is not None
    where = f"By its score it comes at position {found.place + 1} of {found.candidates}"
    if found.rule == "outscored":
        text = f"{where}, and this page ends at {len(result.slate)}. It comes later."
    else:
        text = f"{found.meaning} {where}; it comes later."
    return {
        "reason": found.rule,
        "text": text,
        "place": found.place,
        "candidates": found.candidates,
        "contributions": contributions(result, row),
    }
