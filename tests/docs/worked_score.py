"""Computes one score feature by feature for the ranking page, from the demo's videos and the tour's viewer."""

from __future__ import annotations

import random

from events.fold import fold
from events.schema import Event
from events.video_facts import Facts
from local.demo import demo_videos, past_views
from local.story import story_events
from ranking import CatalogStats, RankingOptions, StatsTable, VideoColumns, global_model, rank
from ranking.explain import Explanation, explain
from shared.domain.fingerprint import fingerprint

NOW = 1_795_000_000.0
VIDEOS = 300
WORDS = {
    "demand_1h": "how much it is watched, the last hour counted most",
    "demand_6h": "the same for six hours, beyond what the hour says",
    "demand_24h": "the same for a day",
    "demand_7d": "the same for a week",
    "quality": "how often it is watched long when it is shown",
    "skip_rate": "how often it is skipped",
    "approval": "likes and shares for each view",
    "watch_percentile": "how much of it is watched, among videos of its length",
    "recency": "how new it is",
    "recent_category": "how much of the latest watching was of its category",
    "category_affinity": "time this viewer gave its category, against the usual",
    "tag_affinity": "the same for its tags",
    "creator_affinity": "the same for its creator",
    "recent_creator": "its creator was watched lately",
    "recent_skips": "its category was skipped lately",
    "category_skips": "how much of its category this viewer skips",
    "duration_match": "how near its length is to what this viewer watches",
    "popularity_taste": "whether this viewer watches what many watch",
    "bias": "the same for every video",
}


def as_markdown() -> str:
    """Return the first video of the page and the best one of a skipped category, side by side."""
    videos = demo_videos(VIDEOS, NOW, random.Random(0))
    table = StatsTable()
    table.add(past_views(videos, NOW, random.Random(1)))
    columns = VideoColumns(videos)
    stats = CatalogStats(columns, table)
    facts = {v.id: Facts(v.category, v.tags, v.creator, v.duration_seconds) for v in videos}
    events = [
        Event(row["type"], row["videoId"], row["timestamp"], fingerprint(f"{number}"), row["watchTimeMs"])
        for number, row in enumerate(story_events(NOW))
    ]
    signals = fold(None, events, facts, 14.0, NOW)
    options, model = RankingOptions(NOW), global_model()
    slate = rank(columns, stats, signals, columns.rows(), model, options)
    first = explain(columns, stats, signals, int(slate.rows[0]), model, options)
    cooking = (explain(columns, stats, signals, row, model, options) for row in columns.rows().tolist()
               if _category_of(columns, row) == "cooking")  # fmt: skip
    other = max(cooking, key=lambda each: each.score)
    return _side_by_side(first, other)


def _category_of(columns: VideoColumns, row: int) -> str:
    """The category in a demo video's id."""
    return columns.ids[row].split("_")[1]


def _side_by_side(first: Explanation, other: Explanation) -> str:
    lines = [
        f"| | `{first.video_id}` | `{other.video_id}` |",
        "|---|---:|---:|",
    ]
    for one, two in zip(first.contributions, other.contributions, strict=True):
        if one.amount or two.amount:
            says = WORDS.get(one.feature, one.unit)
            cells = (f"{each.value:.3f} × {each.weight:.3f} = {each.amount or 0.0:+.3f}" for each in (one, two))
            lines.append(f"| `{one.feature}`: {says} | " + " | ".join(cells) + " |")
    lines.append(f"| **score** | **{first.score:.3f}** | **{other.score:.3f}** |")
    return "\n".join(lines) + "\n"
