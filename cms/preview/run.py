"""The feed somebody would get, and why: the production's own selection, explained and compared with a draft. Pure.

Nothing is recorded: no cursor, no feed request id, no metric, and the caches of the feed are not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from feed.catalog import Catalog
from feed.editorial import Steering, steer
from feed.fallback import Fallback
from feed.filters import FILTERS, Filtered, Viewer, apply_filters, maturity_limit
from feed.models import resolve, without_cowatch
from feed.pipeline import FALLBACK, PERSONALIZED, REASONS, context_of
from feed.query import FeedQuery
from feed.selection import select, with_rule_exclusions
from ranking.explain import ABSENCES, explain, why_absent
from ranking.model import LinearModel, popularity_model
from ranking.rank import Slate
from ranking.user_features import RankingOptions
from shared.domain.fingerprint import fingerprint
from shared.domain.records import RATINGS, Arm, Tenant
from shared.domain.rules import BOOST, EXCLUDE, LIMIT, PIN, SUPPRESS, Editorial, Rule
from shared.domain.user_signals import Signals

TINY = 5e-7
"""Contributions smaller than this are left out: they move nothing that anybody could see."""


@dataclass(frozen=True, slots=True)
class PreviewInput:
    """Who is looking at what: a tenant's configuration, rules and model, live or drafted, and a viewer.

    `stored_model` is the model as stored, None for the global one; `arm` the viewer's arm of a running experiment.
    `reason` says why the feed is not personalized, None when it is; `signals` are then the viewer's. `varied` and
    `cowatch` tell whether the flags for variety and co-watching are on.
    """

    tenant: Tenant
    editorial: Editorial
    stored_model: Mapping[str, Any] | None
    query: FeedQuery
    signals: Signals | None
    reason: str | None
    now: float
    arm: Arm | None = None
    varied: bool = True
    cowatch: bool = True

    def model(self) -> LinearModel | None:
        """What ranks: None asks for the popular feed. Raises `InvalidModel`."""
        if self.reason is not None:
            return None
        arm_weights = self.arm.weights if self.arm else {}
        model = resolve(replace(self.tenant, weights={**self.tenant.weights, **arm_weights}), self.stored_model)
        return model if self.cowatch else without_cowatch(model)


@dataclass(frozen=True, slots=True, eq=False)
class PreviewResult:
    """What a scene shows, with everything that led to it. `unpinned` is the page as it would be without any pin."""

    scene: PreviewInput
    catalog: Catalog
    viewer: Viewer
    steering: Steering
    context: RankingOptions
    model: LinearModel
    slate: Slate
    unpinned: Slate
    filtered: Filtered

    @property
    def personalized(self) -> bool:
        return self.scene.reason is None


def run_preview(catalog: Catalog, scene: PreviewInput, served: Any) -> PreviewResult:
    """Run the selection as the feed does, with caches of its own. Raises `InvalidModel`."""
    tenant, hints = scene.tenant, scene.query.hints
    steering = steer(scene.editorial, catalog.columns, hints, scene.now)
    viewer = with_rule_exclusions(
        Viewer(
            now=scene.now,
            maturity=maturity_limit(tenant, hints.age_band),
            country=hints.country,
            served=served.fingerprints,
            signals=scene.signals if scene.reason is None else None,
        ),
        steering,
    )
    context = context_of(scene.query, tenant, catalog, served, scene.now)
    if not scene.varied:
        context = replace(context, diversity=0.0)
    model = scene.model()
    fallback = Fallback()
    slate, _ = select(catalog, viewer, context, steering, len(served), model, fallback)
    plain = replace(steering, pins=())
    unpinned = select(catalog, viewer, context, plain, len(served), model, fallback)[0] if steering.pins else slate
    return PreviewResult(
        scene,
        catalog,
        viewer,
        steering,
        context,
        model or popularity_model(),
        slate,
        unpinned,
        apply_filters(catalog.columns, viewer if model else _with_wishes_only(viewer)),
    )


def _with_wishes_only(viewer: Viewer) -> Viewer:
    """What the popular feed knows of a viewer: nothing but what they asked not to see."""
    known = viewer.signals
    return replace(viewer, signals=known and Signals(known.half_life_days, dismissed=known.dismissed))


def to_response(picture: PreviewResult, compared_with: PreviewResult | None = None) -> dict[str, Any]:
    """A picture as the API answers it; with another one to compare with, how each video moved."""
    before = _places(compared_with.slate) if compared_with else {}
    columns = picture.catalog.columns
    items = []
    for place, (row, value) in enumerate(zip(picture.slate.rows.tolist(), picture.slate.scores.tolist(), strict=True)):
        item = {
            **_video(picture.catalog, row),
            "rank": place,
            "score": value,
            "contributions": contributions(picture, row),
            "rules": [_named(rule) for rule, mask in picture.steering.applied if mask[row]],
            "explored": picture.slate.explored == place,
            "pinned": place in picture.slate.pinned,
        }
        if compared_with is not None:
            item["before"] = before.get(row)
            item["moved"] = None if row not in before else before[row] - place
        items.append(item)
    now_there = set(picture.slate.rows.tolist())
    answer: dict[str, Any] = {
        "mode": PERSONALIZED if picture.personalized else FALLBACK,
        "reason": picture.scene.reason,
        "reasonText": REASONS.get(picture.scene.reason or ""),
        "modelVersion": picture.slate.model_version,
        "arm": picture.scene.arm.name if picture.scene.arm and picture.personalized else None,
        "items": items,
        "candidates": len(picture.filtered.kept),
        "removed": {name: count for name, count in picture.filtered.removed().items() if count},
        "rules": [{**_named(rule), "matches": int(mask.sum())} for rule, mask in picture.steering.applied],
    }
    if compared_with is not None:
        answer["left"] = [
            {**_video(picture.catalog, row), "before": place, **absence(picture, columns.ids[row])}
            for row, place in before.items()
            if row not in now_there
        ]
    return answer


def contributions(picture: PreviewResult, row: int) -> list[dict[str, Any]]:
    """What made a video's score, the largest part first; rules come as parts of their own. They add up to the score."""
    explained = explain(
        picture.catalog.columns, picture.catalog.stats, picture.viewer.signals, row, picture.model, picture.context
    )
    parts = [
        {
            "feature": part.feature,
            "unit": part.unit,
            "value": part.value,
            "weight": part.weight,
            "amount": part.amount,
        }
        for part in explained.contributions
        if abs(part.amount) > TINY
    ]
    if picture.steering.adjustment is not None:
        amount = float(picture.steering.adjustment[row])
        if abs(amount) > TINY:
            parts.append({"feature": "rules", "unit": "ln of the multipliers", "value": amount, "weight": 1.0,
                          "amount": amount})  # fmt: skip
    return sorted(parts, key=lambda part: -abs(part["amount"]))


