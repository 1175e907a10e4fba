"""Describes everything stored about a user, with names that the catalog still knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.columns import VideoColumns, Vocabulary
from shared.adapters.documents.port import Document, StoreUnavailable
from shared.domain.fingerprint import SEEN_BITS
from shared.domain.follows import CATEGORY, CREATOR, SERIES, names_of_kind
from shared.domain.formats import iso_time
from shared.domain.series_place import UNNUMBERED
from shared.domain.user_lists import CAPS, LIST_PREFIX, NewerList, UnreadableList, UserList
from shared.domain.user_signals import (
    APPROVALS,
    INTEREST,
    ORDER_BITS,
    SKIPS,
    VIEWS,
    WATCH_FRACTION,
    WATCH_MS,
    Counters,
    Signals,
)

COUNTED = {
    "views": VIEWS,
    "watchedShare": WATCH_FRACTION,
    "skips": SKIPS,
    "approvals": APPROVALS,
    "interest": INTEREST,
    "watchTimeMs": WATCH_MS,
}
"""Figures of a category and their columns. Tags and creators have the first `TAG_FIELDS` of them."""


def describe_all(signals: Signals, columns: VideoColumns, now: float) -> dict[str, Any]:
    """Return the signals with the name of every entry, or its fingerprint if the catalog no longer knows the name."""
    newest = np.argsort(-signals.seen.times, kind="stable")
    return {
        "events": signals.events,
        "lastActiveAt": iso_time(signals.newest_minute * 60),
        "updatedAt": iso_time(signals.updated_at),
        "halfLifeDays": signals.half_life_days,
        "categories": _counters(signals.categories, columns.categories, signals.decay_to(now)),
        "tags": _counters(signals.tags, columns.tag_names, signals.decay_to(now)),
        "creators": _counters(signals.creators, columns.creators, signals.decay_to(now)),
        "seen": _videos(signals.seen.keys[newest], signals.seen.times[newest], columns, 86_400, SEEN_BITS),
        "watchedLong": _videos(signals.watched.keys, signals.watched.times >> ORDER_BITS, columns, 1),
        "skipped": _videos(signals.skipped.keys, signals.skipped.times, columns, 60),
        "notInterested": _videos(signals.dismissed.keys, signals.dismissed.times, columns, 86_400),
        "follows": [
            {**_subject(key, columns), "at": iso_time(day * 86_400)}
            for key, day in zip(signals.follows.keys.tolist(), signals.follows.times.tolist(), strict=True)
        ],
        "finishedEpisodes": [
            {
                "series": columns.series_names.shown(row.series),
                "season": None if row.season == UNNUMBERED else row.season,
                "episode": None if row.episode == UNNUMBERED else row.episode,
                "day": iso_time(row.day * 86_400)[:10],
            }
            for row in signals.finished.rows
        ],
        "playProgress": [
            {"videoIds": [f"#{key:08x}"], "at": iso_time(began * 60), "seconds": seconds}
            for key, began, seconds, _ in signals.progress.plays()
        ],
        "countedReceipts": len(signals.counted.receipts),
        "recentEventFingerprints": [f"{key:08x}" for key in signals.identities.keys.tolist()],
        "days": [
            {
                "day": iso_time((signals.newest_day - age) * 86_400)[:10],
                "views": int(day["views"]),
                "watchTimeMs": int(day["watch_ms"]),
                "skips": int(day["skips"]),
            }
            for age, day in enumerate(signals.daily)
        ],
    }


def describe_lists(documents: Iterable[Document]) -> dict[str, list[dict[str, Any]]]:
    """Return the user's lists with all stored entries, including removed ones. Raises `StoreUnavailable` for a version
    that only a later release knows."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CAPS}
    for document in documents:
        if not document.id.startswith(LIST_PREFIX):
            continue
        try:
            stored = UserList.from_document(document.body)
        except NewerList as error:
            raise StoreUnavailable("a list of a newer version") from error
        except UnreadableList:
            continue  # its content cannot be recovered
        found[stored.name] = [
            {
                "id": name,
                "addedAt": iso_time(entry.on_ms / 1000) if entry.on_ms else None,
                "removedAt": iso_time(entry.off_ms / 1000) if entry.off_ms else None,
                "positionMs": entry.position_ms,
            }
            for name, entry in stored.entries.items()
        ]
    return found


def _subject(key: int, columns: VideoColumns) -> dict[str, str | None]:
    """Return the followed subject of a fingerprint."""
    of_kind = {CREATOR: columns.creators, CATEGORY: columns.categories, SERIES: columns.series_names}
    for kind, names in of_kind.items():
        shown = names.shown(int(names_of_kind(np.array([key], np.uint32), kind)[0]))
        if not shown.startswith("#"):
            return {"kind": kind, "id": shown}
    return {"kind": None, "id": f"#{key:08x}"}


def _counters(counters: Counters, names: Vocabulary, faded: float) -> dict[str, dict[str, float]]:
    found = {}
    rows = (counters.values.astype(np.float64) * faded).tolist()
    for key, row in zip(counters.keys.tolist(), rows, strict=True):
        found[names.shown(key)] = {field: round(row[at], 4) for field, at in COUNTED.items() if at < len(row)}
    return found


def _videos(
    keys: NDArray[np.uint32], times: NDArray[Any], columns: VideoColumns, unit_seconds: int, bits: int = 32
) -> list[dict[str, Any]]:
    listed = []
    for key, time in zip(keys.tolist(), times.tolist(), strict=True):
        rows = columns.find(np.array([key], np.uint32), bits=bits)
        ids = sorted(columns.ids[row] for row in rows.tolist())
        listed.append({"videoIds": ids or [f"#{key:0{bits // 4}x}"], "at": iso_time(time * unit_seconds)})
    return listed
