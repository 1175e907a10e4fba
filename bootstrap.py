"""Composition root: builds every backend and long-lived object from the settings, once per process.

Nothing connects at import or in `build`; `App.start` opens what the first request needs. Every part can be replaced by
an argument, which tests and the local host use. The feature packages (`feed/`, `events/`, …) do not import this module.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cms.apis import CmsParts, cms_apis
from cms.changes import Author, Change, audit_entry
from cms.history.history_importer import HistoryImporter
from cms.imports.job_queue import JobParts
from cms.imports.jobs import Importer
from cms.learning.take_backs import TakeBacks
from cms.live.api import LiveSources
from events import dead_letters
from events.api import EventsApi
from events.archived_pages import ArchivedPages
from events.experiment_report import ExperimentReports
from events.history_sweep import sweep_history
from events.history_taker import HistoryTaker
from events.packing import Packer
from events.queues import Queues
from events.signals_consumer import HANDED_ON, SignalsConsumer
from events.signals_writer import SignalsWriter
from events.stats_consumer import StatsConsumer
from events.video_facts import VideoFacts
from feed.api import FeedApi
from feed.catalog import Catalogs
from feed.dark_launch import DarkLaunch
from feed.experiments import Experiments
from feed.filters import maturity_limit
from feed.lists import ListsReader
from feed.lists_api import ListsApi
from feed.personal_ranking import personal_ranking
from feed.pipeline import Feed
from feed.signals_reader import SignalsReader
from feed.similar_api import SimilarApi
from feed.similar_videos import SimilarVideos
from feed.tenant_models import Models
from learning.nightly import NightlyLearning
from learning.promotion import WHO as LEARNER
from learning.queue import LearningQueue
from learning.table_builder import TableBuilder
from media.api import UploadsApi
from media.media_types import most_bytes
from media.uploads import Uploads
from privacy.api import PrivacyApi
from privacy.tenant_removal import TenantRemovals
from shared.adapters.azure_credential import blocking_azure_credential
from shared.adapters.backends import (
    blobs_from,
    bus_from,
    documents_from,
    flag_source_from,
    live_from,
    media_from,
)
from shared.adapters.blobs.port import Blobs, BlobsError, LinkedBlobs
from shared.adapters.bus.port import Bus
from shared.adapters.clock_guard import APP_CONFIGURATION, COSMOS, ClockGuard
from shared.adapters.documents.port import TENANTS, Document, DocumentStore, Json, StoreError
from shared.adapters.due_jobs import DueJob, DueJobs
from shared.adapters.embedded_secrets import with_embedded_secrets
from shared.adapters.flags.evaluation import LEAN_READS, LEAN_WRITES, Flags
from shared.adapters.flags.port import FlagSource
from shared.adapters.live.port import Live
from shared.adapters.milestones import Milestones
from shared.adapters.refresh import Refresher
from shared.adapters.reporting import reported, reported_media
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain import media_ticket
from shared.domain.auto_model import AUTO_MODEL_ID
from shared.domain.clocks import elapsed_seconds
from shared.domain.keys import Identity, KeyRing
from shared.observability import logs
from shared.observability.dependencies import Dependencies
from shared.observability.metrics import Telemetry
from shared.observability.recent import Recent
from shared.observability.telemetry_export import Spans, TelemetryExport, build_export
from shared.settings import BadSetting, Settings
from shared.web.admission import Limits
from shared.web.authentication import Authenticator
from shared.web.cors import Cors
from shared.web.endpoint import Edge
from shared.web.status import ReadinessApi
from shared.web.user_tokens import UserTokens
from stories.apis import COUNT_SECONDS, EXPIRE_SECONDS, Social, build_social
from stories.media_check import NoMedia
from stories.people_api import PeopleApi
from stories.story_parts import StoryParts
from stories.uploaded_media import UploadedMedia

log = logging.getLogger("feed.start")

Clock = Callable[[], float]
START_BUDGET_SECONDS = 5.0
BROKEN_SECONDS = 10.0
"""How long `/ready` reports a failed call, unless a later one succeeds."""


@dataclass
class App:
    """The parts of one process. `clock` gives seconds since the epoch; `elapsed` gives seconds that never go back."""

    settings: Settings
    clock: Clock
    elapsed: Clock
    clock_guard: ClockGuard
    documents: DocumentStore
    bus: Bus
    blobs: Blobs
    media: LinkedBlobs | None
    live: Live | None
    flags: Flags
    identity: Identity
    keys: KeyRing
    telemetry: Telemetry
    recent: Recent
    tenants: TenantDirectory
    limits: Limits
    video_facts: VideoFacts
    flags_refresher: Refresher
    tenants_refresher: Refresher
    feed: Feed
    similar: SimilarVideos
    packers: tuple[Packer, ...]
    signals_consumer: SignalsConsumer
    stats_consumer: StatsConsumer
    queues: Queues
    table_builder: TableBuilder
    learning: NightlyLearning
    learning_queue: LearningQueue
    experiment_reports: ExperimentReports
    imports: Importer
    history: HistoryImporter
    removals: TenantRemovals
    take_backs: TakeBacks
    milestones: Milestones
    social: Social
    edge: Edge
    apis: Mapping[type, Any]
    """The object behind each class of endpoints."""
    export: TelemetryExport | None = None
    _started: asyncio.Task[None] | None = None
    _end_logs: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        stories = [DueJob(self.social.count, COUNT_SECONDS), DueJob(self.social.expire, EXPIRE_SECONDS)]
        self.jobs = DueJobs([DueJob(self.run_imports), *stories], self.clock)

    @property
    def catalogs(self) -> Catalogs:
        return self.feed.catalogs

    async def start(self) -> None:
        """Open what the first request needs, concurrently, and start the refresh loops. Later calls return at once.

        A dependency that is down does not stop the start: each has its fallback, and the loops keep trying.
        """
        if self._started is None:
            self._started = asyncio.create_task(self._start())
        await asyncio.shield(self._started)

    @property
    def started(self) -> bool:
        """Whether the start has completed."""
        return self._started is not None and self._started.done()

    async def _start(self) -> None:
        self._end_logs = logs.install(self.telemetry, structured=self.settings.log_format == "json")
        if self.export is not None:
            self.export.start()
        for refresher in (self.flags_refresher, self.tenants_refresher):
            refresher.start()
        await asyncio.wait(
            [
                asyncio.create_task(self._within_budget(step))
                for step in (self.flags_refresher.refresh, self._open_documents, self.bus.ready)
            ]
        )
        await self._within_budget(self._warm_up)
        self.recent.start()
        self.limits.delay.start()  # delays of the start itself are no overload

    async def _open_documents(self) -> None:
        await self.documents.ready()
        await self.feed.signals.open()
        await self.tenants_refresher.refresh()

    async def _warm_up(self) -> None:
        self.feed.warm_up(self.clock())

    async def _within_budget(self, step: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(START_BUDGET_SECONDS):
                await step()
        except Exception as error:  # a dependency that is down is retried by its loop or its first use
            self.telemetry.count("refresh_failures", f"start_{type(error).__name__}")

    async def load_catalogs(self) -> None:
        """Load the content of every known tenant, within the budget of a start. For one machine only: in Azure, a
        tenant's first request loads it, since there are many tenants and an instance may never serve most of them."""

        async def load() -> None:
            for tenant_id in self.tenants.ids():
                await self.catalogs.get(tenant_id)

        await self._within_budget(load)

    async def roll_up(self, drainer: int = 1) -> None:
        """Add waiting events to the statistics and the archive, as one of several drainers. The first drainer also
        measures the queues."""
        if drainer == 1:
            await self.queues.measure()
        if self.clock_guard.trusted():
            await self.stats_consumer.run()

    async def learn(self) -> None:
        """Process the waiting nights of learning. Skipped while the clock is wrong: events would belong to other
        days."""
        if self.clock_guard.trusted():
            await self.learning_queue.work()

    async def run_jobs(self) -> None:
        """Run the jobs that are due: removals and imports on every call, and the stories' jobs every half minute and
        every minute."""
        await self.jobs.run()

    async def run_imports(self) -> None:
        """Continue removals of tenants, then imports. Never concurrently, so that no import writes what is being
        removed."""
        await self.removals.run()
        await self.imports.run()
        await self.history.run()

    async def nightly(self) -> None:
        """Run the job of this hour (UTC), so that each job has a whole call. At other hours run all in turn: the call
        is late, and nothing tells which job it was for."""
        jobs = {2: self.learning_queue.send_all, 3: self.sweep, 4: self.experiment_reports.store_all}
        hour = datetime.fromtimestamp(self.clock(), UTC).hour
        for job in [jobs[hour]] if hour in jobs else jobs.values():
            await job()
        await self.take_backs.run()  # each time, since it is quick: a losing model must not be served for another day

    async def sweep(self) -> None:
        """Delete data whose retention is over. Failures with imported history are retried the next night."""
        await self.sweep_dead_letters()
        try:
            await self.sweep_history()
        except (StoreError, BlobsError):
            self.telemetry.count("store_failures", "history")

    async def sweep_history(self) -> int:
        """Delete expired files of imported history, and lines of erased users; return how many files. 0 while the clock
        is wrong."""
        if not self.clock_guard.trusted():
            return 0
        return await sweep_history(self.blobs, self.documents, self.tenants, self.identity, self.clock())

    async def sweep_dead_letters(self) -> int:
        """Drop dead letters that are too old or of erased users; return how many there were. 0 while the clock is
        wrong."""
        if not self.clock_guard.trusted():
            return 0
        return await dead_letters.sweep(self.bus, self.documents, self.tenants, self.telemetry, self.clock())

    async def close(self) -> None:
        """Stop the loops and close every connection."""
        try:
            await self.limits.delay.stop()
            await self.recent.stop()
            for refresher in (self.flags_refresher, self.tenants_refresher):
                await refresher.stop()
            await self._within_budget(self.milestones.flush)
            await self.feed.close()
            await self.social.close()
            for packer in self.packers:
                await packer.close()
            for part in (self.flags, self.bus, self.blobs, self.documents):
                await part.close()
            if self.live is not None:
                await self.live.close()
            if self.media is not None:
                await self.media.close()
            if self.export is not None:
                await self.export.stop()
        finally:
            self._end_logs()


