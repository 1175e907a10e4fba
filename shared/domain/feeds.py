"""Named feeds of a tenant: the records, and how they are read from stored documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.domain.formats import is_number
from shared.domain.records import HOME, MAX_DIVERSITY, MAX_LIMIT, RATINGS, Tenant, policy_rank
from shared.domain.text import composed

FOLLOWING = "following"
"""Name of the built-in feed of followed subjects; no document can have it."""
RESERVED = (HOME, FOLLOWING)
FEED_PREFIX = "feed:"
POPULAR, NEWEST, EDITORIAL = ORDERS = ("popular", "newest", "editorial")
"""Order of a feed that is not personalized: by popularity, by publication, or as in its playlists."""

Criteria = tuple[tuple[str, tuple[str, ...]], ...]
"""Selection of videos: kinds (keys of `feed.subsets.KINDS`) with values. A video must match one value of each kind; ()
selects all."""

BASES = {
    "playlists": "playlist",
    "categories": "category",
    "creators": "creator",
    "tags": "tag",
    "series": "series",
}
"""Kind of criterion by field of a stored base set."""


@dataclass(frozen=True, slots=True, eq=False)
class NamedFeed:
    """One named feed. A field that is None has the tenant's value; `weights` override the tenant's by name.

    `maturity_ceiling`: rank of the strongest rating; it can only be stricter than the tenant's policy. Immutable and
    compared by identity: a change makes a new object, which caches notice.
    """

    id: str
    title: str = ""
    enabled: bool = True
    base: Criteria = ()
    fallback: str = POPULAR
    weights: Mapping[str, float] = field(default_factory=dict)
    default_limit: int | None = None
    streak_cap: int | None = None
    creator_cap: int | None = None
    diversity: float | None = None
    maturity_ceiling: int | None = None

    @classmethod
    def from_document(cls, body: Mapping[str, Any]) -> NamedFeed:
        """Read a stored feed. Raises `ValueError` for an unreadable base set, which must not become every video.

        An unreadable ceiling admits only `G`. Any other unreadable field has the tenant's value.
        """
        ceiling, weights, diversity = body.get("maturityCeiling"), body.get("weights"), body.get("diversity")
        return cls(
            id=str(body["feedId"]),
            title=str(body.get("title", "")),
            enabled=body.get("enabled") is not False,
            base=_criteria(body.get("base")),
            fallback=order if (order := body.get("fallbackOrder")) in ORDERS else POPULAR,
            weights={k: float(v) for k, v in weights.items() if is_number(v)} if isinstance(weights, Mapping) else {},
            default_limit=_whole(body.get("defaultLimit"), 1),
            streak_cap=_whole(body.get("streakCap"), 0),
            creator_cap=_whole(body.get("creatorCap"), 0),
            diversity=None if not is_number(diversity) else min(MAX_DIVERSITY, max(0.0, float(diversity or 0))),
            maturity_ceiling=None if ceiling is None else policy_rank(ceiling if isinstance(ceiling, str) else None),
        )

    def laid_over(self, tenant: Tenant) -> Tenant:
        """Return the tenant with this feed's values. Age bands keep their policies: the stricter one counts."""
        policy = tenant.maturity_policy
        if self.maturity_ceiling is not None and self.maturity_ceiling < policy_rank(policy):
            policy = next(name for name, rank in RATINGS.items() if rank == self.maturity_ceiling)
        return replace(
            tenant,
            maturity_policy=policy,
            weights={**tenant.weights, **self.weights},
            default_limit=tenant.default_limit if self.default_limit is None else self.default_limit,
            streak_cap=tenant.streak_cap if self.streak_cap is None else self.streak_cap,
            creator_cap=tenant.creator_cap if self.creator_cap is None else self.creator_cap,
            diversity=tenant.diversity if self.diversity is None else self.diversity,
        )


def _criteria(base: object) -> Criteria:
    if base is None:
        return ()
    if not isinstance(base, Mapping) or not base.keys() <= BASES.keys():
        raise ValueError("a base set names kinds of videos")
    for values in base.values():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError("a base set has lists of texts")
    return criteria_of({BASES[name]: values for name, values in base.items()})


def criteria_of(values: Mapping[str, Any]) -> Criteria:
    """Return lists of values by kind in canonical form: sorted, without duplicates and empty kinds."""
    return tuple((kind, tuple(sorted({*map(composed, given)}))) for kind, given in sorted(values.items()) if given)


def _whole(value: object, least: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_LIMIT else None
