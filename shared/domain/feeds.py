"""Named feeds of a tenant, as they are stored and as the feed reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.domain.formats import is_number
from shared.domain.records import HOME, MAX_DIVERSITY, MAX_LIMIT, RATINGS, Tenant, policy_rank
from shared.domain.text import composed

FOLLOWING = "following"
"""A name that no document may have: what users follow is no content team's choice."""
RESERVED = (HOME, FOLLOWING)
FEED_PREFIX = "feed:"
POPULAR, NEWEST, EDITORIAL = ORDERS = ("popular", "newest", "editorial")
"""How a feed is ordered while it is not personal: by demand, by publication, or as its playlists have it."""

Criteria = tuple[tuple[str, tuple[str, ...]], ...]
"""Which videos: kinds (keys of `feed.subsets.KINDS`) with values. A video must have a value of each; () means all."""

BASES = {
    "playlists": "playlist",
    "categories": "category",
    "creators": "creator",
    "tags": "tag",
    "series": "series",
}
"""Field of a stored base set → kind of criterion."""


@dataclass(frozen=True, slots=True, eq=False)
class NamedFeed:
    """One named feed. What is None is as the tenant has it; `weights` lie over the tenant's.

    `maturity_ceiling` is the rank of the strongest rating, which can only be stricter than the tenant's policy.
    Immutable and compared by identity: a change makes another one, which is how caches notice.
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
        """Read a stored feed. Raises `ValueError` for a base set that cannot be read: it must not become every video.

        A ceiling that cannot be read admits only `G`; anything else that cannot is as the tenant has it.
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
        """The tenant as this feed serves it. Age bands keep their policies: whichever is stricter counts."""
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
    """Lists of values by kind in their one form: in order, each value once, kinds without values left out."""
    return tuple((kind, tuple(sorted({*map(composed, given)}))) for kind, given in sorted(values.items()) if given)


def _whole(value: object, least: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_LIMIT else None
