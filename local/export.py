"""`python -m local export`: writes a tenant's videos and archived events as JSON lines for `python -m evaluation`.

Users appear by the archive's pseudonyms.
"""

from __future__ import annotations

import argparse
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from tqdm import tqdm

import bootstrap
from bootstrap import App
from cms.changes import without_tombstone
from events.archive import from_lines
from local.serving import local_settings
from shared.adapters.blobs.port import ARCHIVE
from shared.adapters.documents.port import VIDEOS, query_all
from shared.settings import BadSetting

VIDEOS_FILE, EVENTS_FILE = "videos.jsonl", "events.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Exported:
    """Numbers of written videos and events, and the days (UTC) of the events, ascending."""

    videos: int
    events: int
    days: tuple[int, ...]
    """Whole days since the epoch."""


def add_command(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    command = commands.add_parser("export", help="write a tenant's videos and events as files")
    command.add_argument("--tenant", required=True)
    command.add_argument("folder", type=Path, help="where to; it must be empty, or not be there yet")
    command.set_defaults(run=_run)


async def _run(arguments: argparse.Namespace) -> None:
    app = bootstrap.build(local_settings(), local=True)
    try:
        await app.start()
        found = await export(app, arguments.tenant, arguments.folder)
    finally:
        await app.close()
    print(f"{found.videos:,} videos and {found.events:,} events of {len(found.days)} days in {arguments.folder}")


async def export(app: App, tenant_id: str, folder: Path) -> Exported:
    """Write both files. Raises `BadSetting` for an unknown tenant, or a folder that has files."""
    if app.tenants.get(tenant_id) is None:
        raise BadSetting(f"There is no tenant {tenant_id}.")
    _prepare(folder)
    documents = await query_all(app.documents, VIDEOS, tenant_id)
    videos = [each.body for each in documents if each.body.get("kind") == "video" and without_tombstone(each)]
    (folder / VIDEOS_FILE).write_bytes(b"".join(orjson.dumps(body) + b"\n" for body in videos))
    with gzip.open(folder / EVENTS_FILE, "wb", 6) as file:
        events, days = await _write_events(app, tenant_id, file)
    return Exported(len(videos), events, tuple(sorted(days)))


def _prepare(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise BadSetting(f"{folder} is not empty: choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)


async def _write_events(app: App, tenant_id: str, file: gzip.GzipFile) -> tuple[int, set[int]]:
    count, days = 0, set[int]()
    blobs = [blob.name async for blob in app.blobs.list(ARCHIVE, f"{tenant_id}/")]
    for name in tqdm(blobs, unit=" blobs", desc="exported", disable=None):
        content = await app.blobs.read(ARCHIVE, name)
        for line in from_lines(content) if content else ():
            file.write(orjson.dumps(line) + b"\n")
            count += 1
            days.add(int(line["timestamp"]) // 86_400_000)
    return count, days
