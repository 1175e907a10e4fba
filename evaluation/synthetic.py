"""Small logs with a known structure, generated: what the evaluation finds in them is known beforehand."""

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
    """Users of a few circles, each of which watches long its own videos and hardly any other.

    A circle's videos are of one category and of creators of its own; what is shown is drawn by popularity alone, so a
    ranking that knows the user's circle must beat popularity, and one that only knows popularity cannot.
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
