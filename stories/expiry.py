"""Expires stories: marks them as ended, deletes their media, and logs the number in one line.

Hiding does not depend on it, because readers check the end time themselves. Each run covers the buckets whose stories
can have ended since the last run. Once an hour it covers every bucket that can hold a story, because a tenant can
change `storyHours`. Media is deleted before the mark is written, so after a crash the next run does the rest. It also
finishes moderation decisions that were interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from shared.adapters.blobs.port import BlobsError
from shared.adapters.documents.port import (
    PEOPLE,
    STORIES,
    Document,
    DocumentStore,
    Replace,
    StoreError,
    Upsert,
    WriteRejected,
    query_all,
)
from shared.adapters.flags.evaluation import STORIES as FLAG
from shared.adapters.flags.evaluation import Flags
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.formats import is_number
from shared.domain.records import MAX_STORY_HOURS, Tenant
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry
from stories.media_check import MediaCheck
from stories.moderation import Moderation
from stories.story import BROOM_SECONDS, EXPIRED, HELD, HOUR_SECONDS, LIVE, Story, buckets_between
from stories.story_catalog import StoryCatalogs

log = logging.getLogger("feed.stories")
PROGRESS_ID = "expiry"


class Expiry:
    """The expiry job, run every minute. `clock` gives seconds since the epoch, `elapsed` seconds that never go back."""

    def __init__(
        self,
        documents: DocumentStore,
        catalogs: StoryCatalogs,
        media: MediaCheck,
        tenants: TenantDirectory,
        flags: Flags,
        telemetry: Telemetry,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
        moderation: Moderation,
    ) -> None:
        self._documents = documents
        self._catalogs = catalogs
        self._media = media
        self._tenants = tenants
        self._flags = flags
        self._telemetry = telemetry
        self._clock = clock
        self._elapsed = elapsed
        self._moderation = moderation

    async def run(self) -> int:
        """Expire stories of every tenant where stories are on; return how many. A tenant that fails waits for the next
        run."""
        began, ended, late = self._elapsed(), 0, 0.0
        ran = False
        for tenant_id in self._tenants.ids():
            tenant = self._tenants.get(tenant_id)
            if tenant is None or not self._flags.on(FLAG, tenant_id, own=tenant.feature_flags):
                continue
            ran = True
            try:
                count, latest = await self._of_tenant(tenant)
                await self._moderation.finish(tenant_id, tenant.story_hold_reports, self._clock())
            except (StoreError, BlobsError):
                self._telemetry.count("store_failures", "expiry")
                continue
            ended, late = ended + count, max(late, latest)
        if ran:
            seconds = self._elapsed() - began
            self._telemetry.observe("story_expiry_ms", seconds * 1000)
            self._telemetry.gauge("story_expiry_lag_seconds", late)
            log_event(
                log, logging.INFO, "story_expired", always=True, count=ended, seconds=round(seconds, 3), lateMax=late
            )
        return ended

    async def _of_tenant(self, tenant: Tenant) -> tuple[int, float]:
        now, home = self._clock(), f"{tenant.id}/~"
        stored = await self._documents.read(PEOPLE, home, PROGRESS_ID, latest=True)
        until = stored.body["until"] if stored and is_number(stored.body.get("until")) else 0.0
        life = tenant.story_hours * HOUR_SECONDS
        if until // HOUR_SECONDS == now // HOUR_SECONDS:
            buckets = buckets_between(tenant.id, until - life - HOUR_SECONDS, now - life)
        else:
            since = max(min(until, now - HOUR_SECONDS), now - BROOM_SECONDS)
            oldest = since - (MAX_STORY_HOURS + 1) * HOUR_SECONDS
            buckets = buckets_between(tenant.id, oldest, now)
        ended, late = 0, 0.0
        for bucket in buckets:
            for document in await query_all(self._documents, STORIES, bucket):
                story = Story.from_document(document.body)
                over = story is not None and story.expires_at <= now and story.state in (LIVE, HELD)
                if story is not None and over and await self._end(tenant.id, story, document, now):
                    ended, late = ended + 1, max(late, now - story.expires_at)
        if ended:
            self._telemetry.count("stories_expired", tenant.id, amount=ended)
        if ended or now - until >= HOUR_SECONDS or until // HOUR_SECONDS != now // HOUR_SECONDS:
            progress = {"id": PROGRESS_ID, "kind": "expiry", "until": now}
            await self._documents.write(PEOPLE, home, [Upsert(progress)])
        return ended, late

    async def _end(self, tenant_id: str, story: Story, document: Document, now: float) -> bool:
        if story.media is not None:
            await self._media.remove(tenant_id, story.media.key)
        body = {**document.body, "state": EXPIRED, "deletedAt": now}
        body["ttl"] = story.to_document(now)["ttl"]
        try:
            await self._documents.write(STORIES, document.partition, [Replace(body, document.etag)])
        except WriteRejected:
            return False  # changed meanwhile: the next run reads it again
        gone = Story.from_document(body)
        if gone is not None:
            self._catalogs.apply(tenant_id, gone)
        return True
