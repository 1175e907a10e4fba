"""Stores the next-watch tables of a log's nights in a folder, because training them takes minutes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from learning.log import Log
from learning.nightly_tables import NextWatchOfNight, NightlyTables
from ranking.next_watch import NextWatchTable


def kept_tables(folder: Path | None, log: Log) -> NextWatchOfNight | None:
    """Return the source of a replay's tables: read from the folder, else trained and stored. None without a folder.

    Nights are trained one after another, so a folder has either the first nights of a log or all of them.
    """
    if folder is None:
        return None
    shown = log.exposures
    facts = (len(shown), len(log.history), len(log.videos), float(shown.time.sum()), int(shown.user.sum()))
    name = hashlib.blake2b(repr(facts).encode(), digest_size=6).hexdigest()
    nights = NightlyTables(log)
    folder.mkdir(parents=True, exist_ok=True)

    def next_watch(before: float) -> NextWatchTable | None:
        path = folder / f"{name}-{int(before)}.bin"
        if path.exists():
            return NextWatchTable.from_bytes(path.read_bytes())
        table = nights.next_watch(before)
        if table is not None:
            path.write_bytes(table.to_bytes())
        return table

    return next_watch
