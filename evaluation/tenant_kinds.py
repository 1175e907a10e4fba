"""Generated logs of tenants of many kinds, and small tenants cut from a log: what has to hold on all of them.

A video's appeal halves every so often since it was published; users have tastes; what is shown is drawn by appeal and,
a little, by taste; what is watched long depends on taste and on the video's quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from evaluation.synthetic import DAY, START
from learning.log import Exposures, Log, by_time, exposures_of
from shared.domain.records import Video

HOUR = 3_600.0


@dataclass(frozen=True)
class Kind:
    """How a generated tenant differs. `published_a_day`: 0 when all videos are there from the start, of which there are
    `videos`. `seen_only_clicks`: the log has no impressions, only what was watched long."""

    users: int
    half_life_hours: float
    videos: int = 0
    published_a_day: int = 0
    days: int = 8
    sessions_a_day: float = 1.0
    shown: int = 8
    seen_only_clicks: bool = False
    taste: float = 1.0
    circles: int = 8


KINDS: Mapping[str, Kind] = {
    "news, half-life 15 minutes": Kind(1_000, 0.25, published_a_day=300, shown=6, seen_only_clicks=True),
    "news, half-life 3 hours": Kind(800, 3.0, published_a_day=120),
    "clips, half-life 2 days": Kind(800, 48.0, published_a_day=80),
    "slow library": Kind(800, 24.0 * 21, videos=1_500),
    "200 users": Kind(200, 72.0, videos=200, published_a_day=20, sessions_a_day=0.7),
    "clicks without impressions": Kind(800, 24.0, videos=200, published_a_day=60, seen_only_clicks=True),
    "no tastes": Kind(600, 24.0, videos=300, published_a_day=40, taste=0.0),
}


def generated(kind: Kind, seed: int = 0) -> Log:
    """A log of one kind; equal seeds give equal logs."""
    draw = np.random.default_rng(seed)
    published, circle, appeal, quality = _catalog(kind, draw)
    tastes = draw.dirichlet(np.full(kind.circles, 0.4), kind.users) * kind.circles
    liking = kind.taste * tastes + (1.0 - kind.taste)
    activity = draw.gamma(1.0, kind.sessions_a_day, kind.users)
    sessions = draw.poisson(activity * kind.days)
    who = np.repeat(np.arange(kind.users), sessions)
    times = _times(len(who), kind.days, draw)
    order = np.argsort(times)
    seen = np.zeros((kind.users, len(published)), np.bool_)
    rows: list[tuple[int, int, float, float, bool, bool, bool]] = []
    for user, at in zip(who[order].tolist(), times[order].tolist(), strict=True):
        age = at - published
        there = np.flatnonzero((age >= 0) & (age < 20 * kind.half_life_hours * HOUR) & ~seen[user])
        if not len(there):
            continue
        now = np.log(appeal[there]) - age[there] / HOUR / kind.half_life_hours * np.log(2.0)
        likes = liking[user, circle[there]]
        pull = now + 0.5 * np.log(likes + 0.3) + draw.gumbel(size=len(there))
        chosen = np.argsort(-pull)[: kind.shown]
        shown = there[chosen]
        seen[user, shown] = True
        chance = np.minimum(quality[shown] * (0.15 + 0.85 * np.minimum(likes[chosen], 3.0) / 2.0), 0.95)
        for place, (video, long) in enumerate(
            zip(shown.tolist(), (draw.random(len(shown)) < chance).tolist(), strict=True)
        ):
            if long or not kind.seen_only_clicks:
                watched = 20_000.0 if long else float(draw.choice((0.0, 1_000.0, 6_000.0)))
                rows.append((user, video, at + 15.0 * place, watched, long, bool(long and draw.random() < 0.1), False))
    videos = [
        Video(
            id=f"v{i}",
            title=f"Video {i}",
            playback_url="",
            category=f"category {circle[i]}",
            tags=(f"tag {circle[i]}-{i % 3}",),
            creator=f"creator {circle[i]}-{i % 7}",
            duration_seconds=20.0,
            maturity_rating="G",
            published_at=float(published[i]),
        )
        for i in range(len(published))
    ]
    return Log(videos, [f"u{user}" for user in range(kind.users)], exposures_of([]), by_time(exposures_of(rows)))


def _catalog(kind: Kind, draw: np.random.Generator) -> tuple[np.ndarray, ...]:
    """When each video is published, its circle of taste, its appeal, and its chance to be watched long."""
    old = START - draw.random(kind.videos) * min(30.0, kind.half_life_hours / 24.0) * DAY
    new = START + draw.random(kind.published_a_day * kind.days) * kind.days * DAY
    published = np.concatenate([old, np.sort(new)])
    count = len(published)
    return published, draw.integers(0, kind.circles, count), draw.lognormal(0.0, 1.2, count), draw.beta(4.0, 6.0, count)


def _times(count: int, days: int, draw: np.random.Generator) -> np.ndarray:
    """Times of sessions: more in the evening than at night."""
    hours = np.arange(24)
    share = 1.0 + 0.8 * np.sin((hours - 14.0) / 24.0 * 2.0 * np.pi)
    hour = draw.choice(24, count, p=share / share.sum())
    return START + (draw.integers(0, days, count) * 24 + hour + draw.random(count)) * HOUR


def part_of(log: Log, share: float, seed: int) -> Log:
    """A small tenant: a random share of a log's users, with all they did, and the videos that anybody was shown."""
    users = np.random.default_rng(seed).random(len(log.users)) < share

    def only(exposures: Exposures) -> Exposures:
        mine = users[exposures.user]
        return Exposures(*(getattr(exposures, name)[mine] for name in Exposures.__dataclass_fields__))

    return replace(log, history=only(log.history), exposures=only(log.exposures))
