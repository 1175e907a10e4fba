"""Reads a tenant's sample files, day by day, and deletes those that are too old."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from events.archive import KEEP_DAYS, from_lines
from events.history_sweep import without_erased
from events.sample import day_of, is_sample_due
from learning.sample_lines import Shown, ShownReader
from shared.adapters.blobs.port import SAMPLES, Blobs
from shared.observability.metrics import Telemetry

READS_AT_ONCE = 16
LATE_DAYS = 3
"""For this many earlier days new files are still searched for: messages can wait on the bus that long."""
MOST_EVENTS = 3_000_000
"""Limit of events per night, about 40 s; the newest days come first. Only a first night, or imported history, has
more."""
WHOLE = "all.jsonl.gz"
"""Name of the file with a whole day."""
HISTORY = "history-"
"""Prefix of the names of files with imported history."""


@dataclass(frozen=True, slots=True)
class Read:
    """Content of the sample's files: exposures by day, newest first; the files by day (UTC dates). Of the last day also
    the number of users' lines, and the lines that tell how long each user watched."""

    shown: list[Shown]
    files: dict[str, tuple[str, ...]]
    events_of_last_day: int
    views_of_last_day: list[dict[str, Any]]


class SampleFiles:
    """Reads, cleans and deletes the sample files of all tenants."""

    def __init__(self, blobs: Blobs, telemetry: Telemetry) -> None:
        self._blobs = blobs
        self._telemetry = telemetry

    async def read_new(
        self,
        tenant_id: str,
        night: str,
        last: str | None,
        merged: Mapping[str, Iterable[str]],
        everything: bool = False,
    ) -> Read:
        """Read the files of days until `night` that were not read before. `last`: the previous night, None before the
        first one. Then, or with `everything`, files of all days are read. Raises `BlobsError`."""
        files = await self._names(tenant_id, night, None if everything else last)
        shown, taken, events = list[Shown](), dict[str, tuple[str, ...]](), 0
        last_day = ShownReader()
        for day in sorted(files, reverse=True):
            known = set(merged.get(day, ()))
            old = last is not None and day < _days_before(last, LATE_DAYS)
            new = [
                name
                for name in files[day]
                if _short(name) not in known and (not old or _short(name).startswith(HISTORY))
            ]
            if new and events < MOST_EVENTS:
                reader = ShownReader(keep_views=day == night)
                await self._read(new, reader)
                shown.append(await asyncio.to_thread(reader.shown))
                events += reader.events
                last_day = reader if day == night else last_day
            taken[day] = tuple(sorted(known | {_short(name) for name in new}))
        return Read(shown, taken, last_day.events, last_day.views)

    async def _names(self, tenant_id: str, night: str, last: str | None) -> dict[str, list[str]]:
        """Return the names by day."""
        prefixes = [f"{tenant_id}/"]
        if last is not None:
            day = date.fromisoformat(last) - timedelta(days=LATE_DAYS)
            prefixes = []
            while day <= date.fromisoformat(night):
                prefixes.append(f"{tenant_id}/{day:%Y/%m/%d}/")
                day += timedelta(days=1)
        found: dict[str, list[str]] = {}
        for prefix in prefixes:
            async for blob in self._blobs.list(SAMPLES, prefix):
                began = day_of(blob.name)
                if began is not None and (day_name := began.date().isoformat()) <= night:
                    found.setdefault(day_name, []).append(blob.name)
        return found

    async def _read(self, names: list[str], reader: ShownReader) -> None:
        for low in range(0, len(names), READS_AT_ONCE):
            contents = await asyncio.gather(
                *(self._blobs.read(SAMPLES, name) for name in names[low : low + READS_AT_ONCE])
            )
            await asyncio.to_thread(self._add, [content for content in contents if content], reader)

    def _add(self, contents: list[bytes], reader: ShownReader) -> None:
        """Add files. One of another schema version, or a damaged one, is skipped and counted."""
        for content in contents:
            try:
                reader.add(from_lines(content))
            except (ValueError, OSError, EOFError, LookupError, TypeError):
                self._telemetry.count("learning_files", "unreadable")

    async def erase(self, tenant_id: str, erased: Mapping[str, float]) -> int:
        """Remove from every file what users did before their erasure; return how many files were rewritten.

        `erased`: time by pseudonym, in seconds since the epoch. It can be repeated at any time. Raises `BlobsError`.
        """
        names = [blob.name async for blob in self._blobs.list(SAMPLES, f"{tenant_id}/")] if erased else []
        written, by_name = 0, {user.encode(): at for user, at in erased.items()}
        for low in range(0, len(names), READS_AT_ONCE):
            some = names[low : low + READS_AT_ONCE]
            contents = await asyncio.gather(*(self._blobs.read(SAMPLES, name) for name in some))
            for name, content in zip(some, contents, strict=True):
                left = None if content is None else await asyncio.to_thread(_without, content, by_name)
                if left is not None:
                    await self._blobs.write(SAMPLES, name, left)
                    written += 1
        return written

    async def make_whole(self, tenant_id: str, night: str) -> None:
        """Join the files of a day that no night reads again, so that an erasure has fewer files to process.

        The whole file is written before its parts are deleted. A later call for that day completes an interrupted one.
        Raises `BlobsError`.
        """
        day = _days_before(night, LATE_DAYS + 1)
        prefix = f"{tenant_id}/{day.replace('-', '/')}/"
        names = [blob.name async for blob in self._blobs.list(SAMPLES, prefix)]
        whole = f"{prefix}{WHOLE}"
        parts = [name for name in names if name != whole and not _short(name).startswith(HISTORY)]
        if whole not in names and len(parts) > 1:
            contents = [await self._blobs.read(SAMPLES, name) for name in parts]
            joined = b"".join(content for content in contents if content)  # concatenated members are valid gzip
            await self._blobs.write(SAMPLES, whole, joined)
            names.append(whole)
        if whole in names:
            for name in parts:
                await self._blobs.delete(SAMPLES, name)

    async def delete_due(self, tenant_id: str, now: float) -> int:
        """Delete the files whose day is too long ago, whatever their age; return how many. Raises `BlobsError`."""
        due = []
        for days in range(KEEP_DAYS - LATE_DAYS - 1, KEEP_DAYS + 30):
            day = datetime.fromtimestamp(now, UTC).date() - timedelta(days=days)
            prefix = f"{tenant_id}/{day:%Y/%m/%d}/"
            due += [blob.name async for blob in self._blobs.list(SAMPLES, prefix) if is_sample_due(blob.name, now)]
        for name in due:
            await self._blobs.delete(SAMPLES, name)
        return len(due)


def kept_files(files: Mapping[str, tuple[str, ...]], night: str) -> dict[str, tuple[str, ...]]:
    """Return the names that later nights must know: files of days that are read again, and imported history."""
    since = (date.fromisoformat(night) - timedelta(days=LATE_DAYS + 1)).isoformat()
    kept = {
        day: names if day >= since else tuple(name for name in names if name.startswith(HISTORY))
        for day, names in files.items()
    }
    return {day: names for day, names in kept.items() if names}


def _without(content: bytes, erased: Mapping[bytes, float]) -> bytes | None:
    """Return `without_erased`; None also for an unreadable file."""
    try:
        return without_erased(content, erased)
    except (OSError, EOFError, zlib.error, ValueError):
        return None


def _days_before(night: str, days: int) -> str:
    return (date.fromisoformat(night) - timedelta(days=days)).isoformat()


def _short(name: str) -> str:
    """Return a file's name within its day."""
    return name.rpartition("/")[2]
