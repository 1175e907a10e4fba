"""The daily purge of the local host deletes only expired data."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import bootstrap
from local.purge import purge_expired
from shared.adapters.blobs.port import ARCHIVE, SAMPLES, TABLES, UPLOAD_DAYS, UPLOADS
from shared.adapters.documents.port import USER_ACTIVITY, VIDEOS, Create
from shared.settings import Settings

DAY = 86_400.0
NOW = 1_790_000_000.0


async def test_expired_documents_and_events_archived_90_days_ago_are_deleted(tmp_path: Path) -> None:
    now = NOW
    services = bootstrap.build(Settings(data_folder=str(tmp_path)), clock=lambda: now)
    for number in range(2_500):
        await services.documents.write(USER_ACTIVITY, f"user-{number}", [Create({"id": "signals"})])
    await services.documents.write(VIDEOS, "tenant", [Create({"id": "v1"})])
    await services.blobs.write(ARCHIVE, "tenant/2026/09/21/14/0-1-1.jsonl.gz", b"of that hour")
    await services.blobs.write(ARCHIVE, "tenant/2026/12/01/00/0-2-2.jsonl.gz", b"later")
    await services.blobs.write(ARCHIVE, "something-else", b"not ours to judge")
    await services.blobs.write(SAMPLES, "tenant/2026/09/21/14-0-1-1.jsonl.gz", b"of that hour")
    await services.blobs.write(SAMPLES, "tenant/2026/09/21/history-1-0.jsonl.gz", b"of that day, taken in later")
    await services.blobs.write(SAMPLES, "tenant/2026/12/01/00-0-2-2.jsonl.gz", b"later")
    await services.blobs.write(TABLES, "tenant/2026/09/21/14/table", b"no events")
    assert await purge_expired(services) == (0, 0)

    now = NOW + 91 * DAY
    assert await purge_expired(services) == (2_500, 3)
    left = [blob.name async for blob in services.blobs.list(ARCHIVE)]
    assert left == ["something-else", "tenant/2026/12/01/00/0-2-2.jsonl.gz"]
    assert [blob.name async for blob in services.blobs.list(SAMPLES)] == ["tenant/2026/12/01/00-0-2-2.jsonl.gz"]
    assert await services.blobs.read(TABLES, "tenant/2026/09/21/14/table") is not None
    assert await services.documents.read(VIDEOS, "tenant", "v1") is not None
    await services.close()
    with closing(sqlite3.connect(tmp_path / "documents.db")) as file:
        assert file.execute('SELECT count(*) FROM "user-activity"').fetchone() == (0,)


async def test_upload_of_an_unfinished_import_is_deleted_after_a_week(tmp_path: Path) -> None:
    ahead = 0.0
    services = bootstrap.build(Settings(data_folder=str(tmp_path)), clock=lambda: time.time() + ahead)
    await services.blobs.write(UPLOADS, "tenant/job.ndjson", b"{}")
    for ahead, gone in ((UPLOAD_DAYS * DAY - 60, 0), (UPLOAD_DAYS * DAY + 60, 1)):  # noqa: B007
        assert await purge_expired(services) == (0, gone)
    assert await services.blobs.read(UPLOADS, "tenant/job.ndjson") is None
    await services.close()
