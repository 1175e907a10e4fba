"""Loads a tenant from files: videos into the store, exposures as events through the public endpoint.

`DEFAULT_COLUMNS` maps fields to columns; `--columns field=column` names others. See `docs/import.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import codecs
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from tqdm import tqdm

import bootstrap
from bootstrap import App
from cms.changes import Author
from cms.imports.files import LINES_KIND, read_file
from cms.imports.rows import REJECTED, VIDEO_FILE
from local.serving import local_settings, running
from shared.adapters.bus.port import ROLLUP, SIGNALS
from shared.adapters.documents.port import Json
from shared.adapters.retry import retry
from shared.adapters.tenant_directory import save_key, save_tenant
from shared.domain.event_types import MAX_AGE_DAYS, MAX_EVENTS
from shared.domain.formats import is_number
from shared.domain.json_text import InvalidJson, parse
from shared.domain.numbers import number_in
from shared.domain.records import Tenant
from shared.settings import BadSetting
from shared.web.problems import Problem

IMPORT_KEY_NAME = "importer"
BATCHES_AT_ONCE = 32
ATTEMPTS = 8
UNCATEGORIZED = "uncategorized"
"""Category of a video without one."""
MAX_SHOWN = 50
"""Most refused rows that are printed."""
_FALSE_WORDS = frozenset(("", "0", "0.0", "false", "f", "no", "n", "null", "none", "nan", "\\n"))
REPLAY_SPAN_SECONDS = (MAX_AGE_DAYS - 0.25) * 86_400
"""A longer log is compressed to this span, because the endpoint refuses older events."""

DEFAULT_COLUMNS = {
    # videos
    "video": "video_id",
    "title": "title",
    "category": "tag",
    "creator": "author_id",
    "duration_ms": "video_duration",
    "rating": "rating",
    # exposures
    "user": "user_id",
    "time_ms": "time_ms",
    "watch_ms": "play_time_ms",
    "like": "is_like",
    "share": "is_forward",
    "not_interested": "is_hate",
}
"""Column by field. A missing column is left out, except `user`, `video` and `time_ms` of an exposure, which are
required."""


async def run_import(arguments: argparse.Namespace) -> None:
    """Run the command. Prints numbers, time and rate of the import. Raises `BadSetting` for wrong arguments."""
    columns = read_columns(arguments.columns)
    if arguments.videos is None and arguments.exposures is None:
        raise BadSetting("Nothing to import: give --videos, --exposures or both.")
    files = Files(arguments.videos, arguments.exposures, columns, arguments.rating)
    async with _app(arguments.url) as (url, app):
        await load(url, app, arguments.tenant, await make_tenant(app, arguments.tenant), files)


@dataclass(frozen=True, slots=True)
class Files:
    """Files to load (None: not given), their columns, and the rating of videos without one."""

    videos: Path | None
    exposures: Path | None
    columns: dict[str, str]
    rating: str


async def load(url: str, app: App, tenant_id: str, key: str, files: Files) -> None:
    """Load a tenant from files and print progress. `key`: a key of the tenant, for events. Raises `BadSetting`.

    A video's publication time is its first exposure; otherwise a replay of the log could find it not yet published.
    """
    shown = [] if files.exposures is None else read_rows(files.exposures)
    exposures = to_events(shown, files.columns, time.time())
    if files.videos is not None:
        started = time.perf_counter()
        first = _first_shown(exposures)
        videos = [to_video(row, files.columns, files.rating, first) for row in read_rows(files.videos)]
        written = await import_videos(app, tenant_id, videos)
        print(f"{written} videos in {time.perf_counter() - started:.1f} s")
    if files.exposures is not None:
        await replay(url, app, tenant_id, key, to_batches(exposures, tenant_id))


def _first_shown(exposures: dict[Any, list[dict[str, Any]]]) -> dict[str, int]:
    """Return the first exposure of each video, in milliseconds since the epoch."""
    first: dict[str, int] = {}
    for events in exposures.values():
        for event in events:
            video, at = event["videoId"], event["timestamp"]
            first[video] = min(at, first.get(video, at))
    return first


@asynccontextmanager
async def _app(url: str | None) -> AsyncIterator[tuple[str, App]]:
    """Use a running app (only its stores are opened here), or start one on a free port."""
    if url is None:
        async with running(local_settings(), port=0, demo=False) as served:
            yield served.url, served.app
        return
    app = bootstrap.build(local_settings(), local=True)
    try:
        await app.start()
        yield url.rstrip("/"), app
    finally:
        await app.close()


async def make_tenant(app: App, tenant_id: str) -> str:
    """Create the tenant if it is missing, and return a key for the importer (scope `cms`: its events count in
    statistics)."""
    if app.tenants.get(tenant_id) is None:
        await save_tenant(app.documents, Tenant(tenant_id, "PG", count_anonymous_events=True))
    key = secrets.token_urlsafe(32)
    await save_key(app.documents, app.identity, tenant_id, IMPORT_KEY_NAME, key, frozenset({"sdk", "cms"}))
    await app.tenants_refresher.refresh()
    return key


def read_columns(given: list[str]) -> dict[str, str]:
    """Return the column of each field. Raises `BadSetting`."""
    columns = dict(DEFAULT_COLUMNS)
    for pair in given:
        field, separator, column = pair.partition("=")
        if field not in columns or not separator:
            raise BadSetting(f"--columns needs FIELD=COLUMN, with a field from: {', '.join(columns)}.")
        columns[field] = column
    return columns


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file; {} for an unreadable line of JSON.

    Raises `BadSetting` for a file of another kind, or an unreadable one.
    """
    import pyarrow as pa  # takes longer to import than the rest of the local host
    import pyarrow.parquet

    if path.suffix not in (".parquet", ".jsonl"):
        raise BadSetting(f"{path.name} must be a .parquet or a .jsonl file.")
    try:
        if path.suffix == ".jsonl":
            return _json_rows(path.read_bytes())
        rows: list[dict[str, Any]] = pa.parquet.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise BadSetting(f"{path} cannot be read: {error}") from None
    return rows


