"""Learns a tenant's ranking for one night: reads the sample, builds the tables, judges, fits, and decides what is
served.

Everything follows from the previous night's state and the day's sample. So a repeated night gives the same result, and
a killed one starts again. It ends with one atomic write of everything that the tenant is served with: the model
version, the state that names it, the position for the next night, and the audit entry. Before that write, only
unreferenced files and the nightly tables were written; these depend on the same state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from events.erasures import erasures
from events.sample_share import SHARE_ID, adjusted
from learning.learner import Night
from learning.next_watch_training import histories_of, seed_of, train_night
from learning.night import Learned, end_of, learn, with_sample
from learning.night_state import NightState
from learning.promotion import WHO, decided, forgotten, model_body, version_of
from learning.rolling import user_code
from learning.sample_files import HISTORY, Read, SampleFiles, kept_files
from learning.sample_lines import Videos
from learning.state_store import Kept, StateStore, load_videos
from learning.stopping import in_thread
from learning.table_builder import TableBuilder
from learning.take_back import holdout_day, judge, take_back, with_holdout_day
from ranking.cowatch import build
from ranking.table_file import Tables
from ranking.unreadable_table import UnreadableTable
from shared.adapters.blobs.port import TABLES, Blobs
from shared.adapters.documents.port import (
    DAY_SECONDS,
    TENANTS,
    VIDEO_STATS,
    Create,
    Document,
    DocumentStore,
    Json,
    Operation,
    Replace,
    WriteRejected,
    query_all,
)
from shared.adapters.flags.evaluation import AUTO_MODELS, Flags
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.auto_model import AUTO_MODEL_ID, AutoModel
from shared.domain.keys import Identity
from shared.domain.records import AUTO_OFF, AUTO_ON, Experiment, Tenant
from shared.observability.logs import log_event
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.learning")

TOMBSTONE_TTL_SECONDS = 30 * DAY_SECONDS
FOREVER = 1e12
LEARNED, TABLES_ONLY, AGAIN, REMOVED = "learned", "tables_only", "again", "removed_tenant"
"""How a run ends: with a result, with tables only (`autoModel` is `off`), as a repetition of a finished night, or
without anything because the tenant is being removed."""

Audit = Callable[[str, Document | None, Json, float, str], Json]
"""Returns the audit entry of a change: tenant, document before, document after, time, and reason."""


@dataclass(frozen=True, slots=True)
class _Work:
    """Input of one night."""

    tenant_id: str
    night: str
    kept: Kept
    read: Read
    videos: Videos
    state: NightState


class NightlyLearning:
    """Runs nights. `elapsed` gives seconds and never goes back."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        blobs: Blobs,
        tenants: TenantDirectory,
        tables: TableBuilder,
        flags: Flags,
        identity: Identity,
        telemetry: Telemetry,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
        audit: Audit,
    ) -> None:
        self._documents, self._blobs = documents, blobs
        self._tenants = tenants
        self._tables = tables
        self._flags = flags
        self._identity = identity
        self._telemetry = telemetry
        self._clock, self._elapsed = clock, elapsed
        self._audit = audit
        self._states = StateStore(documents, blobs, telemetry)
        self._samples = SampleFiles(blobs, telemetry)

    async def run(self, tenant_id: str, night: str) -> str:
        """Learn from the days until `night` (a finished UTC date); return how the run ended. Raises `StoreError` or
        `BlobsError`; it can then be run again."""
        started = self._elapsed()
        outcome = await self._run(tenant_id, night)
        seconds = self._elapsed() - started
        self._telemetry.count("learning_runs", outcome)
        self._telemetry.observe("learning_ms", 1_000.0 * seconds)
        self._tell(tenant_id, night, "ended", outcome=outcome, seconds=round(seconds, 1))
        return outcome

    async def _run(self, tenant_id: str, night: str) -> str:
        kept = await self._states.load(tenant_id)
        if kept.night >= night:
            return AGAIN
        tenant = self._tenants.get(tenant_id)
        if tenant is None or self._tenants.drops(tenant_id, self._clock()):
            return REMOVED
        work = await self._take_in(tenant_id, night, kept)
        self._tell(tenant_id, night, "read", exposures=len(work.state.window), views=len(work.state.views))
        off = tenant.auto_model == AUTO_OFF
        learned = Learned(work.state, None, 0, 0, 0)
        if not off:
            before = await self._tables_in_force(work)
            learned = await in_thread(learn, kept.state, work.state, before, work.videos)
            self._tell(tenant_id, night, "learned", requests=learned.requests)
        await self._tables.build_from(tenant_id, work.state.views, night, end_of(night))
        if self._tenants.drops(tenant_id, self._clock()):
            return REMOVED
        await self._commit(work, learned, tenant)
        await self._tidy(work)
        return TABLES_ONLY if off else LEARNED

    async def _take_in(self, tenant_id: str, night: str, kept: Kept) -> _Work:
        before = kept.state or NightState("")
        last = before.night or None
        erased = await self._erased(tenant_id, before)
        imported = await self._jobs_of_history(tenant_id)
        everything = last is None or not imported <= set(before.merged.get(HISTORY, ()))
        read = await self._samples.read_new(tenant_id, night, last, before.merged, everything)
        videos = await load_videos(self._documents, tenant_id)
        if kept.state is None:
            before = replace(before, views=await self._tables.archived_views(tenant_id, end_of(night)))
        state = await in_thread(with_sample, before, read.shown, videos, night, erased)
        merged = {**kept_files({**before.merged, **read.files}, night), HISTORY: tuple(sorted(imported))}
        return _Work(tenant_id, night, kept, read, videos, replace(state, merged=merged))

    async def _erased(self, tenant_id: str, before: NightState) -> dict[int, float]:
        """Return recently erased users by their code, with the time of erasure. Lines of those that the previous night
        did not know are first removed from the sample's files."""
        name, found = self._identity.archive_pseudonym, await erasures(self._documents, tenant_id)
        erased = {name(key): min(at, FOREVER) for key, at in found.items()}
        new = {user: at for user, at in erased.items() if before.erased.get(user_code(user), -1.0) < at}
        await self._samples.erase(tenant_id, new)
        return {user_code(user): at for user, at in erased.items()}

    async def _jobs_of_history(self, tenant_id: str) -> set[str]:
        """Return the finished imports of past events. Their files are under days long ago."""
        found = await query_all(self._documents, TENANTS, tenant_id, "history-job:")
        return {each.id for each in found if each.body.get("state") == "done"}

    async def _tables_in_force(self, work: _Work) -> Tables | None:
        """Return the tables that ranked on the judged days. On a first night, they are built from earlier long
        views."""
        if work.kept.tables is not None:
            content = await self._blobs.read(TABLES, work.kept.tables)
            if content is not None:
                try:
                    return await asyncio.to_thread(Tables.from_bytes, content)
                except UnreadableTable:
                    self._telemetry.count("learning_files", "unreadable_tables")
        if work.kept.state is not None or not len(work.state.window):
            return None
        return await asyncio.to_thread(_tables_of, work.state, work.tenant_id)

    # ---- the result

    async def _commit(self, work: _Work, learned: Learned, tenant: Tenant) -> None:
        """Write the state's file, then all documents together. If another worker has finished the night, nothing
        changes."""
        tenant_id, night = work.tenant_id, work.night
        file = await self._states.write(tenant_id, learned.state)
        pointer = await self._tables.pointer(tenant_id)
        operations = [work.kept.following(night, file, pointer.blob or None)]
        if tenant.auto_model != AUTO_OFF:
            operations += await self._promotion(work, learned, tenant)
        try:
            await self._documents.write(TENANTS, tenant_id, operations)
        except WriteRejected:
            # Either another worker finished the night, or this write was applied and its response was lost, or an
            # editor changed one of the documents. In the last case the night is not finished and is run again.
            if (await self._states.load(tenant_id)).night < night:
                raise

    async def _promotion(self, work: _Work, learned: Learned, tenant: Tenant) -> list[Operation]:
        tenant_id, night, now = work.tenant_id, work.night, self._clock()
        stored = await self._documents.read(TENANTS, tenant_id, AUTO_MODEL_ID, latest=True)
        before = None if stored is None or stored.body.get("deleted") else AutoModel.from_document(stored.body)
        figures = await asyncio.to_thread(
            holdout_day, work.read.views_of_last_day, tenant_id, durations_of(work.videos)
        )
        held_out = tenant.auto_model == AUTO_ON and tenant.holdout and tenant.model_version is None
        personal = before.personal if before and held_out else None
        last = replace(with_holdout_day(before or AutoModel(night), night, personal, figures), night=night)
        verdict = judge(last)
        taken = take_back(last, verdict)
        if taken.taken_back != last.taken_back:
            log_event(log, logging.WARNING, "model_taken_back", always=True, tenant=tenant_id, why=taken.why)
            self._telemetry.count("model_take_backs", tenant_id, "taken_back")
        holdout = {"why": verdict.why, "userDays": verdict.user_days, "days": verdict.days}
        report = {**report_of(learned, work), "holdout": holdout}
        promote = self._flags.on(AUTO_MODELS, tenant_id)
        after = decided(taken, night, learned.night, report, tenant.auto_model, promote)
        body = after.to_document()
        write: Operation = Create(body) if stored is None else Replace(body, stored.etag)
        operations = [write, Create(self._audit(tenant_id, stored, body, now, after.why))]
        if learned.night is not None:
            operations.append(Create(model_body(night, learned.night, report, now)))
            operations += await self._forgetting(tenant, after)
        return operations

    async def _forgetting(self, tenant: Tenant, after: AutoModel) -> list[Operation]:
        """Delete old versions that nothing refers to. If one is promoted meanwhile, this fails."""
        stored = await query_all(self._documents, TENANTS, tenant.id, "model:")
        models = {str(each.body.get("version")): each for each in stored if not each.body.get("deleted")}
        named: list[str | None] = [after.popularity, after.personal, after.suggested]
        named += [tenant.model_version, *tenant.model_history]
        for document in await query_all(self._documents, TENANTS, tenant.id, "experiment:"):
            if not document.body.get("deleted"):
                named += [arm.model_version for arm in Experiment.from_document(document.body).arms]
        gone = forgotten(sorted(models), named)
        return [Replace(_tombstone(version), models[version].etag) for version in gone]

    async def _tidy(self, work: _Work) -> None:
        """Clean up: adjust the sample's share, and delete files that are no longer needed. Optional."""
        tenant_id, now = work.tenant_id, self._clock()
        kept = await self._states.load(tenant_id)
        await self._tables.delete_old_files(tenant_id, (kept.file, kept.tables, work.kept.file, work.kept.tables))
        await self._samples.delete_due(tenant_id, now)
        await self._samples.make_whole(tenant_id, work.night)
        share = await self._documents.read(VIDEO_STATS, tenant_id, SHARE_ID, latest=True)
        change = None if share is None else adjusted(share, work.read.events_of_last_day)
        if change is not None:
            await self._documents.write(VIDEO_STATS, tenant_id, [change])

    def _tell(self, tenant_id: str, night: str, step: str, **figures: Any) -> None:
        log_event(log, logging.INFO, f"learning_{step}", always=True, tenant=tenant_id, night=night, **figures)


