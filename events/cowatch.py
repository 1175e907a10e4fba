"""Builds a tenant's co-watch table from its archive: nightly by a timer, or with `python -m events.cowatch [TENANT …]`.

A table is a new file; the pointer is written last, so a reader finds the old table or the new one. Older files are
deleted a day later, when no instance can still be about to load them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from array import array
from datetime import UTC, datetime, timedelta

import numpy as np

import bootstrap
from bootstrap import Services
from events.archive import from_lines
from ranking.columns import key64
from ranking.cowatch import CoWatchTable, build
from ranking.watching import is_long_view
from shared.adapters.blobs.port import ARCHIVE, TABLES, BlobsUnavailable
from shared.adapters.documents.port import VIDEO_STATS, StoreUnavailable, Upsert
from shared.domain.cowatch_pointer import Pointer
from shared.domain.event_types import COMPLETE, VIDEO_VIEW
from shared.domain.fingerprint import fingerprint
from shared.settings import BadSetting, Settings

log = logging.getLogger("feed.events")

LOOK_BACK_DAYS = 30
MAX_LONG_VIEWS = 2_000_000
"""About 50 MB; a larger log is cut down to a hashed sample of its users."""
OLD_FILE_SECONDS = 86_400.0


class LongViews:
    """Long views in memory, of a sample of users that is halved whenever there are too many.

    Users are sampled by a bit more of their pseudonym's fingerprint each time, so a user is in or out as a whole.
    """

    def __init__(self, most: int = MAX_LONG_VIEWS) -> None:
        self._most = most
        self._halvings = 0
        self.users, self.keys, self.times = array("q"), array("Q"), array("d")

    def add(self, user: str, video_id: str, at: float) -> None:
        """One long view; left out when its user is not in the sample."""
        code = fingerprint(user)
        if code & self._mask:
            return
        self.users.append(code)
        self.keys.append(key64(video_id))
        self.times.append(at)
        if len(self.users) > self._most:
            self._halve()

    @property
    def sample(self) -> float:
        """The share of users that is in."""
        return 0.5**self._halvings

    @property
    def _mask(self) -> int:
        return (1 << self._halvings) - 1

    def _halve(self) -> None:
        self._halvings += 1
        users = np.array(self.users, np.int64)
        kept = users & self._mask == 0
        self.users = array("q", users[kept].tolist())
        self.keys = array("Q", np.array(self.keys, np.uint64)[kept].tolist())
        self.times = array("d", np.array(self.times)[kept].tolist())

    def table(self, built_at: float) -> CoWatchTable:
        """The co-watch table of what was added."""
        return build(
            np.array(self.users, np.int64), np.array(self.keys, np.uint64), np.array(self.times), built_at=built_at
        )


async def build_all(services: Services, tenant_ids: list[str] | None = None) -> int:
    """A new table for each tenant; how many were built. One tenant's failure is counted and stops no other."""
    built = 0
    for tenant_id in services.tenants.ids() if tenant_ids is None else tenant_ids:
        try:
            built += await build_one(services, tenant_id)
        except (BlobsUnavailable, StoreUnavailable) as error:
            log.warning("the co-watch table of tenant %s was not built: %s", tenant_id, type(error).__name__)
            services.telemetry.count("cowatch_tables", "failed")
    return built


async def build_one(services: Services, tenant_id: str) -> bool:
    """Read the tenant's archive, build, write the file, then the pointer. False when nobody watched anything.

    Raises `BlobsUnavailable` or `StoreUnavailable`.
    """
    now = services.clock()
    views = await _long_views(services, tenant_id, now)
    table = await asyncio.to_thread(views.table, now)
    if not len(table.keys):
        services.telemetry.count("cowatch_tables", "empty")
        return False
    name = f"{tenant_id}/cowatch-{int(now * 1000):015d}.bin"
    await services.blobs.write(TABLES, name, table.to_bytes())
    pointer = Pointer(name, now, len(table.keys))
    await services.documents.write(VIDEO_STATS, tenant_id, [Upsert(pointer.to_document())])
    await _delete_old_files(services, tenant_id, name, now)
    services.telemetry.count("cowatch_tables", "built")
    log.info("co-watch table of tenant %s: %d videos, %.3g of users", tenant_id, len(table.keys), views.sample)
    return True


async def _long_views(services: Services, tenant_id: str, now: float) -> LongViews:
    durations: dict[str, float] = {}
    views = LongViews()
    today = datetime.fromtimestamp(now, UTC)
    for days_ago in range(LOOK_BACK_DAYS, -1, -1):
        day = (today - timedelta(days=days_ago)).strftime("%Y/%m/%d")
        async for blob in services.blobs.list(ARCHIVE, f"{tenant_id}/{day}/"):
            content = await services.blobs.read(ARCHIVE, blob.name)
            if content is not None:
                await _take_in(services, tenant_id, content, durations, views)
    return views


async def _take_in(
    services: Services, tenant_id: str, content: bytes, durations: dict[str, float], views: LongViews
) -> None:
    """Add the long views of one archived blob. A blob of another schema version is left out, counted."""
    try:
        lines = await asyncio.to_thread(lambda: list(from_lines(content)))
    except (ValueError, OSError):
        services.telemetry.count("cowatch_tables", "unreadable_blob")
        return
    positive = [line for line in lines if line["user"] and line["type"] in (VIDEO_VIEW, COMPLETE)]
    unknown = {line["videoId"] for line in positive} - durations.keys()
    if unknown:
        facts = await services.video_facts.get(tenant_id, unknown)
        durations.update({id: facts[id].duration_seconds if id in facts else 0.0 for id in unknown})
    for line in positive:
        video_id = line["videoId"]
        if line["type"] == COMPLETE or is_long_view(line["watchTimeMs"] or 0.0, durations[video_id]):
            views.add(line["user"], video_id, line["timestamp"] / 1000)


async def _delete_old_files(services: Services, tenant_id: str, current: str, now: float) -> None:
    old = [
        blob.name
        async for blob in services.blobs.list(TABLES, f"{tenant_id}/cowatch-")
        if blob.name != current and blob.modified_at < now - OLD_FILE_SECONDS
    ]
    for name in old:
        await services.blobs.delete(TABLES, name)


async def _main(tenant_ids: list[str]) -> int:
    services = bootstrap.build(Settings.from_environment(os.environ))
    try:
        await services.start()
        known = services.tenants.ids()
        strangers = [tenant_id for tenant_id in tenant_ids if tenant_id not in known]
        if strangers:
            raise BadSetting(f"There is no tenant {strangers[0]!r}; there are: {', '.join(known) or 'none'}.")
        for tenant_id in tenant_ids or known:
            built = await build_one(services, tenant_id)
            print(f"{tenant_id}: {'built' if built else 'nothing archived that was watched long'}")
        return 0
    except (BadSetting, BlobsUnavailable, StoreUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        await services.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1:])))
