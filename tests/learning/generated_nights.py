"""A tenant with generated days and production's nightly jobs: sample, learning, served models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import bootstrap
from bootstrap import App
from evaluation.synthetic import START, tastes_log
from events.archive import blob_name, to_lines
from events.batch import Batch
from events.sample import sample_name
from events.schema import Event
from learning.log import Log
from learning.night import night_before
from learning.nightly import NightlyLearning
from local.demo import save_videos
from shared.adapters.blobs.port import SAMPLES
from shared.adapters.documents.port import TENANTS, Upsert
from shared.adapters.tenant_directory import save_tenant
from shared.domain.auto_model import AUTO_MODEL_ID, AutoModel
from shared.domain.event_types import IMPRESSION, VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.domain.records import Tenant
from shared.settings import Settings

TENANT = "tenant"
DAY = 86_400.0
AT_NIGHT = 2 * 3_600.0 + 17 * 60


def small_log(days: int = 4) -> Log:
    """A log of tastes that a personal model learns in a few days."""
    return tastes_log(users=80, videos=100, days=days, a_day=6)


class Generated:
    """A tenant on the app's own stores, with a clock that the test sets."""

    def __init__(self, app: App, log: Log, clock: list[float]) -> None:
        self.app, self.log, self._clock = app, log, clock

    async def begin(self, tenant: Tenant | None = None) -> None:
        """Store the tenant and its videos."""
        await save_tenant(self.app.documents, tenant or Tenant(TENANT, "R"))
        await self.app.tenants_refresher.refresh()
        await save_videos(self.app, TENANT, self.log.videos)

    async def change(self, tenant: Tenant) -> None:
        await save_tenant(self.app.documents, tenant)
        await self.app.tenants_refresher.refresh()

    async def sample_day(self, day: int, batches: Sequence[Batch] | None = None, number: int = 1) -> None:
        """Write a file of the sample under a day of the log: all of the day, or some batches."""
        batches = list(self.batches(day)) if batches is None else batches
        name = blob_name(TENANT, number, START + day * DAY, START + day * DAY)
        content = to_lines(batches, self.app.identity.archive_pseudonym)
        await self.app.blobs.write(SAMPLES, sample_name(name), content)

    def batches(self, day: int) -> Iterator[Batch]:
        """Yield one batch per exposure."""
        shown = self.log.exposures
        for at in range(len(shown)):
            if int((shown.time[at] - START) // DAY) != day:
                continue
            video, when = self.log.videos[shown.video[at]].id, float(shown.time[at])
            user, watch_ms = self.log.users[shown.user[at]], float(shown.watch_ms[at])
            events = tuple(
                Event(kind, video, int(when * 1000), fingerprint(f"{kind} {at}"), watch)
                for kind, watch in ((IMPRESSION, None), (VIDEO_VIEW, watch_ms))
            )
            yield Batch(f"{at:032x}", TENANT, f"key-{user}", when, events, trusted=True, counted=(True, True))

    def to_night_after(self, day: int) -> str:
        """Set the clock to the night after a day of the log; return the night's name."""
        self._clock[0] = START + (day + 1) * DAY + AT_NIGHT
        return night_before(self._clock[0])

    async def live(self, days: int, learning: NightlyLearning | None = None) -> list[str]:
        """Run whole days with their nights; return the result of each."""
        ended = []
        for day in range(days):
            await self.sample_day(day)
            ended.append(await (learning or self.app.learning).run(TENANT, self.to_night_after(day)))
        return ended

    async def served(self) -> AutoModel | None:
        """Return the stored state of the served models."""
        found = await self.app.documents.read(TENANTS, TENANT, AUTO_MODEL_ID, latest=True)
        return AutoModel.from_document(found.body) if found else None

    async def stored(self, id: str) -> dict[str, Any] | None:
        found = await self.app.documents.read(TENANTS, TENANT, id, latest=True)
        return None if found is None else {**found.body}

    async def put(self, body: dict[str, Any]) -> None:
        await self.app.documents.write(TENANTS, TENANT, [Upsert(body)])


def generated(folder: Path, log: Log | None = None, **parts: Any) -> Generated:
    """The app with its embedded stores in a folder, or with other `parts`."""
    clock = [START]
    app = bootstrap.build(Settings(data_folder=str(folder)), clock=lambda: clock[0], **parts)
    return Generated(app, log or small_log(), clock)


def day_named(day: int) -> str:
    """Return the UTC date of a day of the log."""
    found: date = datetime.fromtimestamp(START + day * DAY, UTC).date()
    return found.isoformat()
