"""Events, facts and a plain recount for tests of the fold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hypothesis import strategies as st

from events.schema import Event
from events.video_facts import Facts
from ranking.watching import counted_watch_time, interest, watch_fraction
from shared.domain.event_types import (
    EVENT_TYPES,
    LIKE,
    NOT_INTERESTED,
    SAVE,
    SHARE,
    SKIP,
    TAKES_BACK,
    UNLIKE,
    UNSAVE,
    VIDEO_VIEW,
)
from shared.domain.fingerprint import fingerprint
from shared.domain.user_signals import CATEGORY_FIELDS, TAG_FIELDS, Counters, Signals

NOW = 1_700_000_000.0
WEEK_MS = 7 * 86_400_000
HALF_LIFE_DAYS = 14.0
NO_UNLIKES = tuple(kind for kind in EVENT_TYPES if kind not in TAKES_BACK)


def facts_of(videos: int, categories: int = 6, tags: int = 7, creators: int = 5) -> dict[str, Facts]:
    """Facts about `v0`, `v1`, …; a few videos lack some of them."""
    return {
        f"v{n}": Facts(
            category=f"category {n % categories}" if n % 11 else "",
            tags=tuple(f"tag {(n * 3 + k) % tags}" for k in range(n % 4)),
            creator=f"creator {n % creators}",
            duration_seconds=float((n * 7) % 60),
        )
        for n in range(videos)
    }


def events(videos: int, most: int, types: Sequence[str] = tuple(EVENT_TYPES)) -> st.SearchStrategy[list[Event]]:
    """Up to `most` distinct events of the last week."""
    rows = st.lists(
        st.tuples(
            st.sampled_from(types),
            st.integers(0, videos - 1),
            st.integers(0, WEEK_MS),
            st.integers(0, 90_000),
        ),
        max_size=most,
        unique=True,
    )
    return rows.map(lambda found: [event(*row) for row in found])


def event(kind: str, video: int, ago_ms: int, watch_ms: int = 0) -> Event:
    at_ms = int(NOW * 1000) - ago_ms
    identity = fingerprint(f"{kind}\n{video}\n{at_ms}\n{watch_ms}")
    return Event(kind, f"v{video}", at_ms, identity, watch_ms=float(watch_ms) if kind == VIDEO_VIEW else None)


Sums = dict[int, list[float]]


def recount(found: Iterable[Event], facts: Mapping[str, Facts], newest_minute: int) -> tuple[Sums, Sums, Sums]:
    """Return the expected categories, tags and creators: every distinct event once, as of the newest minute."""
    categories: Sums = defaultdict(lambda: [0.0] * CATEGORY_FIELDS)
    tags: Sums = defaultdict(lambda: [0.0] * TAG_FIELDS)
    creators: Sums = defaultdict(lambda: [0.0] * TAG_FIELDS)
    for each in {one.identity: one for one in found}.values():
        fact = facts.get(each.video_id)
        if fact is None:
            continue
        weight = 2.0 ** ((each.at_ms // 60_000 - newest_minute) / (HALF_LIFE_DAYS * 1_440))
        watch_ms = counted_watch_time(each.watch_ms, fact.duration_seconds)
        amounts = [
            float(each.type == VIDEO_VIEW),
            watch_fraction(each.watch_ms or 0.0, fact.duration_seconds) if each.type == VIDEO_VIEW else 0.0,
            float(each.type in (SKIP, NOT_INTERESTED)),
            {LIKE: 1.0, SHARE: 1.0, SAVE: 1.0, UNLIKE: -1.0, UNSAVE: -1.0}.get(each.type, 0.0),
            interest(watch_ms, fact.duration_seconds) if each.type == VIDEO_VIEW else 0.0,
            watch_ms,
        ]
        if not any(amounts):
            continue
        for table, names in (
            (categories, [fact.category]),
            (tags, dict.fromkeys(fact.tags)),
            (creators, [fact.creator]),
        ):
            for name in names:
                if name:
                    row = table[fingerprint(name)]
                    for at in range(len(row)):
                        row[at] += weight * amounts[at]
    return categories, tags, creators


def rows_of(counters: Counters) -> Sums:
    return dict(zip(counters.keys.tolist(), counters.values.astype(float).tolist(), strict=True))


def strength(row: Sequence[float]) -> float:
    """Return views, skips and approvals, as the cap compares them."""
    return row[0] + row[2] + max(0.0, row[3])


def everything(signals: Signals) -> dict[str, object]:
    """Return signals as comparable values; counters apart, because they are floats."""
    names = ("seen", "watched", "skipped", "dismissed", "follows", "progress", "identities")
    rings = {name: getattr(signals, name) for name in names}
    return {
        "newest_minute": signals.newest_minute,
        "events": signals.events,
        "daily": signals.daily.tolist(),
        "updated_at": signals.updated_at,
        "watched in order": list(zip(signals.watched.times.tolist(), signals.watched.keys.tolist(), strict=True)),
        "seconds watched": dict(zip(signals.progress.keys.tolist(), signals.progress.seconds.tolist(), strict=True)),
        "counted": signals.counted,
        "daily_counts": signals.daily_counts,
        **{name: sorted(zip(r.times.tolist(), r.keys.tolist(), strict=True)) for name, r in rings.items()},
        **{
            f"{name} days": sorted(zip(c.keys.tolist(), c.days.tolist(), strict=True))
            for name, c in (
                ("categories", signals.categories),
                ("tags", signals.tags),
                ("creators", signals.creators),
            )
        },
    }
