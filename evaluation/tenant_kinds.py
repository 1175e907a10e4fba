"""Generates logs of tenants of many kinds, and cuts small tenants from a log, to test learning on all of them.

A video's appeal has a half-life from its publication. Users have tastes. Exposures are drawn by appeal and slightly by
taste; long views depend on taste and on the video's quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluation.synthetic import DAY, START
from learning.log import Exposures, Log, by_time, exposures_of
from shared.domain.records import Video

HOUR = 3_600.0


@dataclass(frozen=True)
class Kind:
    """Properties of a generated tenant.

    `published_a_day`: 0 when all `videos` exist from the start. `seen_only_clicks`: the log has only long views, no
    impressions. `tastes_change_on`: day on which every user gets other tastes. `crowd`: number of invented users. From
    day `crowd_from` on they report views of a few poor videos, each after popular ones.
    """

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
    tastes_change_on: int | None = None
    crowd: int = 0
    crowd_from: int = 0


KINDS: Mapping[str, Kind] = {
    "news, half-life 15 minutes": Kind(1_000, 0.25, published_a_day=300, shown=6, seen_only_clicks=True),
    "news, half-life 3 hours": Kind(800, 3.0, published_a_day=120),
    "clips, half-life 2 days": Kind(800, 48.0, published_a_day=80),
    "slow library": Kind(800, 24.0 * 21, videos=1_500),
    "200 users": Kind(200, 72.0, videos=200, published_a_day=20, sessions_a_day=0.7),
    "clicks without impressions": Kind(800, 24.0, videos=200, published_a_day=60, seen_only_clicks=True),
    "no tastes": Kind(600, 24.0, videos=300, published_a_day=40, taste=0.0),
}


DISTURBED: Mapping[str, Kind] = {
    "tastes change overnight": Kind(600, 72.0, videos=300, published_a_day=30, days=14, tastes_change_on=7),
    "an invented crowd": Kind(600, 72.0, videos=300, published_a_day=30, days=14, crowd=300, crowd_from=6),
}
"""Tenants with a disturbance; `evaluation/simulated_serving.py` shows how gate and holdout react."""
CROWDS_VIDEOS, CROWDS_PLAYS = 24, 3


@dataclass(frozen=True)
class World:
    """A generated log with its true parameters. `liking`: by period, an array (users, circles); `genuine`: which users
    are not invented."""

    kind: Kind
    log: Log
    liking: Sequence[np.ndarray]
    circle: np.ndarray
    quality: np.ndarray
    genuine: np.ndarray

    def likes(self, user: int, videos: np.ndarray, at: float) -> np.ndarray:
        """Return how much a user likes videos at a time; 1 is average."""
        change = self.kind.tastes_change_on
        period = int(change is not None and at >= START + change * DAY)
        return np.asarray(self.liking[period][user, self.circle[videos]])

    def chance(self, user: int, videos: np.ndarray, at: float) -> np.ndarray:
        """Return the probability that the user watches each video long if it is shown."""
        liked = 0.15 + 0.85 * np.minimum(self.likes(user, videos, at), 3.0) / 2.0
        return np.asarray(np.minimum(self.quality[videos] * liked, 0.95))


def generated(kind: Kind, seed: int = 0) -> Log:
    """Generate a log of one kind. Equal seeds give equal logs."""
    return world_of(kind, seed).log


def world_of(kind: Kind, seed: int = 0) -> World:
    """Generate a log of one kind with its true parameters."""
    draw = np.random.default_rng(seed)
    published, circle, appeal, quality = _catalog(kind, draw)
    liking = [_liking(kind, draw)]
    if kind.tastes_change_on is not None:
        liking.append(_liking(kind, np.random.default_rng([seed, 1])))
    names = [f"u{user}" for user in range(kind.users)] + [f"invented {user}" for user in range(kind.crowd)]
    genuine = np.arange(len(names)) < kind.users
    world = World(kind, Log([], names, exposures_of([]), exposures_of([])), liking, circle, quality, genuine)
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
        pull = now + 0.5 * np.log(world.likes(user, there, at) + 0.3) + draw.gumbel(size=len(there))
        shown = there[np.argsort(-pull)[: kind.shown]]
        seen[user, shown] = True
        chance = world.chance(user, shown, at)
        for place, (video, long) in enumerate(
            zip(shown.tolist(), (draw.random(len(shown)) < chance).tolist(), strict=True)
        ):
            if long or not kind.seen_only_clicks:
                watched = 20_000.0 if long else float(draw.choice((0.0, 1_000.0, 6_000.0)))
                rows.append((user, video, at + 15.0 * place, watched, long, bool(long and draw.random() < 0.1), False))
    rows += _crowd(kind, published, appeal, quality, np.random.default_rng([seed, 2]))
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
    return replace(world, log=Log(videos, names, exposures_of([]), by_time(exposures_of(rows))))


def _crowd(
    kind: Kind, published: np.ndarray, appeal: np.ndarray, quality: np.ndarray, draw: np.random.Generator
) -> list[tuple[int, int, float, float, bool, bool, bool]]:
    """Generate the reports of invented users: each day some popular videos, and some of the poorest after each."""
    old = np.flatnonzero(published < START)
    if not kind.crowd or not len(old):
        return []
    poor = old[np.argsort(quality[old])[:CROWDS_VIDEOS]]
    popular = np.setdiff1d(old[np.argsort(-appeal[old])[:100]], poor)
    rows = []
    for user in range(kind.users, kind.users + kind.crowd):
        for day in range(kind.crowd_from, kind.days):
            at = START + day * DAY + draw.random() * (DAY - 3_600.0)
            pairs = zip(draw.choice(popular, CROWDS_PLAYS), draw.choice(poor, CROWDS_PLAYS, replace=False), strict=True)
            for place, video in enumerate(np.array(list(pairs)).ravel().tolist()):
                rows.append((user, video, at + 30.0 * place, 20_000.0, True, False, False))
    return rows


def _liking(kind: Kind, draw: np.random.Generator) -> np.ndarray:
    tastes = draw.dirichlet(np.full(kind.circles, 0.4), kind.users) * kind.circles
    return np.asarray(kind.taste * tastes + (1.0 - kind.taste))


def _catalog(kind: Kind, draw: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return of each video the publication time, circle of taste, appeal, and probability of a long view."""
    old = START - draw.random(kind.videos) * min(30.0, kind.half_life_hours / 24.0) * DAY
    new = START + draw.random(kind.published_a_day * kind.days) * kind.days * DAY
    published = np.concatenate([old, np.sort(new)])
    count = len(published)
    return published, draw.integers(0, kind.circles, count), draw.lognormal(0.0, 1.2, count), draw.beta(4.0, 6.0, count)


def _times(count: int, days: int, draw: np.random.Generator) -> np.ndarray:
    """Draw times of sessions: more in the evening than at night."""
    hours = np.arange(24)
    share = 1.0 + 0.8 * np.sin((hours - 14.0) / 24.0 * 2.0 * np.pi)
    hour = draw.choice(24, count, p=share / share.sum())
    return START + (draw.integers(0, days, count) * 24 + hour + draw.random(count)) * HOUR


def part_of(log: Log, share: float, seed: int) -> Log:
    """Cut a small tenant from a log: a random share of its users with their events, and all videos that were shown."""
    users = np.random.default_rng(seed).random(len(log.users)) < share

    def only(exposures: Exposures) -> Exposures:
        mine = users[exposures.user]
        return Exposures(*(getattr(exposures, name)[mine] for name in Exposures.__dataclass_fields__))

    return replace(log, history=only(log.history), exposures=only(log.exposures))