def absence(picture: PreviewResult, video_id: str) -> dict[str, Any]:
    """Why a video is not on the page: the stage that left it out, in words; `served` when it is there."""
    columns = picture.catalog.columns
    row = columns.row(video_id)
    if row is None:
        return {"reason": "unknown", "text": "There is no video of that id."}
    place = _places(picture.slate).get(row)
    if place is not None:
        return {"reason": "served", "text": f"It is on the page, at position {place + 1}."}
    reason = picture.filtered.reason(row)
    if reason is not None:
        return {"reason": reason, "text": _why_removed(picture, row, reason)}
    return _why_outranked(picture, row)


def _why_removed(picture: PreviewResult, row: int, reason: str) -> str:
    columns, viewer = picture.catalog.columns, picture.viewer
    text = FILTERS[reason][0]
    if reason == "maturity":
        ratings = {rank: rating for rating, rank in RATINGS.items()}
        own = ratings.get(int(columns.maturity[row]), "no known rating")
        return f"It is rated {own}, and this viewer may see up to {ratings[viewer.maturity]}."
    if reason in ("rule_excluded", "rule_limited"):
        action = EXCLUDE if reason == "rule_excluded" else LIMIT
        names = [
            f"“{rule.name}”"
            for rule, mask in picture.steering.applied
            if rule.action == action and (action == LIMIT or mask[row])
        ]
        return f"{text} ({', '.join(names)})"
    return text


def _why_outranked(picture: PreviewResult, row: int) -> dict[str, Any]:
    """It could have been served, but others came first: the rule of the ranking, and what would have to change."""
    if row in picture.unpinned.rows:
        return {"reason": "pinned", "text": f"{ABSENCES['pinned'][1]} It comes later."}
    found = why_absent(
        picture.catalog.columns,
        picture.catalog.stats,
        picture.viewer.signals,
        picture.filtered.kept,
        picture.model,
        picture.context,
        picture.unpinned,
        row,
        picture.steering.adjustment,
    )
    assert found is not None
    assert found.place is not None
    where = f"By its score it comes at position {found.place + 1} of {found.candidates}"
    if found.rule == "outscored":
        text = f"{where}, and this page ends at {len(picture.slate)}. It comes later."
    else:
        text = f"{found.meaning} {where}; it comes later."
    return {
        "reason": found.rule,
        "text": text,
        "place": found.place,
        "candidates": found.candidates,
        "contributions": contributions(picture, row),
    }


def candidates_of(picture: PreviewResult, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Why each of some videos is, or is not, on the page."""
    answers = []
    for id in wanted:
        row = picture.catalog.columns.row(id)
        about = _video(picture.catalog, row) if row is not None else {"videoId": id}
        answers.append({**about, **absence(picture, id)})
    return answers


def with_rules(
    editorial: Editorial, changed: Sequence[Rule], without: Sequence[str], playlists: Mapping[str, Sequence[str]]
) -> Editorial:
    """The rules as they would be: some added or replaced by id, some taken away, some playlists in another order."""
    rules = {rule.id: rule for rule in editorial.rules if rule.id not in without}
    rules |= {rule.id: rule for rule in changed}
    lists = {**editorial.playlists, **{id: tuple(ids) for id, ids in playlists.items()}}
    return Editorial.of(rules, lists)


def _video(catalog: Catalog, row: int) -> dict[str, Any]:
    to_response: dict[str, Any] = orjson.loads(catalog.items[row] + b"}")
    return {
        name: to_response[name]
        for name in ("videoId", "title", "mainTag", "tags", "durationSeconds", "maturityRating", "thumbnailUrl")
    }


def _named(rule: Rule) -> dict[str, Any]:
    to_response: dict[str, Any] = {"id": rule.id, "name": rule.name, "action": rule.action}
    if rule.action in (BOOST, SUPPRESS):
        to_response["multiplier"] = rule.multiplier
    if rule.action == PIN:
        to_response["positions"] = list(rule.positions)
    return to_response


def _places(slate: Slate) -> dict[int, int]:
    return {row: place for place, row in enumerate(slate.rows.tolist())}


def seed_of(text: str) -> int:
    """The same draw for the live picture and the draft, so that only the draft makes a difference."""
    return fingerprint(text)
