"""Chooses what ranks for one user outside the feed, by the feed's own consent, switches, signals and models."""

from __future__ import annotations

from feed.pipeline import Feed
from feed.query import NO_HINTS, FeedQuery
from ranking.personal import PersonalRanking
from shared.domain.records import Tenant

COLD_START = "cold_start"
"""The one reason that is none here."""


async def personal_ranking(feed: Feed, tenant: Tenant, user_key: str, consented: bool) -> PersonalRanking:
    """Choose the model for a user, and read their signals. Reads nothing about the user when there is a reason against
    it. Knowing little about them is no reason: what is ranked here lives for a day, and their graph says more than
    their history."""
    models = feed.models.of(tenant)
    model = models.for_user(feed.is_held_out(tenant, user_key, models))
    query = FeedQuery(tenant.default_limit, None, NO_HINTS, consented)
    reason = await feed.reason_against(query, tenant, user_key)
    if reason is not None:
        return PersonalRanking(model, None, reason)
    signals, reason = await feed.signals_of(tenant.id, user_key)
    return PersonalRanking(model, signals, None if reason == COLD_START else reason)
