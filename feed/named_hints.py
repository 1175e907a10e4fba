"""Reduces hints to the values that a tenant's rules, policies and videos name, before anything is computed or cached.

All other values become one value that has the same effect. So a caller who invents hints cannot make the feed compile
rules or sort videos again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from weakref import ref

from feed.query import NO_HINTS, Hints
from ranking.columns import VideoColumns
from shared.domain.age_bands import LAST_YEAR, AgeBand
from shared.domain.languages import reduced_key, with_prefixes
from shared.domain.records import Tenant
from shared.domain.rules import Editorial

MAX_TENANTS = 1_000


@dataclass(frozen=True, slots=True)
class NamedHints:
    """The values that a tenant names. `ages` are the years at which a named band begins, or that follow its end."""

    countries: frozenset[str]
    languages: frozenset[str]
    ages: tuple[int, ...]
    platforms: frozenset[str]

    def reduce(self, hints: Hints) -> Hints:
        """Return hints with the same effect on rules, policies and videos."""
        language, band = hints.language, hints.age_band
        return Hints(
            hints.country if hints.country in self.countries else None,
            reduced_key(language, self.languages) if language else None,
            self._widened(band) if band else None,
            hints.platform if hints.platform in self.platforms else OTHER_PLATFORM if hints.platform else None,
        )

    def _widened(self, band: AgeBand) -> AgeBand:
        """Return the largest band that overlaps the same named bands."""
        before, after = bisect_right(self.ages, band.low), bisect_right(self.ages, band.high)
        low = self.ages[before - 1] if before else 0
        return AgeBand(low, self.ages[after] - 1 if after < len(self.ages) else LAST_YEAR)


OTHER_PLATFORM = "-"
"""Any platform that nothing names. It is not a real name, and differs from None, which is not compared with videos."""


def named_hints(tenant: Tenant, editorial: Editorial, columns: VideoColumns) -> NamedHints:
    """Return all values that the tenant names."""
    audiences = [rule.audience for rule in editorial.rules]
    bands = [band for band, _ in tenant.age_limits]
    bands += [band for audience in audiences for band in audience.age_bands]
    bands += columns.age_band_sets.names
    return NamedHints(
        frozenset().union(columns.country_sets.names, *(audience.countries for audience in audiences)),
        with_prefixes(columns.languages.names.union(*(audience.languages for audience in audiences))),
        tuple(sorted({year for band in bands for year in (band.low, band.high + 1) if 0 <= year <= LAST_YEAR})),
        frozenset().union(columns.platform_sets.names, *(audience.platforms for audience in audiences)),
    )


class HintReducer:
    """Caches what each tenant names until its configuration, its rules or the names in its videos change."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[object, Editorial, tuple[object, ...], NamedHints]] = {}

    def of(self, tenant: Tenant, editorial: Editorial, columns: VideoColumns, hints: Hints) -> Hints:
        """Return the reduced hints of a request."""
        if hints is NO_HINTS:
            return hints
        countries, languages, platforms = columns.country_sets, columns.languages, columns.platform_sets
        version = (ref(columns), len(countries), len(languages), len(columns.age_band_sets), len(platforms))
        policies = tenant.age_band_policies  # the same object for every feed of the tenant
        known = self._named.get(tenant.id)
        if known is None or known[0] is not policies or known[1] is not editorial or known[2] != version:
            known = (policies, editorial, version, named_hints(tenant, editorial, columns))
            if len(self._named) >= MAX_TENANTS:
                self._named.clear()
            self._named[tenant.id] = known
        return known[3].reduce(hints)
