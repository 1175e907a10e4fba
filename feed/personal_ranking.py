"""Selects the model and signals that rank for one user outside the feed, with the feed's consent and switches."""

from __future__ import annotations

from feed.pipeline import Feed
from feed.query import NO_HINTS, FeedQuery
from ranking.personal import PersonalRanking
from shared.domain.records import Tenant

COLD_START = "cold_start"
"""The only reason that does not prevent personal ranking here."""


async def personal_ranking(feed: Feed, tenant: Tenant, user_key: str, consented: bool) -> PersonalRanking:
    """Return the model for a user, and their signals. If there is a reason not to personalize, nothing about the user
    is read. Knowing little about the user is no such reason: stories live for a day, and the user's graph tells more
    than their history."""
    models = feed.models.of(tenant)
    model = models.for_user(feed.is_held_out(tenant, user_key, models))
    query = FeedQuery(tenant.default_limit, None, NO_HINTS, consented)
    reason = await feed.reason_against(query, tenant, user_key)
    if reason is not None:
        return PersonalRanking(model, None, reason)
    signals, reason = await feed.signals_of(tenant.id, user_key)
    return PersonalRanking(model, signals, None if reason == COLD_START else reason)
