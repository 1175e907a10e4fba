"""Dependencies of the endpoints and jobs of stories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ranking.personal import PersonalRanking
from shared.adapters.documents.port import DocumentStore
from shared.adapters.flags.evaluation import Flags
from shared.adapters.live.port import Live
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.keys import Identity, KeyRing
from shared.domain.records import Tenant
from shared.observability.metrics import Telemetry
from shared.settings import Settings
from shared.web.admission import Limits
from shared.web.endpoint import Edge
from stories.media_check import MediaCheck
from stories.story_access import MaturityLimit

PersonalRankings = Callable[[Tenant, str, bool], Awaitable[PersonalRanking]]
"""Reads the personal ranking of a user: (tenant, user key, whether the user consents) → model and signals."""


@dataclass(frozen=True, slots=True)
class StoryParts:
    """Dependencies. `clock` gives seconds since the epoch, `elapsed` seconds that never go back."""

    edge: Edge
    documents: DocumentStore
    identity: Identity
    keys: KeyRing
    limits: Limits
    settings: Settings
    telemetry: Telemetry
    tenants: TenantDirectory
    flags: Flags
    clock: Callable[[], float]
    elapsed: Callable[[], float]
    clock_trusted: Callable[[], bool]
    maturity_limit: MaturityLimit
    personal_ranking: PersonalRankings
    media: MediaCheck
    live: Live | None
