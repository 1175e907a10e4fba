"""Compiles a tenant's rules over a catalog into masks and one column of score adjustments, once per kind of viewer.

A request costs a look-up. Rules are compiled again when the rules or the catalog change, and every ten seconds, and
only for kinds of viewers that send requests.

Precedence: the filters, above all maturity, beat every rule. `exclude` beats `limit`, which beats pins, which beat
boost and suppress. Of several limits, and of several pins for one position, the one with the highest priority counts. A
multiplier m adds ln m to the score, whose parts are logarithms: ×2 makes a video as attractive as twice the demand. The
product of all multipliers of a video stays in [`MIN_PRODUCT`, `MAX_PRODUCT`].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from weakref import ref

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
from shared.domain.tenant_cache import ENTRY_BYTES, TenantCache

MOMENT_SECONDS = 10
"""How often ages and schedules of rules are evaluated."""
STEERING_BYTES, MATCHING_BYTES = 64_000_000, 32_000_000
"""Memory limits for compiled rules and for the rows that rules match, of all tenants together."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """One 0-based position of the walk and the rows that can take it, the first choice first."""

    position: int
    rows: Rows
    rule: Rule


@dataclass(frozen=True, slots=True, eq=False)
class Steering:
    """Rules compiled for one kind of viewer. Columns cover all rows; None if no rule affects them.

    `applied` has each rule in force with the rows it matches, most important first.
    """

    excluded: Mask | None = None
    outside_limit: Mask | None = None
    adjustment: NDArray[np.float64] | None = None
    pins: tuple[Pin, ...] = ()
    applied: tuple[tuple[Rule, Mask], ...] = ()

    def size_bytes(self) -> int:
        """Return its memory in bytes, without `applied`."""
        columns = (self.excluded, self.outside_limit, self.adjustment, *(pin.rows for pin in self.pins))
        return sum(column.nbytes for column in columns if column is not None) + ENTRY_BYTES * (1 + len(self.pins))


NOTHING = Steering()


Matching = Callable[[Rule], Mask]


def steer(
    editorial: Editorial, columns: VideoColumns, hints: Hints, now: float, matching: Matching | None = None
) -> Steering:
    """Compile the rules in force for one viewer into masks. `matching`, if given, returns the rows that a rule
    matches."""
    rules = [
        rule
        for rule in editorial.rules
        if rule.in_force(now) and rule.audience.includes(hints.country, hints.language, hints.age_band, hints.platform)
    ]
    if not rules:
        return NOTHING
    if matching is None:
        applied = [(rule, matches(rule.condition, columns, editorial, now)) for rule in rules]
    else:
        applied = [(rule, matching(rule)) for rule in rules]
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
    """Return a mask of the rows that meet a condition: True where every part of it holds."""
    mask: Mask = np.ones(len(columns), np.bool_)
    if condition.tags:
        mask &= columns.tagged(condition.tags)
    for tag in condition.all_tags:
        mask &= columns.tagged((tag,))
    if condition.categories:
        mask &= _among(columns.categories, condition.categories)[columns.category]
    if condition.creators:
        mask &= _among(columns.creators, condition.creators)[columns.creator]
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


def _among(vocabulary: Vocabulary, texts: tuple[str, ...]) -> Mask:
    """Tell for each code whether its text is one of these. The last element is False, for "no code"."""
    among: Mask = np.zeros(len(vocabulary) + 1, np.bool_)
    among[[vocabulary.code(text) for text in texts]] = True
    among[-1] = False
    return among


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
    """Return one pin per position, of the most important rule for it, ordered by position."""
    pins: dict[int, Pin] = {}
    for rule, mask in applied:
        if rule.action == PIN:
            rows = _in_order(rule.condition, mask, columns, editorial)
            for position in rule.positions:
                pins.setdefault(position - 1, Pin(position - 1, rows, rule))
    return tuple(pins[position] for position in sorted(pins))


def _in_order(condition: Condition, mask: Mask, columns: VideoColumns, editorial: Editorial) -> Rows:
    """Return the matching rows, first choice first: in the order of the playlist or the ids, else newest first."""
    named = [id for name in condition.playlists for id in editorial.playlists.get(name, ())] or condition.video_ids
    if named:
        rows = _rows(columns, list(dict.fromkeys(named)))
        return rows[mask[rows]]
    rows = np.flatnonzero(mask)
    return rows[np.lexsort((columns.key[rows], -columns.published_at[rows]))]


def chosen_pins(steering: Steering, kept: Rows, rows: int, first_rank: int, limit: int) -> dict[int, int]:
    """Return position on this page → pinned row. Only rows that the filters kept, each once; a pin without such a row
    is dropped.

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


@dataclass(slots=True)
class _Matches:
    """The rows that a tenant's rules match, as bits, by rule id. Rules that depend on age are not stored."""

    version: object
    editorial: Editorial
    bits: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


class Rulebook:
    """Compiled rules, cached by tenant and kind of viewer. All kinds share the rows that rules match.

    Hints are reduced ones (`feed/named_hints.py`). Cached entries have no `applied`, which only explanations need.
    """

    def __init__(self) -> None:
        self.kept = TenantCache[Hints, tuple[object, Editorial, Steering]](STEERING_BYTES)
        self.matches = TenantCache[str, _Matches](MATCHING_BYTES)

    def of(self, tenant: Tenant, editorial: Editorial, columns: VideoColumns, hints: Hints, now: float) -> Steering:
        """Return the compiled rules for a viewer with these hints; the same object while nothing has changed."""
        if not editorial.rules:
            return NOTHING
        version = (ref(columns), columns.version, int(now // MOMENT_SECONDS))
        kept = self.kept.get(tenant.id, hints)
        if kept is not None and kept[0] == version and kept[1] is editorial:
            return kept[2]
        matching = self._matching(tenant, editorial, columns, now)
        steering = replace(steer(editorial, columns, hints, now, matching), applied=())
        self.kept.put(tenant.id, hints, (version, editorial, steering), steering.size_bytes())
        return steering

    def _matching(self, tenant: Tenant, editorial: Editorial, columns: VideoColumns, now: float) -> Matching:
        version, rows = (ref(columns), columns.version), len(columns)
        found = self.matches.get(tenant.id, "")
        if found is None or found.version != version or found.editorial is not editorial:
            found = _Matches(version, editorial)
            self.matches.put(tenant.id, "", found, len(editorial.rules) * (rows // 8 + ENTRY_BYTES))
        bits = found.bits

        def matching(rule: Rule) -> Mask:
            known = bits.get(rule.id)
            if known is not None:
                return np.unpackbits(known, count=rows).view(np.bool_)
            mask = matches(rule.condition, columns, editorial, now)
            if rule.condition.min_age_hours is None and rule.condition.max_age_hours is None:
                bits[rule.id] = np.packbits(mask)
            return mask

        return matching