def build(
    settings: Settings,
    *,
    clock: Clock = time.time,
    elapsed: Clock = elapsed_seconds,
    documents: DocumentStore | None = None,
    bus: Bus | None = None,
    blobs: Blobs | None = None,
    media: LinkedBlobs | None = None,
    live: Live | None = None,
    flag_source: FlagSource | None = None,
    telemetry: Telemetry | None = None,
    local: bool = False,
) -> App:
    """Build all parts, unconnected. Raises `BadSetting` with one sentence when the settings are invalid.

    `local`: run on one machine, where no log records user hashes in URLs.
    """
    if settings.embedded:
        settings = with_embedded_secrets(settings)
    telemetry = telemetry or Telemetry()
    clock_guard = ClockGuard(clock, elapsed, telemetry)
    documents = documents or documents_from(
        settings,
        clock,
        telemetry,
        partial(clock_guard.saw, COSMOS),
        lambda: flags.on(LEAN_READS, ""),
        lambda: flags.on(LEAN_WRITES, ""),
    )
    bus = bus or bus_from(settings, clock)
    blobs = blobs or blobs_from(settings)
    media = reported_media(media or media_from(settings), telemetry)
    documents, bus, blobs = reported(documents, bus, blobs, telemetry)
    identity, keys = Identity(settings.identity_secret), KeyRing(settings.signing_keys)
    live = live or live_from(settings, identity.live_key)
    flags = Flags(flag_source or flag_source_from(settings, partial(clock_guard.saw, APP_CONFIGURATION)), telemetry)
    tenants = TenantDirectory(documents, telemetry)
    limits = Limits(settings, telemetry, elapsed)
    export = build_export(settings, telemetry, blocking_azure_credential)
    spans = Spans(export)
    video_facts = VideoFacts(documents, elapsed)

    async def refresh_flags() -> None:
        clock_guard.trusted()  # so that a change is reported even where nothing else asks
        await flags.refresh(elapsed())

    flags_every = settings.flags_refresh_seconds
    flags_refresher = Refresher(
        "flags", refresh_flags, flags_every, elapsed, telemetry, first_pause=flags_every / 4, longest_pause=flags_every
    )
    milestones = Milestones(documents, tenants, telemetry)

    async def refresh_tenants() -> None:
        await tenants.refresh()
        await milestones.flush()

    tenants_refresher = Refresher("tenants", refresh_tenants, settings.content_refresh_seconds, elapsed, telemetry)
    models = Models(tenants, telemetry)
    feed = Feed(
        catalogs=Catalogs(documents, blobs, settings, telemetry, elapsed),
        signals=SignalsReader(documents, settings, telemetry, elapsed),
        models=models,
        experiments=Experiments(tenants, models, telemetry),
        dark_launch=DarkLaunch(telemetry),
        flags=flags,
        flags_refresher=flags_refresher,
        tenants=tenants,
        keys=keys,
        archive_pseudonym=identity.archive_pseudonym,
        telemetry=telemetry,
        receipts_know_their_page=settings.write_receipt_version == "2",
        write_cursor_version=int(settings.write_cursor_version),
    )
    similar = SimilarVideos(feed, flags, tenants, keys, settings.write_receipt_version == "2")
    job_parts = JobParts(documents, blobs, tenants, tenants_refresher, telemetry, clock)
    imports = Importer(job_parts)
    signals_writer = SignalsWriter(documents, telemetry, clock, int(settings.write_signals_version))
    history = HistoryImporter(
        job_parts,
        HistoryTaker(
            documents=documents,
            blobs=blobs,
            writer=signals_writer,
            video_facts=video_facts,
            tenants=tenants,
            identity=identity,
            telemetry=telemetry,
            clock=clock,
            usual_peak_floor=settings.usual_peak_floor,
            clock_trusted=clock_guard.trusted,
        ),
    )
    removals = TenantRemovals(
        documents=documents,
        blobs=blobs,
        bus=bus,
        tenants=tenants,
        tenants_refresher=tenants_refresher,
        telemetry=telemetry,
        clock=clock,
    )
    edge = Edge(
        Authenticator(tenants, identity),
        UserTokens(tenants),
        identity,
        telemetry,
        Cors(settings.cors_origins),
        clock,
        lambda flag, tenant_id, own: flags.on(flag, tenant_id, own=own),
    )
    lengths = most_bytes(settings.story_picture_bytes, settings.story_clip_bytes)
    uploads = Uploads(documents, media, telemetry, clock, most_bytes=lengths) if media else None
    recent = Recent(telemetry, elapsed)
    ages = {"flags": flags_refresher.age, "tenants": tenants_refresher.age, "content": feed.catalogs.age}
    readiness = ReadinessApi(
        {
            "documents": documents.ready,
            "bus": bus.ready,
            "blobs": blobs.ready,
            "flags": flags_refresher.refresh,
            "tenants": tenants_refresher.refresh,
        },
        ages,
        elapsed,
        partial(_known_states, telemetry.dependencies, clock_guard),
        telemetry.unreadable.counts,
    )
    social = build_social(
        StoryParts(
            edge=edge,
            documents=documents,
            identity=identity,
            keys=keys,
            limits=limits,
            settings=settings,
            telemetry=telemetry,
            tenants=tenants,
            flags=flags,
            clock=clock,
            elapsed=elapsed,
            clock_trusted=clock_guard.trusted,
            maturity_limit=maturity_limit,
            personal_ranking=partial(personal_ranking, feed),
            media=UploadedMedia(uploads) if uploads else NoMedia(),
            live=live,
        )
    )

    def forget(tenant_id: str) -> None:
        feed.catalogs.forget(tenant_id)
        social.catalogs.forget(tenant_id)

    tenants.on_removal = forget
    version = int(settings.write_message_version)
    accepted = Packer(bus, version=version, linger_seconds=settings.pack_linger_ms / 1000)
    hand_on = Packer(bus, version=version, linger_seconds=settings.hand_on_linger_ms / 1000, suffix=HANDED_ON)
    table_builder = TableBuilder(
        documents=documents,
        blobs=blobs,
        video_facts=video_facts,
        tenants=tenants,
        telemetry=telemetry,
        clock=clock,
    )
    learning = NightlyLearning(
        documents=documents,
        blobs=blobs,
        tenants=tenants,
        tables=table_builder,
        flags=flags,
        identity=identity,
        telemetry=telemetry,
        clock=clock,
        elapsed=elapsed,
        audit=_audited_night,
    )
    return App(
        settings=settings,
        clock=clock,
        elapsed=elapsed,
        clock_guard=clock_guard,
        documents=documents,
        bus=bus,
        blobs=blobs,
        media=media,
        live=live,
        flags=flags,
        identity=identity,
        keys=keys,
        telemetry=telemetry,
        recent=recent,
        tenants=tenants,
        limits=limits,
        video_facts=video_facts,
        flags_refresher=flags_refresher,
        tenants_refresher=tenants_refresher,
        feed=feed,
        similar=similar,
        packers=(accepted, hand_on),
        signals_consumer=SignalsConsumer(
            bus=bus,
            packer=hand_on,
            video_facts=video_facts,
            tenants=tenants,
            telemetry=telemetry,
            spans=spans,
            clock=clock,
            patience_seconds=settings.fold_patience_seconds,
            writer=signals_writer,
            elapsed=elapsed,
            clock_trusted=clock_guard.trusted,
        ),
        stats_consumer=StatsConsumer(
            documents=documents,
            bus=bus,
            blobs=blobs,
            video_facts=video_facts,
            tenants=tenants,
            flags=flags,
            identity=identity,
            telemetry=telemetry,
            clock=clock,
            run_seconds=settings.rollup_seconds,
            sessions_at_once=int(settings.rollup_sessions),
            usual_peak_floor=settings.usual_peak_floor,
            elapsed=elapsed,
        ),
        queues=Queues(bus, telemetry, clock, elapsed),
        table_builder=table_builder,
        learning=learning,
        learning_queue=LearningQueue(
            bus=bus, tenants=tenants, learning=learning, telemetry=telemetry, clock=clock, elapsed=elapsed
        ),
        experiment_reports=ExperimentReports(
            documents=documents,
            blobs=blobs,
            video_facts=video_facts,
            tenants=tenants,
            telemetry=telemetry,
            clock=clock,
        ),
        imports=imports,
        history=history,
        removals=removals,
        take_backs=TakeBacks(documents, tenants, tenants_refresher, telemetry, clock),
        milestones=milestones,
        social=social,
        edge=edge,
        apis={
            FeedApi: FeedApi(edge, feed, limits, telemetry, spans, milestones),
            ListsApi: ListsApi(
                edge,
                feed,
                ListsReader(documents, telemetry),
                limits,
                keys,
                telemetry,
                social.apis[PeopleApi].followed_people,
            ),
            SimilarApi: SimilarApi(edge, similar, limits, telemetry),
            EventsApi: EventsApi(
                edge,
                bus=bus,
                packer=accepted,
                keys=keys,
                limits=limits,
                telemetry=telemetry,
                spans=spans,
                publish_seconds=settings.publish_budget_ms / 1000,
                milestones=milestones,
                clock_trusted=clock_guard.trusted,
                write_version=version,
            ),
            PrivacyApi: PrivacyApi(
                edge,
                documents=documents,
                bus=bus,
                catalogs=feed.catalogs,
                identity=identity,
                limits=limits,
                telemetry=telemetry,
                clock=clock,
                people=social.personal_data,
                clock_trusted=clock_guard.trusted,
                user_hash_in_url=local,
                uploads=uploads,
            ),
            UploadsApi: UploadsApi(
                edge,
                uploads,
                identity.people_partition,
                limits=limits,
                telemetry=telemetry,
                clock_trusted=clock_guard.trusted,
            ),
            ReadinessApi: readiness,
            **social.apis,
            **cms_apis(
                CmsParts(
                    edge=edge,
                    documents=documents,
                    tenants=tenants,
                    tenants_refresher=tenants_refresher,
                    feed=feed,
                    flags=flags,
                    identity=identity,
                    imports=imports,
                    history=history,
                    clock_trusted=clock_guard.trusted,
                    milestones=milestones,
                    receipt_keys=keys.for_purpose("feed-request"),
                    media_keys=keys.for_purpose(media_ticket.PURPOSE),
                    reported=ArchivedPages(blobs, identity.archive_pseudonym, telemetry).reported,
                    moderation=social.moderation,
                    live=LiveSources(
                        telemetry=telemetry,
                        recent=recent,
                        bus=bus,
                        states=readiness.states,
                        ages=ages,
                        elapsed=elapsed,
                        whole=local,
                        flags_file=settings.flags == "file",
                    ),
                )
            ),
        },
        export=export,
    )


