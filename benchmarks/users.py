"""Generates users of several kinds and folds their batches as the app does, to measure the sizes of documents.

A batch has events about eight videos of a page, at most 20: an impression of each, then a view whose length depends on
the user's taste, a `complete` at its end, an occasional like, or a skip. The feed shows mostly categories that the user
likes, and no video twice until all were shown.
"""

from __future__ import annotations

import random

from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from shared.domain.event_types import TYPE_CODES
from shared.domain.fingerprint import fingerprint
from shared.domain.user_signals import Signals

NOW = 1_790_000_000.0
VIDEOS, PAGE, EVENTS = 2_000, 8, 20
HALF_LIFE_DAYS = 14.0

KINDS = {
    "after one batch": (1, 1, 1),
    "after a day of four batches": (2, 1, 4),
    "two batches a day for 30 days": (3, 30, 2),
    "three batches a day for 30 days": (6, 30, 3),
    "ten batches a day for 30 days": (4, 30, 10),
}
"""Seed, days and batches a day, by kind of user."""
TYPICAL, BUSY = "two batches a day for 30 days", "ten batches a day for 30 days"


def catalog(seed: int = 1) -> list[Facts]:
    """Return facts about the videos `v0`, `v1`, …; a few categories, tags and creators have most of them."""
    draw = random.Random(seed)
    return [
        Facts(
            f"category {int(draw.paretovariate(0.9)) % 24}",
            tuple(f"tag {int(draw.paretovariate(0.7)) % 60}" for _ in range(3)),
            f"creator {int(draw.paretovariate(0.6)) % 300}",
            draw.uniform(8, 90),
        )
        for _ in range(VIDEOS)
    ]


def user(seed: int, days: int, batches_a_day: int, facts: list[Facts]) -> Signals:
    """Return the signals of a user who sends `batches_a_day` until `NOW`."""
    draw = random.Random(seed)
    by_id = {f"v{n}": fact for n, fact in enumerate(facts)}
    likes = {fact.category: 0.0 for fact in facts}
    likes = {category: draw.random() for category in sorted(likes)}
    shown = sorted(range(VIDEOS), key=lambda n: -(likes[facts[n].category] + draw.gauss(0, 0.35)))
    signals, total = None, days * batches_a_day
    for number in range(total):
        now = min(NOW, NOW - 86_400 * days * (1 - (number + 1) / total) + draw.uniform(-600, 600))
        served = now - draw.uniform(60, 600)
        page = [shown[(number * PAGE + place) % VIDEOS] for place in range(PAGE)]
        told = _told(draw, page, facts, likes, served, f"{seed} {number}")
        signals = fold(signals, told, by_id, HALF_LIFE_DAYS, now, now)
        places = {f"v{n}": place for place, n in enumerate(page)}
        pairs = [(places[event.video_id], TYPE_CODES[event.type]) for event in told]
        signals.counted = signals.counted.with_counted(fingerprint(f"{seed} {number}"), int(served), pairs)
        for event in told:
            of_today = signals.daily_counts.with_counted(int(now // 86_400), fingerprint(event.video_id))
            signals.daily_counts = of_today
    assert signals is not None
    return signals


def _told(
    draw: random.Random, page: list[int], facts: list[Facts], likes: dict[str, float], at: float, name: str
) -> list[Event]:
    """Return the events of one page from a time on."""
    told: list[Event] = []

    def tell(kind: str, video: int, watch_ms: float = 0.0) -> None:
        identity = fingerprint(f"{name} {len(told)}")
        told.append(Event(kind, f"v{video}", int(at * 1000), identity, watch_ms))

    for video in page:
        at += draw.uniform(0.5, 1.0)
        tell("impression", video)
        liking, seconds = likes[facts[video].category], facts[video].duration_seconds
        watched = draw.uniform(0.3, seconds * 1.1) * (0.3 + 0.7 * liking)
        if draw.random() < 0.8:
            at += watched
            tell("video_view", video, watched * 1000)
            if watched > seconds * 0.95:
                tell("complete", video)
            if draw.random() < 0.12 * liking:
                tell("like", video)
        else:
            tell("skip", video)
        if draw.random() < 0.01:
            tell("not_interested", video)
    return told[:EVENTS]
