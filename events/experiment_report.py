"""Computes experiment reports from the archive: every night, or by `python -m commands.report_experiment`.

Reads every archived event of the tenant since the experiment began, one blob at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from events.archive import from_lines, is_live
from events.experiment_statistics import Outcomes, report
from events.video_facts import VideoFacts
from shared.adapters.blobs.port import ARCHIVE, Blobs, BlobsError
from shared.adapters.documents.port import TENANTS, DocumentStore, StoreError, Upsert, query_all
from shared.adapters.tenant_directory import TenantDirectory
from shared.domain.records import Experiment
from shared.observability.metrics import Telemetry

log = logging.getLogger("feed.events")

LATEST_DAYS = 4
ATTRIBUTED_DAYS = 2
"""An event can quote a page for a day after it was served, and can arrive some time later."""


class NoSuchExperiment(ValueError):
    """The tenant has no experiment of this name, or it has not begun. The message says which."""


class ExperimentReports:
    """Computes reports from archived events and stores them for the CMS."""

    def __init__(
        self,
        *,
        documents: DocumentStore,
        blobs: Blobs,
        video_facts: VideoFacts,
        tenants: TenantDirectory,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._video_facts = video_facts
        self._tenants = tenants
        self._telemetry = telemetry
        self._clock = clock

    async def gather(self, tenant_id: str, experiment_id: str) -> Outcomes:
        """Return everything the archive holds about an experiment. Raises `NoSuchExperiment`, `BlobsError`,
        `StoreError`."""
        stored = await self._documents.read(TENANTS, tenant_id, f"experiment:{experiment_id}", latest=True)
        if stored is None or stored.body.get("deleted"):
            raise NoSuchExperiment(f"tenant {tenant_id} has no experiment {experiment_id}.")
        experiment = Experiment.from_document(stored.body)
        if experiment.started_at is None:
            raise NoSuchExperiment(f"experiment {experiment_id} has not begun: start it first.")
        outcomes, durations = Outcomes(experiment), dict[str, float]()
        now = self._clock()
        last = min(now, (experiment.stopped_at or now) + ATTRIBUTED_DAYS * 86_400)
        day = datetime.fromtimestamp(experiment.started_at, UTC).date()
        while day <= datetime.fromtimestamp(last, UTC).date():
            async for blob in self._blobs.list(ARCHIVE, f"{tenant_id}/{day:%Y/%m/%d}/"):
                content = await self._blobs.read(ARCHIVE, blob.name)
                if content is not None:
                    lines = await asyncio.to_thread(_attributed, content)
                    unknown = {line["videoId"] for line in lines} - durations.keys()
                    facts = await self._video_facts.get(tenant_id, unknown)
                    durations.update({id: facts[id].duration_seconds if id in facts else 0.0 for id in unknown})
                    await asyncio.to_thread(outcomes.add, lines, durations)
            day += timedelta(days=1)
        return outcomes

    async def store_all(self) -> int:
        """Store the report of every experiment that is running or ended a few days ago. Return how many there were.

        One tenant's failure does not stop the others; it is counted and logged.
        """
        stored = 0
        for tenant_id in self._tenants.ids():
            try:
                stored += await self._store_reports_of(tenant_id)
            except (StoreError, BlobsError, ValueError) as error:
                self._telemetry.count("experiment_reports", "failed")
                log.error("experiment reports of tenant %s failed: %s", tenant_id, type(error).__name__)
        return stored

    async def _store_reports_of(self, tenant_id: str) -> int:
        now, stored = self._clock(), 0
        for document in await query_all(self._documents, TENANTS, tenant_id, "experiment:"):
            experiment = Experiment.from_document(document.body)
            over = experiment.stopped_at is not None and now - experiment.stopped_at > LATEST_DAYS * 86_400
            if experiment.started_at is None or over or document.body.get("deleted"):
                continue
            body = {
                "id": f"experiment-report:{experiment.id}",
                "kind": "experiment-report",
                "report": {**report(await self.gather(tenant_id, experiment.id)), "at": int(now)},
            }
            await self._documents.write(TENANTS, tenant_id, [Upsert(body)])
            self._telemetry.count("experiment_reports", "stored")
            stored += 1
        return stored


def _attributed(content: bytes) -> list[dict[str, Any]]:
    """Return the lines of the running app that quote the page of their video."""
    return [line for line in from_lines(content) if line.get("request") and is_live(line)]