def _json_rows(content: bytes) -> list[dict[str, Any]]:
    rows = []
    for line in content.removeprefix(codecs.BOM_UTF8).splitlines():
        try:
            row = parse(line)
        except InvalidJson:
            row = None
        if line.strip():
            rows.append(row if isinstance(row, dict) else {})
    return rows


def to_video(
    row: dict[str, Any], columns: dict[str, str], rating: str, first_shown: Mapping[str, int] | None = None
) -> Json:
    """Convert a row to the CMS's import format. Unreadable values stay, for the CMS to refuse. `first_shown`: first
    exposure by video, in milliseconds since the epoch."""

    def value(field: str) -> Any:
        found = row.get(columns[field])
        return None if found != found else found  # a missing number is NaN in some files

    id = None if value("video") is None else str(value("video"))
    tags = [tag.strip() for tag in str(value("category") or "").split(",") if tag.strip()]
    milliseconds = value("duration_ms")
    shown = (first_shown or {}).get(str(id))
    published = {} if shown is None else {"publishedAt": datetime.fromtimestamp(shown / 1000, UTC).isoformat()}
    return {
        **published,
        "id": id,
        "title": str(value("title") or f"Video {id}"),
        "playbackUrl": f"https://cdn.example/{quote(str(id), safe='')}.m3u8",
        "mainTag": tags[0] if tags else UNCATEGORIZED,
        "tags": tags,
        "creatorId": str(value("creator") or ""),
        "durationSeconds": None if milliseconds is None else f"{milliseconds} ms",
        "maturityRating": str(value("rating") or rating),
    }


async def import_videos(app: App, tenant_id: str, videos: list[Json]) -> int:
    """Write videos with the CMS's bulk import; return how many. Prints refused rows with the reason.

    Raises `BadSetting` when another program keeps changing the same videos.
    """
    if not videos:
        return 0
    lines = read_file(
        b"\n".join(orjson.dumps(video, default=str) for video in videos), LINES_KIND, VIDEO_FILE, limited=False
    )
    try:
        outcomes = await app.imports.import_now(tenant_id, lines, Author("local import", time.time()), audited=False)
    except Problem as problem:
        raise BadSetting(problem.detail) from None
    refused = [outcome for outcome in outcomes if outcome.status == REJECTED]
    for outcome in refused[:MAX_SHOWN]:
        print(
            f"row {outcome.row} ({outcome.id or 'no id'}) refused: {' '.join(each.message for each in outcome.faults)}"
        )
    if len(refused) > MAX_SHOWN:
        print(f"{len(refused) - MAX_SHOWN} more rows refused")
    return len(outcomes) - len(refused)


@dataclass(frozen=True, slots=True)
class UserBatch:
    """Up to 100 events of one user, ordered by time, ready to send."""

    user_hash: str
    body: bytes
    events: int


def to_events(rows: list[dict[str, Any]], columns: dict[str, str], now: float) -> dict[Any, list[dict[str, Any]]]:
    """Convert the log to events by user, ordered by time. Times are shifted so that the newest is now; a long log is
    compressed."""
    user, video, at = columns["user"], columns["video"], columns["time_ms"]
    for name in (user, video, at):
        if rows and not any(name in row for row in rows):
            raise BadSetting(f"The exposures have no column {name!r}: name it with --columns.")
    rows = [{**row, at: number_in(row.get(at))} for row in rows]
    whole = [row for row in rows if is_number(row[at]) and None not in (row.get(user), row.get(video))]
    if len(whole) < len(rows):
        print(f"{len(rows) - len(whole)} exposures refused: {user}, {video} or {at} is missing, or no number")
    rows = whole
    if not rows:
        return {}
    newest, oldest = max(row[at] for row in rows), min(row[at] for row in rows)
    scale = min(1.0, REPLAY_SPAN_SECONDS * 1000 / max(1, newest - oldest))
    by_user: dict[Any, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row[at]):
        when = int(now * 1000 - (newest - row[at]) * scale)
        by_user.setdefault(row[user], []).extend(_events(row, columns, str(row[video]), when))
    return by_user


