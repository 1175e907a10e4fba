"""Recounts from the events sent, each once, what must be stored in the end.

Nothing here uses the fold or the roll-up. A difference is one line of text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ranking.columns import key64
from ranking.stats import DAILY_DAYS, HALF_LIVES, StatsTable
from ranking.watching import is_long_view
from shared.domain.fingerprint import SEEN_MASK, fingerprint
from shared.domain.user_signals import (
    CATEGORY_FIELDS,
    MAX_CATEGORIES,
    MAX_CREATORS,
    MAX_DISMISSED,
    MAX_SEEN,
    MAX_SKIPPED,
    MAX_TAGS,
    MAX_WATCHED,
    ORDER_BITS,
    SKIPS,
    TAG_FIELDS,
    VIEWS,
    Counters,
    Signals,
)
from tests.chaos.traffic import FOLLOWS, Sent, User, World

LikeCounts = {"like": 1.0, "share": 1.0, "save": 1.0, "unlike": -1.0, "unsave": -1.0}
CLOSE = 2e-4
"""Relative tolerance: counters are float32 and rounded at every fold."""

MAX_A_DAY = 12
"""Most events of one video that one user adds to statistics in a day."""

Archived = Counter[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class CountedLine:
    """One counted archive line as statistics add it."""

    user: str | None
    kind: str
    video: str
    at_ms: int
    watch_ms: float | None
    served_ms: int | None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> CountedLine:
        request = line["request"]
        served_ms = None if request is None else request["servedAt"]
        return cls(line["user"], line["type"], line["videoId"], line["timestamp"], line["watchTimeMs"], served_ms)

    @property
    def counts_at_ms(self) -> int:
        """Return when an event counts: for a like or save of a served page, and its withdrawal, not before the page
        was served."""
        if self.served_ms is None or self.kind not in ("like", "unlike", "save", "unsave"):
            return self.at_ms
        return self.served_ms if self.kind in ("unlike", "unsave") else max(self.served_ms, self.at_ms)


def line_key(tenant: str, user: str | None, line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the identifying fields of an archived line."""
    return (
        tenant, user, line["type"], line["videoId"], line["timestamp"], line["watchTimeMs"], line["rankPosition"],
        line["request"] is not None,
    )  # fmt: skip


def expected_line(user: User, pseudonym: str | None, event: Sent, at_ms: int) -> tuple[Any, ...]:
    """Return the archive line an event must have."""
    about_none = event.kind in FOLLOWS
    return (
        user.world.tenant.id, pseudonym, event.kind, None if about_none else event.video, at_ms, event.watch_ms,
        event.position, user.feed_request is not None and not about_none,
    )  # fmt: skip


