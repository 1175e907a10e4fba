"""Editorial rules and playlists: the records, and lenient readers of stored documents.

The CMS validates its writes. These readers accept stored documents as they are, and leave out an unreadable rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.age_bands import AgeBand, bands_named
from shared.domain.formats import canonical_platform
from shared.domain.languages import language_key, same_language
from shared.domain.records import canonical_or_stored_countries
from shared.domain.text import composed

BOOST, SUPPRESS, PIN, EXCLUDE, LIMIT = ACTIONS = ("boost", "suppress", "pin", "exclude", "limit")
"""Raise or lower the score of matching videos; put them at fixed positions; never show them; show only them."""

MIN_MULTIPLIER, MAX_MULTIPLIER = 0.1, 10.0
"""Bounds of one rule's multiplier."""
MIN_PRODUCT, MAX_PRODUCT = 0.05, 20.0
"""Bounds of the product of all rules' multipliers for one video."""
MAX_POSITION = 50
UNREADABLE = "?"
"""For an unreadable language: it matches no viewer."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Videos to which a rule applies. Every given field must match; in a list, one match is enough.

    In `all_tags`, all must match. Ages are hours since publication.
    """

    tags: tuple[str, ...] = ()
    all_tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    creators: tuple[str, ...] = ()
    video_ids: tuple[str, ...] = ()
    playlists: tuple[str, ...] = ()
    min_duration_seconds: float | None = None
    max_duration_seconds: float | None = None
    min_age_hours: float | None = None
    max_age_hours: float | None = None

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> Condition:
        duration, age = _mapping(body.get("durationSeconds")), _mapping(body.get("ageHours"))
        return cls(
            _names(body.get("tags")),
            _names(body.get("allTags")),
            _names(body.get("categories")),
            _names(body.get("creators")),
            _texts(body.get("videoIds")),
            _texts(body.get("playlists")),
            _number(duration.get("min")),
            _number(duration.get("max")),
            _number(age.get("min")),
            _number(age.get("max")),
        )


@dataclass(frozen=True, slots=True)
class Audience:
    """Viewers to which a rule applies; an empty field means everyone. A viewer without a hint matches no named value.

    `countries` and `platforms` are canonical; `languages` are keys of `shared/domain/languages.py`; an age band matches
    every band it overlaps. An unreadable value matches no viewer.
    """

    countries: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    age_bands: frozenset[AgeBand] = frozenset()
    platforms: frozenset[str] = frozenset()

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> Audience:
        return cls(
            frozenset(canonical_or_stored_countries(_texts(body.get("countries")))),
            frozenset(language_key(text) or UNREADABLE for text in _texts(body.get("languages"))),
            bands_named(_texts(body.get("ageBands"))),
            frozenset(canonical_platform(text) or text for text in _texts(body.get("platforms"))),
        )

    def includes(
        self, country: str | None, language: str | None, age_band: AgeBand | None, platform: str | None
    ) -> bool:
        """Whether the rule applies to a viewer with these hints."""
        return (
            (not self.countries or country in self.countries)
            and (not self.platforms or platform in self.platforms)
            and (not self.age_bands or (age_band is not None and any(map(age_band.overlaps, self.age_bands))))
            and (not self.languages or self._speaks(language))
        )

    def _speaks(self, language: str | None) -> bool:
        return language is not None and any(same_language(language, each) for each in self.languages)


@dataclass(frozen=True, slots=True)
class Rule:
    """One editorial rule. `multiplier`: for boost and suppress; `positions`: for pins, 1 is the top of the feed.

    In force from `starts_at` until before `ends_at` (seconds since the epoch; None: open). If two rules conflict, the
    higher `priority` wins, then the lower id.
    """

    id: str
    name: str
    action: str
    condition: Condition
    audience: Audience = Audience()
    multiplier: float = 1.0
    positions: tuple[int, ...] = ()
    priority: int = 0
    enabled: bool = True
    starts_at: float | None = None
    ends_at: float | None = None

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> Rule | None:
        """Read a stored rule; None for an action this version does not know."""
        if body.get("action") not in ACTIONS:
            return None
        priority = body.get("priority")
        return cls(
            id=str(body.get("ruleId", "")),
            name=str(body.get("name", "")),
            action=body["action"],
            condition=Condition.from_document(_mapping(body.get("match"))),
            audience=Audience.from_document(_mapping(body.get("audience"))),
            multiplier=min(MAX_MULTIPLIER, max(MIN_MULTIPLIER, _number(body.get("multiplier")) or 1.0)),
            positions=tuple(p for p in body.get("positions") or () if isinstance(p, int) and 1 <= p <= MAX_POSITION),
            priority=priority if isinstance(priority, int) else 0,
            enabled=body.get("enabled") is not False,
            starts_at=_number(body.get("startsAt")),
            ends_at=_number(body.get("endsAt")),
        )

    def in_force(self, now: float) -> bool:
        """Whether the rule is switched on and inside its time window."""
        return (
            self.enabled
            and (self.starts_at is None or self.starts_at <= now)
            and (self.ends_at is None or now < self.ends_at)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Editorial:
    """A tenant's rules, highest priority first, and its playlists (id → video ids in order).

    Immutable and compared by identity: a change makes a new object, which caches notice.
    """

    rules: tuple[Rule, ...] = ()
    playlists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Mapping[str, Rule], playlists: Mapping[str, tuple[str, ...]]) -> Editorial:
        """Create from rules and playlists by id, in any order."""
        ordered = sorted(rules.values(), key=lambda rule: (-rule.priority, rule.id))
        return cls(tuple(ordered), dict(playlists))


NO_RULES = Editorial()


def playlist_videos(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a stored playlist's video ids, in order."""
    return _texts(body.get("videoIds"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str) and v) if isinstance(value, list | tuple) else ()


def _names(value: object) -> tuple[str, ...]:
    """Return categories, tags or creators in the normal form of videos."""
    return tuple(map(composed, _texts(value)))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return float(value)