def to_batches(by_user: dict[Any, list[dict[str, Any]]], tenant_id: str) -> list[UserBatch]:
    """Split the events into batches of up to 100."""
    batches = []
    for name, events in by_user.items():
        for start in range(0, len(events), MAX_EVENTS):
            part = events[start : start + MAX_EVENTS]
            batches.append(UserBatch(hash_user(tenant_id, name), orjson.dumps({"events": part}), len(part)))
    return batches


def hash_user(tenant_id: str, user: Any) -> str:
    """Return the `X-User` that an SDK would send for a user of the log."""
    return hmac.digest(f"import {tenant_id}".encode(), str(user).encode(), hashlib.sha256).hex()


def _events(row: dict[str, Any], columns: dict[str, str], video_id: str, when: int) -> Iterator[dict[str, Any]]:
    """Convert an exposure to events: shown, then watched or (without watch time) skipped, then other actions."""
    watch_ms = number_in(row.get(columns["watch_ms"]))
    yield {"type": "impression", "videoId": video_id, "timestamp": when}
    if watch_ms:
        yield {"type": "video_view", "videoId": video_id, "timestamp": when, "watchTimeMs": watch_ms}
    else:
        yield {"type": "skip", "videoId": video_id, "timestamp": when}
    for kind in ("like", "share", "not_interested"):
        if _is_true(row.get(columns[kind])):
            yield {"type": kind, "videoId": video_id, "timestamp": when}


def _is_true(value: Any) -> bool:
    """Whether a cell is true; text is false in the spellings of databases."""
    return value.strip().lower() not in _FALSE_WORDS if isinstance(value, str) else bool(value)


async def replay(url: str, app: App, tenant_id: str, key: str, batches: list[UserBatch]) -> None:
    total = sum(batch.events for batch in batches)
    started = time.perf_counter()
    rejected = 0
    queue = iter(batches)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=BATCHES_AT_ONCE)) as session:
        with tqdm(total=total, unit=" events", desc="sent", smoothing=0.05) as bar:

            async def send_all() -> None:
                nonlocal rejected
                for batch in queue:
                    refused = await _send(session, url, tenant_id, key, batch)
                    rejected += refused  # after the await, so that concurrent counts are not lost
                    bar.update(batch.events)

            await asyncio.gather(*(send_all() for _ in range(BATCHES_AT_ONCE)))
    sent = time.perf_counter() - started
    accepted = total - rejected
    print(f"{accepted} events accepted in {sent:.1f} s ({accepted / sent:,.0f} a second), {rejected} rejected")
    with tqdm(total=len(batches), unit=" batches", desc="counted", smoothing=0.05) as bar:
        while True:
            waiting = max([(await app.bus.depth(name))[0] for name in (SIGNALS, ROLLUP)])
            bar.update(max(0, len(batches) - waiting - bar.n))
            if waiting == 0:
                break
            await asyncio.sleep(0.5)
    counted = time.perf_counter() - started
    print(f"all of them counted after {counted:.1f} s ({total / counted:,.0f} a second)")


class _TryAgain(Exception):
    """The app is busy or does not know the key yet."""


async def _send(session: aiohttp.ClientSession, url: str, tenant_id: str, key: str, batch: UserBatch) -> int:
    """Send one batch, and repeat it after 429 and 5xx with growing pauses. Return the number of refused events."""
    headers = {
        "X-Tenant-Id": tenant_id,
        "X-Api-Key": key,
        "X-User": batch.user_hash,
        "Content-Type": "application/json",
    }

    async def once() -> int:
        async with session.post(f"{url}/v1/events/batch", data=batch.body, headers=headers) as response:
            if response.status == 202:
                return len((await response.json())["rejected"])
            if response.status in (401, 429, 500, 503):  # 401: another process has not seen the new key yet
                raise _TryAgain
            raise BadSetting(f"The app refused a batch with {response.status}: {await response.text()}")

    try:
        return await retry(once, (_TryAgain,), attempts=ATTEMPTS, first_pause=0.25, longest_pause=5.0)
    except _TryAgain:
        raise BadSetting(
            "The app refused a batch several times. Run the import again: no event is counted twice."
        ) from None