def _tombstone(version: str) -> Json:
    return {
        "id": f"model:{version}",
        "kind": "model",
        "version": version,
        "deleted": True,
        "ttl": TOMBSTONE_TTL_SECONDS,
    }


def _tables_of(state: NightState, tenant_id: str) -> Tables | None:
    since = float(state.window.time[0])
    old = state.views.only(state.views.times < since)
    if not len(old):
        return None
    training = train_night(None, histories_of(old.users, old.keys, old.times), seed_of(tenant_id, "before"))
    cowatch = build(old.users, old.keys, old.times, built_at=since)
    return Tables(cowatch, None if training is None else training.table(since))


def durations_of(videos: Videos) -> Mapping[str, float]:
    """Return the duration in seconds by id, of videos whose duration is known."""
    return {video.id: video.duration_seconds for video in videos.videos if video.duration_seconds > 0}


def report_of(learned: Learned, work: _Work) -> dict[str, Any]:
    """Return the report for people: the night's input and result. Lifts are [value, low, high]."""
    found: Night | None = learned.night
    return {
        "night": work.night,
        "version": version_of(work.night) if found is not None else None,
        "events": work.read.events_of_last_day,
        "exposures": learned.exposures,
        "users": learned.users,
        "ranked": learned.requests,
        "longViews": len(work.state.views),
        "by": WHO,
        **(found.report() if found is not None else {}),
    }
