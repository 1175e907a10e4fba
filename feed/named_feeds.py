"""Named feeds of the tenants: finds the feed that a request names, and the tenant with that feed's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from feed.following import following_feed
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.feeds import FOLLOWING, NamedFeed
from shared.domain.records import HOME, Tenant
from shared.web.problems import Problem


class NamedFeeds:
    """Feeds by tenant and name. A tenant has at most `MAX_FEEDS`, so requests cannot grow the cache without limit."""

    def __init__(self, tenants: TenantDirectory) -> None:
        self._tenants = tenants
        self._laid_over: dict[tuple[str, str], tuple[Tenant, NamedFeed, Tenant]] = {}

    def listed(self, tenant: Tenant) -> list[NamedFeed]:
        """Return the tenant's feeds that apps can request, by name."""
        return sorted((each for each in self._tenants.feeds(tenant.id) if each.enabled), key=lambda each: each.id)

    def of(
        self, tenant: Tenant, name: str, params: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[NamedFeed | None, Tenant]:
        """Return the feed (None: home), and the tenant with that feed's configuration: the same object while neither
        changes.

        Raises a 404 `Problem` for a feed that is unknown or switched off, a 400 for invalid `params` of a feed that has
        any.
        """
        if name == HOME:
            return None, tenant
        if name == FOLLOWING:
            return following_feed(params), tenant
        named = self._tenants.feed(tenant.id, name)
        if named is None or not named.enabled:
            raise Problem(404, "feed_not_found", "There is no feed with this id. GET /v1/config lists the feeds.")
        key = (tenant.id, named.id)
        known = self._laid_over.get(key)
        if known is None or known[0] is not tenant or known[1] is not named:
            known = self._laid_over[key] = (tenant, named, named.laid_over(tenant))
        return named, known[2]
