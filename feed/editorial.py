"""Compiles a tenant's rules over a catalog: masks and one column of score adjustments, once per kind of viewer.

A request costs a look-up. Rules are compiled when a tenant's rules, its catalog or (every ten seconds) the time moved,
and only for kinds of viewers that come.

What wins: the filters (above all maturity) beat every rule; `exclude` beats `limit`, which beats pins, which beat boost
and suppress. Of several limits, and of several pins for one position, the one of the highest priority counts. A
multiplier m adds ln m to the score, whose parts are logarithms: ×2 makes a video as attractive as twice the demand
would. All multipliers of one video together stay in [`MIN_PRODUCT`, `MAX_PRODUCT`].
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feed.query import Hints
from ranking.columns import Rows, VideoColumns, Vocabulary
from shared.domain.records import Tenant
from shared.domain.rules import (
    BOOST,
    EXCLUDE,
    LIMIT,
    MAX_PRODUCT,
    MIN_PRODUCT,
    PIN,
    SUPPRESS,
    Condition,
    Editorial,
    Rule,
)

MOMENT_SECONDS = 10
"""Ages and schedules of rules are looked at anew this often."""
MAX_KEPT = 256

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """One position of the walk (0-based) and the rows that may have it, the first choice first."""

    position: int
    rows: Rows
    rule: Rule


@dataclass(frozen=True, slots=True, eq=False)
class Steering:
    """What the rules mean for one kind of viewer. Columns over all rows; None where no rule has anything to say.

    `applied` holds each rule that counts with the rows it matches, the most important first.
    """

    excluded: Mask | None = None
    outside_limit: Mask | None = None
    adjustment: NDArray[np.float64] | None = None
    pins: tuple[Pin, ...] = ()
    applied: tuple[tuple[Rule, Mask], ...] = ()


NOTHING = Steering()


def steer(editorial: Editorial, columns: VideoColumns, hints: Hints, now: float) -> Steering:
    """Compile the rules in force for one viewer into masks (~20 µs per rule)."""
    rules = [
        rule
        for rule in editorial.rules
        if rule.in_force(now) and rule.audience.includes(hints.country, hints.language, hints.age_band, hints.platform)
    ]
    if not rules:
        return NOTHING
    applied = [(rule, matches(rule.condition, columns, editorial, now)) for rule in rules]
    limit = next(((rule, mask) for rule, mask in applied if rule.action == LIMIT), None)
    applied = [each for each in applied if each[0].action != LIMIT or each is limit]
    excluded = [mask for rule, mask in applied if rule.action == EXCLUDE]
    return Steering(
        excluded=np.logical_or.reduce(excluded) if excluded else None,
        outside_limit=~limit[1] if limit else None,
        adjustment=_adjustment(applied, len(columns)),
        pins=_pins(applied, columns, editorial),
        applied=tuple(applied),
    )


def matches(condition: Condition, columns: VideoColumns, editorial: Editorial, now: float) -> Mask:
    """The rows a condition means: True where every part of it holds."""
    mask: Mask = np.ones(len(columns), np.bool_)
    if condition.tags:
        mask &= np.isin(columns.tags, _codes(columns.tag_names, condition.tags)).any(axis=1)
    for tag in condition.all_tags:
        mask &= (columns.tags == _codes(columns.tag_names, (tag,))).any(axis=1)
    if condition.categories:
        mask &= np.isin(columns.category, _codes(columns.categories, condition.categories))
    if condition.creators:
        mask &= np.isin(columns.creator, _codes(columns.creators, condition.creators))
    if condition.video_ids:
        mask &= _named(columns, condition.video_ids)
    if condition.playlists:
        mask &= _named(columns, [id for name in condition.playlists for id in editorial.playlists.get(name, ())])
    duration, age_hours = columns.duration, (now - columns.published_at) / 3_600.0
    if condition.min_duration_seconds is not None:
        mask &= duration >= condition.min_duration_seconds
    if condition.max_duration_seconds is not None:
        mask &= duration <= condition.max_duration_seconds
    if condition.min_age_hours is not None:
        mask &= age_hours >= condition.min_age_hours
    if condition.max_age_hours is not None:
        mask &= age_hours <= condition.max_age_hours
    return mask


def _codes(vocabulary: Vocabulary, texts: tuple[str, ...]) -> NDArray[np.int32]:
    """The codes of some texts; one that no video has gets a code that no row has."""
    return np.array([code if (code := vocabulary.code(text)) >= 0 else -2 for text in texts], np.int32)


def _named(columns: VideoColumns, ids: list[str] | tuple[str, ...]) -> Mask:
    mask: Mask = np.zeros(len(columns), np.bool_)
    mask[_rows(columns, ids)] = True
    return mask


def _rows(columns: VideoColumns, ids: list[str] | tuple[str, ...]) -> Rows:
    return np.array([row for id in ids if (row := columns.row(id)) is not None], np.int64)


def _adjustment(applied: list[tuple[Rule, Mask]], rows: int) -> NDArray[np.float64] | None:
    moving = [(rule, mask) for rule, mask in applied if rule.action in (BOOST, SUPPRESS)]
    if not moving:
        return None
    total = np.zeros(rows)
    for rule, mask in moving:
        total[mask] += np.log(rule.multiplier)
    return np.clip(total, np.log(MIN_PRODUCT), np.log(MAX_PRODUCT))


def _pins(applied: list[tuple[Rule, Mask]], columns: VideoColumns, editorial: Editorial) -> tuple[Pin, ...]:
    """One pin a position, of the most important rule that wants it, in order of position."""
    pins: dict[int, Pin] = {}
    for rule, mask in applied:
        if rule.action == PIN:
            rows = _in_order(rule.condition, mask, columns, editorial)
            for position in rule.positions:
                pins.setdefault(position - 1, Pin(position - 1, rows, rule))
    return tuple(pins[position] for position in sorted(pins))


def _in_order(condition: Condition, mask: Mask, columns: VideoColumns, editorial: Editorial) -> Rows:
    """The matching rows, the first choice first: as the playlist or the list of ids has them, else the newest first."""
    named = [id for name in condition.playlists for id in editorial.playlists.get(name, ())] or condition.video_ids
    if named:
        rows = _rows(columns, list(dict.fromkeys(named)))
        return rows[mask[rows]]
    rows = np.flatnonzero(mask)
    return rows[np.lexsort((columns.key[rows], -columns.published_at[rows]))]


def chosen_pins(steering: Steering, kept: Rows, rows: int, first_rank: int, limit: int) -> dict[int, int]:
    """Place on this page → pinned row. Only rows that the filters kept, each once; a pin without any is dropped.

    `rows` is the length of the catalog's columns.
    """
    pins = [pin for pin in steering.pins if 0 <= pin.position - first_rank < limit]
    if not pins:
        return {}
    allowed: Mask = np.zeros(rows, np.bool_)
    allowed[kept] = True
    chosen: dict[int, int] = {}
    for pin in pins:
        left = pin.rows[allowed[pin.rows]]
        if len(left):
            chosen[pin.position - first_rank] = int(left[0])
            allowed[left[0]] = False
    return chosen


class Rulebook:
    """What rules mean, kept per tenant and kind of viewer."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Hints], tuple[object, Editorial, Steering]] = OrderedDict()

    def of(self, tenant: Tenant, editorial: Editorial, columns: VideoColumns, hints: Hints, now: float) -> Steering:
        """The steering for a viewer with these hints; the same object while nothing has moved."""
        if not editorial.rules:
            return NOTHING
        version = (columns, columns.version, int(now // MOMENT_SECONDS))
        kept = self._kept.get((tenant.id, hints))
        if kept is not None and kept[0] == version and kept[1] is editorial:
            return kept[2]
        steering = steer(editorial, columns, hints, now)
        self._kept[tenant.id, hints] = (version, editorial, steering)
        self._kept.move_to_end((tenant.id, hints))
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return steering
