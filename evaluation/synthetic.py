"""Generates small logs with a known structure, so that the result of an evaluation is known in advance."""

from __future__ import annotations

import numpy as np

from learning.log import Exposures, Log
from shared.domain.records import Video

START = 1_700_006_400.0
"""A midnight (UTC)."""
DAY = 86_400.0


def tastes_log(
    users: int = 60,
    videos: int = 240,
    days: int = 6,
    a_day: int = 5,
    seed: int = 0,
    circles: int = 4,
    likes: float = 0.9,
) -> Log:
    """Generate users of a few circles, each of which watches its own videos long and hardly any other.

    A circle's videos have one category and creators of their own. Exposures are drawn by popularity alone. So a ranking
    that knows the user's circle must beat popularity, and one that only knows popularity cannot.
    """
    draw = np.random.default_rng(seed)
    catalog = [
        Video(
            id=f"v{i}",
            title=f"Video {i}",
            playback_url="",
            category=f"category {i % circles}",
            tags=(f"tag {i % circles}",),
            creator=f"creator {i % circles}-{i % (circles * 5) // circles}",
            duration_seconds=20.0,
            maturity_rating="G",
            published_at=START - 10 * DAY,
        )
        for i in range(videos)
    ]
    appeal = draw.permutation(1.0 / np.arange(1, videos + 1) ** 0.5)
    appeal /= appeal.sum()
    rows: list[tuple[int, int, float, float, bool, bool, bool]] = []
    for user in range(users):
        shown = draw.choice(videos, min(videos, days * a_day), replace=False, p=appeal)
        times = np.sort(draw.random(len(shown)) * days * DAY)
        for video, at in zip(shown.tolist(), times.tolist(), strict=True):
            long = bool(draw.random() < (likes if video % circles == user % circles else 0.05))
            rows.append((user, video, START + at, 20_000.0 if long else 1_000.0, long, False, False))
    columns = [np.array(column) for column in zip(*sorted(rows, key=lambda row: row[2]), strict=True)]
    nothing = Exposures(*(column[:0] for column in columns))
    return Log(catalog, [f"u{user}" for user in range(users)], nothing, Exposures(*columns))