def _audited_night(tenant_id: str, before: Document | None, after: Json, at: float, why: str) -> Json:
    """Return the audit entry for models that a night's learning published or took back."""
    known = before.body.get("takenBack") if before else None
    action = "take_back" if after["takenBack"] and after["takenBack"] != known else "learn"
    change = Change(TENANTS, tenant_id, "auto-model", AUTO_MODEL_ID, action, before, after)
    return audit_entry(change, Author(LEARNER, at, why))


def _known_states(dependencies: Dependencies, clock_guard: ClockGuard) -> dict[str, str]:
    """Return states that are known without a check: the clock, and the ports whose last call failed recently. For
    example, writes to a full disk fail while reads work."""
    ports = {name.partition(".")[0] for name in dependencies.broken(BROKEN_SECONDS) if "." in name}
    clock = "ready" if clock_guard.trusted() else "unavailable"
    return {**dict.fromkeys(sorted(ports), "unavailable"), "clock": clock}


_current: App | None = None


def use(app: App | None) -> None:
    """Set the app of this process, for tests and the local host."""
    global _current
    _current = app


async def running() -> App:
    """Return the process's app, built from the environment on first use, and started."""
    global _current
    if _current is None:
        _current = build(Settings.from_environment(os.environ))
    if not _current.started:
        await _current.start()
    return _current


def configured() -> bool:
    """Tell whether the process has its app, or could build it from the environment. If not, log the reason."""
    if _current is not None:
        return True
    try:
        settings = Settings.from_environment(os.environ)
        if not settings.embedded:
            Identity(settings.identity_secret)
            KeyRing(settings.signing_keys)
    except BadSetting as error:
        log.error("the app cannot start: %s", error)
        return False
    return True


def provider(api: type) -> Callable[[], Awaitable[Any]]:
    """Return a function that returns the running app's object for a class of endpoints."""

    async def provide() -> Any:
        return (await running()).apis[api]

    return provide
