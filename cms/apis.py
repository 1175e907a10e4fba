"""Builds the CMS endpoint classes from their dependencies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cms.access.api import KeysApi, PublicKeysApi
from cms.access.tenants import TenantsApi
from cms.audit import AuditApi
from cms.configuration.api import ConfigurationApi
from cms.documents import DocumentFlow
from cms.experiments.api import ExperimentsApi
from cms.experiments.model_versions import ModelsApi
from cms.feeds.api import FeedsApi
from cms.history.api import HistoryApi
from cms.history.history_importer import HistoryImporter
from cms.imports.api import ImportsApi
from cms.imports.jobs import Importer
from cms.learning.api import LearningApi
from cms.live.api import LiveApi, LiveSources
from cms.preview.api import PreviewApi
from cms.rules.api import PlaylistsApi, RulesApi
from cms.served.api import Reported, ServedPagesApi
from cms.stories.api import ReportedStoriesApi
from cms.studio.api import StudioApi
from cms.videos.api import VideosApi
from cms.videos.performance import PerformanceApi
from cms.videos.playback import PlaybackApi
from cms.videos.values import ValuesApi
from cms.videos.video_index import VideoIndexes
from feed.pipeline import Feed
from shared.adapters.documents.port import STORIES, TENANTS, VIDEOS, DocumentStore
from shared.adapters.flags.evaluation import Flags
from shared.adapters.milestones import Milestones
from shared.adapters.refresh import Refresher
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.keys import Identity, SigningKeys
from shared.web.endpoint import Edge
from stories.moderation import Moderation

CMS_APIS: tuple[type, ...] = (
    VideosApi,
    PlaybackApi,
    ValuesApi,
    PerformanceApi,
    ImportsApi,
    HistoryApi,
    ConfigurationApi,
    RulesApi,
    PlaylistsApi,
    FeedsApi,
    ModelsApi,
    ExperimentsApi,
    LearningApi,
    PreviewApi,
    ServedPagesApi,
    AuditApi,
    TenantsApi,
    KeysApi,
    PublicKeysApi,
    LiveApi,
    ReportedStoriesApi,
    StudioApi,
)
"""Every class of CMS endpoints, in the order of the API document."""


@dataclass(frozen=True, slots=True)
class CmsParts:
    """Dependencies of the CMS endpoints."""

    edge: Edge
    documents: DocumentStore
    tenants: TenantDirectory
    tenants_refresher: Refresher
    feed: Feed
    flags: Flags
    identity: Identity
    imports: Importer
    history: HistoryImporter
    clock_trusted: Callable[[], bool]
    milestones: Milestones
    live: LiveSources
    receipt_keys: SigningKeys
    media_keys: SigningKeys
    reported: Reported
    moderation: Moderation


async def _nothing(tenant_id: str) -> None:
    return None


def cms_apis(parts: CmsParts) -> Mapping[type, Any]:
    """Build an instance of each class in `CMS_APIS`."""
    edge, catalogs, identity = parts.edge, parts.feed.catalogs, parts.identity

    async def refresh_tenants(tenant_id: str) -> None:
        await parts.tenants_refresher.refresh()

    tenants = DocumentFlow(parts.documents, TENANTS, refresh_tenants)
    indexes = VideoIndexes(parts.documents, catalogs, parts.live.elapsed)
    videos = DocumentFlow(parts.documents, VIDEOS, catalogs.refresh_if_loaded)
    stories = DocumentFlow(parts.documents, STORIES, _nothing)  # the endpoints of decisions apply their changes
    return {
        VideosApi: VideosApi(edge, videos, catalogs, indexes),
        PlaybackApi: PlaybackApi(edge, videos, catalogs),
        ValuesApi: ValuesApi(edge, catalogs),
        PerformanceApi: PerformanceApi(edge, videos, indexes),
        ImportsApi: ImportsApi(edge, parts.imports, catalogs),
        HistoryApi: HistoryApi(edge, parts.history, parts.clock_trusted),
        ConfigurationApi: ConfigurationApi(edge, tenants),
        RulesApi: RulesApi(edge, tenants),
        PlaylistsApi: PlaylistsApi(edge, tenants, catalogs),
        FeedsApi: FeedsApi(edge, tenants),
        ModelsApi: ModelsApi(edge, tenants),
        ExperimentsApi: ExperimentsApi(edge, tenants),
        LearningApi: LearningApi(edge, tenants, parts.flags),
        PreviewApi: PreviewApi(
            edge, tenants, tenants=parts.tenants, feed=parts.feed, flags=parts.flags, identity=identity
        ),
        ServedPagesApi: ServedPagesApi(
            edge,
            tenants,
            tenants=parts.tenants,
            feed=parts.feed,
            identity=identity,
            keys=parts.receipt_keys,
            reported=parts.reported,
        ),
        AuditApi: AuditApi(edge, tenants, videos, stories),
        TenantsApi: TenantsApi(edge, tenants, parts.tenants, identity, parts.milestones),
        KeysApi: KeysApi(edge, tenants, identity),
        PublicKeysApi: PublicKeysApi(edge, tenants),
        LiveApi: LiveApi(edge, parts.live),
        ReportedStoriesApi: ReportedStoriesApi(edge, stories, parts.moderation),
        StudioApi: StudioApi(edge, tenants, parts.media_keys),
    }