def signal_differences(user: User, events: Iterable[tuple[Sent, int]], found: Signals | None) -> list[str]:
    """List where a user's signals differ from the events (with the times they count at)."""
    told = list(events)
    if not user.consents:
        return [] if found is None else ["signals without consent"]
    if found is None:
        return ["no signals"]
    wrong = []
    minute = max(at // 60_000 for _, at in told)
    plain = {
        "events": (found.events, sum(event.kind != "impression" for event, _ in told)),
        "newest minute": (found.newest_minute, minute),
        "days": (found.daily.tolist(), _days(user, told, minute // 1_440)),
        "seen": (_ring(found.seen), _newest(told, lambda e: e.kind not in FOLLOWS, 86_400_000, MAX_SEEN, SEEN_MASK)),
        "skipped": (_ring(found.skipped), _newest(told, _negative, 60_000, MAX_SKIPPED)),
        "watched": (_seconds(found.watched), _newest(told, lambda e: _long(user, e), 1_000, MAX_WATCHED)),
        "dismissed": (
            _ring(found.dismissed),
            _newest(told, lambda e: e.kind == "not_interested", 86_400_000, MAX_DISMISSED),
        ),
        "follows": (_ring(found.follows), _followed(told)),
    }
    wrong += [f"{name}: {has} instead of {wants}" for name, (has, wants) in plain.items() if has != wants]
    sums = _sums(user, told, minute)
    for name, counters, cap in (
        ("categories", found.categories, MAX_CATEGORIES),
        ("tags", found.tags, MAX_TAGS),
        ("creators", found.creators, MAX_CREATORS),
    ):
        wrong += [f"{name}: {text}" for text in _counter_differences(counters, sums[name], cap)]
    return wrong


def is_capped(found: Signals | None) -> bool:
    """Return whether a cap was reached: then counters are compared with the stated bound."""
    return found is not None and any(
        len(counters.keys) == cap
        for counters, cap in (
            (found.categories, MAX_CATEGORIES),
            (found.tags, MAX_TAGS),
            (found.creators, MAX_CREATORS),
        )
    )


def _counter_differences(counters: Counters, wanted: dict[int, list[float]], cap: int) -> list[str]:
    has = dict(zip(counters.keys.tolist(), counters.values.astype(float).tolist(), strict=True))
    wrong = [f"#{key:08x} comes from nowhere" for key in has.keys() - wanted.keys()]
    if len(has) < cap:
        wrong += [f"#{key:08x} is missing" for key in wanted.keys() - has.keys()]
        return wrong + [
            f"#{key:08x} has {row} instead of {wanted[key]}"
            for key, row in has.items()
            if not np.allclose(row, wanted[key], rtol=CLOSE, atol=1e-3)
        ]
    for key, row in wanted.items():
        kept = has.get(key, [0.0] * len(row))
        for at in (VIEWS, SKIPS):  # these only ever grow
            least, most = row[at] * (1 - CLOSE) - counters.lost - 1e-3, row[at] * (1 + CLOSE) + 1e-3
            if not least <= kept[at] <= most:
                wrong.append(f"#{key:08x} has {kept[at]:.3f} of {row[at]:.3f}, lost {counters.lost:.3f}")
    return wrong


def _sums(user: User, told: list[tuple[Sent, int]], newest_minute: int) -> dict[str, dict[int, list[float]]]:
    tenant = user.world.tenant
    sums: dict[str, dict[int, list[float]]] = {
        "categories": defaultdict(lambda: [0.0] * CATEGORY_FIELDS),
        "tags": defaultdict(lambda: [0.0] * TAG_FIELDS),
        "creators": defaultdict(lambda: [0.0] * TAG_FIELDS),
    }
    for event, at in told:
        video = user.world.videos[event.video]
        watched = _watched(event, video.duration_seconds)
        amounts = (
            float(event.kind == "video_view"),
            min(1.0, watched / (video.duration_seconds * 1000)),
            float(_negative(event)),
            LikeCounts.get(event.kind, 0.0),
            min(1.0, watched / (min(video.duration_seconds, 18.0) * 1000)),
            watched,
        )
        if event.kind in ("impression", "complete", *FOLLOWS):
            continue
        weight = 0.5 ** ((newest_minute - at // 60_000) / (tenant.affinity_half_life_days * 1_440))
        for table, names in (("categories", [video.category]), ("tags", video.tags), ("creators", [video.creator])):
            for name in names:
                row = sums[table][fingerprint(name)]
                for i in range(len(row)):
                    row[i] += weight * amounts[i]
    return sums


def _watched(event: Sent | CountedLine, duration_seconds: float) -> float:
    """Return the counted watch time: at most three lengths, or a minute."""
    if event.kind != "video_view":
        return 0.0
    return min(event.watch_ms or 0.0, max(60.0, 3 * duration_seconds) * 1000)


def _negative(event: Sent | CountedLine) -> bool:
    return event.kind in ("skip", "not_interested")


def _long(user: User, event: Sent) -> bool:
    if event.kind == "complete":
        return True
    duration = user.world.videos[event.video].duration_seconds
    return event.kind == "video_view" and (event.watch_ms or 0.0) >= min(duration, 18.0) * 1000


def _days(user: User, told: list[tuple[Sent, int]], today: int) -> list[tuple[int, int, float]]:
    rows = [[0, 0, 0.0] for _ in range(7)]
    for event, at in told:
        age = today - at // 86_400_000
        if age < 7:
            rows[age][0] += event.kind == "video_view"
            rows[age][1] += _negative(event)
            rows[age][2] += _watched(event, user.world.videos[event.video].duration_seconds)
    return [(views, skips, watch_ms) for views, skips, watch_ms in rows]


def _ring(ring: Any) -> list[tuple[int, int]]:
    return sorted(zip(ring.times.tolist(), ring.keys.tolist(), strict=True))


def _seconds(ring: Any) -> list[tuple[int, int]]:
    return sorted(zip((ring.times >> ORDER_BITS).tolist(), ring.keys.tolist(), strict=True))


def _newest(
    told: list[tuple[Sent, int]], belongs: Any, unit_ms: int, cap: int, mask: int = 0xFFFFFFFF
) -> list[tuple[int, int]]:
    latest: dict[int, int] = {}
    for event, at in told:
        if belongs(event):
            key = fingerprint(event.video) & mask
            latest[key] = max(latest.get(key, 0), at // unit_ms)
    newest = sorted(((time, key) for key, time in latest.items()), key=lambda pair: (-pair[0], pair[1]))
    return sorted(newest[:cap])


def _followed(told: list[tuple[Sent, int]]) -> list[tuple[int, int]]:
    """Return the creators that the last events left followed, by day."""
    last: dict[str, tuple[int, bool]] = {}
    for event, at in told:
        if event.kind in FOLLOWS:
            last[event.video] = max(last.get(event.video, (0, False)), (at, event.kind == "unfollow"))
    return sorted((at // 86_400_000, fingerprint(name)) for name, (at, off) in last.items() if not off)


def rule_differences(lines: Iterable[CountedLine], world: World) -> list[str]:
    """List counts of a tenant above the rule: each user adds at most one page, and a daily cap."""
    wrong = []
    once = Counter((line.user, line.served_ms, line.kind, line.video) for line in lines if line.user)
    a_day = Counter((line.user, line.video) for line in lines if line.user and line.kind not in ("unlike", "unsave"))
    if not world.counts_all:
        wrong += [f"{kind} of {video} counts {n} times" for (_, _, kind, video), n in once.items() if n > 1]
    # A run across midnight has two days.
    return wrong + [f"{video} counts {n} times for one user" for (_, video), n in a_day.items() if n > 2 * MAX_A_DAY]


def stat_differences(table: StatsTable, lines: list[CountedLine], videos: Mapping[str, Any]) -> list[str]:
    """List where a tenant's video counters, merged from its shards, differ from the counted lines."""
    told = [(line, line.counts_at_ms) for line in lines]
    wrong = []
    daily: dict[str, list[list[float]]] = defaultdict(lambda: [[0.0] * 4 for _ in range(DAILY_DAYS)])
    decayed: dict[str, list[float]] = defaultdict(lambda: [0.0] * (len(HALF_LIVES) + 5))
    if not told:
        return [] if not len(table) else [f"{len(table)} videos counted out of nothing"]
    newest = max(at for _, at in told) / 1000
    today = int(newest // 86_400)
    for event, at in told:
        view = event.kind == "video_view"
        duration = videos[event.video].duration_seconds
        watched = _watched(event, duration)
        amounts = [float(view and is_long_view(watched, duration))] * len(HALF_LIVES)
        amounts += [
            float(event.kind == "impression"),
            float(view),
            min(1.0, watched / (duration * 1000)),
            LikeCounts.get(event.kind, 0.0),
            float(_negative(event)),
        ]
        for column, amount in enumerate(amounts):
            half_life = HALF_LIVES[min(column, len(HALF_LIVES) - 1)]
            decayed[event.video][column] += amount * 0.5 ** ((newest - at / 1000) / half_life)
        age = today - at // 86_400_000
        if 0 <= age < DAILY_DAYS:
            like = {"like": 1.0, "unlike": -1.0}.get(event.kind, 0.0)
            for column, amount in enumerate((float(event.kind == "impression"), float(view), watched, like)):
                daily[event.video][age][column] += amount
    if abs(table.reference - newest) > 0.001:
        wrong.append(f"as of {table.reference} instead of {newest}")
    row_of = {key: row for row, key in enumerate(table.keys.tolist())}
    for video in videos:
        row = row_of.pop(key64(video), None)
        has_days = table.daily[row] if row is not None else np.zeros((DAILY_DAYS, 4))
        has_sums = table.decayed[row] if row is not None else np.zeros(len(HALF_LIVES) + 5)
        # Days hold whole milliseconds, rounded at every write.
        slack = np.array([0.01, 0.01, 200.0, 0.01])
        if np.any(np.abs(has_days - np.array(daily[video])) > slack):
            wrong.append(f"{video}: days {has_days.sum(axis=0).tolist()}, not {np.sum(daily[video], axis=0).tolist()}")
        if not np.allclose(has_sums, decayed[video], rtol=1e-3, atol=2e-3):
            wrong.append(f"{video}: decayed {has_sums.round(3).tolist()} instead of {decayed[video]}")
    return wrong + [f"{len(row_of)} videos nobody has"] * bool(row_of)
